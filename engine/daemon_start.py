"""Which daemon to talk to, and the way to it: found at its socket, or started under a lock (no torch)."""

import asyncio
import contextlib
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from engine import paths, wire
from engine.errors import EngineUnavailableError, ModelFolderError

PRECISIONS = ("auto", "float32", "int8", "int4")
"""How a daemon may hold weights on a CPU (`engine.model.serving.Precision`, which imports torch)."""

_POLL_SECONDS = 0.02
_HELLO_SECONDS = 10.0
_EMBEDDED_MODEL = paths.PACKAGES_FOLDER / "engine" / "models" / "default"
_QUIET_ENVIRONMENT = {
    # Idle threads must sleep: spinning ones would take the editor's cores.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Learning a repository in the background takes one core, not all.
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Which daemon to talk to; clients with equal settings share one."""

    model: str = "default"
    """`default`, a model folder, or a Hugging Face name in the local cache."""
    threads: int | None = None
    """For the daemon this client starts; None measures which number is fastest. Does not tell daemons apart."""
    precision: str = "auto"
    """Of the weights on a CPU, one of `PRECISIONS`. Does not tell daemons apart either."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1`, ..."""
    prompt_tokens: int | None = None
    """Longest prompt; None is 2,048 on a CPU and the model's context on a GPU."""
    drafting: str = "on"
    """`off` reads one token at a time, for benchmarks; the answers are the same."""
    memory_megabytes: int | None = None
    """Most memory of the daemon this client starts, for weights, keys and values; None is half of the machine's."""
    idle_seconds: float = 900.0
    """The daemon this client starts ends when nobody asked for anything this long."""
    start_seconds: float = 120.0
    """How long a start may take: a big model is read from disk."""


def worker_command(settings: EngineSettings) -> tuple[list[str], dict[str, str]]:
    """Return the command line and the environment of the daemon that clients with these settings look for.

    Raises:
        EngineError: a private folder cannot be used.
    """
    socket_path = _socket_path(settings)
    command = [sys.executable, "-P", "-m", "engine.worker", "--model", _model_argument(settings.model)]
    command += ["--socket", str(socket_path), "--log", str(_log_path(socket_path))]
    command += [
        "--precision",
        settings.precision,
        "--device",
        settings.device,
        "--idle-seconds",
        str(settings.idle_seconds),
    ]
    if settings.threads is not None:
        command += ["--threads", str(settings.threads)]
    command += ["--drafting", settings.drafting]
    if settings.memory_megabytes is not None:
        command += ["--memory-mb", str(settings.memory_megabytes)]
    if settings.prompt_tokens is not None:
        command += ["--prompt-tokens", str(settings.prompt_tokens)]
    environment = _QUIET_ENVIRONMENT | os.environ | {"PYTHONPATH": str(paths.PACKAGES_FOLDER)}
    return command, environment


async def reach(settings: EngineSettings) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the daemon for these settings; of several clients that find none, one starts it.

    Raises:
        ModelFolderError: the model cannot be served.
        EngineUnavailableError: the daemon cannot be started or reached; the message says why.
    """
    socket_path = _socket_path(settings)
    try:
        async with asyncio.timeout(settings.start_seconds):
            while True:
                streams = await _open(socket_path)
                if streams is not None:
                    return streams
                async with _start_lock(socket_path):
                    streams = await _open(socket_path)
                    if streams is not None:
                        return streams
                    await _start(settings, socket_path)
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError as error:
        raise EngineUnavailableError(
            f"the engine did not start within {settings.start_seconds:.0f} s; see {_log_path(socket_path)}"
        ) from error
    except OSError as error:
        raise EngineUnavailableError(f"cannot reach the engine at {socket_path}: {error.strerror or error}") from error


def _socket_path(settings: EngineSettings) -> Path:
    return paths.runtime_folder() / f"{_identity(settings)}.sock"


def _identity(settings: EngineSettings) -> str:
    """Name the daemon: other weights, another version of the packages or another device is another daemon."""
    model = _model_argument(settings.model)
    folder = _EMBEDDED_MODEL if model == "default" else Path(model)
    versions = [*_versions(paths.PACKAGES_FOLDER / "engine", "**/*.py"), *_versions(folder, "*")]
    # Nothing else of the settings: two clients that disagree on threads or idle time are not worth two copies of the
    # weights.
    key = [
        wire.PROTOCOL_VERSION,
        sys.executable,
        model,
        settings.device,
        settings.prompt_tokens,
        settings.drafting,
        versions,
    ]
    return sha256(json.dumps(key).encode()).hexdigest()[:16]


def _versions(folder: Path, pattern: str) -> list[tuple[str, int, int]]:
    """What tells two versions of a folder's files apart; files that cannot be looked at are the daemon's to name."""
    found = []
    for path in sorted(folder.glob(pattern)):
        with contextlib.suppress(OSError):
            status = path.stat()
            found.append((str(path), status.st_size, status.st_mtime_ns))
    return found


def _model_argument(model: str) -> str:
    """Make a folder's path absolute, since the daemon runs elsewhere; leave names as they are."""
    folder = Path(model).expanduser()
    return str(folder.resolve()) if model != "default" and folder.is_dir() else model


async def _open(socket_path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """Connect and greet; None when nobody answers there."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(socket_path))
    except (FileNotFoundError, ConnectionError):
        return None
    try:
        writer.write(wire.frame({"type": "hello", "protocol": wire.PROTOCOL_VERSION}))
        greeting = await asyncio.wait_for(wire.read_message(reader), _HELLO_SECONDS)
    except TimeoutError as error:
        writer.close()
        raise EngineUnavailableError(
            f"the engine process does not answer; end it (its number is in {_log_path(socket_path)})"
        ) from error
    except BaseException:
        writer.close()
        raise
    if greeting is None:  # it is just ending
        writer.close()
        return None
    if greeting.get("type") != "hello":
        writer.close()
        raise wire.error_from_json(greeting)
    return reader, writer


@contextlib.asynccontextmanager
async def _start_lock(socket_path: Path) -> AsyncIterator[None]:
    """Let one client at a time start this daemon; a killed client's lock falls open by itself."""
    descriptor = os.open(socket_path.with_suffix(".start"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


async def _start(settings: EngineSettings, socket_path: Path) -> None:
    """Start the daemon and wait until it serves.

    Raises:
        ModelFolderError: the model cannot be served.
        EngineUnavailableError: the process ended before it was ready.
    """
    errors = socket_path.with_suffix(".stderr")
    ready, told = os.pipe()
    try:
        await asyncio.to_thread(_spawn, settings, socket_path, errors, told)
    except (OSError, subprocess.SubprocessError) as error:
        os.close(ready)
        raise EngineUnavailableError(f"cannot start the engine process: {error}") from error
    finally:
        os.close(told)
    line = await _first_line(ready)
    if not line:
        raise EngineUnavailableError(f"the engine process ended at its start: {_last_line(errors)}")
    outcome = json.loads(line)
    if "error" in outcome:
        kind = ModelFolderError if outcome.get("kind") == ModelFolderError.__name__ else EngineUnavailableError
        raise kind(outcome["error"])


def _spawn(settings: EngineSettings, socket_path: Path, errors: Path, told: int) -> None:
    command, environment = worker_command(settings)
    command += ["--ready-fd", str(told)]
    with errors.open("wb") as stderr:
        # The shell puts the daemon in the background and ends, so that it is nobody's child: it outlives this process,
        # and leaves no zombie in it when it dies first.
        subprocess.run(
            ["/bin/sh", "-c", '"$@" &', "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            cwd=socket_path.parent,
            env=environment,
            pass_fds=(told,),
            start_new_session=True,
            check=True,
        )


async def _first_line(descriptor: int) -> bytes:
    """Read one line from a pipe, which this closes; empty when the other end closed it without a word."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb")
    )
    try:
        return await reader.readline()
    finally:
        transport.close()


def _last_line(errors: Path) -> str:
    try:
        lines = errors.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return "no reason given"
    return next((line for line in reversed(lines) if line.strip()), "no reason given")


def _log_path(socket_path: Path) -> Path:
    return paths.state_folder() / f"engine-{socket_path.stem}.log"
