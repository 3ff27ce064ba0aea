"""Counts terms in compiled code where there is a compiler: the same terms, numbers and counts as `chunk_terms`."""

import ctypes
from collections.abc import Sequence

import numpy as np

from repo_context.chunk_terms import Ints, TermCounter
from repo_context.native_library import NUMBERS, library
from repo_context.terms import terms_of


class CompiledTermCounter(TermCounter):
    """A `TermCounter` that starts without terms and counts in the library."""

    def __init__(self, library: ctypes.CDLL) -> None:
        super().__init__({})
        self._library = library
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
        while end < len(encoded) and encoded[end] in _IN_WORD:
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
        arrays = NUMBERS(), NUMBERS(), NUMBERS()
        postings = self._library.midfill_terms_result(self._state, *map(ctypes.byref, arrays))
        pointers, terms, counts = (
            np.frombuffer(ctypes.string_at(array, 4 * size), np.int32)
            for array, size in zip(arrays, (chunks + 1, postings, postings), strict=True)
        )
        return pointers, terms, counts


_IN_WORD = frozenset(code for code in range(256) if code > 127 or chr(code).isalnum() or chr(code) == "_")


def term_counter() -> TermCounter:
    """Return a counter without terms: a compiled one where the library has been built, else one in Python."""
    found = library()
    return TermCounter({}) if found is None else CompiledTermCounter(found)
