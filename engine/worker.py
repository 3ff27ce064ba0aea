"""The engine process: `python -P -m engine.worker --model default --socket PATH --log PATH`.

Started on demand by `engine.daemon_start`, one per model folder and version of the packages. Reads the model, then
serves it on the socket until it has been idle for a while or gets SIGTERM. Standard output is never used, and the log
holds no source text.
"""

import argparse
import asyncio
import fcntl
import json
import logging
import logging.handlers
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from engine import model_folder, paths
from engine.api import EngineStatus
from engine.collection_library import CollectionLibrary
from engine.completer import Completer, Drafting, Source
from engine.daemon import Daemon
from engine.errors import EngineError, EngineUnavailableError
from engine.model.serving import Precision
from engine.model_folder import ServedModel
from engine.model_names import resolve

log = logging.getLogger("midfill.engine")

_PROMPT_TOKENS_ON_CPU = 2048
"""A CPU reads a prompt of this length in a second or so with a small model; longer ones only delay the first answer."""
_LOG_BYTES = 1 << 20
_MOST_CACHE_BYTES = 1 << 30
"""For keys and values: hundreds of documents of a small model, a few of a big one."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until idle or told to stop; return the exit status."""
    options = _parse(arguments)
    _open_log(options.log)
    # Python code on the inference thread must not keep the talking thread waiting for 5 ms at a time.
    sys.setswitchinterval(0.001)
    try:
        lock = _lock(options.socket)
        model = _read_model(options)
        library = CollectionLibrary(
            model.tokenizer,
            vocabulary_size=model.network.config.vocab_size,
            folder=paths.cache_folder() / "collections",
        )
        completer = _completer(options, model, library)
        listener = _listen(options.socket)
    except _AlreadyServedError as error:
        log.info("%s", error)
        _report(options.ready_fd, {"busy": True})
        return 1
    except EngineError as error:
        log.error("%s", error)
        _report(options.ready_fd, {"error": str(error), "kind": type(error).__name__})
        return 1
    try:
        asyncio.run(_serve(options, model, library, completer, listener))
    finally:
        options.socket.unlink(missing_ok=True)
        os.close(lock)
    log.info("ended")
    return 0


class _AlreadyServedError(EngineError):
    """Another process holds this socket's lock; whoever asked tries again."""


def _completer(options: argparse.Namespace, model: ServedModel, library: CollectionLibrary) -> Completer:
    return Completer(
        model,
        source=Source(options.source),
        find_collection=library.find,
        prompt_tokens=options.prompt_tokens or _default_prompt_tokens(model),
        cache_bytes=_cache_bytes(options),
        drafting=Drafting(options.drafting),
    )


async def _serve(
    options: argparse.Namespace,
    model: ServedModel,
    library: CollectionLibrary,
    completer: Completer,
    listener: socket.socket,
) -> None:
    daemon = Daemon(
        completer,
        library,
        describe=lambda: _status(options, model, library, completer),
        idle_seconds=options.idle_seconds,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.stop)
    log.info("serving %s", options.model)
    _report(options.ready_fd, {"ready": True})
    await daemon.run(listener)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="engine.worker", description="Serve one model to local clients.")
    parser.add_argument("--model", default="default", help="'default', a model folder, or a Hugging Face name")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--ready-fd", type=int, help="file descriptor that is told in one line how the start went")
    parser.add_argument("--threads", type=int, help="default: measured")
    precisions = [precision.value for precision in Precision]
    parser.add_argument("--precision", choices=precisions, default="auto", help="of the weights on a CPU")
    parser.add_argument("--device", default="auto", help="'auto', 'cpu', 'cuda', 'cuda:1', ...")
    parser.add_argument("--source", choices=[source.value for source in Source], default=Source.BOTH.value)
    parser.add_argument("--drafting", choices=[drafting.value for drafting in Drafting], default=Drafting.ON.value)
    parser.add_argument("--memory-mb", type=int, help="most memory, in MiB; default: half of the machine's")
    parser.add_argument("--prompt-tokens", type=int, help=f"longest prompt; default on a CPU: {_PROMPT_TOKENS_ON_CPU}")
    parser.add_argument("--idle-seconds", type=float, default=900.0)
    return parser.parse_args(arguments)


def _open_log(path: Path) -> None:
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=_LOG_BYTES, backupCount=2, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


def _lock(socket_path: Path) -> int:
    """Take the lock that the process serving this socket holds as long as it lives."""
    descriptor = os.open(socket_path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise _AlreadyServedError(f"{socket_path} belongs to another process, which is starting or ending") from error
    return descriptor


def _read_model(options: argparse.Namespace) -> ServedModel:
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise EngineUnavailableError(f"device {device!r} cannot be used here; set it to 'auto' or 'cpu'") from error
    precision = Precision(options.precision)
    return model_folder.serve(resolve(options.model), precision=precision, threads=options.threads, device=device)


def _memory_limit(options: argparse.Namespace) -> int:
    """Bytes that weights, keys and values may take."""
    if options.memory_mb:
        return int(options.memory_mb) << 20
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _cache_bytes(options: argparse.Namespace) -> int:
    """What is left for keys and values once the model is read.

    Raises:
        EngineUnavailableError: the model alone needs more than the limit.
    """
    limit, used = _memory_limit(options), _resident_bytes()
    if used > limit:
        raise EngineUnavailableError(
            f"the model needs {used >> 20} MiB and the memory limit is {limit >> 20} MiB; "
            "raise it or use a smaller model"
        )
    return min(_MOST_CACHE_BYTES, limit - used)


def _default_prompt_tokens(model: ServedModel) -> int | None:
    return _PROMPT_TOKENS_ON_CPU if model.network.device.type == "cpu" else None


def _listen(path: Path) -> socket.socket:
    """Bind the socket, open to this user only; a stale one is replaced, since the lock says that nobody serves it."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise EngineUnavailableError(f"cannot open the socket {path}: {error.strerror or error}") from error
    finally:
        os.umask(mask)
    listener.listen()
    return listener


def _report(descriptor: int | None, message: dict[str, object]) -> None:
    """Tell whoever started this process how it went; they may be gone."""
    if descriptor is None:
        return
    try:
        os.write(descriptor, json.dumps(message).encode() + b"\n")
    except BrokenPipeError:
        pass
    finally:
        os.close(descriptor)


def _status(
    options: argparse.Namespace, model: ServedModel, library: CollectionLibrary, completer: Completer
) -> EngineStatus:
    network = model.network
    return EngineStatus(
        process_id=os.getpid(),
        model=options.model,
        parameters=network.parameter_count(),
        device=str(network.device),
        dtype=f"{network.precision}, {network.path}",
        context_length=model.prompt_settings.context_length,
        threads=network.threads,
        memory_bytes=_resident_bytes(),
        memory_limit_bytes=_memory_limit(options),
        key_value_bytes=completer.cache_bytes,
        uptime_seconds=time.monotonic() - _STARTED,
        collections=library.tokens(),
    )


def _resident_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:  # not Linux; macOS tells the peak, in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pages * resource.getpagesize()


_STARTED = time.monotonic()

if __name__ == "__main__":
    status = main()
    logging.shutdown()
    # Everything is saved and closed; tearing torch down would only hold the memory for another second.
    os._exit(status)
