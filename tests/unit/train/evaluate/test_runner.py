"""Runs and reports: what is asked, how answers add up, and files that other tools read."""

import json
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.support.benchmark_data import CRUXEVAL, HUMANEVAL, INFILLING, MBPP, write_rows
from tests.support.tiny_model import write_tiny_model
from train.cli import main
from train.errors import SandboxError
from train.evaluate.known_answers import KnownAnswers, failing_answer, right_answer, wrong_answer
from train.evaluate.published import published
from train.evaluate.report import as_html, as_text, write_report
from train.evaluate.runner import Sampling, measure, spread, summarise
from train.evaluate.sandbox import Sandbox
from train.evaluate.suite import Continue, Judgement, Question, Task
from train.evaluate.suites import SUITES, SuiteOptions, open_suite


class Numbers:
    """Asks for numbers; even ones are right."""

    name = "humaneval"
    protocol = "even numbers pass"
    skipped: Mapping[str, int] = {"too large": 3}

    def tasks(self) -> Sequence[Task]:
        return [Task(task_id=f"n/{n}", question=Continue(prompt=str(n)), truth=str(n)) for n in range(10)]

    def cut(self, _task: Task, text: str) -> str:
        return text.strip()

    def judge(self, task: Task, completion: str) -> Judgement:
        passed = float(int(completion) % 2 == 0)
        return Judgement(metrics={"pass": passed, "exact match": float(completion == task.truth)}, reason="because <b>")


class Broken(Numbers):
    """Cannot judge."""

    def tasks(self) -> Sequence[Task]:
        return [Task(task_id=f"n/{n}", question=Continue(prompt=str(n)), truth=str(n)) for n in range(100_000)]

    def judge(self, task: Task, completion: str) -> Judgement:
        raise SandboxError("the sandbox cannot be set up")


class Counting:
    """Answers with the prompt plus the seed."""

    name = "counting"

    def write(self, question: Question, *, temperature: float, seed: int) -> str:
        assert isinstance(question, Continue)
        return f" {int(question.prompt) + seed}\n"


@pytest.mark.parametrize(
    ("limit", "chosen"), [(None, list(range(10))), (99, list(range(10))), (5, [0, 2, 4, 6, 8]), (3, [0, 3, 6])]
)
def test_a_limit_spreads_over_the_suite(limit: int | None, chosen: list[int]) -> None:
    tasks = Numbers().tasks()
    assert spread(tasks, limit) == [tasks[index] for index in chosen]


def test_answers_are_cut_judged_and_counted() -> None:
    told: list[tuple[int, int]] = []
    result = measure(
        Numbers(), Counting(), sampling=Sampling(), limit=5, on_task=lambda *progress: told.append(progress)
    )
    assert (result.tasks, result.of, told[-1]) == (5, 10, (5, 5))
    assert [sample.completion for sample in result.samples] == ["0", "2", "4", "6", "8"]
    assert result.metrics["pass@1"].value == 1
    assert result.metrics["exact match"].value == 1


def test_a_sandbox_that_fails_ends_the_run_at_once() -> None:
    told: list[int] = []
    with pytest.raises(SandboxError, match="cannot be set up"):
        measure(Broken(), Counting(), sampling=Sampling(), on_task=lambda done, total: told.append(done))
    assert len(told) < 100_000


def test_several_samples_become_pass_at_k() -> None:
    sampling = Sampling(samples=10, temperature=0.8)
    result = measure(Numbers(), Counting(), sampling=sampling)
    assert result.metrics["pass@1"].value == pytest.approx(0.5)
    assert result.metrics["pass@10"].value == 1
    assert "pass@100" not in result.metrics
    assert result.metrics["exact match"].value == pytest.approx(0.1)


def test_a_metric_of_some_tasks_is_their_mean() -> None:
    result = measure(Numbers(), Counting(), sampling=Sampling())
    part = [sample for sample in result.samples if sample.number == 0][:4]
    with_library = [
        type(sample)(
            task=sample.task,
            number=0,
            completion="",
            judgement=Judgement(metrics={"pass": 1.0, "pass, Numpy": 1.0} if index < 2 else {"pass": 0.0}),
        )
        for index, sample in enumerate(part)
    ]
    metrics = summarise(with_library, 1)
    assert (metrics["pass@1"].value, metrics["pass@1, Numpy"].value, metrics["pass@1, Numpy"].tasks) == (0.5, 1.0, 2)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)


