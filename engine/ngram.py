"""An n-gram model of the user's own code: every next token that followed a context of up to 15 tokens.

The idea is the nested cache of Hellendoorn & Devanbu (2017, "Are deep neural networks the best choice for
modeling source code?"): one model of the open file, one of the repository around it, smoothed by Witten and
Bell's interpolation

    p_n(w) = (c_n(w) + t_n * p_{n-1}(w)) / (c_n + t_n),    p_{-1}(w) = 1 / vocabulary_size

where c_n counts what followed the last n context tokens and t_n is how many different tokens did.

All positions of a segment are sorted by their reversed context, so that the positions that share the last
n + 1 tokens are a contiguous part of those that share the last n: each longer context is found by bisection.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from threading import Lock
from typing import Final

import numpy as np
import numpy.typing as npt

MAX_CONTEXT: Final = 15
"""Longest context, in tokens."""

MAX_COLLECTION_TOKENS: Final = 8_000_000
"""Tokens a collection holds at most; files learned past it are left out. A token costs 16 bytes (its document's ids,
the sorted segment's text, positions and followers) and about 40 more while a segment is sorted."""

Ids = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]

_MEMO_ENTRIES = 8192
"""Ranges whose counts are kept: the queries of one line meet the same ones again and again."""
_COUNT_IN_PYTHON = 48
"""Below this many positions a Counter beats numpy's fixed cost."""
_VIEWS_KEPT = 4
_RANKS_TO_LOOK_AT = 64
"""Occurrences of a context that are compared to draft from one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """What followed a context somewhere."""

    tokens: list[int]
    match: int
    """Tokens of the context that were found there; 0 where none were."""


class NgramModel:
    """What followed each context in a fixed set of documents; safe to read from several threads."""

    def __init__(self, views: Sequence["_View"], vocabulary_size: int) -> None:
        self._views = tuple(view for view in views if view.live_tokens)
        self._vocabulary_size = vocabulary_size
        self.tokens: Final = sum(view.live_tokens for view in self._views)
        """Number of tokens that were counted."""
        self._unigrams = self._smoothed_unigrams()

    @classmethod
    def of_documents(cls, documents: Iterable[Sequence[int] | Ids], vocabulary_size: int) -> "NgramModel":
        """Count token sequences; no context reaches from one into another.

        For the file around a cursor the documents are what stands before it and what stands after it, so that the
        hole is a boundary too.
        """
        named = {str(index): _ids(document) for index, document in enumerate(documents)}
        return cls([_View(_Segment(named, vocabulary_size), frozenset())], vocabulary_size)

    def distribution(self, context: Sequence[int]) -> tuple[Floats, int]:
        """Return the next token's probabilities, float32 [vocabulary_size], and the longest context found (0-15)."""
        orders = self._counts_by_order(context)
        sparse: dict[int, float] = {}
        arrays: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], float]] = []
        weight = 1.0
        for tokens, counts, total in reversed(orders):
            share = weight / (total + len(tokens))
            weight *= len(tokens) / (total + len(tokens))
            if isinstance(tokens, list):
                for token, count in zip(tokens, counts, strict=True):
                    sparse[token] = sparse.get(token, 0.0) + count * share
            else:
                arrays.append((tokens, np.asarray(counts), share))
        probabilities: Floats = self._unigrams * np.float32(weight)
        for tokens_array, counts_array, share in arrays:
            probabilities[tokens_array] += (counts_array * share).astype(np.float32)
        if sparse:
            probabilities[list(sparse)] += np.fromiter(sparse.values(), np.float32, len(sparse))
        return probabilities, len(orders)

    def continuation(
        self, context: Sequence[int], limit: int, allowed: npt.NDArray[np.int64] | None = None
    ) -> "Continuation":
        """Return what followed the longest context found: the likeliest next token and what stood behind it.

        Args:
            context: the last tokens.
            limit: most tokens.
            allowed: the ids that may come first; None is any.
        """
        best = Continuation(tokens=[], match=0)
        for view in self._views:
            ranges = view.ranges(context[-MAX_CONTEXT:])
            for match in range(len(ranges), best.match, -1):
                tokens = view.continuation(*ranges[match - 1], limit, allowed)
                if tokens:
                    best = Continuation(tokens=tokens, match=match)
                    break
        return best

    def _counts_by_order(self, context: Sequence[int]) -> list["_Counts"]:
        """Counts for contexts of 1, 2, ... tokens, as far as any of them was seen."""
        longest = context[-MAX_CONTEXT:]
        walks = [view.counts_along(view.ranges(longest)) for view in self._views]
        orders: list[_Counts] = []
        for at_depth in zip_longest(*walks):
            found = [counts for counts in at_depth if counts and counts[2]]
            if not found:
                break  # only masked positions are left, and longer contexts are among them
            orders.append(found[0] if len(found) == 1 else _add(found))
        return orders

    def _smoothed_unigrams(self) -> Floats:
        counts = np.zeros(self._vocabulary_size, np.float64)
        for view in self._views:
            counts += view.unigrams()
        total, distinct = counts.sum(), np.count_nonzero(counts)
        if not total:
            return np.full(self._vocabulary_size, 1 / self._vocabulary_size, np.float32)
        smoothed: Floats = ((counts + distinct / self._vocabulary_size) / (total + distinct)).astype(np.float32)
        return smoothed


