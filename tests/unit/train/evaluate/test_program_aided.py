"""Word problems: the last program counts, and its result within a tolerance."""

from pathlib import Path

import pytest

from tests.support.benchmark_data import write_rows
from train.evaluate.program_aided import Problems, ProgramAided
from train.evaluate.sandbox import Sandbox
from train.evaluate.suite import Continue

SANDBOX = Sandbox()
GSM8K = {"question": "What is 1,000 and 234? ", "answer": "It is <<1000+234=1234>>1234.\n#### 1,234"}
SVAMP = {"Body": "Ann has 3 pens", "Question": "How many are 2 of them?", "Answer": 2.0, "Equation": "( 3.0 - 1.0 )"}


@pytest.fixture
def gsm8k(tmp_path: Path) -> ProgramAided:
    return ProgramAided(Problems.GSM8K, write_rows(tmp_path / "test.json", [GSM8K]), SANDBOX)


def test_the_prompt_ends_where_the_program_begins(gsm8k: ProgramAided) -> None:
    (task,) = gsm8k.tasks()
    assert isinstance(task.question, Continue)
    assert task.question.prompt.endswith("Question: What is 1,000 and 234?\n\n```python\n")
    assert task.question.prompt.count("def solution():") == 3


@pytest.mark.parametrize(
    ("program", "passed"),
    [
        ("def solution():\n    return 1000 + 234", 1),
        ("def solution():\n    return 1234.00001", 1),
        ("def solution():\n    return '1234'", 1),
        ("def solution():\n    print('answer: 1')\n    return 1234", 1),
        ("def solution():\n    return 1235", 0),
        ("def solution():\n    return None", 0),
        ("def solution():\n    return float('nan')", 0),
        ("print('answer: 1234')", 0),
        ("", 0),
    ],
)
def test_results_decide(gsm8k: ProgramAided, program: str, passed: float) -> None:
    (task,) = gsm8k.tasks()
    assert gsm8k.judge(task, program).metrics == {"pass": passed}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("def solution():\n    return 1\n```\n\nQuestion: x", "def solution():\n    return 1\n"),
        (
            "x\n```python\ndef solution():\n  1\n```\nno:\n```python\ndef solution():\n  2\n```",
            "def solution():\n  2\n",
        ),
        ("def solution():\n    return 1\n\n----\n", "def solution():\n    return 1\n"),
    ],
)
def test_the_program_is_cut_out(gsm8k: ProgramAided, text: str, kept: str) -> None:
    (task,) = gsm8k.tasks()
    assert gsm8k.cut(task, text) == kept


def test_svamp_joins_body_and_question(tmp_path: Path) -> None:
    suite = ProgramAided(Problems.SVAMP, write_rows(tmp_path / "svamp" / "test.json", [SVAMP]).parent, SANDBOX)
    (task,) = suite.tasks()
    assert isinstance(task.question, Continue)
    assert "Question: Ann has 3 pens. How many are 2 of them?" in task.question.prompt
    assert task.truth is not None
    assert suite.judge(task, task.truth).metrics == {"pass": 1}
