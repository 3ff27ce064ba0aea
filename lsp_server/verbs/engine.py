"""`midfill engine`: the engine processes of this user, shown, ended, or run in the foreground."""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from engine import paths
from engine.api import EngineStatus
from engine.daemon_start import EngineSettings, worker_command
from engine.model_registry import find_model
from lsp_server.running_engines import running_engines
from lsp_server.verbs.complaints import BadInputError

_END_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.05


def run(arguments: argparse.Namespace) -> int:
    """Do one thing with the engine processes; return the exit code."""
    return _ACTIONS[arguments.action](arguments)


def _status(arguments: argparse.Namespace) -> int:
    """Print every engine process; 3 when there is none, as service managers do."""
    engines = _running()
    if arguments.json:
        print(json.dumps([_as_json(socket, status) for socket, status in engines], indent=2))
    elif engines:
        print("\n".join(_as_text(socket, status) for socket, status in engines))
    else:
        print("no engine runs; it starts with the first request")
    return 0 if engines else 3


def _stop(arguments: argparse.Namespace) -> int:
    """Ask every engine process to end, and wait until it has."""
    engines = [status for _, status in _running() if status is not None]
    for status in engines:
        os.kill(status.process_id, signal.SIGTERM)
    limit = time.monotonic() + _END_SECONDS
    left = [status.process_id for status in engines]
    while left and time.monotonic() < limit:
        time.sleep(_POLL_SECONDS)
        left = [process for process in left if _is_alive(process)]
    stopped = [status.process_id for status in engines if status.process_id not in left]
    if arguments.json:
        print(json.dumps({"stopped": stopped, "left": left}))
    elif not engines:
        print("no engine runs")
    else:
        print(f"stopped {', '.join(map(str, stopped)) or 'none'}")
    if left:
        raise BadInputError(f"still running after {_END_SECONDS:.0f} s: {', '.join(map(str, left))}; use kill -9")
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    """Keep an engine process in the foreground, for a service manager say; ends on SIGTERM or Ctrl-C."""
    model = find_model(arguments.model)
    if model.is_remote:
        raise BadInputError(f"{model.name} is served at {model.source}; there is nothing to serve here")
    settings = EngineSettings(
        model=model.source,
        threads=arguments.threads,
        precision=arguments.precision,
        idle_seconds=arguments.idle_seconds or 10.0 * 365 * 86400,
    )
    command, environment = worker_command(settings)
    ready, told = os.pipe()
    process = subprocess.Popen([*command, "--ready-fd", str(told)], env=environment, pass_fds=(told,))
    os.close(told)
    for number in (signal.SIGTERM, signal.SIGINT):  # Ctrl-C reaches the child by itself, and it ends in its own time
        signal.signal(number, lambda received, _frame: process.send_signal(received))
    with os.fdopen(ready, encoding="utf-8") as pipe:
        line = pipe.readline()
    outcome = json.loads(line) if line else {"error": "the engine process ended at its start"}
    if "ready" not in outcome:
        process.wait()
        raise BadInputError(outcome.get("error", "another process serves this model already: midfill engine status"))
    print(f"process {process.pid} serves {model.name}; Ctrl-C ends it", flush=True)
    return process.wait()


_ACTIONS: Mapping[str, Callable[[argparse.Namespace], int]] = {"status": _status, "stop": _stop, "serve": _serve}


def _running() -> list[tuple[Path, EngineStatus | None]]:
    return asyncio.run(running_engines(paths.runtime_folder()))


def _as_json(socket: Path, status: EngineStatus | None) -> dict[str, Any]:
    return {"socket": str(socket)} | ({"answers": False} if status is None else {"answers": True, **asdict(status)})


def _as_text(socket: Path, status: EngineStatus | None) -> str:
    if status is None:
        return f"no answer on {socket}"
    learned = sum(status.collections.values())
    lines = [
        f"process {status.process_id} serves {status.model}",
        f"  {status.parameters / 1e6:.1f} M parameters, {status.dtype} on {status.device}, {status.threads} threads, "
        f"{status.context_length} tokens of context",
        f"  {status.memory_bytes / 1e6:.0f} MB, up for {status.uptime_seconds:.0f} s, "
        f"{len(status.collections)} repositories learned ({learned} tokens)",
    ]
    return "\n".join(lines)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # nobody may have collected it yet
        state = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state != "Z"
