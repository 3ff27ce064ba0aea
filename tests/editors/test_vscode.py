"""Real Visual Studio Code, the packaged extension, the real server, a scripted engine: what a person sees and does."""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.editors.installed import editor
from tests.editors.midfill_command import ScriptedMidfill, until
from tests.editors.vscode import SECONDS, VSCode, Window, packaged_extension, vscode

START = "def add(a, b):\n    \n"
NAMES = count()
SCRIPT = {
    "x = ": ["compute(a, b)"],
    "if a:\n        ": ["b = compute(a, b)\n        return b"],
    "compute(": ["a, b)"],
    "# %%\nrate = 3\n\n# %%\nfirst = ": ["gather(rate)"],
    "many = ": ["compute(a, b)", "compute(b, a)", "a + b"],
}


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedMidfill]:
    midfill = ScriptedMidfill(tmp_path_factory.mktemp("scripted"))
    midfill.answer(SCRIPT)
    yield midfill
    midfill.kill()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("project")


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory, script: ScriptedMidfill, pictures: Path) -> Iterator[VSCode]:
    installed = editor("vscode", "")
    chosen = {
        "midfill__server__path": str(script.program), "midfill__repositoryContext": False,
        "security__workspace__trust__enabled": False,
    }  # fmt: skip
    with vscode(installed, packaged_extension(), tmp_path_factory.mktemp("vscode"), pictures, **chosen) as running:
        yield running


@pytest.fixture(scope="module")
def shared_window(code: VSCode, project: Path) -> Iterator[Window]:
    with code.window(project, project / "first.py", START) as opened:
        opened.until_ready()
        yield opened


@pytest.fixture
def window(shared_window: Window, project: Path) -> Window:
    shared_window.show(project / f"file{next(NAMES)}.py", START)
    shared_window.go("Control+Home", "ArrowDown", "End", line=2, column=5)
    return shared_window


def test_ghost_text_appears_and_tab_inserts_exactly_it(window: Window):
    window.type("x = ")
    window.until_ghost("compute(a, b)")
    window.picture("ghost")
    window.until_text("def add(a, b):\n    x = \n")  # ghost text is no text
    window.until_ghost("compute(a, b)")
    window.press("Tab")
    window.until_text("def add(a, b):\n    x = compute(a, b)\n")


def test_typing_through_keeps_the_ghost_text_and_asks_the_engine_nothing(window: Window, script: ScriptedMidfill):
    window.type("x = ")
    window.until_ghost("compute(a, b)")
    window.settle()
    asked = script.questions()
    window.watch_ghost()
    window.type("compute")
    window.until_ghost("(a, b)")
    assert "" not in window.watched(), "a frame without ghost text is a flicker"
    window.settle()
    assert script.questions() == asked


def test_a_bracket_that_the_editor_closes_by_itself_is_not_doubled(window: Window):
    window.type("x = compute(")
    window.until_ghost("a, b")
    window.press("Tab")
    window.until_text("def add(a, b):\n    x = compute(a, b)\n")


def test_words_are_accepted_one_by_one(window: Window):
    window.type("x = ")
    window.until_ghost("compute(a, b)")
    window.press("Control+ArrowRight")
    window.until_ghost("(a, b)")
    window.until_text("def add(a, b):\n    x = compute\n")


def test_other_suggestions_come_by_turns(window: Window):
    window.type("many = ")
    window.until_ghost("compute(a, b)")
    for drawn in ("compute(b, a)", "a + b", "compute(a, b)"):
        window.press("Alt+]")
        window.until_ghost(drawn)
    window.press("Alt+[")
    window.until_ghost("a + b")
    window.press("Tab")
    window.until_text("def add(a, b):\n    many = a + b\n")


def test_undo_takes_an_accepted_suggestion_back_in_one_step(window: Window):
    window.type("if a:")
    window.press("Enter")
    window.until_ghost("b = compute(a, b)\n        return b")
    window.press("Tab")
    window.until_text("def add(a, b):\n    if a:\n        b = compute(a, b)\n        return b\n")
    window.press("Control+z")
    window.until_text("def add(a, b):\n    if a:\n        \n")


