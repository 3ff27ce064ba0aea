"""Compiles the kernels once, with the compiler that is there, and finds them again.

MIDFILL_KERNELS in the environment forces a level ("native", "avx2", "plain") or turns the kernels "off".
"""

import ctypes
import os
import platform
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

_SOURCES = (Path(__file__).with_name("decoder.cpp"), Path(__file__).with_name("vectors.h"))
_COMPILERS = ("g++", "clang++", "c++")
_FLAGS = (
    *("-std=c++17", "-O3", "-fPIC", "-shared", "-pthread", "-w"),
    # What -ffast-math brings here, less what it breaks: the whole process would lose its subnormal numbers.
    *("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math", "-ffinite-math-only"),
)
_LEVELS = {
    "native": ("-mcpu=native",) if platform.machine() in ("arm64", "aarch64") else ("-march=native",),
    "avx2": ("-march=haswell",),
    "plain": ("-DMIDFILL_PLAIN",),
}
_BUILD_SECONDS = 300
_UNFINISHED = "unfinished-"


class KernelError(Exception):
    """There are no kernels: no compiler, or one that fails; the message says which. Torch is used instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One way to build the kernels."""

    compiler: str
    flags: tuple[str, ...]
    library: Path
    """Where it goes: the name holds a hash of all that it is made from."""


def recipe(folder: Path) -> Recipe:
    """Say how the kernels are built on this machine, into `folder`; runs nothing but `compiler --version`.

    Raises:
        KernelError: no compiler, or switched off.
    """
    level = os.environ.get("MIDFILL_KERNELS", "native")
    if level not in _LEVELS:
        reason = (
            "MIDFILL_KERNELS is off" if level == "off" else f"MIDFILL_KERNELS is {level!r}, not one of {[*_LEVELS]}"
        )
        raise KernelError(reason)
    compiler = next((found for name in _COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        raise KernelError("no C++ compiler (g++ or clang++) is installed")
    flags = (*_FLAGS, *_LEVELS[level])
    parts = [_version(compiler), *flags, _cpu(), *(path.read_text(encoding="utf-8") for path in _SOURCES)]
    digest = sha256("\0".join(parts).encode()).hexdigest()[:16]
    return Recipe(compiler=compiler, flags=flags, library=folder / f"decoder-{digest}.so")


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
            made = Path(folder) / "decoder.so"
            done = subprocess.run(
                [plan.compiler, *plan.flags, str(_SOURCES[0]), "-o", str(made)],
                capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False, preexec_fn=_yield_to_others,
            )  # fmt: skip
            if done.returncode != 0:
                first = (done.stderr.strip().splitlines() or ["no message"])[0]
                raise KernelError(f"{plan.compiler} cannot compile the kernels: {first}")
            made.replace(plan.library)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KernelError(f"the kernels cannot be built: {error}") from error


def load(plan: Recipe) -> ctypes.CDLL:
    """Load a built library.

    Raises:
        KernelError: it cannot be loaded.
    """
    try:
        return ctypes.CDLL(str(plan.library))
    except OSError as error:
        raise KernelError(f"the kernels cannot be loaded: {error}") from error


def level(library: ctypes.CDLL) -> str:
    """Return the name of the instruction set that a library was compiled for."""
    library.midfill_level.restype = ctypes.c_char_p
    name: bytes = library.midfill_level()
    return name.decode()


def _sweep(folder: Path) -> None:
    """Remove what engines left that ended while they compiled."""
    for left in folder.glob(f"{_UNFINISHED}*"):
        if time.time() - left.stat().st_mtime > _BUILD_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


def _yield_to_others() -> None:
    os.nice(10)


def _version(compiler: str) -> str:
    try:
        done = subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise KernelError(f"{compiler} does not run: {error}") from error
    return done.stdout


def _cpu() -> str:
    """What `native` depends on: a cache folder may be shared between machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    named = (line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part")))
    return "\n".join(sorted(set(named)))
