"""Real editors, the real server, the real engine with the default model: the whole way of a keystroke."""

from pathlib import Path

import pytest

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


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = tmp_path / "shop"
    (project / ".git").mkdir(parents=True)
    (project / "totals.py").write_text("def total(orders):\n    return sum(order['price'] for order in orders)\n")
    (project / "loaders.py").write_text(LOADERS + STARTED)
    return project


def test_neovim_shows_what_the_default_model_writes_and_inserts_it(
    neovim_program: Path, tmp_path: Path, project: Path, real_midfill: RealMidfill, pictures: Path
):
    with neovim(neovim_program, tmp_path / "neovim", real_midfill.program) as running:
        running.edit(project / "loaders.py", LOADERS + STARTED)
        running.type("GAop")
        shown = until(running.ghost, running.messages, SECONDS)
        running.picture(pictures / f"{neovim_program.parent.name}-default-model.png")
        running.type("<Tab>")
        assert running.text() == LOADERS + STARTED + "op" + shown


def test_vscode_shows_what_the_default_model_writes_and_inserts_it(
    tmp_path: Path, project: Path, real_midfill: RealMidfill, pictures: Path
):
    chosen = {"midfill__server__path": str(real_midfill.program), "security__workspace__trust__enabled": False}
    with vscode(editor("vscode", ""), packaged_extension(), tmp_path / "vscode", pictures, **chosen) as code:
        _accept_in(code, project)


def _accept_in(code: VSCode, project: Path) -> None:
    with code.window(project, project / "loaders.py", LOADERS + STARTED) as window:
        window.until_ready()
        window.go("Control+End", line=len((LOADERS + STARTED).splitlines()), column=15)
        window.type("op")
        shown = until(lambda: window.settle(0.1) or window.ghost(), "ghost text", SECONDS)
        window.picture("default-model")
        window.press("Tab")
        window.until_text(LOADERS + STARTED + "op" + shown)
