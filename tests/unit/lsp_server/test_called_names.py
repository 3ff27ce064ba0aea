import pytest

from lsp_server.completion.called_names import called_names, without_those_in
from lsp_server.completion.pace import Pace


@pytest.mark.parametrize(
    ("text", "language", "names"),
    [
        ("total = summ(values)", "python", {"summ"}),
        ("total = sum(values)", "python", set()),
        ("self.summ(values)", "python", set()),
        ("def summ(values):", "python", set()),
        ('print("summ(x)")', "python", set()),
        ("x = 1  # summ(values)", "python", set()),
        ("if (a) while (b) render(c)", "typescript", {"render"}),
        ("new Widget(a)", "typescript", {"Widget"}),
        ("new Map(a)", "typescript", set()),
        ("x := compute(len(a))", "go", {"compute"}),
        ("let x = compute(Some(1));", "rust", {"compute"}),
        ("Vec::with_capacity(1)", "rust", set()),
        ("anything(a)", "java", set()),
        ("anything(a)", "c", set()),
    ],
)
def test_bare_calls_are_found_where_the_language_makes_them_checkable(text, language, names):
    assert called_names(text, language) == names


def test_names_that_a_file_mentions_exist():
    assert without_those_in("def summ(x): ...", frozenset({"summ", "sum_"})) == {"sum_"}


def test_an_engine_that_is_faster_than_typing_is_asked_at_once():
    pace = Pace()
    for now in (0.0, 0.15, 0.3):
        pace.note_edit(now)
    pace.note_answer(0.05)
    assert pace.pause(0.3) == 0


def test_an_engine_that_is_slower_than_typing_waits_for_the_next_key():
    pace = Pace()
    for now in (0.0, 0.15, 0.3):
        pace.note_edit(now)
    pace.note_answer(1.0)
    assert 0 < pace.pause(0.3) <= 0.25


def test_what_an_editor_waited_counts():
    pace = Pace()
    pace.note_edit(0.0)
    pace.note_answer(1.0)
    assert pace.pause(0.2) < pace.pause(0.05)
    assert pace.pause(2.0) == 0
