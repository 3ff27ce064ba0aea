import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.api import Length
from lsp_server.completion.reuse import RecentSuggestions
from lsp_server.completion.snapshot import Snapshot


def at(prefix: str, suffix: str = "\n", uri: str = "file:///a.py") -> Snapshot:
    return Snapshot(
        uri=uri, version=1, language_id="python", path="a.py", root=None, comment="#", prefix=prefix, suffix=suffix
    )


@pytest.fixture
def recent():
    kept = RecentSuggestions()
    kept.put(at("x = "), Length.LINE, "foo(bar)")
    return kept


@given(typed=st.text("fo(bar)x", max_size=9))
def test_a_suggestion_goes_on_exactly_while_its_beginning_is_typed(typed):
    kept = RecentSuggestions()
    kept.put(at("x = "), Length.LINE, "foo(bar)")
    rest = kept.continue_suggestion(at("x = " + typed), Length.LINE)
    good = "foo(bar)".startswith(typed) and typed != "foo(bar)"
    assert rest == ("foo(bar)"[len(typed) :] if good else None)


@pytest.mark.parametrize(
    "snapshot",
    [
        at("y = "),
        at("x = fx"),
        at("x ="),
        at("x = foo(bar)"),
        at("x = ", ")\n"),
        at("x = ", "\nother"),
        at("x = ", uri="file:///b.py"),
        at("z\nx = "),
    ],
)
def test_a_suggestion_for_another_cursor_is_not_shown(recent, snapshot):
    assert recent.continue_suggestion(snapshot, Length.LINE) is None


def test_a_line_is_no_block(recent):
    assert recent.continue_suggestion(at("x = "), Length.BLOCK) is None


def test_typing_goes_on_across_the_lines_of_a_block():
    kept = RecentSuggestions()
    kept.put(at("def f():\n    "), Length.BLOCK, "a = 1\n    return a")
    assert kept.continue_suggestion(at("def f():\n    a = 1\n    re"), Length.BLOCK) == "turn a"


def test_the_newest_of_several_fitting_suggestions_goes_on(recent):
    recent.put(at("x = f"), Length.LINE, "un()")
    assert recent.continue_suggestion(at("x = f"), Length.LINE) == "un()"


def test_the_least_recently_used_suggestions_go_first():
    kept = RecentSuggestions(capacity=2)
    kept.put(at("a"), Length.LINE, "1")
    kept.put(at("b"), Length.LINE, "2")
    kept.continue_suggestion(at("a"), Length.LINE)
    kept.put(at("c"), Length.LINE, "3")
    assert [kept.continue_suggestion(at(prefix), Length.LINE) for prefix in "abc"] == ["1", None, "3"]


def test_a_closed_document_is_forgotten(recent):
    recent.forget("file:///a.py")
    assert len(recent) == 0
