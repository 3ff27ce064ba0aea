import json

import pytest

from lsp_server.document import Document
from lsp_server.notebooks import Notebooks
from lsp_server.places import notebook_of_cell, with_extension
from lsp_server.positions import PositionEncoding
from repo_context.notebook import code_of

NOTEBOOK = "file:///p/a.ipynb"
TEXTS = ("import os\n", "%time f()", "   \n", "x = 1\r\ny = 2\n", "%%bash\nls\n", "z")


def documents(texts, language="python", scheme="vscode-notebook-cell"):
    uris = [f"{scheme}:/p/a.ipynb#c{number}" for number in range(len(texts))]
    return {
        uri: Document.from_text(text, uri=uri, language_id=language, version=1, encoding=PositionEncoding.UTF16)
        for uri, text in zip(uris, texts, strict=True)
    }


@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_the_cells_around_one_are_put_together_as_the_index_puts_a_stored_notebook(number):
    cells = documents(TEXTS)
    uri = list(cells)[number]
    notebooks = Notebooks()
    notebooks.open(NOTEBOOK, cells)
    above, below = notebooks.around(cells[uri], cells)
    marked = [text if place != number else "CELL" for place, text in enumerate(TEXTS)]
    stored = {"cells": [{"cell_type": "code", "source": text} for text in marked]}
    whole = code_of(json.dumps(stored))
    above_stored, below_stored = whole.split("CELL")
    assert above == above_stored if number else above == ""
    assert below.lstrip("\n") == below_stored.lstrip("\n")


def test_both_ways_of_opening_a_notebook_give_the_same_context():
    cells = documents(TEXTS)
    told, untold = Notebooks(), Notebooks()
    told.open(NOTEBOOK, cells)
    for cell in cells.values():
        assert told.around(cell, cells) == untold.around(cell, cells)
        assert told.notebook_of(cell.uri) == untold.notebook_of(cell.uri) == NOTEBOOK


def test_cells_with_uris_of_any_form_belong_to_the_notebook_that_names_them():
    cells = documents(TEXTS, scheme="other")
    notebooks = Notebooks()
    last = list(cells)[-1]
    assert notebooks.around(cells[last], cells) == ("", "")
    assert notebooks.notebook_of(last) is None
    notebooks.open(NOTEBOOK, cells)
    assert notebooks.notebook_of(last) == NOTEBOOK
    assert "import os" in notebooks.around(cells[last], cells)[0]
    assert list(notebooks.close(NOTEBOOK)) == list(cells)
    assert notebooks.notebook_of(last) is None


def test_a_cell_that_nobody_put_into_its_notebook_has_the_others_as_they_were_opened():
    cells = documents(TEXTS)
    notebooks = Notebooks()
    notebooks.open(NOTEBOOK, list(cells)[:-1])
    assert "import os" in notebooks.around(list(cells.values())[-1], cells)[0]


def test_cells_of_other_languages_are_no_context_and_get_no_marks_of_python():
    cells = documents(["SELECT 1", "SELECT 2", "SELECT 3"], language="sql")
    note = documents(["# Title"], language="markdown", scheme="note")
    notebooks = Notebooks()
    notebooks.open(NOTEBOOK, [*note, *cells])
    assert notebooks.around(list(cells.values())[1], cells | note) == ("SELECT 1\n\n", "\n\nSELECT 3\n")


def test_a_document_that_is_no_cell_has_nothing_around():
    [document] = documents(["x"], scheme="file").values()
    assert Notebooks().around(document, {document.uri: document}) == ("", "")


@pytest.mark.parametrize(
    ("start", "removed", "put_in", "cells"),
    [
        (1, 0, ["n"], ["a", "n", "b", "c"]),
        (0, 2, [], ["c"]),
        (1, 2, ["c", "b"], ["a", "c", "b"]),
        (9, 9, ["n"], ["a", "b", "c", "n"]),
        (-1, -1, ["n"], ["n", "a", "b", "c"]),
    ],
)
def test_cells_come_go_and_move(start, removed, put_in, cells):
    notebooks = Notebooks()
    notebooks.open(NOTEBOOK, ["a", "b", "c"])
    notebooks.splice(NOTEBOOK, start, removed, put_in)
    assert list(notebooks.close(NOTEBOOK)) == cells


@pytest.mark.parametrize(
    ("uri", "notebook"),
    [
        ("vscode-notebook-cell:/a%20b/c.ipynb#W0sZmlsZQ%3D%3D", "file:///a%20b/c.ipynb"),
        ("vscode-notebook-cell://host/c.ipynb#W0", "file://host/c.ipynb"),
        ("vscode-notebook-cell:Untitled-1.ipynb?jupyter#W0", "untitled:Untitled-1.ipynb?jupyter"),
        ("file:///a/c.ipynb", None),
    ],
)
def test_the_uri_of_a_cell_names_its_notebook(uri, notebook):
    assert notebook_of_cell(uri) == notebook


@pytest.mark.parametrize(
    ("name", "language", "extended"),
    [
        ("a.ipynb", "python", "a.ipynb"),
        ("a.ipynb", "", "a.ipynb"),
        ("a.ipynb", "markdown", "a.ipynb.md"),
        ("Untitled-1", "typescript", "Untitled-1.ts"),
        ("Untitled-1", "go", "Untitled-1.go"),
        ("Untitled-1", "plaintext", "Untitled-1"),
        ("query.sql", "python", "query.sql"),
    ],
)
def test_a_name_without_an_extension_says_its_language_as_the_editor_does(name, language, extended):
    assert with_extension(name, language) == extended
