"""From a request to the items an editor is given, and what becomes of them: answers, ids, statistics, explanations."""

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from engine.api import Engine
from engine.errors import EngineError
from engine.paths import state_folder
from lsp_server import stats_store
from lsp_server.completion.answer import Answer
from lsp_server.completion.called_names import called_names, without_those_in
from lsp_server.completion.candidate import Candidate
from lsp_server.completion.pipeline import FindSnippets, Pipeline
from lsp_server.completion.postprocess import Suggestion
from lsp_server.completion.snapshot import Snapshot
from lsp_server.document import Document, Edit
from lsp_server.index_process import IndexProcess
from lsp_server.inspector import Inspected, explain
from lsp_server.settings import Settings
from lsp_server.shown_items import ShownItems
from lsp_server.stats_log import StatsLog
from lsp_server.stats_store import RequestRow
from repo_context.languages import language_of

_NAMES_WAIT_SECONDS: Final = 0.03
"""Longest wait for the index to say which names exist; without an answer all do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A suggestion with the name that an editor knows it by."""

    id: str
    suggestion: Suggestion


class Suggestions:
    """What one server suggests, and what it knows of it afterwards."""

    def __init__(
        self,
        *,
        engine: Callable[[], Awaitable[Engine | None]],
        find_snippets: FindSnippets,
        index_of: Callable[[str | None], IndexProcess | None],
        on_engine_error: Callable[[Engine, EngineError], None],
        on_engine_answer: Callable[[], None],
        settings: Callable[[], Settings],
        document: Callable[[str], Document | None],
        client: Callable[[], str],
    ) -> None:
        """Connect the pieces; see `Pipeline` and `ShownItems`.

        Args:
            index_of: finds the index of a root folder.
            settings: the settings in force.
            document: finds an open document.
            client: names the editor.
        """
        self._index_of, self._settings, self._document, self._client = index_of, settings, document, client
        self._stats = StatsLog(lambda: stats_store.path_in(state_folder()), lambda: settings().statistics)
        self._pipeline = Pipeline(
            engine=engine,
            find_snippets=find_snippets,
            on_engine_error=on_engine_error,
            on_engine_answer=on_engine_answer,
            find_unknown=self._find_unknown,
        )
        self.shown = ShownItems(
            record=self._stats.record,
            on_rejected=self._pipeline.rejections.note,
            on_accepted=self._pipeline.rejections.forgive,
            document=document,
            client=client,
        )
        self._inspected: dict[str, Inspected] = {}
        self._last_uri: str | None = None

    async def answer(self, snapshot: Snapshot, line: int, index: int) -> list[Item]:
        """Answer a request at a place, given by line and index of a character in it."""
        if self.shown.follows_acceptance(snapshot.uri, snapshot.version, line, index):
            snapshot = replace(snapshot, follows_acceptance=True)
        began = time.perf_counter()
        answer = await self._pipeline.answer(snapshot, self._settings())
        total = (time.perf_counter() - began) * 1000
        if answer.reason == "superseded":
            return []
        document = self._document(snapshot.uri)
        if document is None or document.version != snapshot.version:
            # Typed on while the answer was made: the editor drops it, and asks again.
            return [Item(id="", suggestion=one.suggestion) for one in answer.ranked]
        ids = self.shown.offer(snapshot, line, index, answer.ranked)
        self._note(snapshot, answer, ids, line, total)
        return [Item(id=one, suggestion=ranked.suggestion) for one, ranked in zip(ids, answer.ranked, strict=True)]

    def edited(self, document: Document, edits: Iterable[Edit]) -> None:
        """Follow a document's edits."""
        self._pipeline.pace.note_edit(time.monotonic())
        self.shown.edited(document, edits)

    def forget(self, uri: str) -> None:
        """Drop what is kept and running for a closed document."""
        self._pipeline.forget(uri)
        self.shown.forget(uri)
        self._inspected.pop(uri, None)

    def forget_texts(self) -> None:
        """Drop what was written, as when the model changes."""
        self._pipeline.forget_texts()

    def forget_unshown(self) -> None:
        """Drop what was written and not shown, as when the engine or the index has learned."""
        self._pipeline.forget_unshown()

    def why(self, uri: str | None) -> dict[str, Any] | None:
        """Explain the latest answer in a document, or in whichever was asked last."""
        inspected = self._inspected.get(uri or self._last_uri or "")
        if inspected is None:
            return None
        cache = self._pipeline.cache
        counts = {"entries": len(cache), "hits": cache.hits, "misses": cache.misses}
        return explain(inspected, self._pipeline.requests.get(inspected.snapshot.uri), self._settings(), counts)

    async def stats_path(self) -> Path:
        """Return the file of statistics with everything written that was counted so far."""
        await self._stats.flush()
        return stats_store.path_in(state_folder())

    async def close(self) -> None:
        """End everything, and write what was counted."""
        self.shown.close()
        await self._stats.flush()

    def _note(self, snapshot: Snapshot, answer: Answer, ids: Sequence[str], line: int, total: float) -> None:
        self._inspected[snapshot.uri] = Inspected(
            snapshot=snapshot, answer=answer, ids=tuple(ids), line=line, milliseconds=total
        )
        self._last_uri = snapshot.uri
        hops = {f"{hop}_ms": answer.timings.get(hop) for hop in stats_store.HOPS if hop != "total"}
        self._stats.record(
            RequestRow(
                at=time.time(),
                language=snapshot.language_id,
                client=self._client(),
                source=answer.source.value,
                reason=answer.reason,
                total_ms=total,
                **hops,
            )
        )

    async def _find_unknown(self, snapshot: Snapshot, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
        """Ask the index which of the names that candidates call exist nowhere."""
        index = self._index_of(snapshot.root)
        language = language_of(snapshot.path)
        if index is None or language is None:
            return tuple(candidates)
        text = snapshot.context_above + snapshot.context_below
        called = [without_those_in(text, called_names(one.text, language.name)) for one in candidates]
        wanted = sorted(frozenset().union(*called))
        if not wanted:
            return tuple(candidates)
        reply = await index.ask({"do": "unknown", "names": wanted}, wait=_NAMES_WAIT_SECONDS)
        unknown = frozenset(reply.get("unknown", ()))
        return tuple(replace(one, unknown_names=names & unknown) for one, names in zip(candidates, called, strict=True))
