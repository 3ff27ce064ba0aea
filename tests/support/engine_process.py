"""The daemon as a test drives it: its own home folder, and a certain end."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.daemon_start import EngineSettings


@contextlib.contextmanager
def engine_home(folder: Path) -> Iterator[Path]:
    """Give a home to a test, and end the daemons that it leaves behind."""
    try:
        yield folder
    finally:
        for process in daemons(folder):
            kill(process, signal.SIGTERM)


@contextlib.contextmanager
def engine_settings(folder: Path, model: Path, **changes: object) -> Iterator[EngineSettings]:
    """Yield settings for a daemon of `model` with its home in `folder`, which is this process's home meanwhile."""
    values: dict[str, Any] = {"threads": 1, "idle_seconds": 120.0, "start_seconds": 60.0} | changes
    with engine_home(folder), pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIDFILL_HOME", str(folder))
        yield EngineSettings(model=str(model), **values)


def daemons(home: Path) -> list[int]:
    """Return the process ids of the daemons whose log lies below a home folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
                if b"engine.worker" in arguments and any(part.startswith(bytes(home) + b"/") for part in arguments):
                    found.append(int(entry.name))
    return found


def is_alive(process: int) -> bool:
    """Return whether a process runs; one that has ended and was not yet collected does not."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return fields[0] != "Z"


def kill(process: int, number: int, *, wait_seconds: float = 20.0) -> None:
    """Send a signal and wait until the process is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)
    limit = time.monotonic() + wait_seconds
    while is_alive(process):
        assert time.monotonic() < limit, f"process {process} did not end"
        time.sleep(0.01)
