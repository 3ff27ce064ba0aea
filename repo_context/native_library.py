"""The library of compiled code that indexing uses where there is a compiler; the same in Python is used where not."""

import ctypes
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Event, Thread

from platformdirs import user_cache_dir

from engine.compiled_code import KernelError, Recipe, build, load, recipe_of

COMPILE_FROM_BYTES = 2_000_000
"""With less to parse than this, compiling takes longer than what it speeds up."""

_SOURCES = tuple(Path(__file__).with_name(name) for name in ("term_kernel.cpp", "name_lexer.h"))
NUMBERS = ctypes.POINTER(ctypes.c_int32)
# Nothing that depends on the processor, and as little of C++ as compiles in half a second.
_FLAGS = ("-std=c++17", "-O2", "-fPIC", "-shared", "-w", "-fno-exceptions", "-fno-rtti")


@cache
def library() -> ctypes.CDLL | None:
    """Load the library if it was compiled before this is first asked in a process; None where it was not."""
    try:
        path = recipe().library
        return declared(load(path)) if path.exists() else None
    except KernelError:
        return None


def prepare(total_bytes: int) -> Event:
    """Have the library compiled in a thread, if it is not there and so much text is worth it.

    The event is set when there is nothing to wait for, or no longer.
    """
    ready = Event()
    with suppress(KernelError):
        plan = recipe()
        if total_bytes >= COMPILE_FROM_BYTES and not plan.library.exists():
            Thread(target=_build, args=(plan, ready), daemon=True, name="compile-index").start()
            return ready
    ready.set()
    return ready


def _build(plan: Recipe, ready: Event) -> None:
    with suppress(KernelError):
        build(plan)
    ready.set()


def recipe() -> Recipe:
    """Say how the library is built.

    Raises:
        KernelError: no compiler, or switched off.
    """
    if os.environ.get("MIDFILL_KERNELS") == "off":
        raise KernelError("MIDFILL_KERNELS is off")
    return recipe_of(_SOURCES, _FLAGS, _folder())


def _folder() -> Path:
    """Return the folder beside the user's indexes."""
    home = os.environ.get("MIDFILL_HOME")
    return (Path(home) if home else Path(user_cache_dir("midfill"))).absolute() / "compiled"


def declared(library: ctypes.CDLL) -> ctypes.CDLL:
    """Tell what the functions of a loaded library take and return."""
    state, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64
    for name, result, arguments in (
        ("names_new", state, []),
        ("names_free", None, [state]),
        ("names_used", state, [state, number, text, number, ctypes.POINTER(number)]),
        ("terms_new", state, []),
        ("terms_free", None, [state]),
        ("terms_begin", None, [state]),
        ("terms_count", number, [state, text, number, number]),
        ("terms_learn", None, [state, text, number, text, number]),
        ("terms_result", number, [state, *[ctypes.POINTER(NUMBERS)] * 3]),
        ("terms_new_terms", state, [state, number, ctypes.POINTER(number)]),
    ):
        function = getattr(library, f"midfill_{name}")
        function.restype, function.argtypes = result, arguments
    return library
