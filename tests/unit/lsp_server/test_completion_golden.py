"""The cases of tests/golden/completion_*.toml: documents with the cursor in the text."""

import tomllib
from pathlib import Path

import pytest

from engine.api import Length
from lsp_server.completion.candidate import Candidate
from lsp_server.completion.postprocess import DropReason, Suggestion, postprocess, with_plain_insertion
from lsp_server.completion.snapshot import Snapshot, Trigger
from lsp_server.completion.trigger import decide
from lsp_server.settings import decode, resolve
from repo_context.languages import comment_marker

GOLDEN = Path(__file__).parents[2] / "golden"


def cases(name: str) -> list:
    with (GOLDEN / f"completion_{name}.toml").open("rb") as file:
        return [pytest.param(case, id=case["rule"]) for case in tomllib.load(file)["case"]]


def snapshot(case: dict, trigger: Trigger = Trigger.AUTOMATIC) -> Snapshot:
    prefix, suffix = case["text"].split("‸")
    name = case.get("file", "a.py")
    return Snapshot(
        uri=f"file:///{name}", version=1, language_id=case.get("language", "python"), path=name, root=None,
        comment=comment_marker(name), prefix=prefix, suffix=suffix, trigger=Trigger(case.get("trigger", trigger.value)),
        follows_acceptance=case.get("follows_acceptance", False),
    )  # fmt: skip


@pytest.mark.parametrize("case", cases("postprocess"))
def test_postprocess(case):
    cursor = snapshot(case, Trigger.INVOKED)
    outcome = postprocess(Candidate(text=case["engine"]), cursor, Length(case.get("length", "line")))
    if "hidden" in case:
        assert outcome is DropReason[case["hidden"]]
        return
    assert isinstance(outcome, Suggestion)
    assert outcome.replaces == case.get("replaces", 0)
    if "shown" in case:
        assert outcome.text == case["shown"]
    else:
        assert accepted_line(outcome, cursor) == case["line"]


@pytest.mark.parametrize("case", [case for case in cases("postprocess") if "line" in case.values[0]])
def test_plain_insertion_gives_the_same_line(case):
    cursor = snapshot(case, Trigger.INVOKED)
    outcome = postprocess(Candidate(text=case["engine"]), cursor, Length.LINE)
    assert accepted_line(with_plain_insertion(outcome, cursor), cursor) == case["line"]


@pytest.mark.parametrize("case", cases("trigger"))
def test_trigger(case):
    options, problems = decode(case.get("settings"))
    assert not problems
    outcome = decide(snapshot(case), resolve(options))
    assert (outcome.value if isinstance(outcome, Length) else "none") == case["length"]


def accepted_line(suggestion: Suggestion, cursor: Snapshot) -> str:
    return cursor.line_before + suggestion.text + cursor.line_after[suggestion.replaces :]
