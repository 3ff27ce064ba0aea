"""Commands that a client may execute."""

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams

from lsp_server.auto_import import import_what_is_missing
from lsp_server.language_server import MidfillServer
from lsp_server.methods import ACCEPT_COMMAND, REINDEX_COMMAND, RESTART_ENGINE_COMMAND


async def execute(ls: MidfillServer, params: types.ExecuteCommandParams) -> None:
    """Do what a command of ours says."""
    arguments = params.arguments or []
    match params.command:
        case c if c == ACCEPT_COMMAND:
            if arguments and isinstance(arguments[0], str):
                await _accept(ls, arguments[0])
        case c if c == RESTART_ENGINE_COMMAND:
            ls.session.engine.restart()
        case c if c == REINDEX_COMMAND:
            ls.session.reindex()
        case unknown:
            raise JsonRpcInvalidParams(f"there is no command {unknown!r}")


async def _accept(ls: MidfillServer, item_id: str) -> None:
    shown = ls.session.suggestions.shown
    uri, text = shown.document_of(item_id), shown.accepted(item_id)
    if uri is not None and ls.session.client.applies_edits:
        await import_what_is_missing(ls, uri, text)
