"""Serves one completer to many clients: connections, the queue, learning, idle time.

One asyncio loop talks and never computes. One thread completes, taking turns between requests at every token
(`engine.turns`); one more, at low priority, learns. The newest request of a document wins: an older one of the same
connection ends as cancelled. While nobody waits, the prompt that follows if the last answer is accepted is read ahead.
"""

import asyncio
import contextlib
import logging
import os
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from engine import wire
from engine.api import Chunk, Completion, CompletionRequest, EngineStatus, FinishReason
from engine.collection_library import CollectionLibrary
from engine.completer import Completer
from engine.errors import EngineError, EngineUnavailableError
from engine.turns import Turns

log = logging.getLogger("midfill.engine")

_T = TypeVar("_T")
_LEARNING_NICENESS = 10
_SAVE_SECONDS = 3.0
"""A repository is learned in many small lessons; saving writes all of it."""
_AT_ONCE = 8
"""Requests under way at most; the others wait for one to end, because each holds keys and values."""
_IDLE_CHECKS = 20
"""How many times the idle clock is looked at before it runs out."""


@dataclass(eq=False, slots=True)
class _Connection:
    writer: asyncio.StreamWriter
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def send(self, message: wire.Message) -> None:
        if not self.writer.is_closing():
            self.writer.write(wire.frame(message))


@dataclass(eq=False, slots=True, kw_only=True)
class _Job:
    connection: _Connection
    id: int
    request: CompletionRequest
    cancelled: threading.Event = field(default_factory=threading.Event)
    arrived: float = field(default_factory=time.perf_counter)
    queue_ms: float = 0.0
    answers: Iterator[Chunk | Completion | None] | None = None
    """Set when its first turn comes."""
    has_shown: bool = False

    @property
    def has_started(self) -> bool:
        return self.answers is not None


