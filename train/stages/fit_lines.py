"""Fits how whole lines are chosen: the weights of `engine.line_features`, from holes whose line is known.

A conditional logit (McFadden 1974): the line that stood there should score above the others that were proposed with it.
The log-likelihood is concave, so a few Newton steps find its only maximum.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.completer import Completer
from engine.decoding.line_choice import JudgedLine
from engine.line_features import FEATURES
from train.evaluate.completed_holes import AskedHole, request_for
from train.evaluate.repository_holes import is_exact

Floats = npt.NDArray[np.float64]

_RIDGE: Final = 3.0
"""Strength of the prior; from 1 to 10 exact match stays the same, cross-validated over repositories."""
_NEWTON_STEPS: Final = 25


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """The lines that one hole could get."""

    features: Floats
    """[lines, len(FEATURES)]."""
    right: int
    """Which of them stood there."""


def compare_lines(completer: Completer, asked: Sequence[AskedHole]) -> Iterator[Comparison]:
    """Yield the comparisons that `completer` makes in some holes, where one line is right and another is not."""
    for hole in asked:
        judged = completer.judged_lines(request_for(hole.hole, hole.snippets))
        are_right = [is_exact(line.text, hole.hole.truth) for line in judged]
        if any(are_right) and not all(are_right):
            yield Comparison(np.array([_row(line) for line in judged]), are_right.index(True))


def fit_line_weights(comparisons: Sequence[Comparison], prior: Mapping[str, float]) -> Mapping[str, float]:
    """Return the weight of each feature; with few comparisons they stay near those of `prior`."""
    start = np.array([prior.get(name, 0.0) for name in FEATURES])
    if not comparisons:
        return prior
    # Features of all sizes share one ridge, so each is measured by its spread.
    spread = np.concatenate([comparison.features for comparison in comparisons]).std(axis=0)
    spread[spread == 0] = 1.0
    rows = [Comparison(comparison.features / spread, comparison.right) for comparison in comparisons]
    weights = start * spread
    for _ in range(_NEWTON_STEPS):
        slope, curvature = _derivatives(rows, weights, prior=start * spread)
        step = np.linalg.solve(curvature, slope)
        weights = weights + step
        if np.abs(step).max() < 1e-6:
            break
    return dict(zip(FEATURES, (weights / spread).tolist(), strict=True))


def _derivatives(comparisons: Sequence[Comparison], weights: Floats, *, prior: Floats) -> tuple[Floats, Floats]:
    """Return the slope of the penalised log-likelihood, and minus its second derivative."""
    slope = -2 * _RIDGE * (weights - prior)
    curvature = 2 * _RIDGE * np.eye(len(weights))
    for comparison in comparisons:
        scores = comparison.features @ weights
        shares = np.exp(scores - scores.max())
        shares /= shares.sum()
        mean = shares @ comparison.features
        centred = comparison.features - mean
        slope += centred[comparison.right]
        curvature += centred.T @ (shares[:, None] * centred)
    return slope, curvature


def _row(line: JudgedLine) -> list[float]:
    return [line.features[name] for name in FEATURES]
