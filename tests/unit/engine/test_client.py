"""Real daemons, real sockets, a real (tiny) model folder."""

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from engine import daemon_start, paths, wire
from engine.api import Chunk, Completion, CompletionRequest, FinishReason, Length
from engine.client import EngineClient
from engine.daemon_start import EngineSettings
from engine.errors import EngineError, EngineUnavailableError, ModelFolderError
from tests.support.engine_process import engine_settings, is_alive, kill
from tests.support.tiny_model import CORPUS, write_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def slow_model(tmp_path_factory):
    """Some milliseconds a token, so that an answer lasts long enough to be interrupted."""
    return write_tiny_model(tmp_path_factory.mktemp("slow"), layers=24, width=128, context_length=2048)


@pytest.fixture(scope="module")
def settings(tmp_path_factory, model):
    with engine_settings(tmp_path_factory.mktemp("home"), model) as made:
        yield made


@pytest.fixture(scope="module")
def slow_settings(settings, slow_model):
    return dataclasses.replace(settings, model=str(slow_model))


@contextlib.asynccontextmanager
async def connected(settings):
    client = await EngineClient.connect(settings)
    try:
        yield client
    finally:
        await client.close()


def request(**changes):
    values = {
        "document": "file:///a.py",
        "path": "a.py",
        "comment": "#",
        "prefix": CORPUS[:300],
        "suffix": "\n",
        "max_tokens": 8,
    }
    return CompletionRequest(**(values | changes))


def long_request(**changes):
    """Hundreds of tokens: sampled, so that it neither ends nor repeats itself early."""
    values = {"prefix": "x = '", "length": Length.BLOCK, "max_tokens": 500, "temperature": 2.0}
    return request(**(values | changes))


def socket_path(settings):
    return paths.runtime_folder() / f"{daemon_start._identity(settings)}.sock"


async def complete(client, asked):
    answers = [answer async for answer in client.complete(asked)]
    *chunks, completion = answers
    assert isinstance(completion, Completion)
    assert "".join(chunk.text for chunk in chunks) == completion.text
    return completion


async def test_a_completion_comes_in_pieces_and_ends(settings):
    async with connected(settings) as client:
        completion = await complete(client, request(length=Length.BLOCK))
    assert completion.new_tokens
    assert set(completion.timings) == {"queue", "prompt", "prefill", "decode"}


async def test_the_status_says_what_is_served(settings, model):
    async with connected(settings) as client:
        status = await client.status()
    assert status.model == str(model.resolve())
    assert status.parameters > 1000
    assert (status.device, status.threads, status.context_length) == ("cpu", 1, 512)
    assert status.memory_bytes > 10**7
    assert is_alive(status.process_id)


async def test_what_was_learned_is_completed_from_until_it_is_forgotten(settings, tmp_path):
    files = {"other.py": tmp_path / "other.py", "missing.py": tmp_path / "missing.py"}
    files["other.py"].write_text("unusual_name = compute_everything(quickly)\n" * 3)
    asked = request(prefix="unusual_name = comp", suffix="", collection="r", max_tokens=40)
    async with connected(settings) as client:
        tokens = await client.learn("r", files)
        assert (await client.status()).collections["r"] == tokens > 0
        assert (await complete(client, asked)).text == "ute_everything(quickly)"
        await client.forget("r", ["other.py"])
        assert (await client.status()).collections["r"] == 0


async def test_sigterm_ends_the_process_cleanly_and_what_was_learned_survives_it(settings, tmp_path):
    (tmp_path / "other.py").write_text("unusual_name = compute_everything(quickly)\n" * 3)
    asked = request(prefix="unusual_name = comp", suffix="", collection="kept", max_tokens=40)
    async with connected(settings) as client:
        tokens = await client.learn("kept", {"other.py": tmp_path / "other.py"})
        path = socket_path(settings)
        assert path.exists()
        kill((await client.status()).process_id, signal.SIGTERM)
        assert not path.exists()
        assert daemon_start._log_path(path).read_text().rstrip().endswith("ended")
        await complete(client, asked)  # has the collection restored in the background
        assert await client.learn("kept", {}) == tokens
        assert (await complete(client, asked)).text == "ute_everything(quickly)"


