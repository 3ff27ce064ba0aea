"""Runs code that nobody has read: a process of its own, no network, little memory, one folder, nothing left behind.

    sandbox = Sandbox()
    outcome = sandbox.run_python("assert 1 + 1 == 2")
    outcome.passed                                      # True

With Linux namespaces (as root, or where unprivileged user namespaces are allowed) a program sees a process table, a
network and a file system made for it: toolchains read-only, one temporary folder in memory, and nothing else of the
machine. Where namespaces are forbidden, Python programs alone run, under resource limits, a user id of their own when
started by root, and an audit hook; `Sandbox.protection` says which of the two is in force.
"""

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any

from train.errors import SandboxError

_INSIDE = Path(__file__).with_name("sandbox_inside.py")
_GUARD = Path(__file__).with_name("sandbox_guard.py")
_SPARE_SECONDS = 10.0
"""How much longer than its deadline we wait for the inner half before we kill it."""
_CANNOT_START = 126
"""Exit code of the inner half when the command itself cannot be executed."""
_SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/localtime"),
)


class Protection(Enum):
    """What keeps a program in; the value is a line for the user."""

    NAMESPACES = "namespaces: own processes, network, file system and user, and resource limits"
    LIMITS = "resource limits and an audit hook only: this machine forbids namespaces, run nothing malicious"


