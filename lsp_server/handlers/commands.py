"""Commands that a client may execute, and our own request."""

from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams

from lsp_server.language_server import MidfillServer


def execute(ls: MidfillServer, params: types.ExecuteCommandParams) -> None:
    """Do what a command of ours says; arguments are ignored."""
    match params.command:
        case "midfill.restartEngine":
            ls.session.engine.restart()
        case "midfill.reindex":
            ls.session.reindex()
        case unknown:
            raise JsonRpcInvalidParams(f"there is no command {unknown!r}")


def status(ls: MidfillServer, _params: object) -> dict[str, Any]:
    """Answer `midfill/status`: how everything stands, without source text."""
    return ls.session.status()
