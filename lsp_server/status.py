"""How one server stands, as JSON: for `midfill/status`, and to tell editors whenever it changes."""

import asyncio
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

from lsp_server import VERSION
from lsp_server.engine_link import LinkState
from lsp_server.index_process import IndexProcess, IndexState
from lsp_server.session import Session

_WATCH_SECONDS: Final = 0.1
_FIRST: Final = object()


def status(session: Session) -> dict[str, Any]:
    """Return STATUS of docs/protocol.md with the open documents, each by a digest of its text."""
    documents = [
        {
            "uri": document.uri,
            "version": document.version,
            "lines": len(document.lines),
            "sha256": sha256(document.text.encode("utf-8", "surrogatepass")).hexdigest(),
        }
        for document in session.documents.values()
    ]
    return short_status(session) | {"documents": documents}


def short_status(session: Session) -> dict[str, Any]:
    """Return STATUS without the documents."""
    kind, message = _summary(session)
    settings, engine = session.settings, session.engine
    return {
        "version": VERSION,
        "client": session.client.name,
        "positionEncoding": session.client.encoding.value,
        "kind": kind,
        "message": message,
        "enabled": settings.enabled,
        "disabledLanguages": sorted(settings.disabled_languages),
        "assertiveness": settings.assertiveness.value,
        "engine": {"state": engine.state.value, "problem": engine.problem, "model": settings.model},
        "folders": [_folder(index) for index in session.indexes()],
    }


class StatusWatch:
    """Tells a client of every change of the status, not more often than a person can see."""

    def __init__(self, session: Session, tell: Callable[[dict[str, Any]], None]) -> None:
        self._session, self._tell = session, tell
        self._last: object = _FIRST
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._task = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        # Looking is cheap, and the states that make up the status change in a dozen places.
        while True:
            now = short_status(self._session)
            if now != self._last:
                self._last = now
                self._tell(now)
            await asyncio.sleep(_WATCH_SECONDS)


def _summary(session: Session) -> tuple[str, str]:
    """Return the kind, and one line for a person."""
    engine = session.engine
    if not session.settings.enabled:
        return "inactive", "suggestions are turned off"
    if engine.state is LinkState.FAILED:
        return "error", f"no engine: {engine.problem}"
    if engine.state is not LinkState.READY:
        return "busy", "the engine is starting"
    indexing = [index for index in session.indexes() if index.state is IndexState.INDEXING]
    if indexing:
        progress = indexing[0].progress
        return "busy", f"indexing {indexing[0].root.name}: {progress.done} of {progress.total} files"
    return "normal", "ready"


def _folder(index: IndexProcess) -> dict[str, Any]:
    done = len(index.files) if index.state is IndexState.READY else index.progress.done
    total = len(index.files) if index.state is IndexState.READY else index.progress.total
    return {
        "root": str(index.root),
        "state": index.state.value,
        "files": len(index.files),
        "done": done,
        "total": total,
    }
