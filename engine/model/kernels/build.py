"""Says how the decoder's kernels are compiled on this machine.

MIDFILL_KERNELS in the environment forces a level ("native", "avx2", "plain") or turns all compiled code "off".
"""

import ctypes
import os
import platform
from pathlib import Path

from engine import compiled_code
from engine.compiled_code import KernelError, Recipe, build

__all__ = ["KernelError", "Recipe", "build", "level", "load", "recipe"]

_SOURCES = (Path(__file__).with_name("decoder.cpp"), Path(__file__).with_name("vectors.h"))
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
    return compiled_code.recipe_of(_SOURCES, (*_FLAGS, *_LEVELS[level]), folder, also=_cpu())


def load(plan: Recipe) -> ctypes.CDLL:
    """Load a built library.

    Raises:
        KernelError: it cannot be loaded.
    """
    return compiled_code.load(plan.library)


def level(library: ctypes.CDLL) -> str:
    """Return the name of the instruction set that a library was compiled for."""
    library.midfill_level.restype = ctypes.c_char_p
    name: bytes = library.midfill_level()
    return name.decode()


def _cpu() -> str:
    """What `native` depends on: a cache folder may be shared between machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    named = (line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part")))
    return "\n".join(sorted(set(named)))
