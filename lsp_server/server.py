"""Builds the language server: one line for each message that it handles."""

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.protocol import default_converter

from engine.api import Engine
from lsp_server import VERSION
from lsp_server.handlers import commands, inline_completion, lifecycle, text_sync, workspace_files
from lsp_server.progress import ProgressReports
from lsp_server.protocol import Protocol
from lsp_server.session import Connect, IndexReporter, Session
from lsp_server.settings import Settings

log = logging.getLogger("midfill.server")


class MidfillServer(LanguageServer):
    """pygls' server with our session and our protocol."""

    protocol: Protocol

    def __init__(self, connect: Connect) -> None:
        super().__init__("midfill", VERSION, protocol_cls=Protocol, converter_factory=default_converter)
        reports = ProgressReports(self)
        self.session = Session(connect, IndexReporter(on_progress=reports.on_progress, on_end=reports.on_end))
        self.initial_problems: tuple[str, ...] = ()
        """Lines on `initializationOptions`, to be told when the client listens."""
        self.protocol.on_initialize = self._take_initialize
        self._loose_ends: set[asyncio.Task[None]] = set()

    def report_problems(self, problems: Iterable[str]) -> None:
        """Tell a person, in the log and in the client's, what of their settings makes no sense."""
        for problem in problems:
            log.warning("%s", problem)
            params = types.LogMessageParams(type=types.MessageType.Warning, message=f"midfill: {problem}")
            self.protocol.notify(types.WINDOW_LOG_MESSAGE, params)

    def report_server_error(self, error: Exception, source: type[Exception]) -> None:
        """Write one log line; no popup, and not the error's text: it may quote source."""
        log.error("%s: %s", source.__name__, type(error).__name__)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do work in the background."""
        task = asyncio.ensure_future(work)
        self._loose_ends.add(task)
        task.add_done_callback(self._loose_ends.discard)

    def _take_initialize(self, params: Mapping[str, Any]) -> None:
        self.initial_problems = self.session.initialize(params)


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
    on(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())(inline_completion.inline_completion)
    on(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)(workspace_files.did_change_workspace_folders)
    on(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)(workspace_files.did_change_watched_files)
    on(types.WORKSPACE_DID_CREATE_FILES)(workspace_files.did_create_files)
    on(types.WORKSPACE_DID_RENAME_FILES)(workspace_files.did_rename_files)
    on(types.WORKSPACE_DID_DELETE_FILES)(workspace_files.did_delete_files)
    on(types.WORKSPACE_EXECUTE_COMMAND)(commands.execute)
    on("midfill/status")(commands.status)
    return server


async def _connect_shared_engine(settings: Settings) -> Engine:
    # Loaded when first needed: the client should not wait for it with the document it is opening.
    from lsp_server.shared_engine import connect_shared_engine

    return await connect_shared_engine(settings)
