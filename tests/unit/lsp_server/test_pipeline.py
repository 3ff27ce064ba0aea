import asyncio
from collections.abc import AsyncIterator

import pytest

from engine.api import Chunk, Completion, CompletionRequest, FinishReason, Length
from engine.errors import EngineError, EngineUnavailableError
from lsp_server.completion.flight import GRACE_SECONDS
from lsp_server.completion.pipeline import Pipeline
from lsp_server.completion.snapshot import Snapshot, Trigger
from lsp_server.completion.trigger import Refusal
from lsp_server.settings import LengthMode, Settings


class ScriptedEngine:
    """Answers every request with one text, or fails, or never answers."""

    def __init__(self, outcome: str | EngineError | None) -> None:
        self.outcome = outcome
        self.requests: list[CompletionRequest] = []
        self.stopped = 0

    async def complete(self, request: CompletionRequest) -> AsyncIterator[Chunk | Completion]:
        self.requests.append(request)
        if isinstance(self.outcome, EngineError):
            raise self.outcome
        if self.outcome is None:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                self.stopped += 1
                raise
        yield Completion(
            text=self.outcome, finish_reason=FinishReason.LINE_END, prompt_tokens=1, new_tokens=1,
            mean_log_probability=0.0, snippets_used=0, timings={"decode": 1.0},
        )  # fmt: skip


class Bench:
    """A pipeline with a scripted engine and a record of what it was told."""

    def __init__(self, engine: ScriptedEngine | None, snippets=()) -> None:
        self.engine = engine
        self.snippets = snippets
        self.errors: list[EngineError] = []
        self.pipeline = Pipeline(
            engine=self.reach,
            find_snippets=self.find,
            on_engine_error=lambda engine, error: self.errors.append(error),
        )

    async def reach(self) -> ScriptedEngine | None:
        return self.engine

    async def find(self, snapshot: Snapshot, settings: Settings):
        return self.snippets


def at(text: str, trigger: Trigger = Trigger.AUTOMATIC, **changes) -> Snapshot:
    prefix, suffix = text.split("‸")
    values = {
        "uri": "file:///w/a.py", "version": 1, "language_id": "python", "path": "a.py", "root": "/w", "comment": "#",
        "prefix": prefix, "suffix": suffix, "trigger": trigger,
    }  # fmt: skip
    return Snapshot(**values | changes)


async def test_what_the_engine_writes_is_suggested():
    bench = Bench(ScriptedEngine("10 + 20"))
    answer = await bench.pipeline.answer(at("x = ‸\n"), Settings())
    assert answer.suggestion.text == "10 + 20"
    assert {"snippets", "engine", "decode"} <= set(answer.timings)


async def test_the_request_carries_what_is_known_of_the_cursor():
    bench = Bench(ScriptedEngine("1"), snippets=("snippet",))
    await bench.pipeline.answer(at("x = ‸\ny"), Settings(max_tokens=7, length=LengthMode.BLOCK))
    [request] = bench.engine.requests
    assert request == CompletionRequest(
        document="file:///w/a.py", path="a.py", comment="#", prefix="x = ", suffix="\ny", snippets=("snippet",),
        collection="/w", length=Length.BLOCK, max_tokens=7,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("engine", "text"),
    [
        (None, "x = ‸\n"),
        (ScriptedEngine("  "), "x = ‸\n"),
        (ScriptedEngine("1"), "x = ‸ + 1\n"),
        (ScriptedEngine(EngineError("no")), "x = ‸\n"),
    ],
    ids=["no engine", "blank", "middle of a line", "error"],
)
async def test_nothing_to_show_has_a_reason(engine, text):
    answer = await Bench(engine).pipeline.answer(at(text), Settings())
    assert answer.suggestion is None
    assert answer.reason


async def test_an_engine_error_is_told_once_and_never_raised():
    bench = Bench(ScriptedEngine(EngineUnavailableError("gone")))
    await bench.pipeline.answer(at("x = ‸\n"), Settings())
    assert [str(error) for error in bench.errors] == ["gone"]


