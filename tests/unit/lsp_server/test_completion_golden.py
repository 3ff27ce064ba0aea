"""The cases of tests/golden/completion_*.toml: documents with the cursor in the text."""

import tomllib
from pathlib import Path

import pytest

from engine.api import Completion, FinishReason, Length
from lsp_server.completion.acceptance import taken
from lsp_server.completion.answer import Facts
from lsp_server.completion.auto_import import plan_import
from lsp_server.completion.candidate import Candidate
from lsp_server.completion.postprocess import DropReason, Suggestion, postprocess, with_plain_insertion
from lsp_server.completion.snapshot import Snapshot, Trigger
from lsp_server.completion.suggestion_cache import SuggestionCache
from lsp_server.completion.trigger import decide
from lsp_server.completion.written import as_candidates
from lsp_server.document import split_lines
from lsp_server.settings import decode, resolve
from repo_context.languages import comment_marker, language_of

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
    outcome = postprocess(candidate(case), cursor, Length(case.get("length", "line")))
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
    outcome = postprocess(candidate(case), cursor, Length.LINE)
    assert accepted_line(with_plain_insertion(outcome, cursor), cursor) == case["line"]


@pytest.mark.parametrize("case", cases("trigger"))
def test_trigger(case):
    options, problems = decode(case.get("settings"))
    assert not problems
    outcome = decide(snapshot(case), resolve(options))
    assert (outcome.value if isinstance(outcome, Length) else "none") == case["length"]


@pytest.mark.parametrize("case", cases("indentation"))
def test_indentation(case):
    completion = Completion(
        text=case["engine"], finish_reason=FinishReason.END_MARK, prompt_tokens=1, new_tokens=0,
        mean_log_probability=0.0, snippets_used=0,
    )  # fmt: skip
    [written] = as_candidates([completion], snapshot(case))
    assert written.text == case["shown"]


@pytest.mark.parametrize("case", cases("reuse"))
def test_reuse(case):
    asked, now = snapshot({**case, "text": case["asked"]}), snapshot({**case, "text": case["now"]})
    length = Length(case.get("length", "line"))
    text = case["engine"].replace("\n", asked.line_end)
    cache = SuggestionCache()
    cache.put(asked, length, (Candidate(text=text),), facts=Facts())
    found = cache.find(now, Length(case.get("now_length", length.value)))
    assert (found.candidates[0].text if found else None) == case.get("rest")


@pytest.mark.parametrize("case", cases("acceptance"))
def test_acceptance(case):
    prefix, rest = case["shown"].split("‸")
    now = case["now"][len(prefix) :]
    assert taken(case["suggestion"], case.get("replaces", 0), rest, now) == case.get("taken")


@pytest.mark.parametrize("case", cases("imports"))
def test_imports(case):
    lines = split_lines(case["text"])
    language = language_of(case["file"]).name
    insertion = plan_import(lines, language, case["module"], case["name"], is_default=case.get("default", False))
    lines[insertion.line : insertion.line + insertion.replaces_line] = [insertion.text + "\n"]
    assert "".join(lines) == case["result"]


def test_the_cases_are_many_in_many_languages():
    names = ("postprocess", "trigger", "indentation", "reuse", "acceptance", "imports")
    every = [case.values[0] for name in names for case in cases(name)]
    assert len(every) >= 150
    assert len({language_of(case.get("file", "a.py")).name for case in every}) >= 8
    rules = [(name, case.values[0]["rule"]) for name in names for case in cases(name)]
    assert len(set(rules)) == len(rules)


def candidate(case: dict) -> Candidate:
    unknown = frozenset(case.get("unknown", ()))
    return Candidate(text=case["engine"], is_cut=case.get("cut", False), unknown_names=unknown)


def accepted_line(suggestion: Suggestion, cursor: Snapshot) -> str:
    return cursor.line_before + suggestion.text + cursor.line_after[suggestion.replaces :]
