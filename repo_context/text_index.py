"""Exact BM25 over chunks of source, kept up to date file by file.

Scores are those of `rank_bm25.BM25Okapi` (k1 1.5, b 0.75, epsilon 0.25; Trotman et al. 2014, ATIRE variant) over the
chunks alive now. Small repositories are scored by rank-bm25 itself; larger ones by inverted postings in numpy: a base
that is mapped from disk, and segments in memory for files that came after it. A changed file's old chunks die; small
segments of like size are merged, so that their number stays logarithmic.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from rank_bm25 import BM25Okapi

from repo_context.chunk_slots import ChunkSlots
from repo_context.chunk_terms import ChunkTable, Ints
from repo_context.postings import Base, Segment, joined, postings_of

K1 = 1.5
B = 0.75
EPSILON = 0.25
SMALL = 500
"""Below so many chunks rank-bm25 scores; it is exact by definition, and as fast at this size."""
MERGE_RATIO = 4
"""A segment is merged with the one before it unless that one is more than so many times larger."""
COMPACT_FROM = 20_000
"""Dead chunks that are tolerated in any case; beyond them, no more dead than alive."""
FREQUENT = 8_000
"""From so many postings on, what they add to a score before it is weighted is kept until the index changes."""
MAX_KEPT = 3_000_000
"""Postings of which that is kept, at eight bytes each."""
CANDIDATE_SHARES = (0.4, 0.2, 0.1, 0.0)
"""Chunks that score less than this share of the best are looked at only when the others are too few."""

_Floats: TypeAlias = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A chunk that a query found."""

    path: str
    start_line: int
    """First line, 0-based."""
    end_line: int
    """One past the last line, 0-based."""
    score: float


