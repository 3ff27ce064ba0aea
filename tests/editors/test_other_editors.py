"""The lines that docs/editors.md gives for editors without a plug-in of ours, tried there with the real server."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.editors.installed import editor
from tests.editors.midfill_command import CHECKOUT, ScriptedMidfill
from tests.editors.neovim import neovim

SCRIPT = {"x = ": ["compute(a, b)"]}


def documented(heading: str, language: str) -> str:
    """Return the first block of code below a heading of docs/editors.md."""
    page = (CHECKOUT / "docs" / "editors.md").read_text().partition(f"# {heading}\n")[2]
    return re.search(rf"```{language}\n(.*?)```", page, re.DOTALL)[1]


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedMidfill]:
    midfill = ScriptedMidfill(tmp_path_factory.mktemp("scripted"))
    midfill.answer(SCRIPT)
    yield midfill
    midfill.kill()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "project" / "add.py"
    (path.parent / ".git").mkdir(parents=True)
    path.write_text("def add(a, b):\n")
    return path


def test_emacs_with_lsp_mode_shows_a_suggestion_and_inserts_it(script: ScriptedMidfill, file: Path, tmp_path: Path):
    installed = editor("emacs", "")
    config = tmp_path / "config.el"
    config.write_text(documented("Emacs with lsp-mode", "elisp"))
    libraries = sorted((installed / "root/usr/share/emacs/site-lisp/elpa-src").iterdir())
    paths = [word for library in libraries for word in ("-L", str(library))]
    environment = os.environ | {"PATH": f"{script.program.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    command = ["emacs", "--batch", "-Q", *paths, "-l", str(CHECKOUT / "tests/editors/emacs.el"), str(file), str(config)]
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180
    )
    assert done.stdout.splitlines() == [
        "drawn: compute(a, b)",
        "automatic: on",
        r'text: "def add(a, b):\n    x = compute(a, b)"',
    ], done.stderr[-2000:]


def test_neovims_own_inline_completion_needs_no_plug_in(script: ScriptedMidfill, file: Path, tmp_path: Path):
    start = tmp_path / "init.lua"
    start.write_text("vim.opt.swapfile = false\n" + documented("Neovim without the plug-in", "lua"))
    with neovim(editor("neovim_0.12", "nvim"), tmp_path / "neovim", script.program, start=start) as running:
        running.edit(file, "def add(a, b):\n    \n")
        running.type("jAx = ")
        running.until_ghost("compute(a, b)")
        running.type("<Tab>")
        running.until_text("def add(a, b):\n    x = compute(a, b)")
