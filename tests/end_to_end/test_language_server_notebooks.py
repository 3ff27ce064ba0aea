"""Notebooks, as the two kinds of clients open them: a real server process, an engine with a script."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.lsp_client import VSCODE, LspClient, running_server, sha256_of
from tests.support.scripted_home import SERVER, events, scripted_home

SCRIPT = [
    {"after": r"# %%\nrate = 3\n\n# %%\n# %matplotlib inline\n\n# %%\nfirst = ", "text": "gather(rate)"},
    {"after": r"# %%\nrate = 3\n\n# %%\nfirst = ", "text": "merge(rate)"},
    {"after": r"middle = ", "before": r"\n\n# %%\nlast = gather\(first\)\n", "text": "gather(rate)"},
    {"after": r"\A# %%\nalone = ", "text": "never(rate)"},
    {"after": r"\Aalone = ", "text": "gather(rate)"},
    {"after": r"new = ", "text": "collect(rate)"},
    {"after": r"mine = ", "text": "local_helper(folder)"},
    {"after": r"settings = ", "text": "load_settings(folder)"},
]
SYNCHRONISES = {**VSCODE, "capabilities": {
    **VSCODE["capabilities"], "notebookDocument": {"synchronization": {"dynamicRegistration": True}},
}}  # fmt: skip
CELLS = ("rate = 3\n", "%matplotlib inline\n", "first = ", "last = gather(first)")


@pytest.fixture
def home(tmp_path):
    with scripted_home(tmp_path, SCRIPT) as home:
        yield home


@pytest.fixture
async def client(home):
    async with running_server(home, str(SERVER)) as client:
        yield client


def cell_uri(notebook: Path, number: int) -> str:
    """Name a cell as VS Code does."""
    return f"vscode-notebook-cell:{notebook}#W{number}sZmlsZQ%3D%3D"


class Notebook:
    """A notebook that a client of one kind has open."""

    def __init__(self, client: LspClient, path: Path, *, synchronises: bool) -> None:
        self._client, self._path, self.synchronises = client, path, synchronises
        self._version = 1

    async def open(self, cells: Sequence[str], language: str = "python") -> list[str]:
        """Open it; returns the URIs of its cells."""
        self.uris = [cell_uri(self._path, number) for number in range(len(cells))]
        documents = [
            {"uri": uri, "languageId": language, "version": 1, "text": text}
            for uri, text in zip(self.uris, cells, strict=True)
        ]
        if not self.synchronises:
            for document in documents:
                await self._client.notify("textDocument/didOpen", {"textDocument": document})
            return self.uris
        notebook = {
            "uri": self._path.as_uri(), "notebookType": "jupyter-notebook", "version": 1,
            "cells": [{"kind": 2, "document": uri} for uri in self.uris],
        }  # fmt: skip
        params = {"notebookDocument": notebook, "cellTextDocuments": documents}
        await self._client.notify("notebookDocument/didOpen", params)
        return self.uris

    async def change(self, cells: dict[str, Any]) -> None:
        self._version += 1
        notebook = {"uri": self._path.as_uri(), "version": self._version}
        await self._client.notify(
            "notebookDocument/didChange", {"notebookDocument": notebook, "change": {"cells": cells}}
        )

    async def put_in(self, place: int, number: int, text: str, language: str = "python") -> str:
        """Put a new cell into the open notebook; returns its URI."""
        document = {"uri": cell_uri(self._path, number), "languageId": language, "version": 1, "text": text}
        if self.synchronises:
            array = {"start": place, "deleteCount": 0, "cells": [{"kind": 2, "document": document["uri"]}]}
            await self.change({"structure": {"array": array, "didOpen": [document]}})
        else:
            await self._client.notify("textDocument/didOpen", {"textDocument": document})
        return document["uri"]

    async def type(self, uri: str, line: int, character: int, text: str) -> None:
        """Put text into a cell."""
        place = {"line": line, "character": character}
        edit = {"range": {"start": place, "end": place}, "text": text}
        self._version += 1
        if self.synchronises:
            document = {"uri": uri, "version": self._version}
            await self.change({"textContent": [{"document": document, "changes": [edit]}]})
        else:
            await self._client.change(uri, self._version, edit)


@pytest.fixture(params=["synchronised", "cells as documents"])
async def notebook(request, client, tmp_path) -> Notebook:
    synchronises = request.param == "synchronised"
    root = tmp_path / "project"
    root.mkdir()
    capabilities = await client.initialize(SYNCHRONISES if synchronises else VSCODE, root)
    assert ("notebookDocumentSync" in capabilities["capabilities"]) is synchronises
    await client.status_when(lambda status: status["engine"]["state"] == "ready")
    return Notebook(client, root / "a notebook.ipynb", synchronises=synchronises)


async def test_a_cell_is_completed_after_the_cells_before_it_in_their_order(client, notebook):
    uris = await notebook.open(CELLS)
    [item] = await client.complete(uris[2], 0, len("first = "))
    assert item["insertText"] == "first = gather(rate)"


async def test_the_cells_after_it_are_what_follows(client, notebook):
    uris = await notebook.open(["middle = ", "last = gather(first)"])
    [item] = await client.complete(uris[0], 0, len("middle = "))
    assert item["insertText"] == "middle = gather(rate)"


async def test_the_inspector_shows_the_other_cells(client, notebook):
    uris = await notebook.open(CELLS)
    await client.complete(uris[2], 0, len("first = "))
    why = await client.request("midfill/why", {"textDocument": {"uri": uris[2]}})
    assert why["prompt"].endswith("# %%\nrate = 3\n\n# %%\n# %matplotlib inline\n\n# %%\nfirst = ")
    assert "a notebook.ipynb" in why["prompt"]


async def test_what_is_typed_in_one_cell_is_context_of_another(client, notebook):
    uris = await notebook.open(["ratio = 3\n", *CELLS[1:]])
    assert await client.complete(uris[2], 0, len("first = ")) == []
    await notebook.type(uris[0], 0, len("rat"), "e")
    await notebook.type(uris[0], 0, len("rate"), "\b")
    documents = {document["uri"]: document for document in (await client.status())["documents"]}
    assert documents[uris[0]]["sha256"] == sha256_of("rate\bio = 3\n")


async def test_cells_in_another_language_are_none_of_its_context(client, notebook):
    [python] = await notebook.open(["alone = "])
    await notebook.put_in(0, 9, "# Title", "markdown")
    [item] = await client.complete(python, 0, len("alone = "))
    assert item["insertText"] == "alone = gather(rate)"


async def test_a_new_cell_in_an_open_notebook_is_completed(client, notebook):
    await notebook.open(CELLS[:2])
    new = await notebook.put_in(1, 7, "new = ")
    [item] = await client.complete(new, 0, len("new = "))
    assert item["insertText"] == "new = collect(rate)"


@pytest.mark.parametrize("notebook", ["synchronised"], indirect=True)
async def test_a_moved_or_removed_cell_is_context_where_it_stands_now(client, notebook, home):
    uris = await notebook.open(CELLS)
    # The last cell becomes the second; then the magic is removed.
    moved = [{"kind": 2, "document": uri} for uri in (uris[3], uris[1], uris[2])]
    await notebook.change({"structure": {"array": {"start": 1, "deleteCount": 3, "cells": moved}}})
    await client.complete(uris[2], 0, len("first = "))
    prompt = (await client.request("midfill/why", {"textDocument": {"uri": uris[2]}}))["prompt"]
    assert prompt.index("last = gather(first)") < prompt.index("# %matplotlib inline") < prompt.index("first = ")
    array = {"start": 1, "deleteCount": 2}
    gone = [{"uri": uri} for uri in (uris[3], uris[1])]
    await notebook.change({"structure": {"array": array, "didClose": gone}})
    await notebook.type(uris[2], 0, len("first = "), " ")
    [item] = await client.complete(uris[2], 0, len("first = "))
    assert item["insertText"] == "first = merge(rate)"
    assert uris[1] not in {document["uri"] for document in (await client.status())["documents"]}


@pytest.mark.parametrize("notebook", ["synchronised"], indirect=True)
async def test_a_closed_notebook_leaves_no_cell_behind(client, notebook):
    uris = await notebook.open(CELLS)
    params = {"notebookDocument": {"uri": "file:///gone"}, "cellTextDocuments": []}
    await client.notify("notebookDocument/didClose", params)
    assert {document["uri"] for document in (await client.status())["documents"]} == set(uris)
    params["notebookDocument"]["uri"] = notebook._path.as_uri()
    await client.notify("notebookDocument/didClose", params)
    assert (await client.status())["documents"] == []


async def test_a_notebook_in_a_repository_knows_its_other_files(client, notebook, home, tmp_path):
    stored = {"cells": [{"cell_type": "code", "source": ["old = load_settings(1)"]}]}
    (tmp_path / "project" / "a notebook.ipynb").write_text(json.dumps(stored))
    (tmp_path / "project" / "app.py").write_text("def load_settings(folder):\n    return {}\n")
    await client.request("workspace/executeCommand", {"command": "midfill.reindex"})
    await client.status_when(lambda status: status["folders"][0]["files"] == 1)
    uris = await notebook.open(["from app import load_settings\n", "settings = "])
    [item] = await client.complete(uris[1], 0, len("settings = "))
    assert item["insertText"] == "settings = load_settings(folder)"
    why = await client.request("midfill/why", {"textDocument": {"uri": uris[1]}})
    assert [snippet["path"] for snippet in why["snippets"]] == ["app.py"], "not the notebook as it was stored"
    assert "complete" in events(home)


async def test_what_another_cell_defines_exists(client, notebook, tmp_path):
    (tmp_path / "project" / "app.py").write_text("def load_settings(folder):\n    return {}\n")
    await client.request("workspace/executeCommand", {"command": "midfill.reindex"})
    await client.status_when(lambda status: status["folders"][0]["files"] == 1)
    uris = await notebook.open(["def local_helper(folder):\n    return folder\n", "mine = "])
    [item] = await client.complete(uris[1], 0, len("mine = "))
    assert item["insertText"] == "mine = local_helper(folder)"
