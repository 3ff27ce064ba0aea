"""Indexing shown in the editor through `$/progress`, where the client can show it."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from lsprotocol import types

from lsp_server.handlers.lifecycle import ask_client
from repo_context.snippet import IndexProgress

if TYPE_CHECKING:
    from lsp_server.server import MidfillServer

log = logging.getLogger("midfill.index")

_NOT_YET: Final = ""


class ProgressReports:
    """One progress line for each folder that is being indexed."""

    def __init__(self, server: "MidfillServer") -> None:
        self._server = server
        self._tokens: dict[Path, str] = {}

    def on_progress(self, root: Path, progress: IndexProgress) -> None:
        """Show how far indexing has come."""
        if not self._server.session.client.shows_progress:
            return
        token = self._tokens.get(root)
        if token is None:
            self._tokens[root] = _NOT_YET
            self._server.spawn(self._begin(root))
        elif token is not _NOT_YET:
            percentage = 100 * progress.done // max(progress.total, 1)
            message = f"{progress.done}/{progress.total} files"
            self._send(token, types.WorkDoneProgressReport(message=message, percentage=percentage))

    def on_end(self, root: Path, message: str) -> None:
        """Take the line away."""
        token = self._tokens.pop(root, None)
        if token:
            self._send(token, types.WorkDoneProgressEnd(message=message))

    async def _begin(self, root: Path) -> None:
        token = str(uuid4())
        params = types.WorkDoneProgressCreateParams(token=token)
        await ask_client(self._server, types.WINDOW_WORK_DONE_PROGRESS_CREATE, params)
        # Indexing may have ended while the client was asked.
        if root in self._tokens:
            self._tokens[root] = token
            title = f"midfill: indexing {root.name}"
            self._send(token, types.WorkDoneProgressBegin(title=title, percentage=0, cancellable=False))

    def _send(
        self,
        token: str,
        value: types.WorkDoneProgressBegin | types.WorkDoneProgressReport | types.WorkDoneProgressEnd,
    ) -> None:
        self._server.protocol.notify(types.PROGRESS, types.ProgressParams(token=token, value=value))