class Daemon:
    """The engine's side of all connections."""

    def __init__(
        self,
        completer: Completer,
        library: CollectionLibrary,
        *,
        describe: Callable[[], EngineStatus],
        idle_seconds: float,
        queue_limit: int = 32,
    ) -> None:
        """Serve `completer`.

        Args:
            completer: used by one thread only.
            library: the collections the completer finds its n-gram statistics in.
            describe: answers a status request.
            idle_seconds: `run` ends this long after the last request.
            queue_limit: requests beyond this many are refused.
        """
        self._completer = completer
        self._library = library
        self._describe = describe
        self._idle_seconds = idle_seconds
        self._queue_limit = queue_limit
        self._connections: set[_Connection] = set()
        self._turns = Turns[_Job](at_once=_AT_ONCE)
        self._next_prompt: CompletionRequest | None = None
        """Likely to be asked for next."""
        self._arrived = asyncio.Event()
        self._stopping = asyncio.Event()
        self._last_used = time.monotonic()
        self._restored: set[str] = set()
        self._restoring: set[asyncio.Task[None]] = set()
        self._lessons = 0
        self._saving: asyncio.TimerHandle | None = None
        self._inference = ThreadPoolExecutor(1, "inference")
        self._learning = ThreadPoolExecutor(1, "learning", initializer=_lower_priority)

    async def run(self, listener: socket.socket) -> None:
        """Answer clients until `stop` or until nobody has asked for anything for `idle_seconds`."""
        server = await asyncio.start_unix_server(self._converse, sock=listener)
        helpers = [asyncio.create_task(self._work()), asyncio.create_task(self._watch_idle())]
        try:
            await self._stopping.wait()
        finally:
            server.close()
            for job in self._turns.all():
                job.cancelled.set()
            self._library.stop()
            if self._saving is not None:
                self._saving.cancel()
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            for connection in list(self._connections):
                connection.writer.close()
            await asyncio.to_thread(self._inference.shutdown)
            await asyncio.to_thread(self._learning.shutdown, cancel_futures=True)
            self._save()

    def stop(self) -> None:
        """Make `run` return; requests that are under way end as cancelled."""
        self._stopping.set()

    # Talking

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(writer)
        self._connections.add(connection)
        try:
            if _is_own_user(writer.get_extra_info("socket")) and await self._greet(reader, connection):
                await self._listen(reader, connection)
        finally:
            self._connections.discard(connection)
            self._abandon(connection)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _greet(self, reader: asyncio.StreamReader, connection: _Connection) -> bool:
        try:
            message = await wire.read_message(reader)
            if message is None:
                return False
            protocol = wire.field(message, "protocol", int)
            if message.get("type") != "hello" or protocol != wire.PROTOCOL_VERSION:
                raise EngineUnavailableError(
                    f"the engine speaks protocol {wire.PROTOCOL_VERSION}, the client {protocol}; restart the editor"
                )
        except EngineError as error:
            _log_error(error)
            connection.send(wire.error_to_json(error, request_id=None))
            return False
        connection.send({"type": "hello", "protocol": wire.PROTOCOL_VERSION, "process_id": os.getpid()})
        return True

    async def _listen(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        while True:
            request_id: int | None = None
            try:
                message = await wire.read_message(reader)
                if message is None:
                    return
                request_id = wire.field(message, "id", int)
                self._last_used = time.monotonic()
                self._obey(connection, request_id, message)
            except wire.LostFrameError as error:
                _log_error(error)
                connection.send(wire.error_to_json(error, request_id=None))
                return
            except EngineError as error:
                _log_error(error)
                connection.send(wire.error_to_json(error, request_id=request_id))

    def _obey(self, connection: _Connection, request_id: int, message: wire.Message) -> None:
        match message.get("type"):
            case "complete":
                request = wire.request_from_json(wire.field(message, "request", dict))
                self._enqueue(_Job(connection=connection, id=request_id, request=request))
            case "abort":
                self._abort(connection, request_id)
            case "learn":
                collection = wire.text_field(message, "collection")
                files = {str(name): Path(str(path)) for name, path in wire.field(message, "files", dict).items()}
                self._answer_later(connection, request_id, lambda: self._library.learn(collection, files))
            case "forget":
                collection = wire.text_field(message, "collection")
                names = [str(name) for name in wire.field(message, "names", list)]
                self._answer_later(connection, request_id, lambda: self._library.forget(collection, names))
            case "status":
                status = wire.status_to_json(self._describe())
                connection.send({"type": "result", "id": request_id, "value": status})
            case _:
                raise wire.MalformedMessageError("field 'type' is unknown")

    # Completing

    def _enqueue(self, job: _Job) -> None:
        jobs = self._turns.all()
        for older in jobs:
            if older.connection is job.connection and older.request.document == job.request.document:
                self._cancel(older)
        if len(jobs) > self._queue_limit:
            raise EngineUnavailableError(f"the engine is busy: {len(jobs)} requests are waiting")
        self._restore(job.request.collection)
        self._turns.add(job)
        self._arrived.set()

    def _abort(self, connection: _Connection, request_id: int) -> None:
        for job in self._turns.all():
            if job.connection is connection and job.id == request_id:
                self._cancel(job)

    def _abandon(self, connection: _Connection) -> None:
        for job in self._turns.all():
            if job.connection is connection:
                self._cancel(job)
        for task in connection.tasks:
            task.cancel()

    def _cancel(self, job: _Job) -> None:
        job.cancelled.set()
        if self._turns.remove_unstarted(job):
            job.connection.send(wire.answer_to_json(_CANCELLED) | {"id": job.id})
            job.connection.send({"type": "end", "id": job.id})

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            await loop.run_in_executor(self._inference, self._compute, loop)
            self._last_used = time.monotonic()

    def _compute(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take turns on the inference thread until nobody waits; then read ahead until somebody does."""
        while True:
            while (job := self._turns.take()) is not None:
                if self._take_turn(job, loop):
                    self._turns.put_back(job)
                else:
                    self._turns.drop()
            if self._read_ahead() is None:
                return

    def _take_turn(self, job: _Job, loop: asyncio.AbstractEventLoop) -> bool:
        """Take one step of a request; return whether there are more."""
        try:
            if job.answers is None:
                job.queue_ms = (time.perf_counter() - job.arrived) * 1e3
                job.answers = self._completer.work(job.request, job.cancelled.is_set)
            answer = next(job.answers)
            if isinstance(answer, Completion):
                answer = replace(answer, timings={"queue": job.queue_ms, **answer.timings})
                self._expect(job, answer)
            if answer is not None:
                job.has_shown = True
                loop.call_soon_threadsafe(job.connection.send, wire.answer_to_json(answer) | {"id": job.id})
        except StopIteration:
            loop.call_soon_threadsafe(job.connection.send, {"type": "end", "id": job.id})
            return False
        # The process serves other windows too: whatever one request broke is that request's answer.
        except Exception as error:  # noqa: BLE001
            message = wire.error_to_json(_log_error(error), request_id=job.id)
            loop.call_soon_threadsafe(job.connection.send, message)
            return False
        return True

    def _expect(self, job: _Job, completion: Completion) -> None:
        """Expect that what was written is accepted."""
        if completion.text and completion.finish_reason is not FinishReason.CANCELLED:
            self._next_prompt = replace(job.request, prefix=job.request.prefix + completion.text)

    def _read_ahead(self) -> bool | None:
        """Read the prompt that is likely to be asked for next; None when there is none.

        Stops before the next slice as soon as a request arrives.
        """
        request, self._next_prompt = self._next_prompt, None
        if request is None:
            return None
        try:
            for _ in self._completer.prepare(request, lambda: bool(self._turns.all()) or self._stopping.is_set()):
                pass
        # Nobody asked for this, so nobody is told but the log.
        except Exception as error:  # noqa: BLE001
            _log_error(error)
        return True

    # Learning

    def _answer_later(self, connection: _Connection, request_id: int, call: Callable[[], object]) -> None:
        async def answer() -> None:
            try:
                value = await self._learn(call)
                connection.send({"type": "result", "id": request_id, "value": value})
            except EngineError as error:
                connection.send(wire.error_to_json(error, request_id=request_id))

        self._start(connection.tasks, answer())

    def _restore(self, collection: str | None) -> None:
        """Load a collection that an earlier process learned; the requests until then do without."""
        if collection is not None and collection not in self._restored:
            self._restored.add(collection)
            self._start(self._restoring, self._restore_quietly(collection))

    async def _restore_quietly(self, collection: str) -> None:
        with contextlib.suppress(EngineError):  # logged; the collection is learned again when the client asks
            await self._learn(lambda: self._library.restore(collection))

    async def _learn(self, call: Callable[[], _T]) -> _T:
        """Run one call on the learning thread; save once no other has followed for a while."""
        loop = asyncio.get_running_loop()
        self._lessons += 1
        try:
            return await loop.run_in_executor(self._learning, _logged(call))
        finally:
            self._lessons -= 1
            self._last_used = time.monotonic()
            if self._saving is not None:
                self._saving.cancel()
            if not self._stopping.is_set():
                self._saving = loop.call_later(_SAVE_SECONDS, self._learning.submit, self._save)

    def _save(self) -> None:
        try:
            self._library.save()
        except OSError as error:
            _log_error(error)  # nothing is lost but time at the next start

    def _start(self, tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _watch_idle(self) -> None:
        while True:
            await asyncio.sleep(max(0.05, self._idle_seconds / _IDLE_CHECKS))
            busy = self._turns.all() or self._lessons
            if not busy and time.monotonic() - self._last_used >= self._idle_seconds:
                log.info("nobody asked for anything for %.0f s: ending", self._idle_seconds)
                self.stop()


_CANCELLED = Completion(
    text="",
    finish_reason=FinishReason.CANCELLED,
    prompt_tokens=0,
    new_tokens=0,
    mean_log_probability=0.0,
    snippets_used=0,
)


def _is_own_user(connected: socket.socket) -> bool:
    """Whether the other end belongs to the user this process runs as."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # elsewhere the socket's and its folder's permissions guard alone
    size = struct.calcsize("3i")
    _, user, _ = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    if user != os.getuid():
        log.warning("refused a connection by user %d", user)
    return bool(user == os.getuid())


def _lower_priority() -> None:
    if sys.platform == "linux":  # elsewhere niceness belongs to the whole process
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LEARNING_NICENESS)


def _logged(call: Callable[[], _T]) -> Callable[[], _T]:
    """Turn whatever goes wrong into an EngineError, one line in the log."""

    def guarded() -> _T:
        try:
            return call()
        # The process serves other windows too: whatever one request broke is that request's answer.
        except Exception as error:
            raise _log_error(error) from error

    return guarded


def _log_error(error: Exception) -> EngineError:
    """Log an error in one line; return it as one that a client can be told of.

    Only our own messages are logged: a library's can quote the text it was given, which is the user's source.
    """
    if isinstance(error, EngineError):
        log.warning("%s: %s", type(error).__name__, error)
        return error
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" at {Path(place[0].filename).name}:{place[0].lineno}" if place else ""
    log.error("%s%s", type(error).__name__, where)
    return EngineError(f"the engine failed ({type(error).__name__}{where}); its log is in midfill's state folder")
