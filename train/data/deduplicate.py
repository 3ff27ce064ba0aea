"""Keeps one of each set of equal or nearly equal texts: exact digests, then MinHash LSH with verification.

The parameters are those of The Stack, which DeepSeek-Coder names as its algorithm (section 2.3): word 5-grams, 256
permutations, a Jaccard similarity of 0.7, bands that balance missed and needless comparisons, union-find. The paper
compares whole repositories, OpenCoder finds single files better: `deduplicate_buckets` does either.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from train.data.shingles import jaccard, n_grams_of

PERMUTATIONS = 256
SHINGLE_WORDS = 5
THRESHOLD = 0.7
_SEED = 20_230_201
_MARGIN = 0.12
"""Signatures estimate a similarity with a standard error of 0.03: below the threshold by more, texts are not read."""
_MOST_LEADERS = 64
"""Texts of one band that the others are compared with; bounds the work that a band of unlike texts can make."""


def digest(text: str) -> bytes:
    """Return what is equal for texts that differ in nothing but white space at line ends."""
    stripped = "\n".join(line.rstrip() for line in text.splitlines())
    return blake2b(stripped.encode("utf-8", errors="surrogatepass"), digest_size=16).digest()


def signatures(texts: Iterable[str], permutations: int = PERMUTATIONS) -> NDArray[np.uint32]:
    """Return MinHash signatures, shape [texts, permutations]."""
    rows = [n_grams_of(text.encode("utf-8", "surrogatepass"), SHINGLE_WORDS) for text in texts]
    if not rows:
        return np.zeros((0, permutations), dtype=np.uint32)
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.uint64)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(np.concatenate(rows), offsets, permutations, _SEED)
    table = np.array(matrix.to_rows(), dtype=np.uint32).reshape(len(rows), permutations)
    for index, row in enumerate(rows):
        if not len(row):
            # Random: a text without words is like no other, and must not share everybody's band with its kind.
            table[index] = np.random.default_rng(index).integers(0, 1 << 32, permutations, dtype=np.uint32)
    return table


def signature_of_grams(grams: NDArray[np.uint64], permutations: int = PERMUTATIONS) -> NDArray[np.uint32]:
    """Return the MinHash signature of n-grams that may repeat, shape [permutations]."""
    offsets = np.array([0, len(grams)], dtype=np.uint64)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(grams, offsets, permutations, _SEED)
    return np.array(matrix.to_rows(), dtype=np.uint32).reshape(permutations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """How a signature is cut for locality-sensitive hashing."""

    count: int
    rows: int


@lru_cache
def optimal_bands(threshold: float = THRESHOLD, permutations: int = PERMUTATIONS) -> Bands:
    """Return the bands that minimise half the false positives plus half the false negatives (as The Stack's script).

    >>> optimal_bands(0.7, 256)
    Bands(count=25, rows=10)
    """
    similarity = (np.arange(1000) + 0.5) / 1000
    below = similarity < threshold
    best = (float("inf"), Bands(count=1, rows=permutations))
    for count in range(1, permutations + 1):
        for rows in range(1, permutations // count + 1):
            found = 1 - (1 - similarity**rows) ** count
            error = float(0.5 * found[below].sum() + 0.5 * (1 - found[~below]).sum()) / 1000
            if error < best[0]:
                best = (error, Bands(count=count, rows=rows))
    return best[1]


def near_duplicates(
    table: NDArray[np.uint32],
    shingles: Callable[[int], NDArray[np.uint64]],
    *,
    threshold: float = THRESHOLD,
) -> NDArray[np.int64]:
    """Return for each text the first text of its cluster; those that are their own first are the ones to keep.

    Texts that share a band are compared by their signatures, and where those do not rule it out, by their shingles;
    pairs of at least `threshold` are joined. The answer depends on the texts and their order alone.

    Args:
        table: signatures, shape [texts, permutations].
        shingles: the distinct shingles of text i, ascending; asked for candidates only.
        threshold: Jaccard similarity from which two texts are near-duplicates.
    """
    bands = optimal_bands(threshold, table.shape[1])
    clusters = UnionFind(len(table))
    for band in range(bands.count):
        columns = np.ascontiguousarray(table[:, band * bands.rows : (band + 1) * bands.rows])
        for group in _equal_rows(columns):
            _join_band(group, table, shingles, clusters, threshold)
    return clusters.firsts()


def _join_band(
    group: NDArray[np.int64],
    table: NDArray[np.uint32],
    shingles: Callable[[int], NDArray[np.uint64]],
    clusters: "UnionFind",
    threshold: float,
) -> None:
    """Join the members of one band that verify; each is compared with the leaders so far, and leads when none fits."""
    leaders: list[int] = []
    for member in map(int, group):
        if any(clusters.find(leader) == clusters.find(member) for leader in leaders):
            continue
        for leader in leaders:
            estimate = float((table[leader] == table[member]).mean())
            if estimate >= threshold - _MARGIN and jaccard(shingles(leader), shingles(member)) >= threshold:
                clusters.join(leader, member)
                break
        else:
            if len(leaders) < _MOST_LEADERS:
                leaders.append(member)


def _equal_rows(columns: NDArray[np.uint32]) -> Iterator[NDArray[np.int64]]:
    """Yield the indices of equal rows, ascending, for each row that occurs at least twice."""
    if len(columns) < 2:
        return
    keys = columns.view([("", columns.dtype)] * columns.shape[1]).ravel()
    order = np.argsort(keys, kind="stable")
    breaks = np.flatnonzero(keys[order][1:] != keys[order][:-1]) + 1
    for group in np.split(order, breaks):
        if len(group) > 1:
            yield group


class UnionFind:
    """Clusters of indices; a cluster is known by its smallest."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def find(self, index: int) -> int:
        """Return the first of an index's cluster."""
        while self._parent[index] != index:
            self._parent[index] = self._parent[self._parent[index]]
            index = self._parent[index]
        return index

    def join(self, one: int, other: int) -> None:
        """Make two clusters one."""
        first, second = sorted((self.find(one), self.find(other)))
        self._parent[second] = first

    def firsts(self) -> NDArray[np.int64]:
        """Return the first of every index's cluster."""
        return np.array([self.find(index) for index in range(len(self._parent))], dtype=np.int64)
