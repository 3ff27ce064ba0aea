"""A real completions server, where one runs: MIDFILL_TEST_SERVER=http://127.0.0.1:8080/v1 pytest THIS_FILE."""

import os

import pytest

from engine.api import Chunk, Completion, CompletionRequest, FinishReason, Length
from engine.remote import RemoteEngine, RemoteSettings

URL = os.environ.get("MIDFILL_TEST_SERVER", "")
pytestmark = pytest.mark.skipif(not URL, reason="MIDFILL_TEST_SERVER names no server")


def request(**changes: object) -> CompletionRequest:
    values = {
        "document": "d", "path": "main.py", "comment": "#", "prefix": "def read(path):\n    with open(path) as ",
        "suffix": "\n    return text\n", "max_tokens": 24,
    }  # fmt: skip
    return CompletionRequest(**(values | changes))  # type: ignore[arg-type]


async def test_a_line_is_streamed_and_the_same_twice() -> None:
    engine = await RemoteEngine.connect(RemoteSettings(url=URL, prompt_tokens=300))
    answers = [[answer async for answer in engine.complete(request())] for _ in range(2)]
    await engine.close()
    *chunks, completion = answers[0]
    assert isinstance(completion, Completion)
    assert "".join(chunk.text for chunk in chunks if isinstance(chunk, Chunk)) == completion.text
    assert "\n" not in completion.text
    assert answers[1][-1].text == completion.text


async def test_leaving_an_answer_leaves_the_server_fit_for_the_next() -> None:
    engine = await RemoteEngine.connect(RemoteSettings(url=URL, prompt_tokens=300))
    answers = engine.complete(request(length=Length.BLOCK, max_tokens=200))
    assert isinstance(await anext(answers), Chunk)
    await answers.aclose()
    *_, completion = [answer async for answer in engine.complete(request(max_tokens=2))]
    await engine.close()
    assert isinstance(completion, Completion)
    assert completion.finish_reason is not FinishReason.CANCELLED
