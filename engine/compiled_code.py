"""Compiles C++ once, with the compiler that is there, and finds the library again.

It imports nothing of the engine and no torch: the repository's index uses it too, and knows nothing else of the engine.
"""

import ctypes
import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

_COMPILERS = ("g++", "clang++", "c++")
_BUILD_SECONDS = 300
_UNFINISHED = "unfinished-"


class KernelError(Exception):
    """There is no compiled code: no compiler, or one that fails; the message says which. Other code is used instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One way to build a library."""

    compiler: str
    flags: tuple[str, ...]
    source: Path
    library: Path
    """Where it goes: the name holds a hash of all that it is made from."""


def recipe_of(sources: Sequence[Path], flags: Sequence[str], folder: Path, *, also: str = "") -> Recipe:
    """Say how a library is built into `folder`; runs nothing but `compiler --version`.

    Args:
        sources: the first is compiled and gives the library its name, the others are included by it.
        also: what else it depends on.

    Raises:
        KernelError: no compiler.
    """
    compiler = next((found for name in _COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        raise KernelError("no C++ compiler (g++ or clang++) is installed")
    parts = [_version(compiler), *flags, also, *(path.read_text(encoding="utf-8") for path in sources)]
    digest = sha256("\0".join(parts).encode()).hexdigest()[:16]
    library = folder / f"{sources[0].stem}-{digest}.so"
    return Recipe(compiler=compiler, flags=tuple(flags), source=sources[0], library=library)


def build(plan: Recipe) -> None:
    """Compile, unless that was done before; another process sees the whole library or none.

    Raises:
        KernelError: the compiler fails.
    """
    if plan.library.exists():
        return
    try:
        plan.library.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _sweep(plan.library.parent)
        with tempfile.TemporaryDirectory(dir=plan.library.parent, prefix=_UNFINISHED) as folder:
            made = Path(folder) / "library.so"
            done = subprocess.run(
                [*_yielding(), plan.compiler, *plan.flags, str(plan.source), "-o", str(made)],
                capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False,
            )  # fmt: skip
            if done.returncode != 0:
                first = (done.stderr.strip().splitlines() or ["no message"])[0]
                raise KernelError(f"{plan.compiler} cannot compile {plan.source.name}: {first}")
            made.replace(plan.library)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KernelError(f"{plan.source.name} cannot be compiled: {error}") from error


def load(library: Path) -> ctypes.CDLL:
    """Load a built library.

    Raises:
        KernelError: it cannot be loaded, or others may have written it.
    """
    try:
        status = library.stat()
        if status.st_uid != os.getuid() or status.st_mode & stat.S_IWOTH:
            raise KernelError(f"{library} may be someone else's: delete it")
        return ctypes.CDLL(str(library))
    except OSError as error:
        raise KernelError(f"{library} cannot be loaded: {error}") from error


def _sweep(folder: Path) -> None:
    """Remove what processes left that ended while they compiled."""
    for left in folder.glob(f"{_UNFINISHED}*"):
        if time.time() - left.stat().st_mtime > _BUILD_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


def _yielding() -> list[str]:
    """Return what makes a command give way to others."""
    nice = shutil.which("nice")
    return [nice] if nice else []


def _version(compiler: str) -> str:
    try:
        done = subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise KernelError(f"{compiler} does not run: {error}") from error
    return done.stdout
