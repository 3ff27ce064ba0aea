"""What the benchmark of the default model rests on: scores on file, and differences between answers to one hole."""

from pathlib import Path

import pytest

from benchmarks.default_model import paired_difference
from benchmarks.ledger import Ledger, Metrics


def _refuse() -> Metrics:
    raise AssertionError("measured twice")


def test_what_is_on_file_is_not_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    assert Ledger(path).metrics("a/1", lambda: {"exact match": 1.0}) == {"exact match": 1.0}
    assert Ledger(path).metrics("a/1", _refuse) == {"exact match": 1.0}


def test_a_line_cut_short_by_a_kill_is_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('["a/1", {"exact match": 1.0}]\n["a/2", {"exact', encoding="utf-8")
    assert Ledger(path).metrics("a/1", _refuse) == {"exact match": 1.0}
    assert Ledger(path).metrics("a/2", lambda: {"exact match": 0.0}) == {"exact match": 0.0}
    assert Ledger(path).metrics("a/2", _refuse) == {"exact match": 0.0}


def test_without_a_file_nothing_is_kept() -> None:
    assert Ledger(None).metrics("a", lambda: {"pass": 1.0}) == {"pass": 1.0}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [([1, 1, 0, 1], [1, 1, 0, 1], (0.0, 0.0, 0.0)), ([1] * 50, [0] * 50, (100.0, 100.0, 100.0))],
)
def test_differences_are_taken_hole_by_hole(
    one: list[int], other: list[int], expected: tuple[float, float, float]
) -> None:
    scores, others = ([{"exact match": float(value)} for value in values] for values in (one, other))
    assert paired_difference(scores, others) == expected
