"""Hashes the word n-grams of a text with whole-array operations: what near-duplicate search and decontamination read.

Words are runs of `[A-Za-z0-9_]`, as in The Stack's near-deduplication (Kocetkov et al. 2022). A word's hash is a
polynomial in its bytes modulo 2^64, taken as a difference of prefix sums and then mixed, so that no word is ever made
into a Python object. Equal words have equal hashes on every machine.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_IS_WORD = np.zeros(256, dtype=bool)
_IS_WORD[[byte for byte in range(128) if chr(byte).isalnum() or chr(byte) == "_"]] = True
_LOWER = np.arange(256, dtype=np.uint64)
_LOWER[[*range(65, 91)]] += np.uint64(32)
_BASE = np.uint64(0x9E3779B97F4A7C15 | 1)
_BASE_INVERSE = np.uint64(pow(int(_BASE), -1, 1 << 64))


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a text."""

    hashes: NDArray[np.uint64]
    starts: NDArray[np.int64]
    """Byte offsets in the UTF-8 text."""
    ends: NDArray[np.int64]


def words_of(encoded: bytes, *, ignore_case: bool = False) -> Words:
    """Find and hash the words of a text in UTF-8; bytes of other scripts stand between words.

    >>> a, b = words_of(b"x = foo(x)"), words_of(b"foo x")
    >>> [int(i) for i in a.starts], bool(a.hashes[1] == b.hashes[0]), bool(a.hashes[0] == a.hashes[2])
    ([0, 4, 8], True, True)
    """
    raw = np.frombuffer(encoded, dtype=np.uint8)
    inside = _IS_WORD[raw]
    edges = np.flatnonzero(np.diff(inside, prepend=False, append=False))
    starts, ends = edges[0::2], edges[1::2]
    values = _LOWER[raw] if ignore_case else raw.astype(np.uint64)
    powers, inverses = _powers(len(raw) + 1)
    # sums[i] = sum of (byte + 1) * base^position before i; a word's share is brought back to position 0.
    sums = np.zeros(len(raw) + 1, dtype=np.uint64)
    np.cumsum((values + np.uint64(1)) * powers[: len(raw)], out=sums[1:])
    hashes = _mix((sums[ends] - sums[starts]) * inverses[starts] + (ends - starts).astype(np.uint64))
    return Words(hashes=hashes, starts=starts, ends=ends)


def n_grams(hashes: NDArray[np.uint64], size: int) -> NDArray[np.uint64]:
    """Hash every run of `size` words, in order; none when there are fewer words.

    >>> bool((n_grams(words_of(b"a b c d").hashes, 2)[1:] == n_grams(words_of(b"b c d").hashes, 2)).all())
    True
    """
    count = len(hashes) - size + 1
    if count <= 0:
        return np.zeros(0, dtype=np.uint64)
    powers, _ = _powers(size)
    total = np.zeros(count, dtype=np.uint64)
    for place in range(size):
        total += hashes[place : place + count] * powers[place]
    return _mix(total)


def n_grams_of(encoded: bytes, size: int = 5) -> NDArray[np.uint64]:
    """Return a text's word n-grams in order; a shorter text is one n-gram, one without words none."""
    hashes = words_of(encoded).hashes
    return n_grams(hashes, min(size, len(hashes))) if len(hashes) else hashes


def shingles_of(encoded: bytes, size: int = 5) -> NDArray[np.uint64]:
    """Return the distinct word n-grams of a text, ascending."""
    return np.unique(n_grams_of(encoded, size))


def jaccard(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> float:
    """Return the Jaccard similarity of two ascending arrays without repetition; 0 for two empty ones."""
    if not len(one) or not len(other):
        return 0.0
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread every bit over the whole word (the finaliser of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


_known: tuple[NDArray[np.uint64], NDArray[np.uint64]] = (np.ones(1, np.uint64), np.ones(1, np.uint64))


def _powers(count: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return base^0 .. base^(count-1) and the inverses, kept for the next text."""
    global _known
    if len(_known[0]) < count:
        length = max(count, 2 * len(_known[0]), 1 << 16)
        tables = []
        for base in (_BASE, _BASE_INVERSE):
            factors = np.full(length, base, dtype=np.uint64)
            factors[0] = 1
            tables.append(np.cumprod(factors, dtype=np.uint64))
        _known = (tables[0], tables[1])
    return _known
