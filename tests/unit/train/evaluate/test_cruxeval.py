"""CRUXEval: prompts end where the answer begins, and only plain values are answers."""

from pathlib import Path

import pytest

from tests.support.benchmark_data import CRUXEVAL, write_rows
from train.evaluate.cruxeval import CruxEval, Direction
from train.evaluate.sandbox import Sandbox
from train.evaluate.suite import Continue

SANDBOX = Sandbox()


def suite(tmp_path: Path, direction: Direction) -> CruxEval:
    return CruxEval(direction, write_rows(tmp_path / "cruxeval.jsonl", [CRUXEVAL]), SANDBOX)


@pytest.mark.parametrize("direction", Direction)
def test_the_prompt_and_the_truth_join_to_the_assertion(tmp_path: Path, direction: Direction) -> None:
    (task,) = suite(tmp_path, direction).tasks()
    assert isinstance(task.question, Continue)
    assert task.truth is not None
    assert (task.question.prompt + task.truth).endswith("assert f([3, 1]) == [1, 3]")
    asked = task.question.prompt.rpartition("assert")[2]
    assert ("[1, 3]" in asked, "[3, 1]" in asked) == (False, direction is Direction.OUTPUT)


@pytest.mark.parametrize(
    ("answer", "passed"),
    [
        (" [1, 3]", 1),
        (" [1,3]  ", 1),
        (" [1, 3]\n\ndef g(): pass", 1),
        (" [3, 1]", 0),
        (" f([3, 1])", 0),
        (" sorted([3, 1])", 0),
        (" [1, 3] or (lambda: 1)", 0),
        (" [1, 3", 0),
        ("", 0),
        (" __import__('os')", 0),
        (" [1, 3]) or (True", 0),
    ],
)
def test_outputs(tmp_path: Path, answer: str, passed: float) -> None:
    chosen = suite(tmp_path, Direction.OUTPUT)
    (task,) = chosen.tasks()
    assert chosen.judge(task, chosen.cut(task, answer)).metrics == {"pass": passed}


@pytest.mark.parametrize(
    ("answer", "passed"),
    [
        ("f([3, 1]) == [1, 3]", 1),
        ("f([1, 3])", 1),
        ("f(xs=[1, 3])", 1),
        ("f([1, 2]) == [1, 2]", 0),
        ("f(f([3, 1]))", 0),
        ("[1, 3]", 0),
        ("f([3, 1]", 0),
        ("True or f([3, 1])", 0),
    ],
)
def test_inputs(tmp_path: Path, answer: str, passed: float) -> None:
    chosen = suite(tmp_path, Direction.INPUT)
    (task,) = chosen.tasks()
    assert chosen.judge(task, chosen.cut(task, answer)).metrics == {"pass": passed}
