"""Deduplication of a corpus on disk: buckets are signed side by side, compared in one process, thinned side by side.

Of several copies the one with the smallest rank stays. Ranks are random by repository, then by path, so copies of one
repository lose to the same original and not each to another.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from train.data.deduplicate import PERMUTATIONS, digest, near_duplicates, signature_of_grams, signatures
from train.data.document import SourceDocument, decode, read_documents, write_documents
from train.data.shingles import n_grams_of, shingles_of
from train.data.tally import Tally

KEEP, COPY, NEAR_COPY, NEAR_REPOSITORY = range(4)
REASONS = {
    COPY: "copy of another file",
    NEAR_COPY: "near-copy of another file",
    NEAR_REPOSITORY: "in a near-copy of another repository",
}

_MOST_CACHED = 32_000_000
"""Shingles kept in memory while signatures are compared: 256 MB."""


def sign_files(folder: Path, latest: Path, name: str, similarity: float) -> Tally:
    """Write what files are compared by: digests, ranks, places in the bucket, and below similarity 1 signatures."""
    digests, ranks = [], []
    for document in read_documents(latest / f"{name}.jsonl"):
        digests.append(digest(document.text))
        ranks.append(_rank(document.repository, document.path))
    np.save(folder / f"{name}.digests.npy", np.frombuffer(b"".join(digests), dtype="V16"))
    np.save(folder / f"{name}.ranks.npy", np.array(ranks, dtype=np.uint64))
    np.save(folder / f"{name}.offsets.npy", _line_offsets(latest / f"{name}.jsonl"))
    if similarity < 1:
        texts = (document.text for document in read_documents(latest / f"{name}.jsonl"))
        np.save(folder / f"{name}.signatures.npy", signatures(texts))
    return Tally()


def judge_files(folder: Path, latest: Path, signed: Path, names: Sequence[str], similarity: float) -> Tally:
    """Write one verdict a file for every bucket."""
    sizes = [len(np.load(signed / f"{name}.ranks.npy")) for name in names]
    ranks = _joined(signed, names, "ranks")
    digests = _joined(signed, names, "digests")
    order = np.argsort(ranks, kind="stable")
    verdicts = np.full(len(ranks), COPY, dtype=np.uint8)
    _, first = np.unique(digests[order], return_index=True)
    survivors = order[np.sort(first)]
    verdicts[survivors] = KEEP
    if similarity < 1 and len(survivors):
        table = _table(folder, signed, names, sizes, survivors)
        reader = _BucketReader(latest, signed, names, sizes)
        load = _Cached(lambda index: shingles_of(reader.text_of(int(survivors[index]))))
        firsts = near_duplicates(table, load, threshold=similarity)
        verdicts[survivors[firsts != np.arange(len(firsts))]] = NEAR_COPY
        (folder / "signatures.npy").unlink()
    _write_verdicts(folder, names, sizes, verdicts)
    return Tally()


def sign_repositories(folder: Path, latest: Path, name: str, similarity: float) -> Tally:  # noqa: ARG001
    """Write one signature a repository, of all its files together, and where in the bucket its files are."""
    counts, ranks, rows = [], [], []
    for repository, group in groupby(read_documents(latest / f"{name}.jsonl"), key=lambda item: item.repository):
        grams = [n_grams_of(document.text.encode("utf-8", "surrogatepass")) for document in group]
        counts.append(len(grams))
        ranks.append(_rank(repository, ""))
        rows.append(signature_of_grams(np.concatenate(grams)))
    np.save(folder / f"{name}.counts.npy", np.array(counts, dtype=np.int64))
    np.save(folder / f"{name}.ranks.npy", np.array(ranks, dtype=np.uint64))
    np.save(folder / f"{name}.signatures.npy", np.array(rows, dtype=np.uint32).reshape(len(rows), PERMUTATIONS))
    np.save(folder / f"{name}.offsets.npy", _line_offsets(latest / f"{name}.jsonl"))
    return Tally()


def judge_repositories(folder: Path, latest: Path, signed: Path, names: Sequence[str], similarity: float) -> Tally:
    """Write one verdict a file for every bucket: the files of a near-copy of another repository go together."""
    counts = _joined(signed, names, "counts")
    ranks = _joined(signed, names, "ranks")
    sizes = [int(np.load(signed / f"{name}.counts.npy").sum()) for name in names]
    repositories = [len(np.load(signed / f"{name}.counts.npy")) for name in names]
    order = np.argsort(ranks, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)])
    verdicts = np.full(int(counts.sum()), KEEP, dtype=np.uint8)
    if len(order):
        table = _table(folder, signed, names, repositories, order)
        reader = _BucketReader(latest, signed, names, sizes)

        def load(index: int) -> NDArray[np.uint64]:
            files = range(int(starts[order[index]]), int(starts[order[index] + 1]))
            return np.unique(np.concatenate([n_grams_of(reader.text_of(file)) for file in files]))

        firsts = near_duplicates(table, _Cached(load), threshold=similarity)
        for index in np.flatnonzero(firsts != np.arange(len(firsts))):
            verdicts[starts[order[index]] : starts[order[index] + 1]] = NEAR_REPOSITORY
        (folder / "signatures.npy").unlink()
    _write_verdicts(folder, names, sizes, verdicts)
    return Tally()


def apply_verdicts(folder: Path, latest: Path, verdicts: Path, name: str, step: str) -> Tally:
    """Write a bucket's documents that stay."""
    tally = Tally()
    judged = np.load(verdicts / f"{name}.verdicts.npy")

    def kept() -> Iterator[SourceDocument]:
        for document, verdict in zip(read_documents(latest / f"{name}.jsonl"), judged, strict=True):
            if verdict == KEEP:
                tally.keep(step, document)
                yield document
            else:
                tally.drop(step, REASONS[int(verdict)], document)

    write_documents(folder / f"{name}.jsonl", kept())
    return tally


