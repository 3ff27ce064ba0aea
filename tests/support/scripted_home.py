"""A MIDFILL_HOME in which a scripted engine process serves, and what that was asked."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from json import dumps
from os import environ
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
SERVER = CHECKOUT / "tests" / "support" / "server_of_scripted_engine.py"
"""The program of a language server that asks the scripted engine."""
_ENGINE = CHECKOUT / "tests" / "support" / "scripted_engine.py"


@contextmanager
def scripted_home(folder: Path, script: Sequence[dict]) -> Iterator[Path]:
    """Run an engine with a script (see `scripted_engine.py`) in a home below `folder`, short enough for a socket."""
    home = folder / "h"
    home.mkdir()
    (home / "script.json").write_text(dumps(script))
    (home / "events").touch()
    process = subprocess.Popen(
        [sys.executable, "-P", str(_ENGINE), str(home / "script.json"), str(home / "events")],
        env={**environ, "MIDFILL_HOME": str(home), "PYTHONPATH": str(CHECKOUT)},
    )
    try:
        _wait(home, process)
        yield home
    finally:
        process.kill()
        process.wait()


def events(home: Path) -> str:
    """Return what the engine noted, a line for each thing asked."""
    return (home / "events").read_text()


def _wait(home: Path, process: subprocess.Popen) -> None:
    while "serving" not in events(home):
        assert process.poll() is None, "the scripted engine ended"
        time.sleep(0.02)