class NgramCollection:
    """The documents of one repository, by name, as an n-gram model that follows their changes.

    Unchanged documents lie in one big sorted segment; changed ones are masked there and lie in a small second one,
    which is folded into the first when it has grown to an eighth of it. `learn` and `forget` may run on one thread
    while another reads: a reader always sees a whole, consistent state.
    """

    def __init__(self, vocabulary_size: int) -> None:
        self._vocabulary_size = vocabulary_size
        self._lock = Lock()
        self._documents: dict[str, Ids] = {}
        self._state = _State(_Segment({}, vocabulary_size), frozenset(), None)

    @property
    def tokens(self) -> int:
        """Tokens learned."""
        return sum(len(ids) for ids in self._documents.copy().values())

    def names(self) -> frozenset[str]:
        """Names of the documents learned."""
        return frozenset(self._documents.copy())

    def learn(self, documents: Mapping[str, Sequence[int] | Ids]) -> frozenset[str]:
        """Add or replace documents; return the names left out because the collection is full."""
        with self._lock:
            left_out = self._store(documents)
            self._state = self._next_state(frozenset(documents))
            return left_out

    def forget(self, names: Iterable[str]) -> None:
        """Remove documents; unknown names are ignored."""
        with self._lock:
            gone = frozenset(names) & frozenset(self._documents)
            for name in gone:
                del self._documents[name]
            if gone:
                self._state = self._next_state(gone)

    def model(self, *, excluding: str | None = None) -> NgramModel:
        """Return the model of all documents but one: the edited file's version on disk must not answer for it."""
        return self._state.model(excluding, self._vocabulary_size)

    def distribution(self, context: Sequence[int], *, excluding: str | None = None) -> tuple[Floats, int]:
        """Shorthand for `model(excluding=...).distribution(context)`."""
        return self.model(excluding=excluding).distribution(context)

    def _store(self, documents: Mapping[str, Sequence[int] | Ids]) -> frozenset[str]:
        left_out = set()
        room = MAX_COLLECTION_TOKENS - self.tokens
        for name, document in documents.items():
            ids = _ids(document)
            room += len(self._documents.pop(name, ()))
            if len(ids) > room:
                left_out.add(name)
                continue
            room -= len(ids)
            self._documents[name] = ids
        return frozenset(left_out)

    def _next_state(self, changed: frozenset[str]) -> "_State":
        state = self._state
        in_delta = state.delta_names() | changed
        delta = {name: self._documents[name] for name in sorted(in_delta) if name in self._documents}
        masked = state.masked | (in_delta & state.base.names())
        stale = sum(len(ids) for ids in delta.values()) + state.base.count(masked)
        if stale * 8 > state.base.tokens:
            return _State(_Segment(self._documents, self._vocabulary_size), frozenset(), None)
        return _State(state.base, masked, _Segment(delta, self._vocabulary_size) if delta else None)


_Counts = tuple[
    list[int] | npt.NDArray[np.int64],  # tokens that followed, each once
    list[int] | npt.NDArray[np.float64],  # how often each did
    int,  # how often any did
]


