"""Commands that stand in for an installed `midfill`: the real server, with its engine or with a scripted one."""

import json
import os
import shlex
import signal
import sys
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


class ScriptedMidfill:
    """A `midfill` whose engine answers from a script that a test may change at any time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self._script, self._events = folder / "script.json", folder / "events"
        self._events.touch()
        self.answer({})
        self.program = _command(
            folder, [str(CHECKOUT / "tests/editors/scripted_midfill.py"), self._script, self._events]
        )

    def answer(self, script: dict[str, list[str]]) -> None:
        """From now on, write these texts behind what stands before the cursor."""
        new = self._script.with_suffix(".new")
        new.write_text(json.dumps(script))
        new.replace(self._script)

    def questions(self) -> list[str]:
        """Return the line before the cursor of each question to the engine so far."""
        return [line.removesuffix("|") for line in self._events.read_text().splitlines()]

    def processes(self) -> list[int]:
        """Return the ids of the server processes."""
        return _processes_with(str(self._script))

    def kill(self) -> None:
        """End every server process the hard way."""
        for process in self.processes():
            os.kill(process, signal.SIGKILL)


class RealMidfill:
    """The `midfill` of this checkout, with the default model and a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = _command(folder, ["-m", "lsp_server"])

    def processes(self) -> list[int]:
        """Return the ids of the server processes."""
        home = f"MIDFILL_HOME={self.folder / 'home'}".encode()
        return [one for one in _processes_with("lsp") if home in Path(f"/proc/{one}/environ").read_bytes().split(b"\0")]

    def kill(self) -> None:
        """End every server process the hard way."""
        for process in self.processes():
            os.kill(process, signal.SIGKILL)


def _command(folder: Path, arguments: list) -> Path:
    """Write `folder/bin/midfill`."""
    program = folder / "bin" / "midfill"
    program.parent.mkdir(parents=True, exist_ok=True)
    words = shlex.join([sys.executable, "-P", *map(str, arguments)])
    program.write_text(
        f"#!/bin/sh\nexport PYTHONPATH={shlex.quote(str(CHECKOUT))} MIDFILL_HOME={shlex.quote(str(folder / 'home'))}\n"
        f'OMP_NUM_THREADS=1 exec {words} "$@"\n'
    )
    program.chmod(0o755)
    return program


def _processes_with(argument: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if argument.encode() in arguments:
                found.append(int(entry.name))
    return found


def until(holds, what: str, seconds: float = 60):
    """Poll until something is true; returns it."""
    end = time.monotonic() + seconds
    while True:
        value = holds()
        if value:
            return value
        assert time.monotonic() < end, f"not in {seconds:g} s: {what() if callable(what) else what}"
        time.sleep(0.02)
