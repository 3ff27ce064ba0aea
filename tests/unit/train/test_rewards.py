"""Answers are worth what comes of running them, and none can claim more."""

import json
import sys
from pathlib import Path

import pytest

from train.alignment.tasks import CodeTask
from train.evaluate.sandbox import Protection, Sandbox, strongest_protection
from train.rewards import Answer, Judge, ModelRewards, TestRewards, Verdict

TASK = CodeTask(
    instruction="Double a number.",
    tests=("assert double(1) == 2", "assert double(0) == 0", "assert math.isclose(double(0.5), 1)"),
    setup="import math",
)
RIGHT = "def double(x):\n    return 2 * x\n"
CASES = {
    "right": (RIGHT, [True, True, True, True]),
    "in a block": (f"Here it is:\n```python\n{RIGHT}```\nThat doubles.", [True, True, True, True]),
    "in a block that was cut off": (f"```\n{RIGHT}", [True, True, True, True]),
    "right for some": ("def double(x):\n    return x ** 2 + x ** 3", [True, True, True, False]),
    "wrong": ("def double(x):\n    return 7", [True, False, False, False]),
    "no function": ("x = 1", [True, False, False, False]),
    "does not compile": ("def double(x) return 2 * x", [False, False, False, False]),
    "a null byte": ("x = '\0'", [False, False, False, False]),
    "raises at once": ("raise ValueError", [True, False, False, False]),
    "ends at once": ("exit()", [True, False, False, False]),
    "ends well, and hard": ("import os\nos._exit(0)", [True, False, False, False]),
    "ends in a test": ("def double(x):\n    raise SystemExit(0)", [True, False, False, False]),
    "ends hard after a right test": (
        "import os\ndef double(x):\n    return 2 * x if x == 1 else os._exit(0)",
        [True, True, False, False],
    ),
    "never ends": ("while True: pass", [True, False, False, False]),
    "never ends in one test": ("def double(x):\n    while x == 0: pass\n    return 2 * x", [True, True, False, False]),
    "prints a verdict": (f"print({json.dumps([[True] * 4])!r})", [True, False, False, False]),
    "reads the tests": ("open('candidates.json')\n" + RIGHT, [True, False, False, False]),
}


def _answer(text: str, task: CodeTask = TASK) -> Answer:
    return Answer(task=task, text=text, prompt=[1], ids=[2, 3])


SYSTEM_PYTHON = "/usr/bin/python3"
"""Programs under limits alone may run as another user, who must be able to read the interpreter."""


@pytest.mark.parametrize("protection", [strongest_protection(), Protection.LIMITS])
def test_answers_get_what_they_earn_side_by_side(protection: Protection) -> None:
    if protection is Protection.LIMITS and not Path(SYSTEM_PYTHON).exists():
        pytest.skip(f"there is no {SYSTEM_PYTHON}")
    python = SYSTEM_PYTHON if protection is Protection.LIMITS else sys.executable
    judge = Judge(Sandbox(protection=protection, python=python), seconds=1)
    verdicts = judge.judge([_answer(text) for text, _ in CASES.values()])
    found = {name: [verdict.compiles, *verdict.passed] for name, verdict in zip(CASES, verdicts, strict=True)}
    assert found == {name: wanted for name, (_, wanted) in CASES.items()}


def test_an_answer_that_kills_what_runs_it_takes_no_other_down() -> None:
    killer = "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n"
    judge = Judge(Sandbox(), seconds=1)
    verdicts = judge.judge([_answer(RIGHT), _answer(killer), _answer(RIGHT)])
    assert [verdict.solved for verdict in verdicts] == [True, False, True]


def test_tests_are_worth_their_share_and_compiling_a_little() -> None:
    rewards = TestRewards(judge=Judge(Sandbox(), seconds=1), compile_reward=0.1)
    names = ("right", "right for some", "wrong", "does not compile")
    scored = rewards.score([_answer(CASES[name][0]) for name in names])
    assert [one.reward for one in scored] == pytest.approx([1.0, 0.1 + 0.9 * 2 / 3, 0.1, 0.0])


def test_a_reward_model_judges_and_the_tests_are_told_too() -> None:
    judge = Judge(Sandbox(), seconds=1)
    rewards = ModelRewards(scores=lambda rows: [float(len(row)) for row in rows], judge=judge)
    (scored,) = rewards.score([_answer(RIGHT)])
    assert scored.reward == 3.0
    assert scored.verdict == Verdict(compiles=True, passed=(True, True, True))
