import asyncio
import struct

import pytest

from engine import wire
from engine.api import Chunk, Completion, CompletionRequest, EngineStatus, FinishReason, Length
from engine.errors import EngineError, EngineUnavailableError, ModelFolderError, PromptError

REQUEST = CompletionRequest(
    document="file:///é.py",
    path="é.py",
    comment="#",
    prefix="x = '👩‍💻\0\n",
    suffix="\r\n",
    snippets=[wire.WireSnippet(path="b.py", comment="//", text="y")],
    collection="r",
    length=Length.BLOCK,
    max_tokens=3,
    temperature=0.5,
    seed=9,
)
COMPLETION = Completion(
    text="é",
    finish_reason=FinishReason.LINE_END,
    prompt_tokens=1,
    new_tokens=2,
    mean_log_probability=-0.25,
    snippets_used=1,
    token_scores=((0, -0.5), (1, 0.0)),
    timings={"prompt": 1.5},
)


async def through(message):
    reader = asyncio.StreamReader()
    reader.feed_data(wire.frame(message))
    reader.feed_eof()
    received = await wire.read_message(reader)
    assert await wire.read_message(reader) is None
    return received


async def test_a_request_arrives_as_it_was_sent():
    assert wire.request_from_json(await through(wire.request_to_json(REQUEST))) == REQUEST


@pytest.mark.parametrize("answer", [Chunk(text="é\n"), COMPLETION])
async def test_an_answer_arrives_as_it_was_sent(answer):
    assert wire.answer_from_json(await through(wire.answer_to_json(answer))) == answer


async def test_a_status_arrives_as_it_was_sent():
    status = EngineStatus(
        process_id=1,
        model="m",
        parameters=2,
        device="cpu",
        dtype="float32",
        context_length=3,
        threads=4,
        memory_bytes=5,
        uptime_seconds=6.5,
        collections={"r": 7},
    )
    assert wire.status_from_json(await through(wire.status_to_json(status))) == status


@pytest.mark.parametrize("kind", [EngineError, EngineUnavailableError, ModelFolderError, PromptError])
async def test_an_error_arrives_as_what_it_was(kind):
    error = wire.error_from_json(await through(wire.error_to_json(kind("do this"), request_id=4)))
    assert type(error) is kind
    assert str(error) == "do this"


async def test_an_error_of_another_class_arrives_as_an_engine_error():
    raw = await through(wire.error_to_json(wire.MalformedMessageError("no"), request_id=None))
    assert type(wire.error_from_json(raw)) is EngineError


def test_lone_surrogates_are_replaced():
    raw = wire.request_to_json(REQUEST) | {"prefix": "a\ud800b"}
    assert wire.request_from_json(raw).prefix == "a?b"


@pytest.mark.parametrize("name", wire.request_to_json(REQUEST))
@pytest.mark.parametrize("value", [None, [], {}, 1.5, True, "x"])
def test_a_request_with_a_wrong_field_is_malformed_or_reads_as_valid(name, value):
    raw = wire.request_to_json(REQUEST) | {name: value}
    try:
        wire.request_from_json(raw)
    except wire.MalformedMessageError:
        return
    assert value in ("x", []) or (name, value) in {
        ("collection", None),
        ("instruction", None),
        ("temperature", 1.5),
    }


@pytest.mark.parametrize("cut", range(1, 12))
async def test_a_frame_cut_short_is_the_end(cut):
    reader = asyncio.StreamReader()
    reader.feed_data(wire.frame({"type": "x"})[:cut])
    reader.feed_eof()
    assert await wire.read_message(reader) is None


async def test_a_frame_too_long_is_lost():
    reader = asyncio.StreamReader()
    reader.feed_data(struct.pack(">I", wire.MAX_FRAME_BYTES + 1))
    with pytest.raises(wire.LostFrameError):
        await wire.read_message(reader)


def test_a_message_too_long_is_not_sent(monkeypatch):
    monkeypatch.setattr(wire, "MAX_FRAME_BYTES", 10)
    with pytest.raises(EngineError, match="less text"):
        wire.frame({"text": "x" * 10})
