"""Inverted postings in numpy arrays, in memory or mapped from files, and how they are built and merged."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repo_context.chunk_terms import ChunkTable, Ints
from repo_context.errors import CorruptIndexError

_SEAL = "seal.npy"
_TERM_BITS, _SLOT_BITS, _COUNT_BITS = 24, 23, 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segment:
    """Postings grouped by term: those of `terms[i]` stand at `pointers[i]:pointers[i + 1]`."""

    terms: Ints
    """Ascending."""
    pointers: NDArray[np.int64]
    slots: Ints
    """A chunk's number in the index."""
    counts: NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.slots)

    @classmethod
    def of_tables(cls, tables: Sequence[tuple[int, ChunkTable]]) -> "Segment":
        """Build from tables of files, each with the slot of its first chunk."""
        return cls.of_postings(*postings_of(tables))

    @classmethod
    def of_postings(
        cls,
        terms: NDArray[np.integer[Any]],
        slots: NDArray[np.integer[Any]],
        counts: NDArray[np.integer[Any]],
    ) -> "Segment":
        """Build from parallel arrays in any order."""
        terms, slots, counts = _sorted_postings(terms, slots, counts)
        firsts = _firsts(terms)
        return cls(
            terms=terms[firsts].astype(np.int32),
            pointers=np.append(firsts, len(terms)),
            slots=slots.astype(np.int32, copy=False),
            counts=counts.astype(np.uint16, copy=False),
        )

    def term_of_posting(self) -> Ints:
        """Return the term of every posting."""
        return np.repeat(self.terms, np.diff(self.pointers))

    def find(self, terms: Ints) -> list[tuple[int, slice]]:
        """Return, of those of `terms`, ascending, that occur, the place in `terms` and where the postings stand."""
        if not len(self.terms) or not len(terms):
            return []
        places = np.minimum(np.searchsorted(self.terms, terms), len(self.terms) - 1)
        present = np.flatnonzero(self.terms[places] == terms)
        firsts, lasts = self.pointers[places[present]].tolist(), self.pointers[places[present] + 1].tolist()
        return [(place, slice(first, last)) for place, first, last in zip(present.tolist(), firsts, lasts, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Base:
    """The postings of a whole index, as they are mapped from disk: file i owns the slots `firsts[i]:firsts[i + 1]`."""

    file_ids: NDArray[np.int64]
    """Ids of the files in the store, or, before they have any, 0, 1, 2 ...; in order of their path."""
    firsts: Ints
    lengths: Ints
    """Terms in each slot's chunk, each occurrence counted."""
    starts: Ints
    ends: Ints
    terms: Ints
    pointers: NDArray[np.int64]
    slots: Ints
    counts: NDArray[np.uint16]
    own_pointers: NDArray[np.int64]
    """File i's own terms stand at `own_pointers[i]:own_pointers[i + 1]` of `own_terms`."""
    own_terms: Ints
    own_chunks: NDArray[np.uint16]
    """In how many chunks of the file a term of it occurs."""

    @classmethod
    def build(cls, segment: Segment, *, firsts: Ints, lengths: Ints, starts: Ints, ends: Ints) -> "Base":
        """Build from one segment of all files; arrays as they are called here."""
        files = np.repeat(np.arange(len(firsts) - 1, dtype=np.int64), np.diff(firsts))
        # Slots ascend within a term, and with them the files: a file's chunks of one term stand side by side.
        keys = files[segment.slots]
        keys <<= 32
        keys |= segment.term_of_posting()
        places = _firsts(keys)
        chunks = np.diff(places, append=len(keys))
        keys = keys[places]
        order = np.argsort(keys, kind="stable")
        keys, chunks = keys[order], chunks[order]
        return cls(
            file_ids=np.arange(len(firsts) - 1, dtype=np.int64),
            firsts=firsts,
            lengths=lengths,
            starts=starts,
            ends=ends,
            terms=segment.terms,
            pointers=segment.pointers,
            slots=segment.slots,
            counts=segment.counts,
            own_pointers=np.searchsorted(keys, np.arange(len(firsts), dtype=np.int64) << 32),
            own_terms=keys.astype(np.int32),
            own_chunks=chunks.astype(np.uint16),
        )

    @property
    def segment(self) -> Segment:
        """The postings as a segment."""
        return Segment(terms=self.terms, pointers=self.pointers, slots=self.slots, counts=self.counts)

    def table(self, file_id: int) -> ChunkTable:
        """Return one file's chunks, read from all postings: for files now and then, not for many."""
        number = int(np.flatnonzero(self.file_ids == file_id)[0])
        first, last = int(self.firsts[number]), int(self.firsts[number + 1])
        places = np.flatnonzero((self.slots >= first) & (self.slots < last))
        terms = self.terms[np.searchsorted(self.pointers, places, side="right") - 1]
        chunks = self.slots[places] - first
        order = np.lexsort((terms, chunks))
        return ChunkTable(
            starts=self.starts[first:last],
            ends=self.ends[first:last],
            pointers=np.searchsorted(chunks[order], np.arange(last - first + 1)).astype(np.int32),
            term_ids=terms[order],
            counts=self.counts[places][order].astype(np.int32),
        )

    def save(self, folder: Path, file_ids: NDArray[np.int64]) -> None:
        """Write into a new folder, with the ids that the store gives the files."""
        checksum = 0
        for name in _ARRAYS:
            values = file_ids if name == "file_ids" else np.ascontiguousarray(getattr(self, name))
            np.save(folder / f"{name}.npy", values)
            checksum = zlib.crc32(values.data, checksum)
        np.save(folder / _SEAL, np.array(checksum))

    @classmethod
    def load(cls, folder: Path) -> "Base":
        """Map what `save` wrote.

        Errors: `FileNotFoundError`; `CorruptIndexError` when the bytes are not those that were written.
        """
        checksum = 0
        arrays = {}
        try:
            expected = int(np.load(folder / _SEAL))
            for name in _ARRAYS:
                # A plain array over the mapping: numpy's own class of mapped arrays makes every slice slower.
                arrays[name] = values = np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r"))
                checksum = zlib.crc32(values.data, checksum)
        except (ValueError, EOFError, TypeError) as error:
            raise CorruptIndexError(f"the index's postings cannot be read: {error}") from error
        if checksum != expected:
            raise CorruptIndexError("the index's postings fail their checksum")
        return cls(**arrays)


def postings_of(tables: Sequence[tuple[int, ChunkTable]]) -> tuple[Ints, Ints, Ints]:
    """Return terms, slots and counts of the postings of files, each given with the slot of its first chunk."""
    sizes = [len(table) for _, table in tables]
    firsts = np.array([first for first, _ in tables], np.int64)
    slots = (np.repeat(firsts - np.cumsum(sizes) + sizes, sizes) + np.arange(sum(sizes))).astype(np.int32)
    lengths = joined([table.sizes() for _, table in tables])
    terms = joined([table.term_ids for _, table in tables])
    return terms, np.repeat(slots, lengths), joined([table.counts for _, table in tables])


def pack_table(table: ChunkTable) -> bytes:
    """Put a table into bytes: a checksum, two counts, the arrays in order; numbers in four bytes, little-endian."""
    header = np.array([len(table.starts), len(table.term_ids)], np.int32)
    arrays = np.concatenate([header, table.starts, table.ends, table.pointers, table.term_ids, table.counts])
    body = arrays.astype("<i4", copy=False).tobytes()
    return zlib.crc32(body).to_bytes(4, "little") + body


def unpack_table(data: bytes, vocabulary: int) -> ChunkTable:
    """Undo `pack_table`; `CorruptIndexError` when the checksum, the lengths or the terms do not fit."""
    if len(data) < 12 or zlib.crc32(data[4:]) != int.from_bytes(data[:4], "little"):
        raise CorruptIndexError("the index's log of postings is damaged")
    chunks, postings = (int(number) for number in np.frombuffer(data, "<i4", 2, 4))
    ends = np.cumsum([chunks, chunks, chunks + 1, postings, postings])
    values = np.frombuffer(data, "<i4", offset=12).astype(np.int32, copy=False)
    if len(values) != ends[-1]:
        raise CorruptIndexError("the index holds a chunk table of the wrong length")
    starts, ends_, pointers, term_ids, counts = np.split(values, ends[:-1])
    if postings and (int(term_ids.max()) >= vocabulary or int(term_ids.min()) < 0):
        raise CorruptIndexError("the index refers to terms that it does not hold")
    return ChunkTable(starts=starts, ends=ends_, pointers=pointers, term_ids=term_ids, counts=counts)


def joined(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return arrays as one: of none an empty one, of one itself."""
    if len(arrays) == 1:
        return arrays[0]
    return np.concatenate(arrays) if arrays else np.zeros(0, np.int32)


_ARRAYS = tuple(field.name for field in fields(Base))


def _sorted_postings(
    terms: NDArray[np.integer[Any]], slots: NDArray[np.integer[Any]], counts: NDArray[np.integer[Any]]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Sort by term, then slot."""
    if not len(terms):
        return terms, slots, counts
    if int(terms.max()) >> _TERM_BITS or int(slots.max()) >> _SLOT_BITS or int(counts.max()) >> _COUNT_BITS:
        order = np.lexsort((slots, terms))
        return terms[order], slots[order], counts[order]
    # All three in one number: sorting plain numbers is an order of magnitude faster than sorting places. Here and below
    # all is done in place: that a large array is made costs as much as that it is filled.
    keys = terms.astype(np.int64)
    keys <<= _SLOT_BITS
    keys |= slots
    keys <<= _COUNT_BITS
    keys |= counts
    # Stable, because it takes what is sorted already as it is: a chunk's terms ascend.
    keys.sort(kind="stable")
    sorted_counts = keys.astype(np.uint16)
    keys >>= _COUNT_BITS
    sorted_slots = keys.astype(np.int32)
    sorted_slots &= (1 << _SLOT_BITS) - 1
    keys >>= _SLOT_BITS
    return keys, sorted_slots, sorted_counts


def _firsts(values: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return where sorted values change: the place of the first of each."""
    return np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])) if len(values) else np.zeros(0, np.int64)
