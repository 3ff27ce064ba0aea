"""CrossCodeEval: the released scorer's cuts and comparisons, and the three contexts."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.benchmark_data import write_rows
from train.evaluate.crosscodeeval import (
    Context,
    CrossCodeEval,
    Direction,
    compare,
    first_bracket_statement,
    first_python_statement,
    identifiers,
)
from train.evaluate.suite import Continue, Infill

ROW: dict[str, Any] = {
    "prompt": "from shop import Basket\n\nbasket = Basket()\nbasket.",
    "groundtruth": "add_item(apple, count=2)",
    "right_context": "\nprint(basket)\n",
    "metadata": {"task_id": "project_cc_python/1", "repository": "owner-shop-abc", "file": "main.py"},
    "crossfile_context": {"text": "# Here are some relevant code fragments\n# def add_item", "list": []},
}


@pytest.mark.parametrize(
    ("prompt", "written", "kept"),
    [
        ("x = ", "1\ny = 2\n", "1"),
        ("x = f(", "1,\n  2)\ny = 3\n", "1,\n  2)"),
        ("x = [", "1,\n", "1,\n"),  # never parses: everything is kept
        ("x = ", "1", "1"),
        ("def f():\n    return ", "1   \n\nf()", "1"),
    ],
)
def test_python_answers_end_with_the_first_statement(prompt: str, written: str, kept: str) -> None:
    assert first_python_statement(prompt, written) == kept


@pytest.mark.parametrize(
    ("written", "kept"), [("a();\nb();", "a();"), ("if (a) {\n b", "if (a) {"), ("a }", "a }"), ("a", "a")]
)
def test_bracket_languages_end_at_the_first_of_three_signs(written: str, kept: str) -> None:
    assert first_bracket_statement(written) == kept


def test_identifiers_leave_out_strings_and_keywords() -> None:
    assert identifiers('return self.add(\'no name\', "nor \\" here", _x1) if y else 12') == ["self", "add", "_x1", "y"]


@pytest.mark.parametrize(
    ("written", "exact", "identifier_match", "f1"),
    [
        ("add_item(apple, count=2)", 1, 1, 1.0),
        ("  add_item(apple, count=2)  # the apple", 1, 1, 1.0),
        ("add_item(apple, count=3)", 0, 1, 1.0),
        ("add_item(count, apple=2)", 0, 0, 1.0),
        ("add_item(pear)", 0, 0, 0.4),
        ("", 0, 0, 0.0),
    ],
)
def test_answers_are_compared_as_the_released_scorer_does(
    written: str, exact: float, identifier_match: float, f1: float
) -> None:
    metrics = compare(written, ROW["groundtruth"])
    assert (metrics["exact match"], metrics["identifier match"]) == (exact, identifier_match)
    assert metrics["identifier F1"] == pytest.approx(f1)


def test_contexts_and_directions_ask_what_they_say(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "line_completion.jsonl", [ROW])
    (none,) = CrossCodeEval(data, context=Context.NONE).tasks()
    (official,) = CrossCodeEval(data, context=Context.OFFICIAL).tasks()
    (infill,) = CrossCodeEval(data, context=Context.OFFICIAL, direction=Direction.INFILL).tasks()
    assert isinstance(none.question, Continue)
    assert (none.question.context, none.question.prompt, none.question.max_tokens) == ("", ROW["prompt"], 50)
    assert isinstance(official.question, Continue)
    assert official.question.context == ROW["crossfile_context"]["text"]
    assert isinstance(infill.question, Infill)
    assert infill.question.suffix == ROW["right_context"]
    assert infill.question.prefix.endswith(ROW["prompt"])


def test_our_own_retrieval_reads_a_checkout_and_counts_those_that_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDFILL_HOME", str(tmp_path / "home"))
    shop = tmp_path / "repositories" / "owner-shop-abc"
    shop.mkdir(parents=True)
    (shop / "shop.py").write_text("class Basket:\n    def add_item(self, item, count=1):\n        self.item = item\n")
    (shop / "main.py").write_text(ROW["prompt"] + ROW["groundtruth"] + ROW["right_context"])
    other = {**ROW, "metadata": {**ROW["metadata"], "repository": "not-here"}}
    data = write_rows(tmp_path / "line_completion.jsonl", [ROW, other])
    suite = CrossCodeEval(data, context=Context.OWN, repositories=tmp_path / "repositories")
    (task,) = suite.tasks()
    assert isinstance(task.question, Continue)
    assert "def add_item" in task.question.context
    assert ROW["right_context"].strip() not in task.question.context
    assert suite.skipped == {"no checkout of the repository": 1}
