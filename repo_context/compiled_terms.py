"""Counts terms in compiled code where there is a compiler: the same terms, numbers and counts as `chunk_terms`."""

import ctypes
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import numpy as np

from engine.compiled_code import KernelError, Recipe, build, load, recipe_of
from repo_context.cache_folder import cache_folder
from repo_context.chunk_terms import WORD_BYTES, Ints, TermCounter
from repo_context.terms import terms_of

COMPILE_FROM_BYTES = 2_000_000
"""With less to parse than this, compiling takes longer than what it speeds up."""

_SOURCE = Path(__file__).with_name("term_kernel.cpp")
# Nothing that depends on the processor, and as little of C++ as compiles in a quarter of a second.
_FLAGS = ("-std=c++17", "-O2", "-fPIC", "-shared", "-w", "-fno-exceptions", "-fno-rtti")
_Numbers = ctypes.POINTER(ctypes.c_int32)


class CompiledTermCounter(TermCounter):
    """A `TermCounter` that starts without terms and counts in a library that was built from `recipe`."""

    def __init__(self, library: ctypes.CDLL) -> None:
        super().__init__({})
        self._library = _declared(library)
        self._state = ctypes.c_void_p(library.midfill_terms_new())

    def __del__(self) -> None:
        self._library.midfill_terms_free(self._state)

    def count_chunks(self, chunks: Sequence[str]) -> tuple[Ints, Ints, Ints]:
        """Return the postings of chunks: pointers, terms, counts."""
        if not chunks:
            return np.zeros(1, np.int32), np.zeros(0, np.int32), np.zeros(0, np.int32)
        text = "\0".join(chunks)
        if text.count("\0") >= len(chunks):
            text = "\0".join([chunk.replace("\0", " ") for chunk in chunks])
        encoded = text.encode("utf-8", "surrogatepass")
        self._library.midfill_terms_begin(self._state)
        place = 0
        while (place := self._library.midfill_terms_count(self._state, encoded, place, len(encoded))) < len(encoded):
            self._learn(encoded, place)
        self._note_new_terms()
        return self._result(len(chunks))

    def _learn(self, encoded: bytes, start: int) -> None:
        """Say what the terms of a word are that is not all ASCII."""
        end = start
        while end < len(encoded) and encoded[end] in WORD_BYTES:
            end += 1
        word = encoded[start:end]
        terms = "".join(f"{term}\0" for term in terms_of(word.decode("utf-8", "surrogatepass")))
        listed = terms.encode("utf-8", "surrogatepass")
        self._library.midfill_terms_learn(self._state, word, len(word), listed, len(listed))

    def _note_new_terms(self) -> None:
        length, known = ctypes.c_int64(), len(self.vocabulary)
        address = self._library.midfill_terms_new_terms(self._state, known, ctypes.byref(length))
        if length.value:
            new = ctypes.string_at(address, length.value - 1).decode("utf-8", "surrogatepass").split("\n")
            self.vocabulary.update(zip(new, range(known, known + len(new)), strict=True))

    def _result(self, chunks: int) -> tuple[Ints, Ints, Ints]:
        arrays = _Numbers(), _Numbers(), _Numbers()
        postings = self._library.midfill_terms_result(self._state, *map(ctypes.byref, arrays))
        pointers, terms, counts = (
            np.frombuffer(ctypes.string_at(array, 4 * size), np.int32)
            for array, size in zip(arrays, (chunks + 1, postings, postings), strict=True)
        )
        return pointers, terms, counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A library that is there, is being compiled, or will never be."""

    library: Path
    ready: Event
    """Set when there is nothing to wait for, or no longer."""


def prepare(total_bytes: int) -> Prepared:
    """Have the library compiled in a thread, if it is not there and so much text is worth it."""
    ready = Event()
    ready.set()
    try:
        plan = recipe()
    except KernelError:
        return Prepared(library=_folder(), ready=ready)
    if total_bytes >= COMPILE_FROM_BYTES and not plan.library.exists():
        ready.clear()
        Thread(target=_build, args=(plan, ready), daemon=True, name="compile-terms").start()
    return Prepared(library=plan.library, ready=ready)


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
    return recipe_of([_SOURCE], _FLAGS, _folder())


def _folder() -> Path:
    """Return the folder beside the user's indexes."""
    return cache_folder() / "compiled"


def term_counter(library: Path) -> TermCounter:
    """Return a counter without terms: a compiled one where the library has been built, else one in Python."""
    try:
        return CompiledTermCounter(load(library))
    except KernelError:
        return TermCounter({})


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    """Tell what functions take and return."""
    state, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64
    for name, result, arguments in (
        ("new", state, []),
        ("free", None, [state]),
        ("begin", None, [state]),
        ("count", number, [state, text, number, number]),
        ("learn", None, [state, text, number, text, number]),
        ("result", number, [state, *[ctypes.POINTER(_Numbers)] * 3]),
        ("new_terms", state, [state, number, ctypes.POINTER(number)]),
    ):
        function = getattr(library, f"midfill_terms_{name}")
        function.restype, function.argtypes = result, arguments
    return library