async def test_leaving_the_stream_stops_the_work_within_a_token(slow_settings):
    async with connected(slow_settings) as client:
        stream = client.complete(long_request())
        assert isinstance(await anext(stream), Chunk)
        await stream.aclose()
        # One thread serves everybody: another document's answer comes only once the first one has stopped.
        completion = await complete(client, long_request(document="b", max_tokens=1))
    assert completion.timings["queue"] < 10_000
    assert completion.new_tokens <= 1


async def test_cancelling_the_consumer_stops_the_work(slow_settings):
    async with connected(slow_settings) as client:
        started = asyncio.Event()

        async def consume():
            async for _ in client.complete(long_request()):
                started.set()

        task = asyncio.create_task(consume())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await complete(client, long_request(document="b", max_tokens=1))).finish_reason


async def test_the_newest_request_of_a_document_wins(slow_settings):
    async with connected(slow_settings) as client:
        first = client.complete(long_request())
        await anext(first)
        second = asyncio.create_task(complete(client, long_request(seed=1)))
        await asyncio.sleep(0)
        third = await complete(client, long_request(seed=2, max_tokens=2))
        answers = [answer async for answer in first]
    assert answers[-1].finish_reason is FinishReason.CANCELLED
    assert (await second).finish_reason is FinishReason.CANCELLED
    assert third.finish_reason is not FinishReason.CANCELLED


async def test_windows_do_not_cancel_each_other(slow_settings):
    async with connected(slow_settings) as one, connected(slow_settings) as other:
        completions = await asyncio.gather(
            complete(one, long_request(max_tokens=5)), complete(other, long_request(max_tokens=5))
        )
    assert all(completion.finish_reason is not FinishReason.CANCELLED for completion in completions)


async def test_a_lost_connection_ends_its_work(slow_settings):
    lost = await EngineClient.connect(slow_settings)
    stream = lost.complete(long_request())
    await anext(stream)
    await lost.close()
    with pytest.raises(EngineUnavailableError):
        async for _ in stream:
            pass
    async with connected(slow_settings) as client:
        assert (await complete(client, long_request(max_tokens=1))).new_tokens <= 1


async def test_beyond_the_queue_limit_requests_are_refused(slow_settings):
    async with connected(slow_settings) as client:
        first = client.complete(long_request(document="first"))
        await anext(first)
        others = [asyncio.create_task(complete(client, request(document=str(number)))) for number in range(33)]
        with pytest.raises(EngineUnavailableError, match="busy"):
            await others[-1]
        await first.aclose()
        await asyncio.gather(*others[:-1])


async def test_a_killed_engine_is_an_error_and_the_next_request_works(slow_settings):
    async with connected(slow_settings) as client:
        stream = client.complete(long_request())
        await anext(stream)
        kill((await client.status()).process_id, signal.SIGKILL)
        with pytest.raises(EngineUnavailableError, match="went away"):
            async for _ in stream:
                pass
        assert (await complete(client, request())).new_tokens


async def test_an_engine_that_dies_before_its_first_word_is_started_again(slow_settings):
    async with connected(slow_settings) as client:
        process = (await client.status()).process_id
        os.kill(process, signal.SIGSTOP)
        asked = asyncio.create_task(complete(client, request()))
        await asyncio.sleep(0.05)
        kill(process, signal.SIGKILL)
        assert (await asked).new_tokens


async def test_clients_that_start_at_once_share_one_process_also_over_a_stale_socket(tmp_path, model):
    with engine_settings(tmp_path, model) as settings:
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(socket_path(settings)))
        clients = await asyncio.gather(*(EngineClient.connect(settings) for _ in range(5)))
        statuses = await asyncio.gather(*(client.status() for client in clients))
        for client in clients:
            await client.close()
        assert len({status.process_id for status in statuses}) == 1


