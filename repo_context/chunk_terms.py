"""Counts the terms of chunks, many files at a time, and numbers terms and names."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from repo_context.chunks import LineRange
from repo_context.terms import terms_of, terms_of_word

Ints: TypeAlias = NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChunkTable:
    """The chunks of one file and the terms in them, by their numbers in a vocabulary.

    Chunk i covers lines `starts[i]:ends[i]`, 0-based, and holds the postings `pointers[i]:pointers[i + 1]`; a posting
    is a term and how often it occurs in the chunk. A term has one posting a chunk, and they ascend by its number.
    """

    starts: Ints
    ends: Ints
    pointers: Ints
    """One longer than `starts`."""
    term_ids: Ints
    counts: Ints

    def __len__(self) -> int:
        return len(self.starts)

    def sizes(self) -> Ints:
        """Return how many postings each chunk has."""
        # Not `np.diff`, which takes ten times as long for a table of a few chunks, and there is one a file.
        return self.pointers[1:] - self.pointers[:-1]


class TermCounter:
    """Counts terms by their numbers in `vocabulary`, and numbers names in `names`; it adds new ones to both.

    What a word's terms are is found out once. All that is done per occurrence is done for many files at once, in C.
    """

    def __init__(self, vocabulary: dict[str, int], names: dict[str, int] | None = None) -> None:
        self.vocabulary = vocabulary
        self.names: dict[str, int] = {} if names is None else names
        self._words = _Words(vocabulary)

    def number(self, names: Iterable[str]) -> Ints:
        """Return the numbers of names."""
        known = self.names
        return np.array([known.setdefault(name, len(known)) for name in sorted(names)], np.int32)

    def count(self, files: Sequence[tuple[Sequence[str], Sequence[LineRange]]]) -> Iterator[ChunkTable]:
        """Yield one table a file; a file is its lines and the ranges of them that are its chunks."""
        pointers, term_ids, counts = self.count_chunks(
            ["\n".join(lines[start:end]) for lines, ranges in files for start, end in ranges]
        )
        first = 0
        for _, ranges in files:
            last = first + len(ranges)
            start, end = int(pointers[first]), int(pointers[last])
            bounds = np.array(ranges, np.int32).reshape(-1, 2)
            yield ChunkTable(
                starts=bounds[:, 0],
                ends=bounds[:, 1],
                pointers=pointers[first : last + 1] - start,
                term_ids=term_ids[start:end],
                counts=counts[start:end],
            )
            first = last

    def count_chunks(self, chunks: Sequence[str]) -> tuple[Ints, Ints, Ints]:
        """Return the postings of chunks: pointers, terms, counts."""
        numbers = self._words.numbers(chunks)
        terms, repeats = self._words.expand(numbers)
        # One key a posting: sorting plain numbers is many times faster than sorting rows or hashing pairs.
        keys = np.repeat(np.cumsum(numbers == _Words.MARK) << 32, repeats)
        keys |= terms
        keys.sort()
        firsts = np.flatnonzero(np.diff(keys, prepend=-1))
        counts = np.diff(firsts, append=len(keys))
        keys = keys[firsts]
        pointers = np.searchsorted(keys, np.arange(len(chunks) + 1) << 32)
        return pointers.astype(np.int32), keys.astype(np.int32), counts.astype(np.int32)


WORD_BYTES = frozenset(code for code in range(256) if code > 127 or chr(code).isalnum() or chr(code) == "_")
"""What a word may consist of, in UTF-8."""
_SEPARATE = bytes(code if code in WORD_BYTES or not code else 32 for code in range(256))
"""Puts a space for every ASCII character that is never part of a word."""


_TERMS_OF_WORD = terms_of_word.__wrapped__
"""Without its cache: a word is looked through once."""


class _Words(dict[bytes, int]):
    """Word → its number; a word that is looked up for the first time gets one, and its terms are noted.

    A word is here what stands between ASCII separators. It may hold several words of `terms.words_of`, or none.
    """

    MARK = 0
    """Number of the word that stands between two chunks."""

    def __init__(self, vocabulary: dict[str, int]) -> None:
        super().__init__({b"\0": self.MARK})
        self._vocabulary = vocabulary
        self._terms = array("i")
        self._pointers = array("i", [0, 0])

    def __missing__(self, word: bytes) -> int:
        vocabulary = self._vocabulary
        number = self[word] = len(self)
        text = word.decode("utf-8", "surrogatepass")
        # Most words are plain enough for a question that is answered ten times as fast as they are looked through.
        terms = _TERMS_OF_WORD(text) if text.isascii() and text.isidentifier() else terms_of(text)
        self._terms.extend([vocabulary.setdefault(term, len(vocabulary)) for term in terms])
        self._pointers.append(len(self._terms))
        return number

    def numbers(self, chunks: Sequence[str]) -> NDArray[np.int32]:
        """Return the words of chunks one after another, with `MARK` between two chunks."""
        text = " \0 ".join(chunks)
        if text.count("\0") >= max(len(chunks), 1):
            text = " \0 ".join([chunk.replace("\0", " ") for chunk in chunks])
        words = text.encode("utf-8", "surrogatepass").translate(_SEPARATE).split()
        return np.fromiter(map(self.__getitem__, words), np.int32, len(words))

    def expand(self, numbers: Ints) -> tuple[Ints, Ints]:
        """Return the terms of words given by number, one word after another, and how many each has."""
        pointers, terms = np.array(self._pointers), np.array(self._terms)
        firsts = pointers[numbers]
        repeats = np.diff(pointers)[numbers]
        # The terms of word i stand from firsts[i] on; in the result they start where those of the words before end.
        shift = firsts - np.cumsum(repeats, dtype=np.int32) + repeats
        places = np.repeat(shift, repeats)
        places += np.arange(len(places), dtype=np.int32)
        return terms[places], repeats
