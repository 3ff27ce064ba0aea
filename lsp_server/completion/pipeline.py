"""One request, from a frozen cursor to a suggestion: an early answer, a turn of the engine, or nothing."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from time import perf_counter

from engine.api import Chunk, Completion, CompletionRequest, Engine, Length, Snippet
from engine.errors import EngineError
from lsp_server.completion.latest_wins import SUPERSEDED, LatestWins
from lsp_server.completion.postprocess import DropReason, Suggestion, postprocess
from lsp_server.completion.reuse import RecentSuggestions
from lsp_server.completion.snapshot import Snapshot
from lsp_server.completion.trigger import decide
from lsp_server.settings import Settings

log = logging.getLogger("midfill.completion")

FindSnippets = Callable[[Snapshot, Settings], Awaitable[Sequence[Snippet]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What to show, and how it came about."""

    suggestion: Suggestion | None = None
    reason: str
    """Where the suggestion comes from, or why there is none, in a few words without source text."""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds by hop."""


class Pipeline:
    """Turns snapshots into answers; never raises but when cancelled."""

    def __init__(
        self,
        *,
        engine: Callable[[], Awaitable[Engine | None]],
        find_snippets: FindSnippets,
        on_engine_error: Callable[[Engine, EngineError], None],
        on_engine_answer: Callable[[], None] = lambda: None,
    ) -> None:
        """Connect the pieces.

        Args:
            engine: returns the engine, or None while it is not ready, without waiting for it.
            find_snippets: returns what other files say about a cursor, in bounded time.
            on_engine_error: told of every failure of the engine.
            on_engine_answer: told of every answer.
        """
        self._engine = engine
        self._find_snippets = find_snippets
        self._on_engine_error = on_engine_error
        self._on_engine_answer = on_engine_answer
        self._turns = LatestWins()
        self.recent = RecentSuggestions()
        """What the engine wrote lately."""

    async def answer(self, snapshot: Snapshot, settings: Settings) -> Answer:
        """Answer one request; an older one on the same document is superseded at once, whatever comes of this one."""
        self._turns.supersede(snapshot.uri)
        length = decide(snapshot, settings)
        if length is None:
            return Answer(reason="not here")
        kept = self.recent.continue_suggestion(snapshot, length)
        if kept is not None:
            return _finish(kept, snapshot, length, source="typed through", timings={})
        outcome = await self._turns.run(snapshot.uri, self._ask(snapshot, length, settings))
        return Answer(reason="superseded") if outcome is SUPERSEDED else outcome

    def forget(self, uri: str) -> None:
        """Drop what is kept and running for a closed document."""
        self._turns.supersede(uri)
        self.recent.forget(uri)

    async def _ask(self, snapshot: Snapshot, length: Length, settings: Settings) -> Answer:
        if settings.debounce_ms:
            await asyncio.sleep(settings.debounce_ms / 1000)
        engine = await self._engine()
        if engine is None:
            return Answer(reason="the engine is not ready")
        start = perf_counter()
        snippets = await self._find_snippets(snapshot, settings)
        found = perf_counter()
        request = CompletionRequest(
            document=snapshot.uri,
            path=snapshot.path,
            comment=snapshot.comment,
            prefix=snapshot.prefix,
            suffix=snapshot.suffix,
            snippets=snippets,
            collection=snapshot.root,
            length=length,
            max_tokens=settings.max_tokens,
        )
        try:
            completion = await _collect(engine, request)
        except EngineError as error:
            log.error("no suggestion: %s", error)
            self._on_engine_error(engine, error)
            return Answer(reason="the engine failed")
        self._on_engine_answer()
        timings = {
            "snippets": (found - start) * 1000,
            **completion.timings,
            "engine": (perf_counter() - found) * 1000,
        }
        self.recent.put(snapshot, length, completion.text)
        return _finish(completion.text, snapshot, length, source="engine", timings=timings)


async def _collect(engine: Engine, request: CompletionRequest) -> Completion:
    async with aclosing(_stream(engine, request)) as stream:
        async for piece in stream:
            if isinstance(piece, Completion):
                return piece
    raise EngineError("the engine ended without an answer; `midfill doctor` says what is wrong")


def _stream(engine: Engine, request: CompletionRequest) -> AsyncGenerator[Chunk | Completion, None]:
    stream = engine.complete(request)
    assert isinstance(stream, AsyncGenerator)
    return stream


def _finish(text: str, snapshot: Snapshot, length: Length, *, source: str, timings: Mapping[str, float]) -> Answer:
    outcome = postprocess(text, snapshot, length)
    if isinstance(outcome, DropReason):
        return Answer(reason=outcome.value, timings=timings)
    return Answer(suggestion=outcome, reason=source, timings=timings)
