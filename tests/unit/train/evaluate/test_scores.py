"""pass@k against its definition, intervals against known values."""

import itertools
import math

import pytest

from train.evaluate.scores import estimate, pass_at_k, wilson


@pytest.mark.parametrize(("samples", "passed", "k"), [(1, 0, 1), (1, 1, 1), (5, 2, 1), (6, 2, 3), (7, 6, 2), (8, 0, 4)])
def test_pass_at_k_is_the_share_of_subsets_with_a_pass(samples: int, passed: int, k: int) -> None:
    results = [True] * passed + [False] * (samples - passed)
    subsets = list(itertools.combinations(results, k))
    assert pass_at_k(samples, passed, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_pass_at_1_is_the_mean() -> None:
    assert pass_at_k(200, 30, 1) == pytest.approx(0.15)
    assert pass_at_k(200, 30, 100) == pytest.approx(1 - math.comb(170, 100) / math.comb(200, 100))


def test_pass_at_more_than_was_drawn_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least 10 samples"):
        pass_at_k(5, 1, 10)


@pytest.mark.parametrize(
    ("share", "count", "low", "high"),
    [(0.5, 10, 0.2366, 0.7634), (0.0, 20, 0.0, 0.1611), (1.0, 50, 0.9287, 1.0), (0.81, 263, 0.7582, 0.8530)],
)
def test_wilson_gives_the_tabled_intervals(share: float, count: int, low: float, high: float) -> None:
    assert wilson(share, count) == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))


def test_one_right_or_wrong_answer_a_task_gives_wilsons_interval() -> None:
    found = estimate([1.0, 0.0, 1.0, 0.0], samples=1)
    assert (found.value, found.tasks) == (0.5, 4)
    assert (found.low, found.high) == wilson(0.5, 4)


def test_shares_give_a_bootstrap_over_tasks_that_is_the_same_every_time() -> None:
    values = [0.1, 0.4, 0.5, 0.9, 1.0] * 20
    first, second = estimate(values, samples=10), estimate(values, samples=10)
    assert first == second
    error = math.sqrt(sum((value - first.value) ** 2 for value in values)) / len(values)
    assert first.high - first.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_no_task_says_nothing() -> None:
    found = estimate([], samples=1)
    assert (found.low, found.high, found.tasks) == (0.0, 1.0, 0)