async def test_an_idle_engine_ends_and_the_next_request_starts_it_again(tmp_path, model):
    with engine_settings(tmp_path, model, idle_seconds=0.3) as settings:
        async with connected(settings) as client:
            first = (await client.status()).process_id
            while is_alive(first):
                await asyncio.sleep(0.05)
            assert (await client.status()).process_id != first


async def test_files_and_folders_are_open_to_their_owner_only(settings, tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n")
    async with connected(settings) as client:
        await client.learn("r", {"a.py": tmp_path / "a.py"})
        home = paths.runtime_folder().parent
        folders = [home, *(path for path in home.rglob("*") if path.is_dir())]
        assert [stat.S_IMODE(path.stat().st_mode) for path in folders] == [0o700] * len(folders)
        assert stat.S_IMODE(socket_path(settings).stat().st_mode) == 0o600


async def test_no_source_text_reaches_the_log(settings):
    async with connected(settings) as client:
        secret = "token_4711"
        await complete(client, request(prefix=secret, path=secret, document=secret, collection=secret))
        with pytest.raises(EngineError):
            await client._result({"type": "complete", "request": {"document": secret, "prefix": [secret]}})
        await client.learn(secret, {secret: Path("/" + secret)})
        written = daemon_start._log_path(socket_path(settings)).read_text()
    assert "MalformedMessageError" in written
    assert secret not in written


MALFORMED = {
    "no JSON": b"\x00\x00\x00\x03abc",
    "no UTF-8": b"\x00\x00\x00\x02\xff\xff",
    "no object": b"\x00\x00\x00\x02[]",
    "empty": b"\x00\x00\x00\x00",
    "too deep": b"\x00\x01\x00\x00" + b"[" * 65536,
    "no id": wire.frame({"type": "status"}),
    "unknown type": wire.frame({"type": "dance", "id": 1}),
    "no request": wire.frame({"type": "complete", "id": 1}),
    "empty request": wire.frame({"type": "complete", "id": 1, "request": {}}),
    "wrong field": wire.frame(
        {"type": "complete", "id": 1, "request": wire.request_to_json(request()) | {"seed": "x"}}
    ),
    "wrong files": wire.frame({"type": "learn", "id": 1, "collection": "c", "files": [1]}),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_message_is_answered_and_the_next_one_too(settings, name):
    async with connected(settings) as client:
        reader, writer = await daemon_start._open(paths.runtime_folder() / f"{daemon_start._identity(settings)}.sock")
        writer.write(MALFORMED[name] + wire.frame({"type": "status", "id": 2}))
        answer, status = await wire.read_message(reader), await wire.read_message(reader)
        writer.close()
        await writer.wait_closed()
        assert answer["type"] == "error"
        assert "\n" not in answer["message"]
        assert (status["type"], status["id"]) == ("result", 2)
        assert await client.status()


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        wire.frame({"type": "hello", "protocol": 99}),
        wire.frame({"type": "status", "id": 1}),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=["a frame too long", "another protocol", "no greeting", "a browser"],
)
async def test_whoever_does_not_greet_is_told_and_shown_out(settings, data):
    async with connected(settings) as client:
        reader, writer = await asyncio.open_unix_connection(str(socket_path(settings)))
        writer.write(data)
        assert (await wire.read_message(reader))["type"] == "error"
        assert await wire.read_message(reader) is None
        writer.close()
        await writer.wait_closed()
        assert await client.status()


async def test_a_request_with_lone_surrogates_is_answered(settings):
    async with connected(settings) as client:
        assert await complete(client, request(prefix="x = '\ud83d", suffix="\udc00"))


def broken_weights(folder):
    write_tiny_model(folder)
    (folder / "model.safetensors").write_bytes(b"broken")


@pytest.mark.parametrize(
    ("make", "message"), [(broken_weights, "model.safetensors is broken"), (lambda folder: None, "no model folder")]
)
async def test_a_model_that_cannot_be_served_is_one_clear_line(tmp_path, make, message):
    make(tmp_path / "model")
    with (
        engine_settings(tmp_path / "home", tmp_path / "model") as settings,
        pytest.raises(ModelFolderError, match=message) as caught,
    ):
        await EngineClient.connect(settings)
    assert "\n" not in str(caught.value)


async def test_an_unusable_device_is_one_clear_line(tmp_path, model):
    with (
        engine_settings(tmp_path, model, device="abacus") as settings,
        pytest.raises(EngineUnavailableError, match="abacus"),
    ):
        await EngineClient.connect(settings)


async def test_a_crash_at_start_says_its_last_line(tmp_path, model, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with engine_settings(tmp_path, model) as settings, pytest.raises(EngineUnavailableError, match="nonexistent"):
        await EngineClient.connect(settings)


async def test_the_users_own_modules_are_never_imported(tmp_path, model, monkeypatch):
    """A workspace with its own engine/, json.py and torch.py, current and on PYTHONPATH."""
    for name in ("json.py", "torch.py", "numpy.py", "engine.py", "sitecustomize.py"):
        (tmp_path / name).write_text("raise SystemExit('the decoy was imported')\n")
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "__init__.py").write_text("raise SystemExit('the decoy was imported')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with engine_settings(tmp_path / "home", model) as settings:
        async with connected(settings) as client:
            assert (await complete(client, request())).new_tokens


def test_the_client_starts_without_torch():
    code = "import sys, engine.client; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-P", "-c", code], check=True, env=os.environ | {"PYTHONPATH": str(Path.cwd())})


