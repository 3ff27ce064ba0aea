"""Runs the server over standard input and output, or over one loopback connection, until the client is done."""

import asyncio
import os
import select
import threading
from contextlib import suppress
from typing import Any, Final, Protocol

from lsp_server.first_answer import Opening
from lsp_server.framing import Framing
from lsp_server.language_server import MidfillServer

_CLOSE_SECONDS: Final = 3.0


class _Writer(Protocol):
    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


async def serve_stdio(server: MidfillServer, opening: Opening) -> int:
    """Serve the client on file descriptors 0 and 1; returns the exit code.

    Args:
        server: a fresh server.
        opening: what has been read already.
    """
    chunks: asyncio.Queue[bytes] = asyncio.Queue()
    _start_reader(asyncio.get_running_loop(), chunks)
    return await _serve(server, _DescriptorWriter(1), chunks, opening)


async def serve_socket(server: MidfillServer, port: int) -> int:
    """Serve the first client that connects to a port on the loopback address; returns the exit code.

    Raises:
        OSError: the port is taken.
    """
    connected: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
    connected = asyncio.get_running_loop().create_future()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if connected.done():
            writer.close()
        else:
            connected.set_result((reader, writer))

    listener = await asyncio.start_server(accept, "127.0.0.1", port)
    reader, writer = await connected
    listener.close()
    chunks: asyncio.Queue[bytes] = asyncio.Queue()
    pump = asyncio.ensure_future(_pump(reader, chunks))
    try:
        return await _serve(server, writer, chunks, Opening(messages=(), pending=b"", answered=False))
    finally:
        pump.cancel()


async def _serve(server: MidfillServer, writer: _Writer, chunks: "asyncio.Queue[bytes]", opening: Opening) -> int:
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    server.protocol.on_exit = lambda code: None if ended.done() else ended.set_result(code)
    server.protocol.set_writer(writer)
    messages = asyncio.ensure_future(_handle_messages(server, chunks, opening))
    waiting: set[asyncio.Future[Any]] = {messages, ended}
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    # A client that vanished without `exit` is no error of ours, but not a clean end either.
    code = ended.result() if ended.done() else 1
    messages.cancel()
    await asyncio.wait({asyncio.ensure_future(server.session.close())}, timeout=_CLOSE_SECONDS)
    writer.close()
    return code


async def _handle_messages(server: MidfillServer, chunks: "asyncio.Queue[bytes]", opening: Opening) -> None:
    bodies = list(opening.messages)
    if opening.answered:
        server.protocol.receive_answered_initialize(bodies.pop(0))
    framing = Framing()
    bodies.extend(framing.feed(opening.pending))
    while True:
        for body in bodies:
            server.protocol.receive(body)
            # Lets a request's handler begin, and freeze its cursor, before the next message is handled.
            await asyncio.sleep(0)
        data = await chunks.get()
        if not data:
            return
        bodies = list(framing.feed(data))


def _start_reader(loop: asyncio.AbstractEventLoop, chunks: "asyncio.Queue[bytes]") -> None:
    """Read standard input in a thread that waits in the kernel: it works for pipes, files and terminals alike."""

    def read() -> None:
        data = b"start"
        while data:
            try:
                data = os.read(0, 1 << 16)
            except OSError:
                data = b""
            try:
                loop.call_soon_threadsafe(chunks.put_nowait, data)
            except RuntimeError:
                return  # the loop is closed: we are done

    # A daemon: it may wait for input that never comes when everything else has ended.
    threading.Thread(target=read, name="standard input", daemon=True).start()


async def _pump(reader: asyncio.StreamReader, chunks: "asyncio.Queue[bytes]") -> None:
    data = b"start"
    while data:
        try:
            data = await reader.read(1 << 16)
        except OSError:
            data = b""
        chunks.put_nowait(data)


class _DescriptorWriter:
    """Writes to a file descriptor at once; a client that is gone is noticed where its input ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes) -> None:
        with suppress(BrokenPipeError):
            while data:
                try:
                    data = data[os.write(self._descriptor, data) :]
                except BlockingIOError:
                    # Some clients hand over a pipe that does not wait; a full one is emptied in no time.
                    select.select([], [self._descriptor], [])

    def close(self) -> None:
        pass