class Ending(Enum):
    """Why a program ended."""

    EXIT = "exit"
    TIME = "time"
    """The wall clock or its share of the processor ran out."""
    MEMORY = "memory"
    """Its processes together held too much; one process alone gets a MemoryError of its own instead."""
    OUTPUT = "output"
    """It wrote more than anyone would read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a program may use."""

    seconds: float = 20.0
    """Wall clock; generous, because a busy machine must not fail a right program."""
    cpu_seconds: int = 5
    """Of each process."""
    memory_bytes: int = 1 << 30
    """Of each process, and of all of them together."""
    address_space: int | None = 4 << 30
    """Bytes; None for runtimes that reserve much and use little (JVM, V8)."""
    processes: int = 32
    """Threads count too."""
    file_bytes: int = 16 << 20
    folder_bytes: int = 64 << 20
    """Everything in the sandbox's folder together."""
    open_files: int = 128
    output_bytes: int = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a program ended and what it said."""

    ending: Ending
    exit_code: int
    """As of `subprocess`: negative is a signal; meaningful for `Ending.EXIT` alone."""
    stdout: str
    stderr: str
    seconds: float
    """Wall clock of the program alone."""
    cpu_seconds: float

    @property
    def passed(self) -> bool:
        """Whether the program ended by itself, with exit code 0."""
        return self.ending is Ending.EXIT and self.exit_code == 0

    @property
    def reason(self) -> str:
        """One line: `passed`, or why not."""
        if self.passed:
            return "passed"
        if self.ending is not Ending.EXIT:
            return {Ending.TIME: "timed out", Ending.MEMORY: "out of memory", Ending.OUTPUT: "too much output"}[
                self.ending
            ]
        lines = self.stderr.strip().splitlines()
        return lines[-1][:200] if lines else f"exit code {self.exit_code}"


class Sandbox:
    """Runs programs one at a time or, from several threads, side by side."""

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        protection: Protection | None = None,
        visible: Sequence[Path] = (),
        python: str = sys.executable,
    ) -> None:
        """Choose limits and walls.

        Args:
            limits: for every program that is given none of its own.
            protection: None is the strongest that this machine allows.
            visible: files and folders that programs may read, beside the system's and Python's own.
            python: the interpreter that Python programs run under, if not this one.

        Raises:
            SandboxError: this is no Linux.
        """
        self.limits = limits or Limits()
        self.protection = protection or strongest_protection()
        self._visible = [str(path) for path in (*_interpreter_folders(), *visible)]
        self._python = python

    def run_python(
        self,
        program: str,
        *,
        files: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        options: Sequence[str] = ("-S",),
    ) -> Outcome:
        """Run a Python program, isolated from environment and user site.

        Args:
            program: its text.
            files: further files of its folder, by relative path.
            limits: instead of the sandbox's own.
            options: of the interpreter; `-S`, which leaves out site-packages, halves the start-up time.

        Raises:
            SandboxError: the sandbox itself failed, not the program.
        """
        start = [self._python, "-I", "-B", "-X", "utf8", *options]
        if self.protection is Protection.LIMITS:
            start += [str(_GUARD), "."]
        return self._run([*start, "main.py"], {**(files or {}), "main.py": program}, (), limits, {})

    def run(
        self,
        command: Sequence[str],
        *,
        files: Mapping[str, str],
        limits: Limits | None = None,
        copies: Mapping[str, Path] | None = None,
        environment: Mapping[str, str] | None = None,
        visible: Sequence[Path] = (),
    ) -> Outcome:
        """Run any command in a folder that holds `files`.

        Args:
            command: its first item is looked up in PATH.
            files: by relative path.
            limits: instead of the sandbox's own.
            copies: folders of this machine copied into the sandbox's (without .git), by relative path.
            environment: added to the few variables that are set.
            visible: what this command may read beside what the sandbox always shows.

        Raises:
            SandboxError: the sandbox itself failed, or namespaces are forbidden here and the command needs them.
        """
        if self.protection is Protection.LIMITS:
            raise SandboxError(f"{command[0]} needs a sandbox with namespaces, which this machine forbids")
        program = shutil.which(command[0])
        if program is None:
            raise SandboxError(f"{command[0]} is not installed; install it or leave that suite out")
        pairs = [(str(source), name) for name, source in (copies or {}).items()]
        shown = tuple(map(str, visible))
        return self._run([program, *command[1:]], files, pairs, limits, environment or {}, visible=shown)

    def _run(
        self,
        command: Sequence[str],
        files: Mapping[str, str],
        copies: Sequence[tuple[str, str]],
        limits: Limits | None,
        environment: Mapping[str, str],
        *,
        visible: Sequence[str] = (),
    ) -> Outcome:
        limits = limits or self.limits
        with contextlib.ExitStack() as stack:
            job: dict[str, Any] = {
                "protection": self.protection.name.lower(),
                "command": list(command),
                "files": dict(files),
                "copies": copies,
                "environment": _environment(self.protection) | dict(environment),
                "visible": [*self._visible, *visible],
                **{name: getattr(limits, name) for name in Limits.__dataclass_fields__},
            }
            if self.protection is Protection.LIMITS:
                job["folder"] = stack.enter_context(tempfile.TemporaryDirectory(prefix="midfill-sandbox-"))
                job["environment"]["TMPDIR"] = job["folder"]
            return _supervise(job, limits)


@lru_cache(maxsize=1)
def strongest_protection() -> Protection:
    """Find out, by running something, what this machine allows.

    Raises:
        SandboxError: this is no Linux.
    """
    if sys.platform != "linux":
        raise SandboxError("programs are only run on Linux; evaluate there, or with suites that run nothing")
    with contextlib.suppress(SandboxError):
        if Sandbox(protection=Protection.NAMESPACES).run_python("").passed:
            return Protection.NAMESPACES
    return Protection.LIMITS


def for_runtime(limits: Limits, *, seconds: float) -> Limits:
    """Return limits that a JVM, V8 or a compiler can start under."""
    return replace(
        limits,
        seconds=seconds,
        cpu_seconds=int(4 * seconds),
        memory_bytes=max(limits.memory_bytes, 3 << 30),
        address_space=None,
        processes=max(limits.processes, 256),
        file_bytes=max(limits.file_bytes, 64 << 20),
        folder_bytes=max(limits.folder_bytes, 256 << 20),
        open_files=max(limits.open_files, 1024),
    )


def _supervise(job: dict[str, Any], limits: Limits) -> Outcome:
    """Start the inner half, collect what it and the program write, and kill it when it does not end by itself."""
    reading, writing = os.pipe()
    job["report"] = writing
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", str(_INSIDE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[writing],
        env={},
        start_new_session=True,
    )
    os.close(writing)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        with contextlib.suppress(BrokenPipeError):  # it failed; its report or its stderr says why
            process.stdin.write(json.dumps(job).encode())
            process.stdin.flush()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        collected = _collect(
            {"stdout": process.stdout.fileno(), "stderr": process.stderr.fileno(), "report": reading},
            deadline=time.monotonic() + limits.seconds + _SPARE_SECONDS,
            most=limits.output_bytes,
        )
    finally:
        _end(process, gently=job["protection"] == "limits")
        os.close(reading)
        process.stdout.close()
        process.stderr.close()
    return _outcome(collected)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Collected:
    stdout: bytes
    stderr: bytes
    report: bytes
    flooded: bool


def _collect(pipes: Mapping[str, int], *, deadline: float, most: int) -> _Collected:
    """Read until every pipe is closed, the report and all, one pipe has given more than `most`, or time is up."""
    texts = {name: bytearray() for name in pipes}
    flooded = False
    with selectors.DefaultSelector() as selector:
        for name, descriptor in pipes.items():
            selector.register(descriptor, selectors.EVENT_READ, name)
        while selector.get_map() and not flooded and (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                piece = os.read(key.fd, 1 << 16)
                if not piece:
                    selector.unregister(key.fd)
                texts[key.data] += piece
                flooded = flooded or len(texts[key.data]) > most
    return _Collected(
        stdout=bytes(texts["stdout"][:most]),
        stderr=bytes(texts["stderr"][:most]),
        report=bytes(texts["report"]),
        flooded=flooded,
    )


def _end(process: subprocess.Popen[bytes], *, gently: bool) -> None:
    """Kill the inner half; the kernel then kills its namespace. Without one, it is given time to kill its children."""
    if gently and process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_SPARE_SECONDS)
    if process.poll() is None:
        process.kill()
    process.wait()


def _outcome(collected: _Collected) -> Outcome:
    stdout = collected.stdout.decode("utf-8", "replace")
    stderr = collected.stderr.decode("utf-8", "replace")
    report = json.loads(collected.report) if collected.report else {}
    if "error" in report:
        raise SandboxError(f"the sandbox cannot be set up: {report['error']}")
    if not report and not collected.flooded:
        raise SandboxError(f"the sandbox went away: {stderr.strip()[-200:] or 'no reason given'}")
    exit_code = report.get("code", -signal.SIGKILL)
    if exit_code == _CANNOT_START and stderr.startswith("cannot start"):
        raise SandboxError(f"the sandbox {stderr.strip()}: programs run as a user who may read little")
    ending = Ending.OUTPUT if collected.flooded else Ending(report["reason"])
    if ending is Ending.EXIT and exit_code == -signal.SIGXCPU:
        ending = Ending.TIME
    return Outcome(
        ending=ending,
        exit_code=exit_code,
        stdout=stdout,
        stderr=stderr,
        seconds=report.get("seconds", 0.0),
        cpu_seconds=report.get("cpu_seconds", 0.0),
    )


def _environment(protection: Protection) -> dict[str, str]:
    folder = "/box/tmp" if protection is Protection.NAMESPACES else "."
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": folder,
        "TMPDIR": folder,
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


@lru_cache(maxsize=1)
def _interpreter_folders() -> tuple[str, ...]:
    """Return what must be visible for Python and the system's own programs to start."""
    java = [str(path) for path in Path("/etc").glob("java*")]
    own = [sys.base_prefix, sys.prefix, os.path.realpath(sys.executable)]
    return tuple(dict.fromkeys([*_SYSTEM, *java, *(path for path in own if not path.startswith("/usr/"))]))
