"""What can be told without a process of its own; the rest of the daemon is driven in test_client."""

import asyncio
import logging
import socket
from pathlib import Path

import pytest

from engine import wire
from engine.api import CompletionRequest
from engine.daemon import Daemon, _is_own_user

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


@pytest.fixture
async def talk(tmp_path):
    """Yield a function that sends a message to a daemon in this loop and returns the reply."""
    daemon = Daemon(BrokenCompleter(), BrokenLibrary(), describe=lambda: None, idle_seconds=60.0)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()
    running = asyncio.create_task(daemon.run(listener))
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
    writer.write(wire.frame({"type": "hello", "protocol": wire.PROTOCOL_VERSION}))
    assert (await wire.read_message(reader))["type"] == "hello"

    async def ask(message):
        writer.write(wire.frame(message))
        return await wire.read_message(reader)

    yield ask
    writer.close()
    await writer.wait_closed()
    daemon.stop()
    await running


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
