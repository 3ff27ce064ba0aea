from dataclasses import replace

import pytest

from repo_context.repository import Repository
from repo_context.snippet import Cursor, Snippet
from repo_context.steady_selection import NEIGHBOURHOOD_LINES, SteadySelection
from repo_context.syntax import Import


def snippet(name, **changes):
    plain = Snippet(
        path=f"{name}.py", comment="#", text=f"text of {name}", start_line=0, end_line=1, score=1.0, reason="similar"
    )
    return replace(plain, **changes)


A, B, C, D = (snippet(name) for name in "abcd")
HERE = Cursor(path="edited.py", prefix="one\ntwo\n", suffix="\nthree\n")
STATES = {"a.py": 1, "b.py": 1, "c.py": 1, "d.py": 1}


def importing(module, line=0):
    return Import(module=module, names=(), alias="", wildcard=False, line=line)


IMPORTS = (importing("a"),)


def settle(first, then, *, cursor=HERE, states=STATES, budget=100, imports=IMPORTS):
    now = dict(STATES)
    steady = SteadySelection(now.get)
    assert steady.settle(HERE, 100, IMPORTS, first) == first
    now.update(states)
    return steady.settle(cursor, budget, imports, then)


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
    "another import": {"imports": (importing("b"),)},
    "a changed file": {"states": {"b.py": 2}},
    "a deleted file": {"states": {"b.py": None}},
    "its text is written": {"cursor": replace(HERE, prefix="one\ntext of a\n")},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_selection_is_not_kept_when_what_it_rests_on_changes(change):
    assert settle((A, B), (B, A), **change) == (B, A)


def test_a_selection_is_kept_when_an_import_moves_to_another_line():
    assert settle((A, B), (B, A), imports=(importing("a", line=5),)) == (A, B)


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


@pytest.mark.parametrize("path", ["desk.py", "draft.py"], ids=["indexed", "not indexed"])
def test_an_exchanged_import_exchanges_its_definition_at_once(tmp_path, path):
    root = tmp_path / "root"
    root.mkdir()
    body = "    def weigh_{0}(self, parcel):\n        return {0!r}\n"
    for name in ("north", "south", "east", "west", "hill", "lake"):
        (root / f"{name}.py").write_text(f"class {name.title()}:\n" + body.format(name))
    (root / "desk.py").write_text("")

    def ask(repository, exchanged):
        names = ("east", "west", "hill", "lake", exchanged)
        prefix = "".join(f"from {name} import {name.title()}\n" for name in names) + "\ntotal = "
        if path == "desk.py":
            repository.update(path, prefix)
        cursor = Cursor(path=path, prefix=prefix, suffix="\n")
        found = repository.snippets_for(cursor, budget=70, count_tokens=lambda text: len(text.split()))
        return {snippet.path for snippet in found}

    with Repository.open(root, index_folder=tmp_path / "index") as repository:
        assert {"north.py", "south.py"} & ask(repository, "north") == {"north.py"}
        assert {"north.py", "south.py"} & ask(repository, "south") == {"south.py"}
