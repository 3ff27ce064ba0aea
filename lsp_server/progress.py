"""Indexing shown in the editor through `$/progress`, where the client can show it."""

from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import uuid4

from lsprotocol import types

from repo_context.snippet import IndexProgress

_NOT_YET: Final = ""


class Client(Protocol):
    """Whom to show it to."""

    @property
    def shows_progress(self) -> bool:
        """Whether it can be shown at all."""

    def tell(self, method: str, params: object) -> None:
        """Send a notification."""

    async def ask(self, method: str, params: object) -> Any:
        """Send a request and wait for its answer."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do work in the background."""


class ProgressReports:
    """One progress line for each folder that is being indexed."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._tokens: dict[Path, str] = {}

    def on_progress(self, root: Path, progress: IndexProgress) -> None:
        """Show how far indexing has come."""
        if not self._client.shows_progress:
            return
        token = self._tokens.get(root)
        if token is None:
            self._tokens[root] = _NOT_YET
            self._client.spawn(self._begin(root))
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
        await self._client.ask(types.WINDOW_WORK_DONE_PROGRESS_CREATE, params)
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
        self._client.tell(types.PROGRESS, types.ProgressParams(token=token, value=value))
