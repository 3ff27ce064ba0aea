"""Real editors for tests: installed once below a folder of their own by the scripts in `install/`."""

import fcntl
import os
import subprocess
from pathlib import Path

import pytest

INSTALLERS = Path(__file__).parent / "install"


def editor(name: str, program: str) -> Path:
    """Return a program of an editor, installing that first where needed.

    What cannot be installed skips the test, or fails it where MIDFILL_EDITORS_REQUIRED is set.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    home = Path(os.environ.get("MIDFILL_EDITORS") or Path(cache) / "midfill-editors")
    home.mkdir(parents=True, exist_ok=True)
    folder, script = home / name, INSTALLERS / f"{name}.sh"
    stamp = folder / ".installed"
    with (home / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != script.read_text():
            done = subprocess.run(["bash", script, folder], capture_output=True, text=True, stdin=subprocess.DEVNULL)
            if done.returncode:
                lines = (done.stderr or done.stdout).strip().splitlines()
                give_up = pytest.fail if os.environ.get("MIDFILL_EDITORS_REQUIRED") else pytest.skip
                give_up(f"{name} cannot be installed here: {lines[-1] if lines else done.returncode}")
            stamp.write_text(script.read_text())
    return folder / program
