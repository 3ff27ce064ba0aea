"""What four kinds of editors say of themselves, and how long each waits after a key before it asks."""

from dataclasses import dataclass

from lsprotocol import types

_COMPLETION = types.TextDocumentClientCapabilities(
    inline_completion=types.InlineCompletionClientCapabilities(dynamic_registration=False)
)
_ENCODINGS = types.PositionEncodingKind


@dataclass(frozen=True)
class ClientProfile:
    """One editor."""

    name: str
    client_info: types.ClientInfo | None
    capabilities: types.ClientCapabilities
    encoding: str
    """That the server must choose."""
    pause_seconds: float
    """Its own wait between a key and the request."""
    replaces_line: bool
    """Whether items replace their line up to the cursor."""
    invokes: bool
    """Whether it ever sends an explicit request."""


NEOVIM = ClientProfile(
    name="Neovim",
    client_info=types.ClientInfo(name="Neovim", version="0.12.0"),
    capabilities=types.ClientCapabilities(
        general=types.GeneralClientCapabilities(position_encodings=[_ENCODINGS.Utf8, _ENCODINGS.Utf16]),
        text_document=_COMPLETION,
        workspace=types.WorkspaceClientCapabilities(apply_edit=True, workspace_folders=True),
    ),
    encoding="utf-8",
    pause_seconds=0.2,
    replaces_line=False,
    invokes=False,
)
VSCODE = ClientProfile(
    name="VS Code",
    client_info=types.ClientInfo(name="Visual Studio Code", version="1.109.0"),
    capabilities=types.ClientCapabilities(
        general=types.GeneralClientCapabilities(position_encodings=[_ENCODINGS.Utf16]),
        text_document=_COMPLETION,
        workspace=types.WorkspaceClientCapabilities(apply_edit=True, workspace_folders=True),
    ),
    encoding="utf-16",
    pause_seconds=0.05,
    replaces_line=True,
    invokes=True,
)
LSP_MODE = ClientProfile(
    name="lsp-mode",
    client_info=types.ClientInfo(name="emacs", version="GNU Emacs 30.1"),
    capabilities=types.ClientCapabilities(
        general=types.GeneralClientCapabilities(position_encodings=[_ENCODINGS.Utf32, _ENCODINGS.Utf16]),
        text_document=_COMPLETION,
        workspace=types.WorkspaceClientCapabilities(apply_edit=True, workspace_folders=True),
    ),
    encoding="utf-32",
    pause_seconds=0.5,
    replaces_line=False,
    invokes=True,
)
BARE = ClientProfile(
    name="bare 3.18 client",
    client_info=None,
    capabilities=types.ClientCapabilities(text_document=_COMPLETION),
    encoding="utf-16",
    pause_seconds=0.0,
    replaces_line=False,
    invokes=True,
)
PROFILES = (NEOVIM, VSCODE, LSP_MODE, BARE)
