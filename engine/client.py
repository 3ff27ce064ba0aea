"""The engine over its local socket: reaches the daemon on demand, and again when it is lost (no torch)."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine import wire
from engine.api import Chunk, Completion, CompletionRequest, EngineStatus
from engine.daemon_start import EngineSettings, reach
from engine.errors import EngineError, EngineUnavailableError


class EngineClient:
    """An `engine.api.Engine` in another process; belongs to one asyncio loop."""

    def __init__(self, settings: EngineSettings) -> None:
        """Prepare; nothing is started before the first request. `connect` finds out at once whether it works."""
        self._settings = settings
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()

    @classmethod
    async def connect(cls, settings: EngineSettings | None = None) -> "EngineClient":
        """Reach the daemon, starting it if it does not run.

        Raises:
            ModelFolderError: the model cannot be served.
            EngineUnavailableError: the daemon cannot be started or reached; the message says why.
        """
        client = cls(settings or EngineSettings())
        await client._connected()
        return client

    async def complete(self, request: CompletionRequest) -> AsyncIterator[Chunk | Completion]:
        """Stream `Chunk`s and end with one `Completion`; see `engine.api.Engine`."""
        message = {"type": "complete", "request": wire.request_to_json(request)}
        async with contextlib.aclosing(self._exchange(message)) as replies:
            async for reply in replies:
                if reply.get("type") != "end":
                    yield wire.answer_from_json(reply)

    async def learn(self, collection: str, files: Mapping[str, Path]) -> int:
        """Add or refresh files in a collection; return its tokens; see `engine.api.Engine`."""
        absolute = {name: str(Path(path).absolute()) for name, path in files.items()}
        result = await self._result({"type": "learn", "collection": collection, "files": absolute})
        return wire.field(result, "value", int)

    async def forget(self, collection: str, names: Sequence[str]) -> None:
        """Remove files from a collection."""
        await self._result({"type": "forget", "collection": collection, "names": list(names)})

    async def status(self) -> EngineStatus:
        """Say what is served and held."""
        return wire.status_from_json(wire.field(await self._result({"type": "status"}), "value", dict))

    async def close(self) -> None:
        """Let go of the connection; the process itself ends when idle."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _result(self, message: wire.Message) -> wire.Message:
        async with contextlib.aclosing(self._exchange(message)) as replies:
            return await anext(replies)

    async def _exchange(self, message: wire.Message) -> AsyncGenerator[wire.Message, None]:
        """Send a request and yield its replies; closing aborts it.

        A daemon that goes away before its first reply (it was just ending, or another request crashed it) is started
        again, once.
        """
        for is_last_try in (False, True):
            connection = await self._connected()
            with connection.ask(message) as stream:
                try:
                    while not stream.finished:
                        yield await stream.next()
                    return
                except _LostConnectionError:
                    if stream.answered or is_last_try:
                        raise

    async def _connected(self) -> "_Connection":
        async with self._connecting:
            if self._connection is not None and self._connection.lost:
                await self.close()
            if self._connection is None:
                self._connection = _Connection(*await reach(self._settings))
            return self._connection


class _LostConnectionError(EngineUnavailableError):
    """The daemon went away; `str` says so to the user."""


@dataclass(eq=False, slots=True)
class _Stream:
    """The replies to one request."""

    connection: "_Connection"
    id: int
    messages: asyncio.Queue[wire.Message | None] = field(default_factory=asyncio.Queue)
    answered: bool = False
    """Whether any reply came."""
    finished: bool = False
    """Whether nothing more is to come, so that leaving needs no abort."""

    async def next(self) -> wire.Message:
        message = await self.messages.get()
        if message is None:
            self.finished = True
            raise _LostConnectionError("the engine process went away in mid-answer; the next request starts it again")
        self.answered = True
        self.finished = message.get("type") not in ("chunk", "completion")
        if message.get("type") == "error":
            raise wire.error_from_json(message)
        return message

    def __enter__(self) -> "_Stream":
        return self

    def __exit__(self, *exception: object) -> None:
        self.connection.leave(self)


class _Connection:
    """One socket and the requests under way on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.lost = False
        self._writer = writer
        self._streams: dict[int, _Stream] = {}
        self._last_id = 0
        self._reading = asyncio.create_task(self._read(reader))

    def ask(self, message: wire.Message) -> _Stream:
        self._last_id += 1
        stream = _Stream(self, self._last_id)
        data = wire.frame(message | {"id": stream.id})
        self._streams[stream.id] = stream
        if self.lost:
            stream.messages.put_nowait(None)
        else:
            self._writer.write(data)
        return stream

    def leave(self, stream: _Stream) -> None:
        """Forget a request, and abort it unless it has ended."""
        self._streams.pop(stream.id, None)
        if not stream.finished and not self.lost:
            self._writer.write(wire.frame({"type": "abort", "id": stream.id}))

    async def close(self) -> None:
        self._reading.cancel()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        self._lose()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while (message := await wire.read_message(reader)) is not None:
                stream = self._streams.get(message.get("id") or 0)
                if stream is not None:
                    stream.messages.put_nowait(message)
        except EngineError:
            self._writer.close()  # out of step with the daemon: a new connection starts afresh
        finally:
            self._lose()

    def _lose(self) -> None:
        self.lost = True
        for stream in self._streams.values():
            stream.messages.put_nowait(None)