def _rank(repository: str, path: str) -> int:
    high = blake2b(repository.encode("utf-8", "surrogatepass"), digest_size=5).digest()
    low = blake2b(path.encode("utf-8", "surrogatepass"), digest_size=3).digest()
    return int.from_bytes(high + low)


def _line_offsets(path: Path) -> NDArray[np.int64]:
    lengths = [0]
    with path.open("rb") as file:
        lengths.extend(map(len, file))
    return np.cumsum(lengths)[:-1].astype(np.int64)


def _joined(signed: Path, names: Sequence[str], kind: str) -> NDArray[np.generic]:
    return np.concatenate([np.load(signed / f"{name}.{kind}.npy") for name in names])


def _table(
    folder: Path, signed: Path, names: Sequence[str], sizes: Sequence[int], rows: NDArray[np.int64]
) -> NDArray[np.uint32]:
    """Gather signatures in the order of `rows`, in a file: they may be more than memory holds."""
    width = max(np.load(signed / f"{name}.signatures.npy", mmap_mode="r").shape[1] for name in names)
    table = open_memmap(folder / "signatures.npy", mode="w+", dtype=np.uint32, shape=(len(rows), width))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    for number, name in enumerate(names):
        inside = np.flatnonzero((rows >= starts[number]) & (rows < starts[number + 1]))
        if len(inside):
            table[inside] = np.load(signed / f"{name}.signatures.npy")[rows[inside] - starts[number]]
    return table


def _write_verdicts(folder: Path, names: Sequence[str], sizes: Sequence[int], verdicts: NDArray[np.uint8]) -> None:
    for name, part in zip(names, np.split(verdicts, np.cumsum(sizes)[:-1]), strict=True):
        np.save(folder / f"{name}.verdicts.npy", part)


class _BucketReader:
    """Reads single documents of a corpus by their number over all buckets."""

    def __init__(self, latest: Path, signed: Path, names: Sequence[str], sizes: Sequence[int]) -> None:
        self._paths = [latest / f"{name}.jsonl" for name in names]
        self._offsets = [np.load(signed / f"{name}.offsets.npy") for name in names]
        self._starts = np.concatenate([[0], np.cumsum(sizes)])

    def text_of(self, index: int) -> bytes:
        """Return a document's text in UTF-8."""
        bucket = int(np.searchsorted(self._starts, index, side="right")) - 1
        with self._paths[bucket].open("rb") as file:
            file.seek(int(self._offsets[bucket][index - int(self._starts[bucket])]))
            return decode(file.readline()).text.encode("utf-8", "surrogatepass")


class _Cached:
    """Keeps the latest shingles, up to a number of them."""

    def __init__(self, load: Callable[[int], NDArray[np.uint64]]) -> None:
        self._load = load
        self._known: OrderedDict[int, NDArray[np.uint64]] = OrderedDict()
        self._held = 0

    def __call__(self, index: int) -> NDArray[np.uint64]:
        if index in self._known:
            self._known.move_to_end(index)
            return self._known[index]
        self._known[index] = loaded = self._load(index)
        self._held += len(loaded)
        while self._held > _MOST_CACHED and len(self._known) > 2:
            self._held -= len(self._known.popitem(last=False)[1])
        return loaded
