"""Mixes the network's distribution with two n-gram models of the user's own code: the open file and its collection.

The three are interpolated with weights that depend on how long a context each n-gram model has seen before: after 15
matching tokens the user's own code is almost always right, after none it knows next to nothing.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engine.errors import ModelFolderError
from engine.line_features import BY_PROBABILITY, FEATURES
from engine.ngram import MAX_CONTEXT, NgramModel

Floats = npt.NDArray[np.float32]

_BUCKET_STARTS: Final = (0, 1, 2, 3, 4, 6, 9, 15)
"""Longest matches, in tokens, that open a bucket of weights; one more bucket in front means that there is no model."""
_BUCKETS: Final = len(_BUCKET_STARTS) + 1
_PRIOR_SAMPLES: Final = 20.0
"""How many samples the weights to start from count for in a fit."""
_EM_ROUNDS: Final = 40
_MOST_LINES: Final = 32

# Strength of each n-gram model by bucket of its longest match, against 1 for the network. They follow a fit on twelve
# Python packages, halved for the network's sake: a folder without a mixture of its own holds a bigger network than
# the one they were fitted with. Only their ratio matters where no network answers.
_FILE_STRENGTH: Final = (0.0, 0.18, 0.55, 1.0, 2.0, 3.0, 4.5, 5.5, 12.0)
_COLLECTION_STRENGTH: Final = (0.0, 0.05, 0.2, 0.4, 0.7, 1.5, 2.5, 5.0, 20.0)


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """Weights of network, collection and file by bucket of longest match; what `mixture.json` holds."""

    with_network: npt.NDArray[np.float64]
    """[file bucket, collection bucket, 3]: network, collection, file; every row sums to 1."""
    alone: npt.NDArray[np.float64]
    """[file bucket, collection bucket, 2]: collection, file; used where no network answers."""
    proposed_lines: int = 0
    """How many whole lines of the n-gram models are compared with what is written token by token (`line_choice`)."""
    line_weights: Mapping[str, float] = field(default_factory=lambda: BY_PROBABILITY)
    """Weights of the features that lines are compared by (`line_features`)."""

    @classmethod
    def default(cls) -> "Mixture":
        """Return the weights for a folder that brings none."""
        return _default_mixture()

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Mixture":
        """Read the object that `to_json` wrote.

        Raises:
            ModelFolderError: it is not such an object.
        """
        try:
            if tuple(raw["match_bucket_starts"]) != _BUCKET_STARTS:
                raise ModelFolderError("mixture.json has other match buckets than this version; fit it again")
            lines = int(raw.get("proposed_lines", 0))
            if not 0 <= lines <= _MOST_LINES:
                raise ValueError(f"proposed_lines must lie in 0 to {_MOST_LINES}")
            weights = _line_weights(raw.get("line_weights", BY_PROBABILITY))
            return cls(_table(raw["with_network"], 3), _table(raw["alone"], 2), lines, weights)
        except KeyError as error:
            raise ModelFolderError(f"mixture.json has no {error.args[0]!r}; fit it again") from error
        except (TypeError, ValueError) as error:
            raise ModelFolderError(f"mixture.json is broken ({error}); fit it again") from error

    def to_json(self) -> dict[str, Any]:
        """Return the object to store as `mixture.json`."""
        return {
            "match_bucket_starts": list(_BUCKET_STARTS),
            "with_network": np.round(self.with_network, 4).tolist(),
            "alone": np.round(self.alone, 4).tolist(),
            "proposed_lines": self.proposed_lines,
            "line_weights": {name: round(weight, 4) for name, weight in self.line_weights.items()},
        }

    def probabilities(self, samples: "MixtureSamples") -> tuple[Floats, Floats]:
        """Return what the mixture gives to recorded tokens, with the network and without, each float32 [N]."""
        cells = _buckets(samples.file_match), _buckets(samples.collection_match)
        parts = np.stack([samples.network, samples.collection, samples.file], axis=1)
        with_network = (parts * self.with_network[cells]).sum(axis=1)
        alone = (parts[:, 1:] * self.alone[cells]).sum(axis=1)
        return with_network.astype(np.float32), alone.astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheAnswers:
    """What the n-gram models say about the next token."""

    file: Floats
    """Probabilities [vocabulary_size]; uniform without a model."""
    collection: Floats | None
    file_match: int
    """Longest context found, in tokens; -1 without a model."""
    collection_match: int


class CacheModel:
    """The n-gram models at one cursor, ready to be mixed into a network's distribution."""

    def __init__(self, mixture: Mixture, *, file: NgramModel, collection: NgramModel | None) -> None:
        """Take the models of the open file (without the hole) and of its collection (without that file)."""
        self._mixture = mixture
        self._file = file
        self._collection = collection
        self._known: dict[tuple[int, ...], CacheAnswers] = {}

    @property
    def models(self) -> tuple[NgramModel, ...]:
        """The n-gram models there are, the file's first."""
        return (self._file,) if self._collection is None else (self._file, self._collection)

    def mix(self, context: Sequence[int], network: Floats, *, end_ids: Sequence[int]) -> Floats:
        """Return the next token's probabilities, float32 [vocabulary_size].

        Whether the completion ends is for the network to say: the n-gram models never saw an end mark, and would talk
        it out of ending by their mere certainty about how the code goes on.

        Args:
            context: the tokens before the cursor, what was generated so far included.
            network: the network's probabilities, float32 [vocabulary_size].
            end_ids: the end marks.
        """
        ends = list(end_ids)
        ending = network[ends]
        going_on = 1.0 - float(ending.sum())
        if going_on < 1e-6:
            return network
        rest = network / np.float32(going_on)
        rest[ends] = 0.0
        mixed = self._interpolate(context, rest)
        mixed[ends] = 0.0
        mixed *= np.float32(going_on / mixed.sum())
        mixed[ends] = ending
        return mixed

    def mix_alone(self, context: Sequence[int]) -> Floats:
        """Return the next token's probabilities without a network; uniform when the n-gram models are empty."""
        return self._interpolate(context, None)

    def answers(self, context: Sequence[int]) -> CacheAnswers:
        """Return what each n-gram model says, unmixed: `fit_mixture` learns from these."""
        seen = tuple(context[-MAX_CONTEXT:])
        if seen not in self._known:  # lines that are compared have their beginnings in common
            self._known[seen] = self._ask(seen)
        return self._known[seen]

    def _ask(self, context: Sequence[int]) -> CacheAnswers:
        file, file_match = self._file.distribution(context)
        collection, collection_match = None, -1
        if self._collection is not None and self._collection.tokens:
            collection, collection_match = self._collection.distribution(context)
        return CacheAnswers(
            file=file,
            file_match=file_match if self._file.tokens else -1,
            collection=collection,
            collection_match=collection_match,
        )

    def _interpolate(self, context: Sequence[int], network: Floats | None) -> Floats:
        answers = self.answers(context)
        cell = _bucket(answers.file_match), _bucket(answers.collection_match)
        if network is None:
            weights = self._mixture.alone[cell]
            mixed = answers.file * np.float32(weights[1])
        else:
            weights = self._mixture.with_network[cell]
            mixed = answers.file * np.float32(weights[2]) + network * np.float32(weights[0])
        if answers.collection is not None:
            mixed += answers.collection * np.float32(weights[-2])
        return mixed


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureSamples:
    """Probabilities that each part gave to the tokens that really came, one entry a token."""

    network: Floats
    """[N]; given that the completion does not end here: p(token) / (1 - p(end marks))."""
    collection: Floats
    """[N]; 0 where there was no collection."""
    file: Floats
    """[N]."""
    collection_match: npt.NDArray[np.int64]
    """[N]; longest match in tokens, -1 where there was no collection."""
    file_match: npt.NDArray[np.int64]
    """[N]."""


