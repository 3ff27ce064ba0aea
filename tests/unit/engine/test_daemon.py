"""What can be told without a process of its own; the rest of the daemon is driven in test_client."""

import asyncio
import contextlib
import logging
import socket
from pathlib import Path

import pytest

from engine import model_folder, wire
from engine.api import CompletionRequest, Length
from engine.completer import Completer
from engine.daemon import Daemon, _is_own_user
from tests.support.tiny_model import CORPUS, write_tiny_model

REQUEST = CompletionRequest(document="d", path="p", comment="#", prefix="secret", suffix="")


class BrokenCompleter:
    def work(self, request, cancelled):
        raise ValueError(f"cannot do {request.prefix}")
        yield


class BrokenLibrary:
    def learn(self, collection, files):
        raise MemoryError(f"cannot hold {collection}")

    def stop(self):
        pass

    def save(self):
        raise OSError(28, "No space left on device")


class IdleLibrary:
    def stop(self):
        pass

    def save(self):
        pass


class WatchedCompleter(Completer):
    """Notes whose step begins, and who shows text."""

    def __init__(self, model):
        super().__init__(model)
        self.notes = []

    def work(self, request, cancelled=lambda: False):
        self.notes.append(request.document)
        for answer in super().work(request, cancelled):
            if answer is not None:
                self.notes.append(f"{request.document} shows")
            yield answer
            self.notes.append(request.document)


@contextlib.asynccontextmanager
async def served(daemon, folder):
    """Run a daemon in this loop; yield a function that connects to it and returns reader and writer."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "s"))
    listener.listen()
    running = asyncio.create_task(daemon.run(listener))
    writers = []

    async def connect():
        reader, writer = await asyncio.open_unix_connection(str(folder / "s"))
        writers.append(writer)
        writer.write(wire.frame({"type": "hello", "protocol": wire.PROTOCOL_VERSION}))
        assert (await wire.read_message(reader))["type"] == "hello"
        return reader, writer

    yield connect
    for writer in writers:
        writer.close()
        await writer.wait_closed()
    daemon.stop()
    await running


@pytest.fixture
async def talk(tmp_path):
    """Yield a function that sends a message to a daemon in this loop and returns the reply."""
    daemon = Daemon(BrokenCompleter(), BrokenLibrary(), describe=lambda: None, idle_seconds=60.0)
    async with served(daemon, tmp_path) as connect:
        reader, writer = await connect()

        async def ask(message):
            writer.write(wire.frame(message))
            return await wire.read_message(reader)

        yield ask


async def test_a_busy_window_delays_the_first_text_of_seven_others_by_one_step_at_most(tmp_path):
    model = model_folder.read(write_tiny_model(tmp_path / "model", layers=24, width=128, context_length=2048))
    completer = WatchedCompleter(model)
    daemon = Daemon(completer, IdleLibrary(), describe=lambda: None, idle_seconds=60.0)
    add = daemon._turns.add

    def noted(job):
        completer.notes.append(f"{job.request.document} arrives")
        add(job)

    daemon._turns.add = noted
    async with served(daemon, tmp_path) as connect:
        windows = [await connect() for _ in range(8)]
        busy = CompletionRequest(
            document="busy", path="p", comment="#", prefix="x = '", suffix="", length=Length.BLOCK, max_tokens=500,
            temperature=2.0, seed=7,
        )  # fmt: skip
        windows[0][1].write(wire.frame({"type": "complete", "id": 1, "request": wire.request_to_json(busy)}))
        assert (await wire.read_message(windows[0][0]))["type"] == "chunk"
        for number, (reader, writer) in enumerate(windows[1:]):
            asked = CompletionRequest(
                document=f"new {number}", path="p", comment="#", prefix=CORPUS, suffix="", max_tokens=3
            )
            writer.write(wire.frame({"type": "complete", "id": 1, "request": wire.request_to_json(asked)}))
            while (await wire.read_message(reader))["type"] != "end":
                pass
    notes = completer.notes
    for number in range(7):
        waited = notes[notes.index(f"new {number} arrives") : notes.index(f"new {number} shows")]
        assert waited.count(f"new {number}") > 2  # several steps of its own, the slices of its prompt
        assert waited.count("busy") <= 1
    assert "busy" in notes[notes.index("new 6 shows") :]  # it was busy all the time


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"type": "complete", "id": 1, "request": wire.request_to_json(REQUEST)}, "ValueError"),
        ({"type": "learn", "id": 1, "collection": "secret", "files": {"secret": "secret"}}, "MemoryError"),
    ],
    ids=["complete", "learn"],
)
async def test_an_unforeseen_error_is_one_answer_and_one_log_line_without_text(talk, caplog, message, error):
    logger = logging.getLogger("midfill.engine")
    logger.addHandler(caplog.handler)
    try:
        for number in (1, 2):
            reply = await talk(message | {"id": number})
            assert (reply["type"], reply["id"]) == ("error", number)
            assert error in reply["message"]
            assert "secret" not in reply["message"]
    finally:
        logger.removeHandler(caplog.handler)
    lines = [record.getMessage() for record in caplog.records]
    assert len([line for line in lines if error in line]) >= 2
    assert all("\n" not in line and "secret" not in line for line in lines)
    assert any(Path(__file__).name in line for line in lines)


def test_the_other_end_of_a_socket_is_this_user():
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        assert _is_own_user(one)
