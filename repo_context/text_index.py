"""Exact BM25 over chunks of source, kept up to date file by file.

Scores are those of `rank_bm25.BM25Okapi` (k1 1.5, b 0.75, epsilon 0.25; Trotman et al. 2014, ATIRE variant) over the
chunks alive now. Small repositories are scored by rank-bm25 itself; larger ones by inverted postings in numpy.
Postings lie in segments, one a batch of files; an edited file gets a segment of its own and its old chunks die;
segments of like size are merged, so that their number stays logarithmic.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from rank_bm25 import BM25Okapi

K1 = 1.5
B = 0.75
EPSILON = 0.25
SMALL = 500
"""Below so many chunks rank-bm25 scores; it is exact by definition, and as fast at this size."""
MERGE_RATIO = 4
"""A segment is merged with the one before it unless that one is more than so many times larger."""
COMPACT_FROM = 20_000
"""Dead chunks that are tolerated in any case; beyond them, no more dead than alive."""

_Ints: TypeAlias = NDArray[np.int32]
_Floats: TypeAlias = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkTable:
    """The chunks of one file in terms of the index's vocabulary; arrays as in `file_record.ChunkTerms`."""

    starts: _Ints
    ends: _Ints
    pointers: _Ints
    term_ids: _Ints
    counts: _Ints

    def __len__(self) -> int:
        return len(self.starts)


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

    def __init__(self) -> None:
        self.vocabulary: dict[str, int] = {}
        self._files: dict[str, _File] = {}
        self._segments: list[_Segment] = []
        self._slots = _Slots.empty()
        self._document_frequency: NDArray[np.int64] = np.zeros(0, np.int64)
        self._chunks = 0
        self._terms_total = 0
        self._derived: _Derived | None = None
        self._small: tuple[BM25Okapi, _Ints] | None = None

    def __len__(self) -> int:
        """The number of chunks alive."""
        return self._chunks

    def ids_of(self, terms: Iterable[str]) -> _Ints:
        """Return the ids of terms, giving new ones to terms not seen before."""
        vocabulary = self.vocabulary
        return np.fromiter((vocabulary.setdefault(term, len(vocabulary)) for term in terms), np.int32)

    def add(self, tables: Mapping[str, ChunkTable]) -> None:
        """Add or replace files: path → chunks."""
        self._drop(tables)
        if tables:
            self._append(tables)
            self._merge_segments()
        self._compact_when_due()
        self._changed()

    def remove(self, paths: Iterable[str]) -> None:
        """Take files out; paths that are not in are passed over."""
        self._drop(paths)
        self._compact_when_due()
        self._changed()

    def search(self, query: Sequence[str], *, limit: int, boosts: Mapping[str, float], without: str) -> list[Hit]:
        """Return the best chunks, best first; equal scores in order of path and line.

        `query` is a bag of terms: one that occurs twice counts twice. A file's scores are multiplied by its entry in
        `boosts`, 1 when it has none. Chunks of the file `without`, and chunks that share no term, never come back.
        """
        scores = self.scores(query)
        if not len(scores):
            return []
        self._apply_boosts(scores, boosts)
        excluded = self._files.get(without)
        if excluded is not None:
            scores[excluded.first : excluded.first + len(excluded.table)] = 0.0
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
            for number in range(len(file.table))
        ]

    def _append(self, tables: Mapping[str, ChunkTable]) -> None:
        """Give each chunk a slot and put the files' postings into one new segment."""
        added = []
        for path, table in tables.items():
            file = _File(first=self._slots.used, table=table)
            self._slots.extend(len(table), len(self._slots.paths), table)
            self._slots.paths.append(path)
            self._files[path] = file
            added.append(file)
        self._count(added, sign=1)
        self._segments.append(_Segment.build({path: self._files[path] for path in tables}))

    def _drop(self, paths: Iterable[str]) -> None:
        dropped = []
        for path in paths:
            file = self._files.pop(path, None)
            if file is not None:
                self._slots.alive[file.first : file.first + len(file.table)] = False
                dropped.append(file)
        self._count(dropped, sign=-1)

    def _count(self, files: Sequence["_File"], *, sign: int) -> None:
        """Keep document frequencies and totals in step with files that come (1) or go (-1)."""
        if not files:
            return
        ids = np.concatenate([file.table.term_ids for file in files])
        frequency = np.bincount(ids, minlength=len(self.vocabulary)).astype(np.int64)
        if len(self._document_frequency) < len(frequency):
            grown = np.zeros(len(frequency), np.int64)
            grown[: len(self._document_frequency)] = self._document_frequency
            self._document_frequency = grown
        self._document_frequency[: len(frequency)] += sign * frequency
        self._chunks += sign * sum(len(file.table) for file in files)
        self._terms_total += sign * sum(int(file.table.counts.sum()) for file in files)

    def _merge_segments(self) -> None:
        """Merge from the young end while neighbours are of like size."""
        while len(self._segments) > 1:
            older, younger = self._segments[-2:]
            if len(older) > MERGE_RATIO * len(younger):
                return
            self._segments[-2:] = [_Segment.build(self._still_there({**older.files, **younger.files}))]

    def _still_there(self, files: Mapping[str, "_File"]) -> dict[str, "_File"]:
        return {path: file for path, file in files.items() if self._files.get(path) is file}

    def _compact_when_due(self) -> None:
        """Renumber the slots when the dead outweigh the living."""
        if self._slots.used - self._chunks <= max(COMPACT_FROM, self._chunks):
            return
        tables = {path: file.table for path, file in self._files.items()}
        self._slots, self._segments, self._files = _Slots.empty(), [], {}
        self._chunks = self._terms_total = 0
        self._document_frequency = np.zeros(0, np.int64)
        self._append(tables)

    def _changed(self) -> None:
        self._derived = None
        self._small = None

    def _score_small(self, query: Sequence[str]) -> _Floats:
        """Score with rank-bm25, built anew after a change."""
        if self._small is None:
            words = list(self.vocabulary)
            slots, corpus = [], []
            for file in self._files.values():
                for number in range(len(file.table)):
                    slots.append(file.first + number)
                    corpus.append(file.table_terms(number, words))
            self._small = BM25Okapi(corpus, k1=K1, b=B, epsilon=EPSILON), np.array(slots, np.int32)
        engine, slots_array = self._small
        scores = np.zeros(self._slots.used)
        scores[slots_array] = engine.get_scores(query)
        return scores

    def _score_postings(self, query: Sequence[str]) -> _Floats:
        """Score by gathering the postings of the query's terms from every segment."""
        derived = self._derive()
        ids, weights = self._weigh(query, derived)
        documents: list[_Ints] = []
        contributions: list[_Floats] = []
        for segment in self._segments:
            found, repeats = segment.postings(ids)
            if found is None:
                continue
            documents.append(found.documents)
            counts = found.counts.astype(np.float64)
            weight = np.repeat(weights, repeats)
            contributions.append(weight * (counts * (K1 + 1) / (counts + derived.length_norm[found.documents])))
        if not documents:
            return np.zeros(self._slots.used)
        scores = np.bincount(
            np.concatenate(documents), weights=np.concatenate(contributions), minlength=self._slots.used
        )
        scores[~self._slots.alive[: self._slots.used]] = 0.0
        return np.asarray(scores, np.float64)

    def _weigh(self, query: Sequence[str], derived: "_Derived") -> tuple[_Ints, _Floats]:
        """Return the known terms of a query, ascending, and what each weighs: idf times multiplicity."""
        counted: dict[int, int] = {}
        for term, times in Counter(query).items():
            term_id = self.vocabulary.get(term)
            if term_id is not None and term_id < len(derived.idf):
                counted[term_id] = times
        ids = np.array(sorted(counted), np.int32)
        times_array = np.array([counted[int(term_id)] for term_id in ids], np.float64)
        return ids, derived.idf[ids] * times_array

    def _derive(self) -> "_Derived":
        """Return what scoring needs and only an edit changes."""
        if self._derived is None:
            frequency = self._document_frequency
            living = frequency > 0
            idf = np.zeros(len(frequency))
            idf[living] = np.log(self._chunks - frequency[living] + 0.5) - np.log(frequency[living] + 0.5)
            floor = EPSILON * (math.fsum(idf[living]) / int(living.sum()))
            idf[idf < 0] = floor
            average = self._terms_total / self._chunks
            lengths = self._slots.lengths[: self._slots.used]
            self._derived = _Derived(idf=idf, length_norm=K1 * (1 - B + B * lengths / average))
        return self._derived

    def _apply_boosts(self, scores: _Floats, boosts: Mapping[str, float]) -> None:
        for path, factor in boosts.items():
            file = self._files.get(path)
            if file is not None:
                scores[file.first : file.first + len(file.table)] *= factor

    def _best(self, scores: _Floats, limit: int) -> list[Hit]:
        found = int(np.count_nonzero(scores > 0))
        if not found:
            return []
        wanted = min(limit, found)
        # Everything that ties with the last place competes for it, so that path and line decide, not slot numbers.
        threshold = np.partition(scores, len(scores) - wanted)[len(scores) - wanted]
        slots = np.flatnonzero(scores >= threshold)
        hits = [
            Hit(
                path=self._slots.paths[self._slots.owners[slot]],
                start_line=int(self._slots.starts[slot]),
                end_line=int(self._slots.ends[slot]),
                score=float(scores[slot]),
            )
            for slot in slots
        ]
        return sorted(hits, key=lambda hit: (-hit.score, hit.path, hit.start_line))[:wanted]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _File:
    first: int
    """Slot of the file's first chunk; the others follow."""
    table: ChunkTable

    def table_terms(self, number: int, words: Sequence[str]) -> list[str]:
        """Return the terms of one chunk with their multiplicity."""
        places = slice(self.table.pointers[number], self.table.pointers[number + 1])
        return [
            words[term_id]
            for term_id, count in zip(self.table.term_ids[places], self.table.counts[places], strict=True)
            for _ in range(count)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Derived:
    idf: _Floats
    length_norm: _Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class _Postings:
    documents: _Ints
    counts: _Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class _Segment:
    """The postings of some files, grouped by term: term i of `terms` owns `pointers[i]:pointers[i + 1]`."""

    files: Mapping[str, _File]
    terms: _Ints
    pointers: NDArray[np.int64]
    documents: _Ints
    counts: _Ints

    def __len__(self) -> int:
        return len(self.documents)

    @classmethod
    def build(cls, files: Mapping[str, _File]) -> "_Segment":
        tables = [file.table for file in files.values()]
        empty = np.zeros(0, np.int32)
        ids = np.concatenate([table.term_ids for table in tables] or [empty])
        counts = np.concatenate([table.counts for table in tables] or [empty])
        documents = np.concatenate(
            [
                np.repeat(
                    np.arange(file.first, file.first + len(file.table), dtype=np.int32),
                    np.diff(file.table.pointers),
                )
                for file in files.values()
            ]
            or [empty]
        )
        # Not a stable sort: the order of documents within a term adds nothing to any sum, and this one is faster.
        order = np.argsort(ids)
        terms, firsts = np.unique(ids[order], return_index=True)
        pointers = np.append(firsts, len(ids)).astype(np.int64)
        return cls(files=files, terms=terms, pointers=pointers, documents=documents[order], counts=counts[order])

    def postings(self, ids: _Ints) -> tuple[_Postings | None, NDArray[np.int64]]:
        """Return the postings of some terms one after another, and how many each term has."""
        if not len(self.terms) or not len(ids):
            return None, np.zeros(0, np.int64)
        places = np.minimum(np.searchsorted(self.terms, ids), len(self.terms) - 1)
        present = self.terms[places] == ids
        repeats = np.where(present, self.pointers[places + 1] - self.pointers[places], 0)
        pieces = [slice(int(self.pointers[place]), int(self.pointers[place + 1])) for place in places[present]]
        if not pieces:
            return None, repeats
        return (
            _Postings(
                documents=np.concatenate([self.documents[piece] for piece in pieces]),
                counts=np.concatenate([self.counts[piece] for piece in pieces]),
            ),
            repeats,
        )


@dataclass(slots=True, kw_only=True)
class _Slots:
    """Parallel arrays over all chunk slots, alive or dead, with room to grow."""

    used: int
    alive: NDArray[np.bool_]
    owners: _Ints
    """Places in `paths`."""
    starts: _Ints
    ends: _Ints
    lengths: _Ints
    """Terms in the chunk."""
    paths: list[str]

    @classmethod
    def empty(cls) -> "_Slots":
        return cls(
            used=0,
            alive=np.zeros(0, np.bool_),
            owners=np.zeros(0, np.int32),
            starts=np.zeros(0, np.int32),
            ends=np.zeros(0, np.int32),
            lengths=np.zeros(0, np.int32),
            paths=[],
        )

    def extend(self, number: int, owner: int, table: ChunkTable) -> None:
        """Append the chunks of one file."""
        end = self.used + number
        if end > len(self.alive):
            self._grow(max(1024, 2 * end))
        new = slice(self.used, end)
        self.alive[new] = True
        self.owners[new] = owner
        self.starts[new] = table.starts
        self.ends[new] = table.ends
        totals = np.concatenate([[0], np.cumsum(table.counts)])
        self.lengths[new] = totals[table.pointers[1:]] - totals[table.pointers[:-1]]
        self.used = end

    def _grow(self, capacity: int) -> None:
        more = capacity - len(self.alive)
        self.alive = np.concatenate([self.alive, np.zeros(more, np.bool_)])
        for name in ("owners", "starts", "ends", "lengths"):
            setattr(self, name, np.concatenate([getattr(self, name), np.zeros(more, np.int32)]))