def test_reports_hold_scores_intervals_published_numbers_and_what_was_skipped(tmp_path: Path) -> None:
    result = measure(Numbers(), Counting(), sampling=Sampling(), limit=5)
    text = as_text([result])
    page = as_html([result], protection="some <walls>")
    for part in (
        "pass@1",
        "100.0 %",
        "56.6 to 100.0",
        "5*",
        "DeepSeek-Coder-Base 6.7B",
        "49.4 %",
        "v1, table 3",
        "3 (too",
    ):
        assert part in text
    for part in ("DeepSeek-Coder-Base 6.7B", "49.4 %", "5 of 10 tasks", "some &lt;walls&gt;", "too large"):
        assert part in page
    tags = _Tags()
    tags.feed(page)
    assert "table" in tags.seen
    assert not {"script", "link", "img"} & set(tags.seen)
    write_report([result], tmp_path, protection="walls")
    tree = json.loads((tmp_path / "report.json").read_text())
    metric = tree["results"][0]["metrics"]["pass@1"]
    assert (metric["value"], metric["tasks"]) == (1.0, 5)
    assert {"model": "CodeLlama 7B", "percent": 31.7, "source": "v1, table 3"} in metric["published"]


def test_samples_are_lines_that_other_scorers_read(tmp_path: Path) -> None:
    suite = open_suite(
        "humaneval",
        SuiteOptions(data=write_rows(tmp_path / "data" / "HumanEval.jsonl", [HUMANEVAL]), sandbox=Sandbox()),
    )
    result = measure(suite, KnownAnswers("right", suite.tasks(), right_answer), sampling=Sampling())
    write_report([result], tmp_path / "out", protection="walls")
    (line,) = (tmp_path / "out" / "humaneval.samples.jsonl").read_text().splitlines()
    row = json.loads(line)
    assert row["task_id"] == "HumanEval/900"
    assert row["passed"] is True
    program = f"{HUMANEVAL['prompt'].strip()}{row['completion']}"
    assert row["solution"] == program
    space: dict[str, object] = {}
    exec(program, space)
    assert callable(space["double"])


@pytest.mark.parametrize(
    ("name", "file", "rows"),
    [
        ("humaneval", "HumanEval.jsonl.gz", [HUMANEVAL]),
        ("mbpp", "mbpp.jsonl", MBPP),
        ("infilling-single", "HumanEval-SingleLineInfilling.jsonl.gz", [INFILLING]),
        ("infilling-multi", "HumanEval-MultiLineInfilling.jsonl.gz", [INFILLING]),
        ("infilling-random", "HumanEval-RandomSpanInfilling.jsonl.gz", [INFILLING]),
        ("cruxeval-i", "cruxeval.jsonl", [CRUXEVAL]),
        ("cruxeval-o", "cruxeval.jsonl", [CRUXEVAL]),
    ],
)
def test_solutions_score_everything_and_wrong_answers_nothing(
    tmp_path: Path, name: str, file: str, rows: list[dict[str, object]]
) -> None:
    suite = open_suite(name, SuiteOptions(data=write_rows(tmp_path / file, rows), sandbox=Sandbox()))
    for answer, score in ((right_answer, 1), (wrong_answer, 0), (failing_answer, 0)):
        if answer is failing_answer and name.startswith("infilling"):
            continue  # a right program may never reach the hole
        model = KnownAnswers("known", suite.tasks(), answer)
        assert measure(suite, model, sampling=Sampling()).metrics["pass@1"].value == score


def test_every_published_score_belongs_to_a_suite_and_names_its_source() -> None:
    found = [
        score
        for suite in SUITES
        for metric in ("pass@1", "exact match", "exact match, py", "edit similarity", "pass@1, Numpy")
        for score in published(suite, metric)
    ]
    assert len(found) > 80
    assert all(0 < score.percent < 100 and "table" in score.source for score in found)


def test_the_verb_measures_a_model_folder_and_writes_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_tiny_model(tmp_path / "model")
    data = write_rows(tmp_path / "data" / "HumanEval-SingleLineInfilling.jsonl.gz", [INFILLING, INFILLING])
    crux = write_rows(tmp_path / "crux" / "cruxeval.jsonl", [CRUXEVAL])
    out = tmp_path / "out"
    suites = ["--suite", "infilling-single", "--suite", f"cruxeval-o={crux}"]
    code = main(["evaluate", "--model", str(model), *suites, "--data", str(data), "--limit", "1", "--output", str(out)])
    printed = capsys.readouterr().out
    assert code == 0
    assert "infilling-single" in printed
    assert "cruxeval-o" in printed
    names = {path.name for path in out.iterdir()}
    assert names == {
        *("report.txt", "report.json", "report.html"),
        *("infilling-single.samples.jsonl", "cruxeval-o.samples.jsonl"),
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--suite", "humaneval"], "where are the data of humaneval?"),
        (["--suite", "nothing=."], "there is no suite 'nothing'; known: humaneval"),
        (["--suite", "humaneval=/no/such/place"], "there is no /no/such/place"),
        (["--suite", "humaneval=.", "--samples", "5"], "give --temperature"),
        (["--suite", "humaneval=.", "--limit", "0"], "--limit must be 1 or more"),
    ],
)
def test_the_verb_says_in_one_line_what_is_wrong(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
