from dataclasses import replace

import pytest

from repo_context.repository import Repository
from repo_context.snippet import Cursor, Snippet
from repo_context.steady_selection import NEIGHBOURHOOD_LINES, SteadySelection


def snippet(name, **changes):
    plain = Snippet(
        path=f"{name}.py", comment="#", text=f"text of {name}", start_line=0, end_line=1, score=1.0, reason="similar"
    )
    return replace(plain, **changes)


A, B, C, D = (snippet(name) for name in "abcd")
HERE = Cursor(path="edited.py", prefix="one\ntwo\n", suffix="\nthree\n")
STATES = {"a.py": 1, "b.py": 1, "c.py": 1, "d.py": 1}


def settle(first, then, *, cursor=HERE, states=STATES, budget=100):
    now = dict(STATES)
    steady = SteadySelection(now.get)
    assert steady.settle(HERE, 100, first) == first
    now.update(states)
    return steady.settle(cursor, budget, then)


@pytest.mark.parametrize("then", [(A, B), (B, A), (A, C), (A, B, C, D)])
def test_a_selection_that_still_holds_most_of_the_best_is_kept(then):
    assert settle((A, B), then) == (A, B)


@pytest.mark.parametrize("then", [(C, D), (C, D, A), (snippet("a", text="other"),)])
def test_a_selection_that_lacks_the_best_is_replaced(then):
    assert settle((A, B), then) == then


CHANGES = {
    "moved": {"cursor": replace(HERE, prefix=HERE.prefix + "\n" * (NEIGHBOURHOOD_LINES + 1))},
    "another file": {"cursor": replace(HERE, path="another.py")},
    "another budget": {"budget": 99},
    "a changed file": {"states": {"b.py": 2}},
    "a deleted file": {"states": {"b.py": None}},
    "its text is written": {"cursor": replace(HERE, prefix="one\ntext of a\n")},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_selection_is_not_kept_when_what_it_rests_on_changes(change):
    assert settle((A, B), (B, A), **change) == (B, A)


def test_what_a_receiver_asks_for_is_not_kept_waiting():
    wanted = snippet("w", reason="receiver order: its type")
    assert settle((A, B), (wanted, A, B)) == (wanted, A, B)
    assert settle((wanted, A, B), (wanted, B, A)) == (wanted, A, B)


def test_typing_on_in_a_line_keeps_the_answer(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    for number in range(12):
        (root / f"m{number}.py").write_text(f"def load_{number}(name):\n    return open(name, {number}).read_all()\n")
    with Repository.open(root, index_folder=tmp_path / "index") as repository:
        answers = {
            repository.snippets_for(
                Cursor(path="new.py", prefix=f"def f(name):\n    x = {typed}", suffix="\n    return x\n"),
                budget=60,
                count_tokens=lambda text: len(text.split()),
            )
            for typed in ("", "o", "op", "ope", "open", "open(", "open(n", "open(name")
        }
    assert len(answers) <= 2
