"""Builds the language server: one line for each message that it handles."""

from lsprotocol import types

from engine.api import Engine
from lsp_server import methods
from lsp_server.handlers import (
    commands,
    inline_completion,
    lifecycle,
    notebook_sync,
    plugin,
    text_sync,
    workspace_files,
)
from lsp_server.language_server import MidfillServer
from lsp_server.session import Connect
from lsp_server.settings import Settings


def build(connect: Connect | None = None) -> MidfillServer:
    """Build the server.

    Args:
        connect: reaches the engine that settings ask for; None means the shared engine process of this machine.
    """
    server = MidfillServer(connect or _connect_shared_engine)
    on = server.feature
    on(types.INITIALIZED)(lifecycle.initialized)
    on(types.WORKSPACE_DID_CHANGE_CONFIGURATION)(lifecycle.did_change_configuration)
    on(types.TEXT_DOCUMENT_DID_OPEN)(text_sync.did_open)
    on(types.TEXT_DOCUMENT_DID_CHANGE)(text_sync.did_change)
    on(types.TEXT_DOCUMENT_DID_SAVE)(text_sync.did_save)
    on(types.TEXT_DOCUMENT_DID_CLOSE)(text_sync.did_close)
    on(types.NOTEBOOK_DOCUMENT_DID_OPEN)(notebook_sync.did_open)
    on(types.NOTEBOOK_DOCUMENT_DID_CHANGE)(notebook_sync.did_change)
    on(types.NOTEBOOK_DOCUMENT_DID_SAVE)(notebook_sync.did_save)
    on(types.NOTEBOOK_DOCUMENT_DID_CLOSE)(notebook_sync.did_close)
    on(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())(inline_completion.inline_completion)
    on(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)(workspace_files.did_change_workspace_folders)
    on(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)(workspace_files.did_change_watched_files)
    on(types.WORKSPACE_DID_CREATE_FILES)(workspace_files.did_create_files)
    on(types.WORKSPACE_DID_RENAME_FILES)(workspace_files.did_rename_files)
    on(types.WORKSPACE_DID_DELETE_FILES)(workspace_files.did_delete_files)
    on(types.WORKSPACE_EXECUTE_COMMAND)(commands.execute)
    on(methods.STATUS)(plugin.status)
    on(methods.SET_ENABLED)(plugin.set_enabled)
    on(methods.WHY)(plugin.why)
    on(methods.STATS)(plugin.stats)
    on(methods.DID_SHOW)(plugin.did_show)
    on(methods.DID_PARTIALLY_ACCEPT)(plugin.did_partially_accept)
    on(methods.DID_DISMISS)(plugin.did_dismiss)
    on(methods.DID_FOCUS)(plugin.did_focus)
    return server


async def _connect_shared_engine(settings: Settings) -> Engine:
    # Loaded when first needed: the client should not wait for it with the document it is opening.
    from lsp_server.shared_engine import connect_shared_engine

    return await connect_shared_engine(settings)