def fit_mixture(samples: MixtureSamples, prior: Mixture) -> Mixture:
    """Fit the weights to recorded tokens by expectation maximisation (Jelinek & Mercer 1980).

    Buckets with few samples stay near those of `prior`. Cells without a collection are fitted from all samples, as
    if none of them had one.
    """
    parts = np.stack([samples.network, samples.collection, samples.file], axis=1).astype(np.float64)
    with_network, alone = prior.with_network.copy(), prior.alone.copy()
    file_buckets = _buckets(samples.file_match)
    for buckets, present in ((_buckets(samples.collection_match), 1.0), (np.zeros_like(file_buckets), 0.0)):
        seen = parts * [1.0, present, 1.0]
        for cell in np.unique(np.stack([file_buckets, buckets], axis=1), axis=0):
            rows = seen[(file_buckets == cell[0]) & (buckets == cell[1])]
            key = int(cell[0]), int(cell[1])
            with_network[key] = _fit_weights(rows, with_network[key])
            alone[key] = _fit_weights(rows[:, 1:], alone[key])
    return replace(prior, with_network=_frozen(with_network), alone=_frozen(alone))


def _fit_weights(rows: npt.NDArray[np.float64], prior: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    weights = prior
    for _ in range(_EM_ROUNDS):
        shares = rows * weights + 1e-12 * (prior > 0)
        shares /= shares.sum(axis=1, keepdims=True)
        weights = shares.sum(axis=0) + _PRIOR_SAMPLES * prior
        weights /= weights.sum()
    return weights


def _bucket(match: int) -> int:
    return bisect_right(_BUCKET_STARTS, match)


def _buckets(matches: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.searchsorted(_BUCKET_STARTS, matches, side="right").astype(np.int64)


@cache
def _default_mixture() -> Mixture:
    shape = (_BUCKETS, _BUCKETS, 1)
    file = np.broadcast_to(np.array(_FILE_STRENGTH)[:, None, None], shape)
    collection = np.broadcast_to(np.array(_COLLECTION_STRENGTH)[None, :, None], shape)
    with_network = np.concatenate([np.ones(shape), collection, file], axis=2)
    alone = np.concatenate([collection, file], axis=2)
    alone[0, 0] = (0.0, 1.0)  # the empty file model answers with the uniform distribution
    return Mixture(_normalised(with_network), _normalised(alone))


def _table(raw: object, parts: int) -> npt.NDArray[np.float64]:
    table = np.array(raw, np.float64)
    if table.shape != (_BUCKETS, _BUCKETS, parts):
        raise ValueError(f"weights of shape {list(table.shape)}")
    if not (np.isfinite(table).all() and (table >= 0).all() and (table.sum(axis=2) > 0).all()):
        raise ValueError("weights must be finite, not negative, and not all 0")
    table[:, 0, -2] = 0.0  # bucket 0 means that there is no model to weigh
    table[0, :, -1] = 0.0
    table[0, 0, -1] = float(parts == 2)
    return _normalised(table)


def _line_weights(raw: Mapping[str, Any]) -> Mapping[str, float]:
    unknown = set(raw) - set(FEATURES)
    if unknown:
        raise ValueError(f"line_weights has {', '.join(sorted(unknown))}, which this version does not know")
    weights = {name: float(weight) for name, weight in raw.items()}
    if not np.isfinite(list(weights.values())).all():
        raise ValueError("line_weights must be finite")
    return weights


def _normalised(table: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    totals = table.sum(axis=2, keepdims=True)
    return _frozen(np.divide(table, totals, out=np.zeros_like(table), where=totals > 0))


def _frozen(table: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    table.flags.writeable = False
    return table
