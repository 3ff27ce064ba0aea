"""Runs many answers against their tests, each in a process of its own; started inside the sandbox, imports no midfill.

Reads `candidates.json` and writes one line of JSON behind a word that only the reader outside knows. An answer that
ends its process, by `exit()` or worse, passes nothing that it had not passed before: a test counts once the process
that ran it says so, with a word that was drawn after the answer was written.
"""

import contextlib
import json
import os
import resource
import select
import signal
import sys
import time
from pathlib import Path


def main() -> None:
    """Judge every candidate in turn."""
    path = Path("candidates.json")
    job = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()  # no answer should read the tests
    verdicts = [_judge(program, tests, job["seconds"]) for program, tests in job["candidates"]]
    sys.stdout.write(f"{job['word']}{json.dumps(verdicts)}\n")


def _judge(program: str, tests: list[str], seconds: int) -> list[bool]:
    """Return whether the program compiles, then for each test whether it passes."""
    reading, writing = os.pipe()
    word = os.urandom(16).hex()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            _run(program, tests, seconds, writing, word)
        finally:
            os._exit(0)
    os.close(writing)
    said = _read(reading, time.monotonic() + 2 * seconds).split()
    os.close(reading)
    with contextlib.suppress(PermissionError):  # without namespaces nothing is killed; its own limits end it
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return [f"{word}:{number}" in said for number in range(-1, len(tests))]


def _run(program: str, tests: list[str], seconds: int, writing: int, word: str) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    signal.alarm(2 * seconds)
    code = compile(program, "answer", "exec")
    os.write(writing, f"{word}:-1\n".encode())
    space = {"__name__": "answer"}
    exec(code, space)  # noqa: S102 - what this module is for
    for number, test in enumerate(tests):
        with contextlib.suppress(BaseException):  # whatever is raised, even SystemExit, fails that test alone
            exec(compile(test, "test", "exec"), space)  # noqa: S102
            os.write(writing, f"{word}:{number}\n".encode())


def _read(reading: int, deadline: float) -> str:
    said = b""
    while (left := deadline - time.monotonic()) > 0 and select.select([reading], [], [], left)[0]:
        piece = os.read(reading, 4096)
        if not piece:
            break
        said += piece
    return said.decode()


if __name__ == "__main__":
    main()
