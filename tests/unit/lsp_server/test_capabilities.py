import tomllib
from pathlib import Path

import pytest
from lsprotocol import converters, types

from lsp_server import VERSION
from lsp_server.capabilities import COMMANDS, initialize_result, read_profile
from lsp_server.positions import PositionEncoding
from lsp_server.server import build
from tests.support.lsp_client import BARE, NEOVIM, VSCODE


@pytest.mark.parametrize("client", [BARE, NEOVIM, VSCODE])
def test_the_plain_answer_is_what_the_protocols_types_make_of_it(client):
    converter = converters.get_converter()
    plain = initialize_result(client)
    assert converter.unstructure(converter.structure(plain, types.InitializeResult)) == plain


def test_every_advertised_method_has_a_handler():
    features = set(build().protocol.fm.features)
    assert {
        "textDocument/inlineCompletion", "textDocument/didOpen", "textDocument/didChange", "textDocument/didClose",
        "textDocument/didSave", "workspace/didChangeWorkspaceFolders", "workspace/executeCommand",
        "workspace/didCreateFiles", "workspace/didRenameFiles", "workspace/didDeleteFiles",
    } <= features  # fmt: skip


def test_file_operations_are_registered_only_with_clients_that_offer_them():
    assert "fileOperations" not in initialize_result(NEOVIM)["capabilities"]["workspace"]
    assert set(initialize_result(VSCODE)["capabilities"]["workspace"]["fileOperations"]) == {
        "didCreate", "didRename", "didDelete",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "whole_line"),
    [("Visual Studio Code", True), ("code-server", True), ("VSCodium", True), ("Neovim", False), ("", False)],
)
def test_only_vs_code_and_its_kin_get_the_whole_line_replaced(name, whole_line):
    assert read_profile({"clientInfo": {"name": name}}).replaces_whole_line is whole_line


@pytest.mark.parametrize(
    "params",
    [{}, {"capabilities": None}, {"capabilities": []}, {"capabilities": {"general": 1, "workspace": "x", "window": []}},
     {"clientInfo": "x"}, {"capabilities": {"general": {"positionEncodings": [1, None, {}]}}}],
)  # fmt: skip
def test_odd_parameters_count_as_absent(params):
    assert initialize_result(params)["capabilities"]["positionEncoding"] == "utf-16"
    assert read_profile(params).encoding is PositionEncoding.UTF16


def test_the_version_is_the_packages():
    project = Path(__file__).parents[3] / "pyproject.toml"
    assert tomllib.loads(project.read_text())["project"]["version"] == VERSION
    assert initialize_result({})["serverInfo"]["version"] == VERSION


def test_commands_are_ours_by_name():
    assert all(command.startswith("midfill.") for command in COMMANDS)
