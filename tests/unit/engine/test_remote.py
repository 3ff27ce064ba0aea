"""Engines behind an address, over real sockets: streams, cancelling, refusals, and servers that misbehave."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.api import Chunk, Completion, CompletionRequest, FinishReason, Length
from engine.errors import EngineError, EngineUnavailableError, PromptError
from engine.remote import RemoteEngine, RemoteSettings, checked_url
from tests.support.completions_server import Exchange, completions_server, piece, streaming

CHECKOUT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIDFILL_API_KEY", raising=False)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")


def _request(**changes: object) -> CompletionRequest:
    values = {"document": "d", "path": "shop/cart.py", "comment": "#", "prefix": "total = su", "suffix": "\nend()\n"}
    return CompletionRequest(**(values | changes))  # type: ignore[arg-type]


async def _ask(url: str, request: CompletionRequest | None = None, **settings: object) -> Completion:
    engine = RemoteEngine(RemoteSettings(url=url, **settings))  # type: ignore[arg-type]
    try:
        answers = [answer async for answer in engine.complete(request or _request())]
    finally:
        await engine.close()
    *chunks, completion = answers
    assert isinstance(completion, Completion)
    assert "".join(chunk.text for chunk in chunks if isinstance(chunk, Chunk)) == completion.text
    return completion


async def test_a_stream_is_shown_piece_by_piece_and_ends_in_a_completion() -> None:
    async with completions_server(streaming("m(", "prices", ")")) as server:
        completion = await _ask(server.url)
    assert completion.text == "m(prices)"
    assert (completion.new_tokens, completion.prompt_tokens) == (3, 7)
    assert set(completion.timings) == {"queue", "prefill", "decode"}


async def test_the_prompt_is_spelled_in_the_familys_marks_as_the_models_name_tells() -> None:
    async with completions_server(streaming("m()")) as server:
        await _ask(server.url)
        asked = server.completions[0]
    assert asked.method == "POST"
    assert asked.body["model"] == "qwen2.5-coder-1.5b"
    assert asked.body["prompt"] == "<|fim_prefix|>total = su<|fim_suffix|>\nend()\n<|fim_middle|>"
    assert asked.body["stop"][0] == "\n"
    assert len(asked.body["stop"]) <= 4
    assert asked.body["stream"] is True
    assert "authorization" not in asked.headers


async def test_a_server_that_lays_out_the_prompt_itself_gets_prefix_and_suffix_apart() -> None:
    async with completions_server(streaming("m()"), models=("something",)) as server:
        await _ask(server.url)
        body = server.completions[0].body
    assert (body["prompt"], body["suffix"]) == ("#shop/cart.py\ntotal = su", "\nend()\n")


async def test_a_users_text_never_becomes_a_mark() -> None:
    request = _request(prefix='mark = "<|fim_middle|>" + <|fim', suffix="|><|file_sep|>")
    async with completions_server(streaming("x")) as server:
        await _ask(server.url, request)
        prompt = server.completions[0].body["prompt"]
    assert [prompt.count(mark) for mark in ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")] == [1, 1, 1]
    assert "<|file_sep|>" not in prompt


async def test_our_own_rules_end_the_text_whatever_the_server_goes_on_to_say() -> None:
    async with completions_server(streaming("m()", "\nmore", "\nand more")) as server:
        completion = await _ask(server.url)
    assert (completion.text, completion.finish_reason) == ("m()", FinishReason.LINE_END)


async def test_marks_that_a_server_spells_out_end_the_text_even_in_pieces() -> None:
    async with completions_server(streaming("m(a <|", " b)", "<|fim_", "suffix|> more")) as server:
        completion = await _ask(server.url)
    assert (completion.text, completion.finish_reason) == ("m(a <| b)", FinishReason.END_MARK)


async def test_what_looks_like_a_mark_and_is_none_is_shown_at_the_end() -> None:
    async with completions_server(streaming("a <|fim")) as server:
        assert (await _ask(server.url)).text == "a <|fim"


async def test_a_block_ends_where_its_indentation_does() -> None:
    request = _request(prefix="def f():\n    ", suffix="\n", length=Length.BLOCK)
    async with completions_server(streaming("a = 1\n", "    return a\n", "\n\nprint(f())\n")) as server:
        completion = await _ask(server.url, request)
    assert (completion.text, completion.finish_reason) == ("a = 1\n    return a", FinishReason.BLOCK_END)


async def test_the_limit_of_tokens_is_told() -> None:
    async with completions_server(streaming("m(", finish_reason="length")) as server:
        completion = await _ask(server.url, _request(max_tokens=1))
        assert server.completions[0].body["max_tokens"] == 1
    assert completion.finish_reason is FinishReason.MAX_TOKENS


async def test_a_server_that_does_not_stream_is_understood() -> None:
    async def whole(exchange: Exchange) -> None:
        await exchange.reply(200, piece("m(prices)", "stop"))

    async with completions_server(whole) as server:
        assert (await _ask(server.url)).text == "m(prices)"


async def test_comments_and_fields_of_a_stream_are_skipped() -> None:
    async def chatty(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.chunk(": keep-alive\n\nevent: message\nid: 1\n")
        await exchange.chunk('data: {"choices": [{"text": "m()",\ndata: "finish_reason": "stop"}]}\n\n')
        await exchange.event("[DONE]")
        await exchange.end_stream()

    async with completions_server(chatty) as server:
        assert (await _ask(server.url)).text == "m()"


async def test_leaving_the_stream_closes_the_connection_so_that_the_server_stops() -> None:
    gone = asyncio.Event()

    async def endless(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.event(piece("m("))
        await exchange.client_left()
        gone.set()

    async with completions_server(endless) as server:
        engine = RemoteEngine(RemoteSettings(url=server.url))
        answers = engine.complete(_request())
        assert await anext(answers) == Chunk(text="m(")
        await answers.aclose()
        await asyncio.wait_for(gone.wait(), 10)
        await engine.close()


async def test_cancelling_while_a_server_thinks_closes_the_connection() -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def silent(exchange: Exchange) -> None:
        asked.set()
        await exchange.client_left()
        gone.set()

    async with completions_server(silent) as server:
        task = asyncio.create_task(_ask(server.url))
        await asyncio.wait_for(asked.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(gone.wait(), 10)


REFUSALS = {
    401: ("asks for a key", EngineUnavailableError),
    403: ("asks for a key", EngineUnavailableError),
    404: ("no such model", EngineError),
    400: ("refuses the request", EngineError),
    429: ("too often", EngineUnavailableError),
    500: ("failed", EngineUnavailableError),
    503: ("failed", EngineUnavailableError),
}


@pytest.mark.parametrize("status", REFUSALS)
async def test_a_refusal_is_one_clear_line(status: int) -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.reply(status, {"error": {"message": "because\nI say so"}})

    words, kind = REFUSALS[status]
    async with completions_server(refuse) as server:
        with pytest.raises(kind, match=words) as caught:
            await _ask(server.url)
    assert "\n" not in str(caught.value)
    assert str(status) in str(caught.value)
    assert ("I say so" in str(caught.value)) is (status not in (401, 403))


async def test_a_refusal_that_repeats_the_prompt_is_not_repeated() -> None:
    secret = "password_of_the_shop = 'hunter2 and more'"

    async def refuse(exchange: Exchange) -> None:
        await exchange.reply(400, {"error": {"message": f"cannot parse: {secret}"}})

    async with completions_server(refuse) as server:
        with pytest.raises(EngineError) as caught:
            await _ask(server.url, _request(prefix=secret))
    assert "hunter2" not in str(caught.value)


async def test_a_server_that_wants_a_pause_gets_it() -> None:
    async def busy(exchange: Exchange) -> None:
        await exchange.reply(429, {"detail": "slow down"}, Retry_After="77")

    async with completions_server(busy) as server:
        engine = RemoteEngine(RemoteSettings(url=server.url))
        for words in ("slow down", "wants 7. s without questions"):
            with pytest.raises(EngineUnavailableError, match=words):
                await anext(engine.complete(_request()))
        assert len(server.completions) == 1
        await engine.close()


async def test_a_gateway_that_fails_once_is_asked_once_more() -> None:
    answers = [503]

    async def flaky(exchange: Exchange) -> None:
        if answers:
            await exchange.reply(answers.pop(), {})
        else:
            await streaming("m()")(exchange)

    async with completions_server(flaky) as server:
        assert (await _ask(server.url)).text == "m()"
        assert len(server.completions) == 2


async def _half_closed(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await exchange.event(piece("m("))
    exchange.writer.write_eof()
    await exchange.client_left()


async def _ended_without_an_end(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await exchange.event(piece("m("))
    await exchange.end_stream()


async def _cut_event(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await exchange.event('{"choices": [{"te')
    await exchange.end_stream()


async def _no_object(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await exchange.event('["text"]')
    await exchange.end_stream()


async def _endless_event(exchange: Exchange) -> None:
    await exchange.begin_stream()
    for _ in range(40):
        await exchange.chunk(f"data: {'x' * 65536}\n")


async def _error_event(exchange: Exchange) -> None:
    await exchange.begin_stream()
    await exchange.event({"error": {"message": "out of memory"}})
    await exchange.end_stream()


async def _no_http(exchange: Exchange) -> None:
    await exchange.send("SSH-2.0-OpenSSH_9.2\r\n")
    exchange.writer.close()


async def _web_page(exchange: Exchange) -> None:
    await exchange.reply(200, "<html>It works!</html>")


MISBEHAVIOUR = {
    "half closed": (_half_closed, "broke off"),
    "ended without an end": (_ended_without_an_end, "broke off"),
    "a cut event": (_cut_event, "no JSON object"),
    "an event that is no object": (_no_object, "no JSON object"),
    "an event without an end": (_endless_event, "without an end"),
    "an error in mid-stream": (_error_event, "out of memory"),
    "no HTTP": (_no_http, "broke off"),
    "a web page": (_web_page, "no JSON object"),
}


@pytest.mark.parametrize("case", MISBEHAVIOUR)
async def test_a_server_that_misbehaves_is_one_clear_line(case: str) -> None:
    script, words = MISBEHAVIOUR[case]
    async with completions_server(script) as server:
        with pytest.raises(EngineError, match=words) as caught:
            await _ask(server.url)
    assert "\n" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


async def test_a_server_that_sends_nothing_is_given_up() -> None:
    async def slow(exchange: Exchange) -> None:
        await exchange.client_left()

    async with completions_server(slow) as server:
        with pytest.raises(EngineUnavailableError, match=r"sent nothing for 0\.2 s"):
            await _ask(server.url, read_seconds=0.2)


async def test_a_slow_stream_is_waited_for_as_long_as_pieces_come() -> None:
    async def slow(exchange: Exchange) -> None:
        await exchange.begin_stream()
        for text in "m(abc)":
            await asyncio.sleep(0.1)
            await exchange.event(piece(text))
        await exchange.event("[DONE]")
        await exchange.end_stream()

    async with completions_server(slow) as server:
        assert (await _ask(server.url, read_seconds=0.5)).text == "m(abc)"


async def test_nobody_there_is_one_clear_line() -> None:
    async with completions_server(streaming()) as server:
        url = server.url
    with pytest.raises(EngineUnavailableError, match="is the server running"):
        await RemoteEngine.connect(RemoteSettings(url=url))


async def test_the_key_comes_from_the_environment_and_appears_in_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDFILL_API_KEY", "sk-secret-123")

    async def echo(exchange: Exchange) -> None:
        await exchange.reply(500, {"error": f"header was {exchange.asked.headers['authorization']}"})

    async with completions_server(echo) as server:
        with pytest.raises(EngineUnavailableError, match="failed") as caught:
            await _ask(server.url)
        assert {asked.headers["authorization"] for asked in server.asked} == {"Bearer sk-secret-123"}
    assert "sk-secret" not in str(caught.value)


_KEYRING = """
import keyring.backend

