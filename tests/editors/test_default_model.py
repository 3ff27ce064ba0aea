"""Real editors, the real server, the real engine with the default model: the whole way of every keystroke."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from tests.editors.hands import Hand, NeovimHand, VSCodeHand
from tests.editors.installed import editor
from tests.editors.midfill_command import RealMidfill, until
from tests.editors.neovim import neovim
from tests.editors.vscode import SECONDS, VSCode, packaged_extension, vscode

LOADERS = '''"""Reads what the shop keeps on disk."""

import json
from pathlib import Path


def load_customers(path: Path) -> list[dict]:
    """Return every customer."""
    with path.open(encoding="utf-8") as file:
        return json.load(file)["customers"]


def load_orders(path: Path) -> list[dict]:
    """Return every order."""
    with path.open(encoding="utf-8") as file:
        return json.load(file)["orders"]
'''
STARTED = '''

def load_products(path: Path) -> list[dict]:
    """Return every product."""
    with path.'''
TYPED = LOADERS + STARTED + "op"
NAMES = count()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = tmp_path_factory.mktemp("projects") / "shop"
    (project / ".git").mkdir(parents=True)
    (project / "totals.py").write_text("def total(orders):\n    return sum(order['price'] for order in orders)\n")
    (project / "loaders.py").write_text(LOADERS)
    return project


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory, real_midfill: RealMidfill, pictures: Path) -> Iterator[VSCode]:
    chosen = {"midfill__server__path": str(real_midfill.program), "security__workspace__trust__enabled": False}
    with vscode(
        editor("vscode", ""), packaged_extension(), tmp_path_factory.mktemp("vscode"), pictures, **chosen
    ) as code:
        yield code


@pytest.fixture(scope="module", params=["neovim_0.11", "neovim_0.12", "vscode"])
def running(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    project: Path,
    real_midfill: RealMidfill,
    pictures: Path,
) -> Iterator[Hand]:
    if request.param == "vscode":
        with request.getfixturevalue("code").window(project, project / "loaders.py", LOADERS) as window:
            window.until_ready()
            yield VSCodeHand(window)
    else:
        program = editor(request.param, "nvim")
        with neovim(program, tmp_path_factory.mktemp("neovim"), real_midfill.program) as running:
            yield NeovimHand(running, pictures)


@pytest.fixture
def hand(running: Hand, project: Path) -> Iterator[Hand]:
    """Someone who has just typed what the default model goes on with, in a project that holds nothing of it yet."""
    running.begin(project / f"file{next(NAMES)}.py", LOADERS + STARTED)
    running.type("op")
    yield running
    running.close()
    for path in (*project.glob("file*.py"), *project.glob("renamed*.py")):
        path.unlink()


def questions(home: Path) -> int:
    """Return how many requests the engine itself has answered so far; every one is counted within seconds."""
    with closing(sqlite3.connect(home / "state" / "stats.sqlite3", timeout=5)) as store:
        return store.execute("select count(*) from requests where source in ('engine', 'in flight')").fetchone()[0]


def test_ghost_text_appears_and_what_is_accepted_is_exactly_it(hand: Hand):
    shown = hand.until_any_ghost()
    hand.picture("default-model")
    hand.accept()
    hand.until_text(TYPED + shown)


def test_undo_takes_an_accepted_suggestion_back_in_one_step(hand: Hand):
    shown = hand.until_any_ghost()
    hand.accept()
    hand.until_text(TYPED + shown)
    hand.undo()
    hand.until_text(TYPED)


def test_words_are_accepted_one_by_one(hand: Hand):
    shown = hand.until_any_ghost()
    hand.accept_word()
    left = until(lambda: hand.settle(0.05) or (hand.ghost() != shown and hand.ghost()), "a shorter one", SECONDS)
    taken = shown.removesuffix(left)
    assert taken != shown
    assert taken.strip()
    hand.until_text(TYPED + taken)


def test_typing_through_keeps_the_ghost_text_and_asks_the_engine_nothing(hand: Hand, real_midfill: RealMidfill):
    shown = hand.until_any_ghost()
    hand.settle(6)  # what was asked until now has been counted
    asked = questions(real_midfill.folder / "home")
    # A word only: some editors close a bracket by themselves, and draw the ghost text around it.
    for typed, letter in enumerate(shown.partition("(")[0], start=1):
        hand.type(letter)
        until(lambda: hand.settle(0.02) or hand.ghost() == shown[typed:], hand.ghost, SECONDS)  # noqa: B023
    hand.settle(6)
    assert questions(real_midfill.folder / "home") == asked


def test_other_suggestions_come_by_turns(hand: Hand):
    first = hand.until_any_ghost()
    hand.next()
    second = until(lambda: hand.settle(0.1) or (hand.ghost() not in ("", first) and hand.ghost()), "another", SECONDS)
    hand.previous()
    until(lambda: hand.settle(0.1) or hand.ghost() == first, "the first", SECONDS)
    hand.next()
    until(lambda: hand.settle(0.1) or hand.ghost() == second, "the other", SECONDS)
    hand.accept()
    hand.until_text(TYPED + second)


def test_a_renamed_file_goes_on_under_its_new_name(hand: Hand, project: Path):
    hand.close()
    hand.begin(project / f"file{next(NAMES)}.py", LOADERS + STARTED)
    hand.rename(project / f"renamed{next(NAMES)}.py")
    hand.type("op")
    assert hand.until_any_ghost()


def test_a_closed_file_is_as_it_was_when_it_is_opened_again(hand: Hand, project: Path):
    assert hand.until_any_ghost()
    hand.close()
    hand.begin(*project.glob("file*.py"), LOADERS + STARTED)
    assert hand.ghost() == ""
    hand.type("op")
    assert hand.until_any_ghost()


def test_a_killed_server_is_back_and_answers(hand: Hand, real_midfill: RealMidfill):
    hand.until_any_ghost()
    before = real_midfill.processes()
    assert before
    real_midfill.kill()
    until(lambda: hand.settle(0.1) or set(real_midfill.processes()) - set(before), "back", SECONDS)
    hand.until_ready()
    hand.type("e")
    assert hand.until_any_ghost()


def test_several_cursors_get_what_is_typed_and_no_more(code: VSCode, project: Path):
    path = project / "several.py"
    with code.window(project, path, LOADERS) as window:
        window.until_ready()
        window.go("Control+Home", line=1, column=1)
        window.press("Shift+Alt+ArrowDown")
        window.until_cursor("2 selections")
        window.type("#")
        window.settle(2)
        first, second, *others = LOADERS.split("\n")
        window.until_text("\n".join([f"#{first}", f"#{second}", *others]))


def test_two_windows_have_each_their_own(code: VSCode, project: Path, tmp_path: Path):
    other = tmp_path / "other"
    shutil.copytree(project, other)
    with (
        code.window(project, project / "one.py", LOADERS) as one,
        code.window(other, other / "two.py", LOADERS) as two,
    ):
        for window, name in ((one, "one"), (two, "two")):
            window.until_ready()
            hand = VSCodeHand(window)
            hand.begin(window.folder / f"{name}-started.py", LOADERS + STARTED)
            hand.type("op")
            shown = hand.until_any_ghost()
            hand.accept()
            hand.until_text(TYPED + shown)
