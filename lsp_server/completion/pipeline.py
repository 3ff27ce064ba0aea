"""One request, from a frozen cursor to an answer: what is kept, what is on its way, or a turn of the engine."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import replace
from time import monotonic, perf_counter
from typing import Final

from engine.api import Chunk, Completion, CompletionRequest, Engine, Length, Snippet
from engine.errors import EngineError
from lsp_server.completion.answer import Answer, Facts, Source
from lsp_server.completion.candidate import Candidate
from lsp_server.completion.flight import Flight
from lsp_server.completion.judgement import LARGEST_CHOICE, judge
from lsp_server.completion.latest_wins import SUPERSEDED, LatestWins
from lsp_server.completion.pace import Pace
from lsp_server.completion.rejections import Rejections
from lsp_server.completion.snapshot import Snapshot, Trigger
from lsp_server.completion.suggestion_cache import Found, SuggestionCache
from lsp_server.completion.trigger import Refusal, decide
from lsp_server.completion.written import as_candidates, request_at
from lsp_server.settings import Settings

log = logging.getLogger("midfill.completion")

FindSnippets = Callable[[Snapshot, Settings], Awaitable[Sequence[Snippet]]]
FindUnknown = Callable[[Snapshot, Sequence[Candidate]], Awaitable[tuple[Candidate, ...]]]

_ALTERNATIVES: Final = LARGEST_CHOICE
_KEPT_QUESTIONS: Final = 16
"""Latest questions to the engine that are kept for whoever asks where a text comes from."""
_SUPERSEDED: Final = "superseded"


async def _all_known(_snapshot: Snapshot, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    return tuple(candidates)


class Pipeline:
    """Turns snapshots into answers; never raises but when cancelled."""

    def __init__(
        self,
        *,
        engine: Callable[[], Awaitable[Engine | None]],
        find_snippets: FindSnippets,
        on_engine_error: Callable[[Engine, EngineError], None],
        on_engine_answer: Callable[[], None] = lambda: None,
        find_unknown: FindUnknown = _all_known,
    ) -> None:
        """Connect the pieces.

        Args:
            engine: returns the engine, or None while it is not ready, without waiting for it.
            find_snippets: returns what other files say about a cursor, in bounded time.
            on_engine_error: told of every failure of the engine.
            on_engine_answer: told of every answer.
            find_unknown: notes in candidates which names they call that exist nowhere, in bounded time.
        """
        self._engine = engine
        self._find_snippets = find_snippets
        self._on_engine_error = on_engine_error
        self._on_engine_answer = on_engine_answer
        self._find_unknown = find_unknown
        self._turns = LatestWins()
        self._flights: dict[str, Flight] = {}
        self.cache = SuggestionCache()
        """What the engine wrote lately."""
        self.rejections = Rejections()
        self.pace = Pace()
        self.without: Collection[str] = ()
        """Names of steps to leave out, for a benchmark that measures each of them."""
        self._lessons = 0
        """How often the engine or the index has learned."""
        self.requests: dict[str, CompletionRequest] = {}
        """The question to the engine that the latest answer in each document comes from."""
        self._asked: deque[tuple[Facts, CompletionRequest]] = deque(maxlen=_KEPT_QUESTIONS)

    async def answer(self, snapshot: Snapshot, settings: Settings) -> Answer:
        """Answer one request; an older one on the same document is superseded at once, whatever comes of this one."""
        self._turns.supersede(snapshot.uri)
        length = decide(snapshot, settings)
        if isinstance(length, Refusal):
            self._stop(snapshot.uri)
            return Answer(reason=length.value)
        wide = snapshot.trigger is Trigger.INVOKED
        found = self.cache.find(snapshot, length, wide=wide)
        if found is not None:
            flight = self._flights.get(snapshot.uri)
            if flight is not None and not flight.is_ahead_of(snapshot):
                self._stop(snapshot.uri)
            return self._judge(found, snapshot, length, settings, Source.CACHE)
        outcome = await self._turns.run(snapshot.uri, self._wait(snapshot, length, settings))
        if outcome is SUPERSEDED:
            return Answer(reason=_SUPERSEDED)
        self._look_ahead(snapshot, outcome, settings)
        return outcome

    def forget(self, uri: str) -> None:
        """Drop what is kept and running for a closed document."""
        self._turns.supersede(uri)
        self._stop(uri)
        self.cache.forget(uri)
        self.requests.pop(uri, None)

    def forget_texts(self) -> None:
        """Drop what was written, as when the model changes."""
        for uri in list(self._flights):
            self._stop(uri)
        self.cache.clear()

    def forget_unshown(self) -> None:
        """Drop what was not worth showing, as when the engine or the index has learned: it may do better now."""
        self._lessons += 1
        self.cache.forget_unshown()

    async def _wait(self, snapshot: Snapshot, length: Length, settings: Settings) -> Answer:
        """Wait for a question that is on its way while it agrees with what is typed, or for one of our own."""
        wide = snapshot.trigger is Trigger.INVOKED
        while True:
            flight = self._flights.get(snapshot.uri)
            if flight is None or flight.done or not flight.serves(snapshot, length, wide=wide):
                flight = self._depart(snapshot, length, settings)
            ours = flight.snapshot is snapshot
            flight.waiting += 1
            try:
                while not flight.done and flight.serves(snapshot, length, wide=wide):
                    await flight.change()
            finally:
                flight.leave()
            if flight.problem is not None:
                return Answer(reason=flight.problem, length=length)
            found = self.cache.find(snapshot, length, wide=wide) if flight.done else None
            if found is not None:
                answer = self._judge(found, snapshot, length, settings, Source.ENGINE if ours else Source.IN_FLIGHT)
                if answer.suggestion is None and flight.lessons != self._lessons:
                    self.cache.drop(found.entry)
                return answer
            if ours:
                return Answer(reason=_SUPERSEDED, length=length)

    def _depart(self, snapshot: Snapshot, length: Length, settings: Settings) -> Flight:
        """Ask the engine, which gives up whatever it writes for this document."""
        self._stop(snapshot.uri)
        flight = Flight(snapshot, length, wide=snapshot.trigger is Trigger.INVOKED)
        self._flights[snapshot.uri] = flight
        flight.start(self._fly(flight, settings))
        return flight

    async def _fly(self, flight: Flight, settings: Settings) -> None:
        pause = max(settings.debounce_ms / 1000, self.pace.pause(monotonic()))
        if pause:
            await asyncio.sleep(pause)
        engine = await self._engine()
        if engine is None:
            flight.problem = "the engine is not ready"
            return
        start = perf_counter()
        snippets = await self._find_snippets(flight.snapshot, settings)
        found = perf_counter()
        request = _request(flight, settings, snippets)
        flight.asked, flight.lessons = True, self._lessons
        try:
            completions = await _collect(engine, request, flight.grow)
        except EngineError as error:
            log.error("no suggestion: %s", error)
            self._on_engine_error(engine, error)
            flight.problem = "the engine failed"
            return
        self._on_engine_answer()
        written = perf_counter()
        candidates = await self._find_unknown(flight.snapshot, as_candidates(completions, flight.snapshot))
        completion = completions[0]
        took = {"snippets": found - start, "engine": written - found, "names": perf_counter() - written}
        facts = Facts(
            snippets=snippets,
            snippets_used=completion.snippets_used,
            prompt_tokens=completion.prompt_tokens,
            new_tokens=completion.new_tokens,
            timings={**{hop: value * 1000 for hop, value in took.items()}, **completion.timings},
        )
        self._asked.append((facts, request))
        if flight.waiting:
            self.pace.note_answer(written - start)
        self.cache.put(flight.snapshot, flight.length, candidates, facts=facts, wide=flight.wide)

    def _judge(self, found: Found, snapshot: Snapshot, length: Length, settings: Settings, source: Source) -> Answer:
        answer = judge(
            found.candidates,
            snapshot,
            length,
            assertiveness=settings.assertiveness,
            rejections=self.rejections,
            source=source,
            facts=found.entry.facts,
            on_screen=found.entry.shown_to - found.typed if found.typed else 0,
            without=self.without,
        )
        if answer.suggestion is not None:
            found.entry.shown_to = found.typed + len(answer.suggestion.text)
        self._note_question(snapshot.uri, found.entry.facts)
        return answer

    def _note_question(self, uri: str, facts: Facts) -> None:
        """Keep what was asked for a text that is answered with: looking ahead asks more than what is shown."""
        request = next((request for known, request in self._asked if known is facts), None)
        if request is not None:
            self.requests[uri] = request
        else:
            self.requests.pop(uri, None)

    def _look_ahead(self, snapshot: Snapshot, answer: Answer, settings: Settings) -> None:
        """Ask, while the engine is idle, what follows if the suggestion is accepted."""
        suggestion, flight = answer.suggestion, self._flights.get(snapshot.uri)
        if not settings.look_ahead or suggestion is None or (flight is not None and not flight.done):
            return
        accepted = replace(
            snapshot,
            prefix=snapshot.prefix + suggestion.text,
            suffix=snapshot.suffix[suggestion.replaces :],
            trigger=Trigger.AUTOMATIC,
            follows_acceptance=True,
        )
        length = decide(accepted, settings)
        if isinstance(length, Length) and self.cache.peek(accepted, length) is None:
            self._depart(accepted, length, settings)

    def _stop(self, uri: str) -> None:
        flight = self._flights.pop(uri, None)
        if flight is not None:
            flight.cancel()


def _request(flight: Flight, settings: Settings, snippets: Sequence[Snippet]) -> CompletionRequest:
    return replace(
        request_at(flight.snapshot, snippets),
        length=flight.length,
        max_tokens=settings.max_tokens,
        alternatives=_ALTERNATIVES if flight.wide else 1,
    )


async def _collect(engine: Engine, request: CompletionRequest, grow: Callable[[str], None]) -> list[Completion]:
    """Return the completion, and the alternatives to it that were asked for."""
    completions = []
    async with aclosing(_stream(engine, request)) as stream:
        async for piece in stream:
            if isinstance(piece, Completion):
                completions.append(piece)
            elif not completions:
                grow(piece.text)
    if not completions:
        raise EngineError("the engine ended without an answer; `midfill doctor` says what is wrong")
    return completions


def _stream(engine: Engine, request: CompletionRequest) -> AsyncGenerator[Chunk | Completion, None]:
    stream = engine.complete(request)
    assert isinstance(stream, AsyncGenerator)
    return stream