class _Segment:
    """Documents whose positions are sorted by reversed context; never changes."""

    def __init__(self, documents: Mapping[str, Ids], vocabulary_size: int) -> None:
        self._spans: dict[str, tuple[int, int]] = {}
        separator = np.array([vocabulary_size], np.int32)  # equals no token, so no context reaches across it
        pieces = []
        start = 0
        for name, ids in documents.items():
            pieces += [separator, ids]
            self._spans[name] = (start + 1, start + 1 + len(ids))
            start += 1 + len(ids)
        text = np.concatenate(pieces) if pieces else separator
        self.tokens: Final = start - len(self._spans)
        self.positions: Final = _sort_by_reversed_context(text, vocabulary_size)
        self.following: Final = text[self.positions]
        last = text[self.positions - 1]
        self.first: Final = np.searchsorted(last, np.arange(vocabulary_size + 1))
        """Where the positions that follow each token begin: the table of one-token contexts."""
        # memoryviews hand out Python ints several times faster than numpy scalars.
        self._text_view = memoryview(text.data)
        self._positions_view = memoryview(self.positions.data)

    def names(self) -> frozenset[str]:
        return frozenset(self._spans)

    def count(self, names: Iterable[str]) -> int:
        return sum(end - start for start, end in (self._spans[name] for name in names))

    def span(self, name: str) -> tuple[int, int] | None:
        return self._spans.get(name)

    def text_from(self, position: int, limit: int) -> list[int]:
        """Return the tokens from a position on, to the end of the document at most."""
        tokens: list[int] = self._text_view[position : position + limit].tolist()
        separator = len(self.first) - 1
        return tokens[: tokens.index(separator)] if separator in tokens else tokens

    def ranges(self, context: Sequence[int]) -> list[tuple[int, int]]:
        """The sorted positions that share the last 1, 2, ... tokens of `context`, while there are any."""
        found: list[tuple[int, int]] = []
        text, positions = self._text_view, self._positions_view
        for depth, token in enumerate(reversed(context), start=1):
            if depth == 1:
                low, high = int(self.first[token]), int(self.first[token + 1])
            else:

                def column(rank: int, depth: int = depth) -> int:
                    return text[positions[rank] - depth]

                low, high = found[-1]
                if column(low) == token == column(high - 1):
                    found.append((low, high))  # a long match mostly narrows no further
                    continue
                ranks = range(low, high)
                low += bisect_left(ranks, token, key=column)
                high = bisect_right(range(low, high), token, key=column) + low
            if low == high:
                break
            found.append((low, high))
        return found


class _View:
    """A segment without some of its documents, and the counts that were already asked for."""

    def __init__(self, segment: _Segment, masked: frozenset[str]) -> None:
        self._segment = segment
        self._live: npt.NDArray[np.bool_] | None = None
        self._memo: dict[tuple[int, int], _Counts] = {}
        for span in filter(None, (segment.span(name) for name in masked)):
            if self._live is None:
                self._live = np.ones(len(segment.positions), np.bool_)
            self._live &= (segment.positions < span[0]) | (segment.positions >= span[1])
        self.live_tokens: Final = segment.tokens if self._live is None else int(np.count_nonzero(self._live))

    def ranges(self, context: Sequence[int]) -> list[tuple[int, int]]:
        return self._segment.ranges(context)

    def counts_along(self, ranges: Sequence[tuple[int, int]]) -> list[_Counts]:
        """Count what follows in each of some ranges; one that equals its neighbour is counted once."""
        counted: list[_Counts] = []
        for index, (low, high) in enumerate(ranges):
            is_known = index > 0 and ranges[index - 1] == (low, high)
            counted.append(counted[-1] if is_known else self.counts(low, high))
        return counted

    def counts(self, low: int, high: int) -> _Counts:
        """Count what follows in a range of sorted positions, masked ones left out."""
        if high - low <= _COUNT_IN_PYTHON:
            return _count(self._followers(low, high))
        counts = self._memo.get((low, high))
        if counts is None:
            if len(self._memo) >= _MEMO_ENTRIES:
                self._memo.clear()
            counts = self._memo[low, high] = _count(self._followers(low, high))
        return counts

    def continuation(self, low: int, high: int, limit: int, allowed: npt.NDArray[np.int64] | None) -> list[int]:
        """Return the tokens from one of a range's positions on, where the likeliest token follows."""
        ranks = np.arange(max(low, high - _RANKS_TO_LOOK_AT), high)
        if self._live is not None:
            ranks = ranks[self._live[ranks]]
        followers = self._segment.following[ranks]
        if allowed is not None:
            kept = np.isin(followers, allowed)
            ranks, followers = ranks[kept], followers[kept]
        if not len(followers):
            return []
        likeliest, _ = Counter(followers.tolist()).most_common(1)[0]
        position = int(self._segment.positions[ranks[followers == likeliest][-1]])
        return self._segment.text_from(position, limit)

    def unigrams(self) -> npt.NDArray[np.int64]:
        vocabulary_size = len(self._segment.first) - 1
        return np.bincount(self._followers(0, len(self._segment.following)), minlength=vocabulary_size)

    def _followers(self, low: int, high: int) -> Ids:
        followers = self._segment.following[low:high]
        return followers if self._live is None else followers[self._live[low:high]]