async def test_the_question_that_is_kept_is_that_of_the_answer_not_of_what_comes_next():
    bench = Bench(ScriptedEngine("10"))
    cursor = at("x = ‸\n")
    await bench.pipeline.answer(cursor, Settings())
    while len(bench.engine.requests) < 2:
        await asyncio.sleep(0.01)
    assert bench.pipeline.requests[cursor.uri].prefix == "x = "
    await bench.pipeline.answer(at("x = 10‸\n", follows_acceptance=True), Settings())
    assert bench.pipeline.requests[cursor.uri].prefix == "x = 10"


async def test_other_cells_are_sent_around_the_cell():
    bench = Bench(ScriptedEngine("10"))
    await bench.pipeline.answer(at("‸\n", cells_above="# %%\ny = 1\n", cells_below="z\n"), Settings(look_ahead=False))
    [request] = bench.engine.requests
    assert (request.prefix, request.suffix) == ("# %%\ny = 1\n", "\nz\n")


async def test_typing_through_asks_the_engine_once():
    bench = Bench(ScriptedEngine("foo(bar)"))
    settings = Settings(look_ahead=False)
    for typed in ("", "f", "fo", "foo(", "fo"):
        answer = await bench.pipeline.answer(at(f"x = {typed}‸\n"), settings)
        assert answer.suggestion.text == "foo(bar)"[len(typed) :]
    assert len(bench.engine.requests) == 1


async def test_what_was_not_shown_is_asked_again_once_the_engine_has_learned():
    bench = Bench(ScriptedEngine(""))
    for _ in range(2):
        assert (await bench.pipeline.answer(at("x = ‸\n"), Settings())).suggestion is None
    assert len(bench.engine.requests) == 1
    bench.engine.outcome = "10"
    bench.pipeline.forget_unshown()
    assert (await bench.pipeline.answer(at("x = ‸\n"), Settings())).suggestion.text == "10"


async def test_what_was_asked_before_the_engine_learned_and_not_shown_is_asked_again():
    class LearningEngine(ScriptedEngine):
        async def complete(self, request):
            async for piece in super().complete(request):
                bench.pipeline.forget_unshown()
                yield piece

    bench = Bench(LearningEngine(""))
    assert (await bench.pipeline.answer(at("x = ‸\n"), Settings())).suggestion is None
    bench.engine.outcome = "10"
    assert (await bench.pipeline.answer(at("x = ‸\n"), Settings())).suggestion.text == "10"


async def test_an_early_answer_supersedes_older_work_too():
    bench = Bench(ScriptedEngine(None))
    older = asyncio.ensure_future(bench.pipeline.answer(at("x = ‸\n"), Settings()))
    await asyncio.sleep(0.01)
    assert (await bench.pipeline.answer(at("x = ‸ + 1\n"), Settings())).reason == Refusal.MIDDLE_OF_LINE.value
    assert (await older).reason == "superseded"
    assert bench.engine.stopped == 1


async def test_cancelling_a_request_stops_the_engine():
    bench = Bench(ScriptedEngine(None))
    request = asyncio.ensure_future(bench.pipeline.answer(at("x = ‸\n"), Settings()))
    await asyncio.sleep(0.01)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    await asyncio.sleep(2 * GRACE_SECONDS)
    assert bench.engine.stopped == 1


async def test_a_debounce_lets_a_newer_request_go_first():
    bench = Bench(ScriptedEngine("foo(bar)"))
    settings = Settings(debounce_ms=30, look_ahead=False)
    answers = await asyncio.gather(
        bench.pipeline.answer(at("x = ‸\n"), settings), bench.pipeline.answer(at("xy = ‸\n"), settings)
    )
    assert [answer.reason for answer in answers] == ["superseded", "engine"]
    assert len(bench.engine.requests) == 1


async def test_a_closed_document_has_nothing_running_or_kept():
    bench = Bench(ScriptedEngine("foo"))
    settings = Settings(look_ahead=False)
    await bench.pipeline.answer(at("x = ‸\n"), settings)
    bench.pipeline.forget("file:///w/a.py")
    await bench.pipeline.answer(at("x = ‸\n"), settings)
    assert len(bench.engine.requests) == 2
