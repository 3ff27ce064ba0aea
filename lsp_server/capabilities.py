"""The answer to `initialize` as plain JSON, and what a client says of itself in it.

Plain, because the answer is due before pygls and lsprotocol have been imported (a third of a second): an editor that
waits for it delays the opening of the file.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lsp_server import VERSION
from lsp_server.methods import COMMANDS
from lsp_server.positions import PositionEncoding

_WHOLE_LINE_CLIENTS: Final = re.compile(r"code|codium|cursor|windsurf|positron|theia", re.IGNORECASE)
_FILE_OPERATIONS: Final = ("didCreate", "didRename", "didDelete")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientProfile:
    """What matters of a client's capabilities."""

    name: str = ""
    encoding: PositionEncoding = PositionEncoding.UTF16
    asks_configuration: bool = False
    """Whether it answers `workspace/configuration`."""
    shows_progress: bool = False
    """Whether it answers `window/workDoneProgress/create`."""
    follows_status: bool = False
    """Whether it wants to be told when the status changes."""
    applies_edits: bool = False
    """Whether it applies edits that a server sends."""
    registers: frozenset[str] = frozenset()
    """Methods that it lets a server register later."""
    replaces_whole_line: bool = False
    """Whether a suggestion replaces its line up to the cursor (VS Code's way), or is put in at the cursor."""


def read_profile(params: Mapping[str, Any]) -> ClientProfile:
    """Read the parameters of `initialize`; whatever is missing or of an odd type counts as absent."""
    capabilities = _object(params.get("capabilities"))
    workspace = _object(capabilities.get("workspace"))
    name = str(_object(params.get("clientInfo")).get("name") or "")
    return ClientProfile(
        name=name,
        encoding=_encoding(_object(capabilities.get("general")).get("positionEncodings")),
        asks_configuration=workspace.get("configuration") is True,
        shows_progress=_object(capabilities.get("window")).get("workDoneProgress") is True,
        follows_status=_object(_object(capabilities.get("experimental")).get("midfill")).get("statusNotifications")
        is True,
        applies_edits=workspace.get("applyEdit") is True,
        registers=frozenset(
            method
            for method, key in _REGISTRABLE.items()
            if _object(workspace.get(key)).get("dynamicRegistration") is True
        ),
        replaces_whole_line=bool(_WHOLE_LINE_CLIENTS.search(name)),
    )


def initialize_result(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result of `initialize` for a client's parameters."""
    capabilities = _object(params.get("capabilities"))
    workspace = _object(capabilities.get("workspace"))
    # Only to those that know it: the others open cells as documents like any other.
    has_notebooks = "synchronization" in _object(capabilities.get("notebookDocument"))
    offered = _object(workspace.get("fileOperations"))
    everything = {"filters": [{"scheme": "file", "pattern": {"glob": "**/*"}}]}
    operations = {name: everything for name in _FILE_OPERATIONS if offered.get(name) is True}
    return {
        "capabilities": {
            "positionEncoding": read_profile(params).encoding.value,
            "textDocumentSync": {"openClose": True, "change": 2, "save": {"includeText": False}},
            **({"notebookDocumentSync": _NOTEBOOKS} if has_notebooks else {}),
            # An empty object, not `true`: clients that check for options find them, others find something true.
            "inlineCompletionProvider": {},
            "executeCommandProvider": {"commands": list(COMMANDS)},
            "workspace": {
                "workspaceFolders": {"supported": True, "changeNotifications": True},
                **({"fileOperations": operations} if operations else {}),
            },
        },
        "serverInfo": {"name": "midfill", "version": VERSION},
    }


_NOTEBOOKS: Final = {"notebookSelector": [{"notebook": "*"}], "save": True}
"""Every cell of every notebook."""
_REGISTRABLE: Final = {
    "workspace/didChangeWatchedFiles": "didChangeWatchedFiles",
    "workspace/didChangeConfiguration": "didChangeConfiguration",
}


def _encoding(offered: object) -> PositionEncoding:
    """Return the client's first choice that we know; UTF-16 is the protocol's own."""
    known = {encoding.value: encoding for encoding in PositionEncoding}
    choices = offered if isinstance(offered, Sequence) else ()
    return next(
        (known[choice] for choice in choices if isinstance(choice, str) and choice in known), PositionEncoding.UTF16
    )


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