def test_several_cursors_get_what_is_typed_and_no_more(window: Window):
    window.go("Control+Home", line=1, column=1)
    window.press("Shift+Alt+ArrowDown")
    window.until_cursor("2 selections")
    window.type("#x = ")
    window.settle()
    window.until_text("#x = def add(a, b):\n#x =     \n")
    window.press("Escape", "Escape")


def test_a_cell_of_a_notebook_is_completed_after_the_cells_before_it(
    window: Window, project: Path, script: ScriptedMidfill
):
    path = project / "book.ipynb"
    window.show_notebook(path, ["rat = 3", "first"])
    window.focus_cell(0)
    window.press("Home", "ArrowRight", "ArrowRight", "ArrowRight")
    window.type("e")
    window.focus_cell(1)
    window.type(" = ")
    window.until_ghost("gather(rate)")
    window.picture("notebook")
    window.press("Tab")

    def saved() -> bool:
        window.press("Control+s")
        window.settle(0.2)
        cells = json.loads(path.read_text())["cells"]
        return ["".join(cell["source"]) for cell in cells] == ["rate = 3", "first = gather(rate)"]

    until(saved, path.read_text, SECONDS)


def test_a_renamed_file_goes_on_under_its_new_name(window: Window, project: Path):
    window.rename(project / "renamed.py")
    window.go("Control+Home", "ArrowDown", "End", line=2, column=5)
    window.type("x = ")
    window.until_ghost("compute(a, b)")


def test_a_closed_file_is_closed_for_the_server_too(window: Window, script: ScriptedMidfill):
    window.type("x = ")
    window.until_ghost("compute(a, b)")
    path = window.path
    window.close_file()
    asked = script.questions()
    window.show(path, START)
    window.go("Control+Home", "ArrowDown", "End", line=2, column=5)
    assert window.ghost() == ""
    window.type("x = ")
    window.until_ghost("compute(a, b)")
    assert len(script.questions()) > len(asked), "what was kept for the file went with it"


def test_suggestions_are_turned_off_and_on_in_a_language_from_the_status_bar(window: Window, script: ScriptedMidfill):
    asked = script.questions()
    window.run_from_status_bar("Enable or Disable for This Language")
    window.until_status("off for python")
    window.type("x = ")
    window.settle(1.5)
    assert window.ghost() == ""
    assert script.questions() == asked
    window.run_from_status_bar("Enable or Disable for This Language")
    window.until_status("ready")
    window.press("Enter")
    window.type("x = ")
    window.until_ghost("compute(a, b)")


def test_the_inspector_and_the_statistics_are_pages_beside_the_editor(window: Window):
    window.type("x = ")
    window.until_ghost("compute(a, b)")
    window.run("midfill: Why This Suggestion")
    window.until_page("why", "Why this suggestion")
    window.picture("why")
    window.run("midfill: Show Statistics")
    window.until_page("stats", "midfill statistics")
    window.picture("stats")
    window.press("Control+1")
    window.run("View: Close Editors in Other Groups")


def test_a_killed_server_is_back_and_answers(window: Window, script: ScriptedMidfill):
    before = script.processes()
    script.kill()
    until(lambda: window.settle(0.1) or set(script.processes()) - set(before), "back", SECONDS)
    window.until_ready()
    window.type("x = ")
    window.until_ghost("compute(a, b)")


def test_two_windows_have_each_their_own(window: Window, code: VSCode, tmp_path: Path):
    with code.window(tmp_path, tmp_path / "other.py", START) as other:
        other.until_ready()
        other.go("Control+Home", "ArrowDown", "End", line=2, column=5)
        other.type("x = ")
        other.until_ghost("compute(a, b)")
        other.press("Tab")
        other.until_text("def add(a, b):\n    x = compute(a, b)\n")
    window.type("x = ")
    window.until_ghost("compute(a, b)")