def test_other_weights_or_another_device_are_another_daemon(tmp_path):
    write_tiny_model(tmp_path / "model")
    settings = EngineSettings(model=str(tmp_path / "model"))
    before = daemon_start._identity(settings)
    assert daemon_start._identity(EngineSettings(model=str(tmp_path / "model"), threads=3)) == before
    assert daemon_start._identity(EngineSettings(model=str(tmp_path / "model"), device="cuda")) != before
    (tmp_path / "model" / "prompt.json").write_text(json.dumps({"changed": True}))
    assert daemon_start._identity(settings) != before


async def test_eight_windows_share_one_copy_and_a_busy_one_holds_up_nobody(slow_settings):
    """While one window is in the middle of a long answer, the others start and finish theirs."""
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(slow_settings)) for _ in range(8)]
        busy = clients[0].complete(long_request(document="busy", seed=7))
        await anext(busy)
        others = await asyncio.gather(
            *(
                complete(client, request(document=str(number), max_tokens=2))
                for number, client in enumerate(clients[1:])
            )
        )
        assert all(completion.finish_reason is not FinishReason.CANCELLED for completion in others)
        assert isinstance(await anext(busy), Chunk)  # it goes on where it was
        await busy.aclose()
        assert len({(await client.status()).process_id for client in clients}) == 1


async def test_every_window_survives_a_kill_in_mid_answer(slow_settings):
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(slow_settings)) for _ in range(4)]
        streams = [client.complete(long_request(document=str(number))) for number, client in enumerate(clients)]
        await asyncio.gather(*(anext(stream) for stream in streams))
        kill((await clients[0].status()).process_id, signal.SIGKILL)
        for stream in streams:
            with pytest.raises(EngineUnavailableError):
                async for _ in stream:
                    pass
        answers = await asyncio.gather(*(complete(client, request()) for client in clients))
        assert all(answer.new_tokens for answer in answers)
        assert len({(await client.status()).process_id for client in clients}) == 1


async def test_alternatives_come_as_completions_of_their_own(settings):
    async with connected(settings) as client:
        answers = [answer async for answer in client.complete(request(alternatives=3, length=Length.BLOCK))]
    texts = [answer.text for answer in answers if isinstance(answer, Completion)]
    assert len(texts) == len(set(texts)) == 3
    assert "".join(answer.text for answer in answers if isinstance(answer, Chunk)) == texts[0]


async def test_a_model_beyond_the_memory_limit_is_one_clear_line(tmp_path, model):
    with (
        engine_settings(tmp_path, model, memory_megabytes=1) as settings,
        pytest.raises(EngineUnavailableError, match="the memory limit is 1 MiB"),
    ):
        await EngineClient.connect(settings)
