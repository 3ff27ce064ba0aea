"""Open documents: followed edit by edit, in the order in which the client made them."""

from lsprotocol import types

from lsp_server.document import Edit, Position
from lsp_server.language_server import MidfillServer


def did_open(ls: MidfillServer, params: types.DidOpenTextDocumentParams) -> None:
    """Begin to mirror a document."""
    item = params.text_document
    ls.session.open_document(item.uri, item.language_id, item.version, item.text)


def did_change(ls: MidfillServer, params: types.DidChangeTextDocumentParams) -> None:
    """Follow edits."""
    edits = [_edit(change) for change in params.content_changes]
    ls.session.change_document(params.text_document.uri, params.text_document.version, edits)


def did_save(ls: MidfillServer, params: types.DidSaveTextDocumentParams) -> None:
    """Learn what is on disk now."""
    ls.session.save_document(params.text_document.uri)


def did_close(ls: MidfillServer, params: types.DidCloseTextDocumentParams) -> None:
    """Stop mirroring."""
    ls.session.close_document(params.text_document.uri)


def position(place: types.Position) -> Position:
    """Take a position out of the protocol's types."""
    return Position(line=place.line, column=place.character)


def _edit(change: types.TextDocumentContentChangeEvent) -> Edit:
    if isinstance(change, types.TextDocumentContentChangePartial):
        return Edit(start=position(change.range.start), end=position(change.range.end), text=change.text)
    return Edit(start=None, end=None, text=change.text)
