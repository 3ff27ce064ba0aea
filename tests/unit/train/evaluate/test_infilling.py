"""Infilling suites: the line ends that decide, the two rules, and exact match beside running."""

from pathlib import Path

import pytest

from tests.support.benchmark_data import INFILLING, write_rows
from train.evaluate.infilling import HumanEvalInfilling, LineHoles, Rule, Split, first_line
from train.evaluate.sandbox import Sandbox
from train.evaluate.suite import Extent, Infill

SANDBOX = Sandbox()


def suite(tmp_path: Path, split: Split, rule: Rule = Rule.FIRST_LINE) -> HumanEvalInfilling:
    folder = write_rows(tmp_path / f"HumanEval-{split.value}.jsonl.gz", [INFILLING])
    return HumanEvalInfilling(split, folder, SANDBOX, rule=rule)


@pytest.mark.parametrize(
    ("split", "rule", "extent"),
    [
        (Split.SINGLE, Rule.FIRST_LINE, Extent.LINE),
        (Split.SINGLE, Rule.WHOLE, Extent.END_MARK),
        (Split.MULTI, Rule.FIRST_LINE, Extent.END_MARK),
        (Split.RANDOM, Rule.FIRST_LINE, Extent.END_MARK),
    ],
)
def test_the_rule_decides_how_far_a_model_may_write(tmp_path: Path, split: Split, rule: Rule, extent: Extent) -> None:
    (task,) = suite(tmp_path, split, rule).tasks()
    assert isinstance(task.question, Infill)
    assert task.question.extent is extent


@pytest.mark.parametrize(
    ("split", "rule", "written", "kept"),
    [
        # The middle's line end belongs to it: without one, answer and suffix would share a line.
        (Split.SINGLE, Rule.FIRST_LINE, "        result += x", "        result += x\n"),
        (Split.SINGLE, Rule.FIRST_LINE, "        result += x\n    more()", "        result += x\n"),
        (Split.SINGLE, Rule.FIRST_LINE, "\n        result += x\n", "        result += x\n"),
        (Split.SINGLE, Rule.WHOLE, "        result += x\n    more()", "        result += x\n    more()\n"),
        (Split.MULTI, Rule.FIRST_LINE, "a\nb", "a\nb\n"),
        (Split.MULTI, Rule.FIRST_LINE, "a\nb\n", "a\nb\n"),
        (Split.RANDOM, Rule.FIRST_LINE, "a\nb", "a\nb"),
    ],
)
def test_answers_are_cut_and_ended(tmp_path: Path, split: Split, rule: Rule, written: str, kept: str) -> None:
    chosen = suite(tmp_path, split, rule)
    (task,) = chosen.tasks()
    assert chosen.cut(task, written) == kept


@pytest.mark.parametrize(
    ("written", "passed", "exact"),
    [
        ("        result += x\n", 1.0, 1.0),
        ("        result += x   \n", 1.0, 1.0),
        ("        result = result + x\n", 1.0, 0.0),
        ("        result -= x\n", 0.0, 0.0),
        ("    result += x\n", 0.0, 1.0),  # exact match strips the ends, running does not
        ("", 0.0, 0.0),
    ],
)
def test_running_and_comparing_are_told_apart(tmp_path: Path, written: str, passed: float, exact: float) -> None:
    chosen = suite(tmp_path, Split.SINGLE)
    (task,) = chosen.tasks()
    metrics = chosen.judge(task, written).metrics
    assert (metrics["pass"], metrics["exact match"]) == (passed, exact)


def test_line_holes_score_each_language_and_all_rows(tmp_path: Path) -> None:
    rows = [
        {"prompt": "a = ", "suffix": "\n", "canonical_solution": "1", "language": "py", "name": "one"},
        {"prompt": "int a = ", "suffix": "\n", "canonical_solution": "1;", "language": "java", "name": "two"},
    ]
    holes = LineHoles(write_rows(tmp_path / "test.jsonl", rows), rule=Rule.FIRST_LINE)
    python, java = holes.tasks()
    assert isinstance(java.question, Infill)
    assert (java.question.comment, java.question.path) == ("//", "solution.java")
    assert holes.judge(python, holes.cut(python, " 1 \nb")).metrics == {"exact match": 1.0, "exact match, py": 1.0}
    assert holes.judge(java, "2;").metrics == {"exact match": 0.0, "exact match, java": 0.0}


@pytest.mark.parametrize(("text", "line"), [("a", "a"), ("a\nb", "a"), ("\na\nb", "a"), ("\n\na", ""), ("", "")])
def test_the_first_line_is_the_second_after_a_line_end(text: str, line: str) -> None:
    assert first_line(text) == line
