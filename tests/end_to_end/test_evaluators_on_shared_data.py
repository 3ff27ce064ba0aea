"""The evaluators on the real benchmarks: the data's own solutions are right, other text is wrong.

A fixed part of each, spread over the whole; benchmarks/evaluators.py runs all of it. The data lie beside the checkout
(`shared/bench`) or where MIDFILL_BENCH says; without them these tests are skipped.
"""

import os
from pathlib import Path

import pytest

from train.cli import main
from train.evaluate.known_answers import KnownAnswers, failing_answer, right_answer, wrong_answer
from train.evaluate.runner import Sampling, measure
from train.evaluate.sandbox import Sandbox
from train.evaluate.suite import Continue
from train.evaluate.suites import SuiteOptions, open_suite

ROOT = Path(__file__).parents[2]
BENCH = Path(os.environ.get("MIDFILL_BENCH", ROOT.parent / "shared" / "bench"))
SUITES = {
    "humaneval": ("humaneval", 164),
    "mbpp": ("mbpp", 500),
    "mbpp-all": ("mbpp", 974),
    "infilling-single": ("humaneval-infilling", 1033),
    "infilling-multi": ("humaneval-infilling", 5815),
    "infilling-random": ("humaneval-infilling", 1640),
    "infilling-random-light": ("humaneval-infilling", 164),
    "cruxeval-i": ("cruxeval", 800),
    "cruxeval-o": ("cruxeval", 800),
    "gsm8k": ("pal-math", 1319),
    "svamp": ("pal-math", 1000),
}
LIMIT = 8

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BENCH.is_dir(), reason=f"no benchmark data in {BENCH}; set MIDFILL_BENCH to their folder"),
]


@pytest.mark.parametrize("name", SUITES)
def test_solutions_are_right_and_other_text_is_wrong(name: str) -> None:
    folder, count = SUITES[name]
    suite = open_suite(name, SuiteOptions(data=BENCH / folder, sandbox=Sandbox()))
    tasks = suite.tasks()
    assert len(tasks) == count
    right = measure(suite, KnownAnswers("right", tasks, right_answer), sampling=Sampling(), limit=LIMIT)
    assert [sample.judgement.reason for sample in right.samples if not sample.judgement.metrics["pass"]] == []
    for answer in (wrong_answer,) if name.startswith("infilling") else (wrong_answer, failing_answer):
        wrong = measure(suite, KnownAnswers("wrong", tasks, answer), sampling=Sampling(), limit=LIMIT)
        assert [sample.task.task_id for sample in wrong.samples if sample.judgement.metrics["pass"]] == []


def test_the_tasks_that_cannot_be_solved_are_those_that_are_known() -> None:
    suite = open_suite("mbpp-all", SuiteOptions(data=BENCH / "mbpp", sandbox=Sandbox()))
    for task in suite.tasks():
        if task.task_id in ("Mbpp/367", "Mbpp/927"):
            judgement = suite.judge(task, suite.cut(task, right_answer(task)))
            assert "NameError: name 'Node' is not defined" in judgement.reason


def test_mbpp_has_the_official_split_and_exemplars() -> None:
    tasks = open_suite("mbpp", SuiteOptions(data=BENCH / "mbpp", sandbox=Sandbox())).tasks()
    assert (tasks[0].task_id, tasks[-1].task_id) == ("Mbpp/11", "Mbpp/510")
    assert isinstance(tasks[0].question, Continue)
    assert tasks[0].question.prompt.count("[BEGIN]") == 4


@pytest.mark.parametrize("split", ["single", "multi"])
def test_every_middle_of_lines_ends_with_a_line_end(split: str) -> None:
    suite = open_suite(f"infilling-{split}", SuiteOptions(data=BENCH / "humaneval-infilling", sandbox=Sandbox()))
    assert all(task.truth is not None and task.truth.endswith("\n") for task in suite.tasks())


def test_crosscodeeval_truths_match_themselves() -> None:
    for context in ("none", "official"):
        options = SuiteOptions(data=BENCH / "crosscodeeval", sandbox=Sandbox())
        suite = open_suite(f"crosscodeeval-{context}", options)
        tasks = suite.tasks()
        assert len(tasks) == 100
        result = measure(suite, KnownAnswers("right", tasks, right_answer), sampling=Sampling())
        assert {name: value.value for name, value in result.metrics.items()} == dict.fromkeys(result.metrics, 1.0)


def test_the_default_model_fills_holes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data = str(BENCH / "humaneval-infilling")
    arguments = ["--model", "default", "--suite", "infilling-single", "--data", data, "--limit", "4"]
    assert main(["evaluate", *arguments, "--output", str(tmp_path)]) == 0
    assert "infilling-single" in capsys.readouterr().out
    assert len((tmp_path / "infilling-single.samples.jsonl").read_text().splitlines()) == 4