@dataclass(slots=True, eq=False)
class _State:
    """What a collection holds between two changes."""

    base: _Segment
    masked: frozenset[str]
    """Names whose documents in `base` are out of date."""
    delta: _Segment | None
    _models: dict[str | None, NgramModel] | None = None

    def delta_names(self) -> frozenset[str]:
        return self.delta.names() | self.masked if self.delta else self.masked

    def model(self, excluding: str | None, vocabulary_size: int) -> NgramModel:
        models = self._models if self._models is not None else {}
        key = excluding if self._holds(excluding) else None
        model = models.get(key)
        if model is None:
            hidden = frozenset() if key is None else frozenset([key])
            views = [_View(self.base, self.masked | hidden)]
            if self.delta:
                views.append(_View(self.delta, hidden))
            model = NgramModel(views, vocabulary_size)
            kept = list(models.items())[-(_VIEWS_KEPT - 1) :]
            self._models = dict([*kept, (key, model)])
        return model

    def _holds(self, name: str | None) -> bool:
        segments = (self.base, self.delta) if self.delta else (self.base,)
        return name is not None and any(segment.span(name) for segment in segments)


def _ids(document: Sequence[int] | Ids) -> Ids:
    return np.asarray(document, np.int32)


def _count(followers: Ids) -> _Counts:
    if len(followers) <= _COUNT_IN_PYTHON:
        counter = Counter(followers.tolist())
        return list(counter), list(counter.values()), len(followers)
    tokens, counts = np.unique(followers, return_counts=True)
    return tokens.astype(np.int64), counts.astype(np.float64), len(followers)


def _add(found: Sequence[_Counts]) -> _Counts:
    tokens, index = np.unique(
        np.concatenate([np.asarray(tokens, np.int64) for tokens, _, _ in found]), return_inverse=True
    )
    weights = np.concatenate([np.asarray(counts, np.float64) for _, counts, _ in found])
    return tokens.astype(np.int64), np.bincount(index, weights).astype(np.float64), sum(total for _, _, total in found)


def _sort_by_reversed_context(text: Ids, separator: int) -> Ids:
    """Return the positions of `text` that hold tokens, sorted by the 15 or more tokens before each.

    Prefix doubling (Manber & Myers 1990) on reversed contexts: several tokens are packed into the first 63-bit key,
    and each further round sorts by pairs of ranks, which doubles the length.
    """
    bits = separator.bit_length()
    length = max(1, 62 // bits)
    key = np.zeros(len(text), np.int64)
    for back in range(1, length + 1):
        key <<= bits
        key[back:] |= text[:-back]
        key[:back] |= separator
    while True:
        order = np.argsort(key)
        if length >= MAX_CONTEXT:
            break
        ordered = key[order]
        rank = np.empty(len(text), np.int64)
        rank[order] = np.concatenate([[0], np.cumsum(ordered[1:] != ordered[:-1])])
        key = rank * np.int64(len(text))
        key[length:] += rank[:-length]
        length *= 2
    positions: Ids = order[text[order] != separator].astype(np.int32)
    return positions
