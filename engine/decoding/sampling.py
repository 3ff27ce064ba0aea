"""Chooses the next token from its probabilities."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Choose = Callable[[Floats], int]
"""Takes probabilities [vocabulary_size], not all 0; returns a token."""


def restrict(probabilities: Floats, allowed: npt.NDArray[np.int64]) -> Floats:
    """Return `probabilities` on the token ids `allowed` and 0 elsewhere, summing to 1."""
    kept = np.zeros_like(probabilities)
    kept[allowed] = probabilities[allowed]
    if kept.sum() <= 0:
        kept[allowed] = 1.0  # all of them underflowed: any is as good
    restricted: Floats = kept / kept.sum()
    return restricted


def greedy(probabilities: Floats) -> int:
    """Return the likeliest token, the lowest id among equals."""
    return int(np.argmax(probabilities))


def with_temperature(temperature: float, *, seed: int) -> Choose:
    """Return a sampler from p^(1 / temperature), repeatable by `seed`; temperature 0 is greedy."""
    if temperature <= 0:
        return greedy
    generator = np.random.default_rng(seed)

    def choose(probabilities: Floats) -> int:
        with np.errstate(divide="ignore"):
            logits = np.log(probabilities.astype(np.float64)) / temperature
        # The Gumbel-max trick: no sum to normalise by, so no underflow at low temperatures.
        return int(np.argmax(logits + generator.gumbel(size=len(logits))))

    return choose