class Backend(keyring.backend.KeyringBackend):
    priority = 1

    def get_password(self, service, username):
        return "from-the-keyring" if (service, username) == ("midfill", "localhost:8000") else None

    def set_password(self, service, username, password):
        raise NotImplementedError

class Broken(Backend):
    def get_password(self, service, username):
        raise RuntimeError("locked")
"""


@pytest.mark.parametrize(("backend", "expected"), [("Backend", "from-the-keyring"), ("Broken", "None")])
def test_the_key_comes_from_the_keyring_where_there_is_one(backend: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "our_keyring.py").write_text(_KEYRING)
    done = subprocess.run(
        [sys.executable, "-c", "from engine.api_keys import find_key; print(find_key('localhost:8000'))"],
        capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": f"{CHECKOUT}:{tmp_path}", "PYTHON_KEYRING_BACKEND": f"our_keyring.{backend}"},
    )  # fmt: skip
    assert done.stdout.strip() == expected


async def test_a_status_says_what_is_served_and_asks_seldom() -> None:
    async with completions_server(streaming()) as server:
        engine = await RemoteEngine.connect(RemoteSettings(url=f"{server.url}/"))
        status = await engine.status()
        await engine.close()
        assert len(server.asked) == 1
    assert status.model.startswith("qwen2.5-coder-1.5b at http://127.0.0.1:")
    assert status.context_length == 4096
    assert await engine.learn("shop", {}) == 0


async def test_a_model_that_a_server_has_not_is_named_with_those_it_has() -> None:
    async with completions_server(streaming(), models=("a", "b")) as server:
        with pytest.raises(EngineError, match="no model 'c'; it has a, b"):
            await RemoteEngine.connect(RemoteSettings(url=server.url, model="c"))


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://host/v1", "http://", "http://user:key@host/v1", "http://[::1"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(EngineError, match=r"no address|holds a password"):
        checked_url(url)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(PromptError, match="unknown fill-in-the-middle format"):
        RemoteEngine(RemoteSettings(url="http://localhost/v1", format="nonsense"))
