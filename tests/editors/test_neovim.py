"""Real Neovim, the plug-in, the real server, a scripted engine: what a person sees and what keys do."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.editors.installed import editor as installed_editor
from tests.editors.midfill_command import ScriptedMidfill, until
from tests.editors.neovim import Neovim, neovim

START = "def add(a, b):\n    \n"
NAMES = count()
SCRIPT = {
    "x = ": ["compute(a, b)", "compute(b, a)", "a + b"],
    "if a:\n        ": ["b = compute(a, b)\n        return b"],
    "compute(": ["a, b)"],
    "größe = ": ["compute(ä, b)"],
    "slow = ": ["compute(b, a)"],
}


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedMidfill]:
    midfill = ScriptedMidfill(tmp_path_factory.mktemp("scripted"))
    midfill.answer(SCRIPT)
    yield midfill
    midfill.kill()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = tmp_path_factory.mktemp("project")
    (project / ".git").mkdir()
    (project / "other.py").write_text("def compute(a, b):\n    return a\n")
    return project


@pytest.fixture(scope="module")
def running(
    neovim_program: Path, tmp_path_factory: pytest.TempPathFactory, script: ScriptedMidfill
) -> Iterator[Neovim]:
    # What other files say is the server's matter; without an index these tests begin at once.
    setup = "{ settings = { repositoryContext = false } }"
    with neovim(neovim_program, tmp_path_factory.mktemp("neovim"), script.program, setup=setup) as editor:
        yield editor


@pytest.fixture
def editor(running: Neovim, project: Path) -> Neovim:
    running.edit(project / f"file{next(NAMES)}.py", START)
    return running


def test_ghost_text_appears_and_tab_inserts_exactly_it(editor: Neovim, neovim_program: Path, pictures: Path):
    editor.type("jAx = ")
    editor.until_ghost("compute(a, b)")
    editor.picture(pictures / f"{neovim_program.parent.name}-ghost.png")
    assert editor.text() == "def add(a, b):\n    x = ", "ghost text is no text"
    editor.type("<Tab>")
    assert editor.text() == "def add(a, b):\n    x = compute(a, b)"
    assert editor.ask("nvim_win_get_cursor", 0) == [2, 21]


def test_a_key_that_midfill_takes_does_what_it_did_where_there_is_no_ghost_text(editor: Neovim):
    editor.type("jSpass<Tab>#")
    assert editor.text() == "def add(a, b):\n    pass    #"


def test_typing_through_keeps_the_ghost_text_and_asks_the_engine_nothing(editor: Neovim, script: ScriptedMidfill):
    editor.type("jAx = ")
    editor.until_ghost("compute(a, b)")
    editor.settle()
    asked = script.questions()
    for typed in range(1, 9):
        editor.type("compute(a, b)"[typed - 1])
        assert editor.ghost() == "compute(a, b)"[typed:], "drawn anew in the same turn: no flicker"
    editor.settle()
    assert script.questions() == asked


def test_another_key_takes_the_ghost_text_away_at_once(editor: Neovim):
    editor.type("jAx = ")
    editor.until_ghost("compute(a, b)")
    editor.type("z")
    assert editor.ghost() == ""


def test_words_are_accepted_one_by_one(editor: Neovim):
    editor.type("jAx = ")
    editor.until_ghost("compute(a, b)")
    for inserted in ("compute", "compute(", "compute(a", "compute(a,", "compute(a, b", "compute(a, b)"):
        editor.type("<M-w>")
        assert editor.text().endswith("x = " + inserted)
        if inserted != "compute(a, b)":
            assert editor.ghost() == "compute(a, b)".removeprefix(inserted)


def test_lines_are_accepted_one_by_one(editor: Neovim, neovim_program: Path, pictures: Path):
    editor.type("jAif a:<CR>")
    editor.until_ghost("b = compute(a, b)\n        return b")
    editor.picture(pictures / f"{neovim_program.parent.name}-lines.png")
    editor.type("<M-l>")
    assert editor.text() == "def add(a, b):\n    if a:\n        b = compute(a, b)"
    assert editor.ghost() == "\n        return b"
    editor.type("<M-l>")
    assert editor.text() == "def add(a, b):\n    if a:\n        b = compute(a, b)\n        return b"


def test_undo_takes_an_accepted_suggestion_back_in_one_step(editor: Neovim):
    editor.type("jAif a:<CR>")
    editor.until_ghost("b = compute(a, b)\n        return b")
    editor.type("<Tab>  # typed<Esc>u")
    assert editor.text() == "def add(a, b):\n    if a:\n        b = compute(a, b)\n        return b"
    editor.type("u")
    assert editor.text() == "def add(a, b):\n    if a:\n        "


def test_ghost_text_stands_around_the_bracket_that_closes_the_line(editor: Neovim):
    editor.type("jAy = compute()<Left>")
    editor.until_ghost("a, b")
    editor.type("<Tab>")
    assert editor.text() == "def add(a, b):\n    y = compute(a, b)"


def test_columns_are_right_behind_letters_of_several_bytes(editor: Neovim):
    editor.type("jAgröße = ")
    editor.until_ghost("compute(ä, b)")
    editor.type("<M-w><M-w><M-w>")
    assert editor.text() == "def add(a, b):\n    größe = compute(ä"
    editor.type("<Tab>")
    assert editor.text() == "def add(a, b):\n    größe = compute(ä, b)"


def test_a_dismissed_suggestion_stays_away_until_the_next_edit(editor: Neovim):
    editor.type("jAx = ")
    editor.until_ghost("compute(a, b)")
    editor.type("<M-e>")
    editor.settle()
    assert editor.ghost() == ""
    assert editor.text() == "def add(a, b):\n    x = "


def test_other_suggestions_come_by_turns(editor: Neovim):
    editor.type("jAx = ")
    editor.until_ghost("compute(a, b)")
    for key, drawn in [
        ("<M-]>", "compute(b, a)"), ("<M-]>", "a + b"), ("<M-]>", "compute(a, b)"), ("<M-[>", "a + b"),
    ]:  # fmt: skip
        editor.type(key)
        editor.until_ghost(drawn)
    editor.type("<Tab>")
    assert editor.text() == "def add(a, b):\n    x = a + b"


def test_leaving_insert_mode_takes_the_ghost_text_away(editor: Neovim):
    editor.type("jAx = ")
    editor.until_ghost("compute(a, b)")
    editor.type("<Esc>")
    assert editor.ghost() == ""


def test_what_is_typed_into_several_lines_at_once_gets_no_ghost_text_into_it(editor: Neovim):
    editor.type("0<C-v>jI#x = ")
    editor.settle()
    editor.type("<Esc>")
    assert editor.text() == "#x = def add(a, b):\n#x =     "


def test_two_windows_on_two_files_have_each_their_own(editor: Neovim, project: Path):
    editor.type("jAx = ")
    editor.until_ghost("compute(a, b)")
    other = project / "window.py"
    other.write_text(START)
    editor.type("<Esc>")
    editor.command(f"split {other}")
    editor.type("jAif a:<CR>")
    editor.until_ghost("b = compute(a, b)\n        return b")
    editor.type("<Tab><Esc>")
    editor.command("wincmd j")
    assert editor.text() == "def add(a, b):\n    x = ", "the other window's file is as it was"


def test_a_renamed_file_goes_on_under_its_new_name(editor: Neovim, project: Path):
    editor.command(f"saveas! {project}/renamed.py")
    editor.until_ready()
    editor.type("jAx = ")
    editor.until_ghost("compute(a, b)")


def test_a_closed_file_is_closed_for_the_server_too(editor: Neovim, project: Path):
    editor.command(f"edit! {project}/other.py")
    editor.until_ready()
    before = editor.lua("return vim.api.nvim_get_current_buf()")
    editor.command("new | bwipeout! " + str(before))
    uris = (
        "return vim.tbl_map(function(d) return d.uri end, vim.lsp.get_clients({ name = 'midfill' })[1]"
        ":request_sync('midfill/status', vim.empty_dict(), 5000).result.documents)"
    )
    until(lambda: (project / "other.py").as_uri() not in editor.lua(uris), "closed")


def test_a_disabled_buffer_or_language_is_left_alone_until_asked(editor: Neovim, script: ScriptedMidfill):
    for scope in ("buffer", "python", ""):
        editor.command(f"Midfill disable {scope}")
        asked = script.questions()
        editor.type("jSslow = ")
        editor.settle()
        assert editor.ghost() == ""
        assert script.questions() == asked
        editor.type("<Esc>")
        editor.command("normal! gg")
        editor.command(f"Midfill enable {scope}")
    editor.type("jSx = ")
    editor.until_ghost("compute(a, b)")


def test_a_killed_server_is_back_and_answers(editor: Neovim, script: ScriptedMidfill):
    before = script.processes()
    script.kill()
    until(lambda: [one for one in script.processes() if one not in before], lambda: f"back; {editor.messages()}")
    editor.until_ready()
    editor.type("jAx = ")
    editor.until_ghost("compute(a, b)")


def test_restart_ends_the_server_and_starts_another(editor: Neovim, script: ScriptedMidfill):
    before = script.processes()
    editor.command("Midfill restart")
    until(lambda: script.processes() and not set(before) & set(script.processes()), "another process")
    editor.until_ready()


def test_the_health_check_finds_nothing_wrong_with_the_plug_in(editor: Neovim):
    editor.command("checkhealth midfill")
    report = editor.text()
    assert "server: " in report
    assert "ERROR" not in report.replace("`midfill doctor`", ""), report


def test_status_is_one_look_away(editor: Neovim):
    editor.command("Midfill status")
    until(lambda: "engine: ready" in editor.messages(), editor.messages)


@pytest.mark.parametrize(("page", "heading"), [("why", "# Why"), ("stats", "# ")])
def test_the_inspector_and_the_statistics_are_pages_of_their_own(editor: Neovim, page: str, heading: str):
    editor.type("jAx = ")
    editor.until_ghost("compute(a, b)")
    editor.type("<Esc>")
    editor.command(f"Midfill {page}")
    until(lambda: editor.text().startswith(heading), lambda: f"{page}: {editor.text()}; {editor.messages()}")


def test_neovims_own_ghost_text_takes_words_and_repeats_nothing_that_was_typed_since(
    script: ScriptedMidfill, project: Path, tmp_path: Path
):
    setup = "{ ghost_text = 'builtin', settings = { repositoryContext = false } }"
    program = installed_editor("neovim_0.12", "nvim")
    with neovim(program, tmp_path / "neovim", script.program, setup=setup) as editor:
        editor.edit(project / "builtin.py", START)
        editor.type("jAx = ")
        editor.until_ghost("compute(a, b)")
        editor.type("<M-w>")
        editor.until_text("def add(a, b):\n    x = compute")
        editor.until_ghost("(a, b)")
        editor.type("(<Tab>")
        editor.until_text("def add(a, b):\n    x = compute(a, b)")
