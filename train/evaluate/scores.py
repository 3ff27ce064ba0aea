"""What samples are worth: unbiased pass@k, means, and how sure one can be of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_Z = 1.959963984540054
"""Of a two-sided 95 % interval."""
_RESAMPLES = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A share or mean, 0 to 1, with its 95 % confidence interval."""

    value: float
    low: float
    high: float
    tasks: int

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """Return the unbiased chance that one of `k` samples passes, from `passed` of `samples` (Chen et al. 2021, eq. 1).

    Raises:
        ValueError: fewer than `k` samples were drawn.
    """
    if not 0 < k <= samples:
        raise ValueError(f"pass@{k} needs at least {k} samples, not {samples}")
    if samples - passed < k:
        return 1.0
    return 1.0 - math.prod((samples - passed - i) / (samples - i) for i in range(k))


def estimate(task_means: Sequence[float], *, samples: int) -> Estimate:
    """Return the mean over tasks and its interval.

    Wilson's where every task was right or wrong once; otherwise a bootstrap over tasks (percentiles, fixed seed): the
    tasks, not the samples of one task, are what another data set would have drawn anew.
    """
    count = len(task_means)
    if count == 0:
        return Estimate(value=0.0, low=0.0, high=1.0, tasks=0)
    mean = math.fsum(task_means) / count
    if samples == 1 and all(value in (0.0, 1.0) for value in task_means):
        low, high = wilson(mean, count)
    else:
        low, high = _bootstrap(task_means)
    return Estimate(value=mean, low=low, high=high, tasks=count)


def wilson(share: float, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share of `count` trials (Wilson 1927)."""
    spread = _Z * math.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    middle = share + _Z**2 / (2 * count)
    scale = 1 + _Z**2 / count
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def _bootstrap(values: Sequence[float]) -> tuple[float, float]:
    generator = np.random.default_rng(0)
    array = np.array(values)
    means = [array[generator.integers(len(array), size=len(array))].mean() for _ in range(_RESAMPLES)]
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)
