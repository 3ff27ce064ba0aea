"""Open notebooks: their cells are documents like any other, and stand in an order that is followed here."""

from collections.abc import Iterable

from lsprotocol import types

from lsp_server.handlers import text_sync
from lsp_server.language_server import MidfillServer


def did_open(ls: MidfillServer, params: types.DidOpenNotebookDocumentParams) -> None:
    """Begin to mirror a notebook's cells."""
    notebook = params.notebook_document
    ls.session.notebooks.open(notebook.uri, [cell.document for cell in notebook.cells])
    _open(ls, params.cell_text_documents)


def did_change(ls: MidfillServer, params: types.DidChangeNotebookDocumentParams) -> None:
    """Follow cells that come, go and move, and edits in them."""
    cells = params.change.cells
    if cells is None:
        return
    if cells.structure is not None:
        array = cells.structure.array
        uris = [cell.document for cell in array.cells or ()]
        ls.session.notebooks.splice(params.notebook_document.uri, array.start, array.delete_count, uris)
        for closed in cells.structure.did_close or ():
            ls.session.close_document(closed.uri)
        _open(ls, cells.structure.did_open or ())
    for text in cells.text_content or ():
        text_sync.did_change(ls, types.DidChangeTextDocumentParams(text.document, text.changes))


def did_save(ls: MidfillServer, params: types.DidSaveNotebookDocumentParams) -> None:
    """Learn what is on disk now."""
    ls.session.save_document(params.notebook_document.uri)


def did_close(ls: MidfillServer, params: types.DidCloseNotebookDocumentParams) -> None:
    """Stop mirroring a notebook's cells."""
    for uri in ls.session.notebooks.close(params.notebook_document.uri):
        ls.session.close_document(uri)


def _open(ls: MidfillServer, documents: Iterable[types.TextDocumentItem]) -> None:
    for item in documents:
        text_sync.did_open(ls, types.DidOpenTextDocumentParams(item))
