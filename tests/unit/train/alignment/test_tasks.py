"""Tasks are read from our own lines, MBPP's and HumanEval's, or drawn from documented functions."""

import json
from pathlib import Path
from typing import Any

import pytest

from train.alignment.tasks import CodeTask, draw_tasks, read_tasks
from train.data.document import SourceDocument
from train.errors import CorpusError
from train.evaluate.sandbox import Sandbox
from train.rewards import Answer, Judge


def _read(folder: Path, *lines: Any) -> list[CodeTask]:
    path = folder / "tasks.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return read_tasks(path)


def test_tasks_are_read_in_three_shapes(tmp_path: Path) -> None:
    found = _read(
        tmp_path,
        {"instruction": "Add.", "tests": ["assert add(1, 2) == 3"], "setup": "import math"},
        {"text": "Add.", "code": "...", "test_list": ["assert add(1, 2) == 3"], "test_setup_code": ""},
        {"prompt": "def add(a, b):\n", "entry_point": "add", "test": "def check(f):\n    assert f(1, 2) == 3\n"},
    )
    assert found == [
        CodeTask(instruction="Add.", tests=("assert add(1, 2) == 3",), setup="import math"),
        CodeTask(instruction="Add.", tests=("assert add(1, 2) == 3",)),
        CodeTask(instruction="def add(a, b):\n", tests=("def check(f):\n    assert f(1, 2) == 3\n\ncheck(add)",)),
    ]


@pytest.mark.parametrize(
    "line", [{}, {"instruction": "Add."}, {"instruction": "Add.", "tests": []}, {"instruction": 1, "tests": ["x"]}, []]
)
def test_a_line_that_is_no_task_is_named(tmp_path: Path, line: Any) -> None:
    with pytest.raises(CorpusError, match=r"tasks\.jsonl:2 is no task"):
        _read(tmp_path, {"instruction": "Add.", "tests": ["assert True"]}, line)


def test_a_file_without_tasks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="holds no task"):
        _read(tmp_path)
    with pytest.raises(CorpusError, match="cannot read"):
        read_tasks(tmp_path / "nowhere.jsonl")


SOURCE = '''
def double(number):
    """Return twice the number that is given.

    >>> double(2)
    4
    >>> double("ab")
    'abab'
    >>> double(None)
    Traceback (most recent call last):
    TypeError
    """
    result = number * 2
    return result
'''


def test_a_documented_function_asks_for_itself_and_its_examples_test_it() -> None:
    document = SourceDocument(repository="shop", path="a.py", text=SOURCE, language="python", comment="#")
    (task,) = draw_tasks([document])
    assert task.instruction.startswith("Write a Python function `double(number)`.")
    answers = [SOURCE, "def double(number):\n    return 4"]
    judge = Judge(Sandbox(), seconds=1)
    verdicts = judge.judge([Answer(task=task, text=text, prompt=[], ids=[]) for text in answers])
    assert [verdict.passed for verdict in verdicts] == [(True, True, True), (True, True, False)]