class TextIndex:
    """BM25 over the chunks of many files; `vocabulary` gives the ids that `ChunkTable`s are written in."""

    def __init__(self, vocabulary: dict[str, int] | None = None) -> None:
        self.vocabulary: dict[str, int] = {} if vocabulary is None else vocabulary
        self._files: dict[str, _File] = {}
        self._base: Base | None = None
        self._segments: list[Segment] = []
        self._unsettled: list[tuple[int, ChunkTable]] = []
        self._slots = ChunkSlots.empty()
        self._document_frequency: NDArray[np.int64] = np.zeros(0, np.int64)
        self._chunks = 0
        self._terms_total = 0
        self._length_norm: _Floats | None = None
        self._mean_idf: float | None = None
        self._small: tuple[BM25Okapi, Ints] | None = None
        self._saturations_kept: dict[tuple[int, int], _Floats] = {}
        """(Segment, place of the first posting) → `_saturations`; a change of the mean length changes all of them."""
        self._postings_kept = 0
        self._room: tuple[NDArray[np.int64], _Floats] = np.empty(0, np.int64), np.empty(0)

    @classmethod
    def over(cls, base: Base, vocabulary: dict[str, int], paths: Mapping[int, str]) -> "TextIndex":
        """Return an index over postings that exist; files whose number in `base` has no entry in `paths` are dead."""
        index = cls(vocabulary)
        index._rest_on(base, paths)
        return index

    def __len__(self) -> int:
        """The number of chunks alive."""
        return self._chunks

    @property
    def loose(self) -> float:
        """How much of the index, from 0 to 1, is not what its base holds: chunks added since, and dead ones."""
        return self.loose_chunks / max(self._slots.used, 1)

    @property
    def loose_chunks(self) -> int:
        """How many chunks were added since the base was made, or are dead."""
        based = len(self._base.lengths) if self._base is not None else 0
        return self._slots.used - based + self._slots.used - self._chunks

    def add(self, tables: Mapping[str, ChunkTable]) -> None:
        """Add or replace files: path → chunks."""
        self._drop(tables)
        first = self._slots.used
        self._slots.extend(tables)
        for path, table in tables.items():
            chunks = len(table.starts)
            self._files[path] = _File(first=first, chunks=chunks, table=table, number=-1)
            self._unsettled.append((first, table))
            first += chunks
        self._count([self._files[path] for path in tables], sign=1)
        self._compact_when_due()

    def remove(self, paths: Iterable[str]) -> None:
        """Take files out; paths that are not in are passed over."""
        self._drop(paths)
        self._compact_when_due()

    def search(self, query: Sequence[str], *, limit: int, boosts: Mapping[str, float], without: str) -> list[Hit]:
        """Return the best chunks, best first; equal scores in order of path and line.

        `query` is a bag of terms: one that occurs twice counts twice. A file's scores are multiplied by its entry in
        `boosts`, 1 when it has none. Chunks of the file `without`, and chunks that share no term, never come back.
        """
        scores = self.scores(query)
        if not len(scores):
            return []
        for path, factor in boosts.items():
            file = self._files.get(path)
            if file is not None:
                scores[file.first : file.first + file.chunks] *= factor
        excluded = self._files.get(without)
        if excluded is not None:
            scores[excluded.first : excluded.first + excluded.chunks] = 0.0
        return self._best(scores, limit)

    def scores(self, query: Sequence[str]) -> _Floats:
        """Return the score of every slot, float64 [slots]; a slot whose chunk is dead has 0."""
        if not self._chunks or not self._terms_total:
            return np.zeros(self._slots.used)
        return self._score_small(query) if self._chunks < SMALL else self._score_postings(query)

    def alive_slots(self) -> list[tuple[int, str, int]]:
        """Return (slot, path, number of the chunk in its file) of every chunk alive, in order of path."""
        return [
            (file.first + number, path, number)
            for path, file in sorted(self._files.items())
            for number in range(file.chunks)
        ]

    def chunk_lines(self) -> list[tuple[int, int]]:
        """Return first line and one past the last, 0-based, of every slot's chunk."""
        used = self._slots.used
        return list(zip(self._slots.starts[:used].tolist(), self._slots.ends[:used].tolist(), strict=True))

    def compact(self) -> tuple[Base, list[str]]:
        """Make one base of all that is alive and rest on it; returns it with the paths of its files, in its order."""
        paths = sorted(self._files)
        files = [self._files[path] for path in paths]
        sizes = np.array([file.chunks for file in files], np.int64)
        firsts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        old_firsts = np.array([file.first for file in files], np.int64)
        kept = np.repeat(old_firsts - firsts[:-1], sizes) + np.arange(int(firsts[-1]))
        # Files that came since the base are put where they belong from the start: moving postings takes far longer.
        placed = zip(firsts.tolist(), files, strict=False)
        parts = [*self._moved_base(kept), postings_of([(first, file.table) for first, file in placed if file.table])]
        segment = Segment.of_postings(*map(joined, zip(*parts, strict=True)))
        lengths, starts, ends = self._slots.lengths[kept], self._slots.starts[kept], self._slots.ends[kept]
        base = Base.build(segment, firsts=firsts, lengths=lengths, starts=starts, ends=ends)
        self._rest_on(base, dict(enumerate(paths)))
        return base, paths

    def _moved_base(self, kept: NDArray[np.int64]) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
        """Yield terms, slots and counts of the base's postings that are alive; slot `kept[i]` becomes slot i."""
        if self._base is None:
            return
        moved = np.full(self._slots.used, -1, np.int32)
        moved[kept] = np.arange(len(kept))
        slots = moved[self._base.slots]
        alive = slots >= 0
        yield self._base.segment.term_of_posting()[alive], slots[alive], self._base.counts[alive]

    def rest_on(self, base: Base) -> None:
        """Take `base`, a mapped copy of what `compact` returned last, in its place, to free the memory of that."""
        assert self._base is not None
        assert len(base.slots) == len(self._base.slots)
        self._base = base
        self._segments[0] = base.segment

    def _rest_on(self, base: Base, paths: Mapping[int, str]) -> None:
        """Start anew from a base; `paths` as in `over`."""
        self._base, self._segments, self._unsettled = base, [base.segment], []
        self._slots = ChunkSlots.of_base(base, paths)
        self._files = {
            path: _File(
                first=int(base.firsts[number]),
                chunks=int(base.firsts[number + 1] - base.firsts[number]),
                table=None,
                number=number,
            )
            for number, path in paths.items()
        }
        frequency = np.zeros(len(self.vocabulary), np.int64)
        frequency[base.terms] = np.diff(base.pointers)
        gone = np.ones(len(base.file_ids), np.bool_)
        gone[list(paths)] = False
        if gone.any():
            dead = np.repeat(gone, np.diff(base.own_pointers))
            np.subtract.at(frequency, base.own_terms[dead], base.own_chunks[dead])
        self._document_frequency = frequency
        alive = self._slots.alive[: self._slots.used]
        self._chunks = int(np.count_nonzero(alive))
        self._terms_total = int(base.lengths[alive].sum())
        self._changed()

    def _drop(self, paths: Iterable[str]) -> None:
        dropped = []
        for path in paths:
            file = self._files.pop(path, None)
            if file is not None:
                self._slots.alive[file.first : file.first + file.chunks] = False
                dropped.append(file)
        self._count(dropped, sign=-1)

    def _count(self, files: Sequence["_File"], *, sign: int) -> None:
        """Keep document frequencies and totals in step with files that come (1) or go (-1)."""
        missing = len(self.vocabulary) - len(self._document_frequency)
        if missing > 0:
            # Room for a tenth more: an edit that brings one new word must not copy the frequencies of all.
            room = np.zeros(missing + len(self.vocabulary) // 10, np.int64)
            self._document_frequency = np.concatenate([self._document_frequency, room])
        if files:
            terms, chunks = zip(*map(self._own_terms, files), strict=True)
            np.add.at(self._document_frequency, np.concatenate(terms), sign * np.concatenate(chunks).astype(np.int64))
            chunks_of = np.array([file.chunks for file in files])
            firsts = np.array([file.first for file in files])
            slots = np.repeat(firsts - np.cumsum(chunks_of) + chunks_of, chunks_of) + np.arange(chunks_of.sum())
            self._chunks += sign * len(slots)
            self._terms_total += sign * int(self._slots.lengths[slots].sum())
        self._changed()

    def _own_terms(self, file: "_File") -> tuple[Ints, NDArray[np.integer[Any]]]:
        """Return the terms of a file and for each a number of its chunks; a term may come several times."""
        if file.table is not None:
            return file.table.term_ids, np.ones(len(file.table.term_ids), np.int32)
        assert self._base is not None
        places = slice(int(self._base.own_pointers[file.number]), int(self._base.own_pointers[file.number + 1]))
        return self._base.own_terms[places], self._base.own_chunks[places]

    def _settle(self) -> None:
        """Put files that came since into a segment, and merge from the young end while neighbours are of like size."""
        if self._unsettled:
            self._segments.append(Segment.of_tables(self._unsettled))
            self._unsettled = []
        lowest = 2 if self._base is not None else 1
        while len(self._segments) > lowest and len(self._segments[-2]) <= MERGE_RATIO * len(self._segments[-1]):
            self._segments[-2:] = [self._merged(self._segments[-2:])]

    def _merged(self, segments: Sequence[Segment]) -> Segment:
        slots = joined([segment.slots for segment in segments])
        alive = self._slots.alive[slots]
        return Segment.of_postings(
            joined([segment.term_of_posting() for segment in segments])[alive],
            slots[alive],
            joined([segment.counts for segment in segments])[alive],
        )

    def _compact_when_due(self) -> None:
        """Renumber the slots when the dead outweigh the living."""
        if self._slots.used - self._chunks > max(COMPACT_FROM, self._chunks):
            self.compact()

    def _changed(self) -> None:
        self._length_norm = None
        self._mean_idf = None
        self._small = None
        self._saturations_kept = {}
        self._postings_kept = 0

    def _score_small(self, query: Sequence[str]) -> _Floats:
        """Score with rank-bm25, built anew after a change."""
        if self._small is None:
            self._settle()
            words = list(self.vocabulary)
            corpus: list[list[str]] = [[] for _ in range(self._slots.used)]
            for segment in self._segments:
                postings = (segment.term_of_posting().tolist(), segment.slots.tolist(), segment.counts.tolist())
                for term, slot, count in zip(*postings, strict=True):
                    corpus[slot].extend([words[term]] * count)
            slots = np.flatnonzero(self._slots.alive[: self._slots.used])
            engine = BM25Okapi([corpus[slot] for slot in slots], k1=K1, b=B, epsilon=EPSILON)
            self._small = engine, slots.astype(np.int32)
        engine, slots_array = self._small
        scores = np.zeros(self._slots.used)
        scores[slots_array] = engine.get_scores(query)
        return scores

    def _score_postings(self, query: Sequence[str]) -> _Floats:
        """Score by gathering the postings of the query's terms from every segment."""
        self._settle()
        ids, weights = self._weigh(query)
        scale = (weights * (K1 + 1)).tolist()
        pieces = [
            (number, piece, scale[place])
            for number, segment in enumerate(self._segments)
            for place, piece in segment.find(ids)
        ]
        if not pieces:
            return np.zeros(self._slots.used)
        slots, added = self._scratch(sum([piece.stop - piece.start for _, piece, _ in pieces]))
        end = 0
        for number, piece, factor in pieces:
            start, end = end, end + piece.stop - piece.start
            slots[start:end] = self._segments[number].slots[piece]
            # Each posting adds to its chunk's score: weight * count * (k1 + 1) / (count + norm).
            values = added[start:end]
            np.multiply(self._saturations(number, piece, values), factor, out=values)
        scores = np.bincount(slots, weights=added, minlength=self._slots.used)
        if self._chunks < self._slots.used:
            scores[~self._slots.alive[: self._slots.used]] = 0.0
        return np.asarray(scores, np.float64)

    def _saturations(self, number: int, piece: slice, room: _Floats) -> _Floats:
        """Return count / (count + norm) of a term's postings in a segment, computed in `room` or kept from before.

        Every question asks for some of the same few hundred terms, whose postings are most of what it reads.
        """
        size = piece.stop - piece.start
        if size < FREQUENT:
            return self._saturated(number, piece, room)
        key = number, piece.start
        kept = self._saturations_kept.get(key)
        if kept is None:
            if self._postings_kept + size > MAX_KEPT:
                return self._saturated(number, piece, room)
            kept = self._saturations_kept[key] = self._saturated(number, piece, np.empty(size))
            self._postings_kept += size
        return kept

    def _saturated(self, number: int, piece: slice, room: _Floats) -> _Floats:
        segment = self._segments[number]
        counts = segment.counts[piece]
        self._norm().take(segment.slots[piece], out=room, mode="clip")
        room += counts
        return np.divide(counts, room, out=room)

    def _scratch(self, postings: int) -> tuple[NDArray[np.int64], _Floats]:
        """Return room for the slots of so many postings and what they add; the next call uses it again."""
        if len(self._room[0]) < postings:
            # Fresh memory of this size comes from the system page by page, which takes longer than to fill it.
            self._room = np.empty(postings + postings // 2, np.int64), np.empty(postings + postings // 2)
        slots, added = self._room
        return slots[:postings], added[:postings]

    def _weigh(self, query: Sequence[str]) -> tuple[Ints, _Floats]:
        """Return the known terms of a query, ascending, and what each weighs: idf times multiplicity."""
        counted: dict[int, int] = {}
        for term, times in Counter(query).items():
            term_id = self.vocabulary.get(term)
            if term_id is not None and term_id < len(self._document_frequency) and self._document_frequency[term_id]:
                counted[term_id] = times
        ids = np.array(sorted(counted), np.int32)
        times_array = np.array([counted[int(term_id)] for term_id in ids], np.float64)
        idf = self._idf(self._document_frequency[ids])
        if (idf < 0).any():
            idf[idf < 0] = EPSILON * self._mean()
        return ids, idf * times_array

    def _idf(self, frequency: NDArray[np.int64]) -> _Floats:
        return np.asarray(np.log(self._chunks - frequency + 0.5) - np.log(frequency + 0.5))

    def _mean(self) -> float:
        """Return the mean of all terms' idf; a quarter of it stands in for that of terms in most chunks."""
        if self._mean_idf is None:
            # Terms are many, their frequencies few: each logarithm is taken once.
            terms = np.bincount(self._document_frequency)
            terms[0] = 0
            found = np.flatnonzero(terms)
            self._mean_idf = float(np.dot(self._idf(found), terms[found]) / terms.sum())
        return self._mean_idf

    def _norm(self) -> _Floats:
        """Return what each slot's length adds to a term's count."""
        if self._length_norm is None:
            average = self._terms_total / self._chunks
            self._length_norm = K1 * (1 - B) + self._slots.lengths[: self._slots.used] * (K1 * B / average)
        return self._length_norm

    def _best(self, scores: _Floats, limit: int) -> list[Hit]:
        top = float(scores.max())
        if top <= 0 or limit <= 0:
            return []
        for share in CANDIDATE_SHARES:
            slots = np.flatnonzero(scores >= top * share if share else scores > 0)
            if len(slots) >= limit:
                break
        # The last bits depend on the order in which terms were first seen; equal chunks must tie all the same.
        candidates = np.round(scores[slots], 9)
        wanted = min(limit, len(slots))
        threshold = np.partition(candidates, len(candidates) - wanted)[len(candidates) - wanted]
        best = candidates > threshold
        # What ties with the last place competes for it by path and line. Slots of the base are in that order already:
        # of thousands of chunks with the same licence, only as many are looked at as there are places.
        tied = np.flatnonzero(candidates == threshold)
        based = np.searchsorted(slots[tied], len(self._base.lengths) if self._base is not None else 0)
        best[tied[: min(int(based), wanted)]] = True
        best[tied[based:]] = True
        kept = slots[best]
        paths = [self._slots.paths[owner] for owner in self._slots.owners[kept].tolist()]
        starts, ends = self._slots.starts[kept].tolist(), self._slots.ends[kept].tolist()
        # Sorted as plain values: equal scores in order of path and line.
        ordered = sorted(zip((-candidates[best]).tolist(), paths, starts, ends, strict=True))[:wanted]
        return [Hit(path=path, start_line=start, end_line=end, score=-score) for score, path, start, end in ordered]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _File:
    first: int
    """Slot of the file's first chunk; the others follow."""
    chunks: int
    table: ChunkTable | None
    """None for a file of the base."""
    number: int
    """In the base; -1 for a file that came after it."""
