"""A completions server of sockets and scripts: it says over HTTP what real ones say, and what broken ones do."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Asked:
    """A request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass(slots=True)
class Exchange:
    """One connection while it is answered."""

    asked: Asked
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: str) -> None:
        self.writer.write(data.encode())
        await self.writer.drain()

    async def begin_stream(self) -> None:
        await self.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")

    async def chunk(self, data: str) -> None:
        payload = data.encode()
        self.writer.write(f"{len(payload):x}\r\n".encode() + payload + b"\r\n")
        await self.writer.drain()

    async def event(self, value: object) -> None:
        await self.chunk(f"data: {value if isinstance(value, str) else json.dumps(value)}\n\n")

    async def end_stream(self) -> None:
        await self.send("0\r\n\r\n")

    async def reply(self, status: int, value: object, **headers: str) -> None:
        body = value if isinstance(value, str) else json.dumps(value)
        lines = "".join(f"{name.replace('_', '-')}: {text}\r\n" for name, text in headers.items())
        await self.send(
            f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{lines}Content-Length: {len(body.encode())}\r\n"
            f"\r\n{body}"
        )

    async def client_left(self) -> None:
        """Wait until the other end closes its side."""
        while await self.reader.read(1 << 16):
            pass


Script = Callable[[Exchange], Awaitable[None]]


@dataclass(slots=True)
class CompletionsServer:
    """What a test sees of it."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    left_early: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def completions(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.path.endswith("completions")]


def piece(text: str, finish_reason: str | None = None, **more: object) -> dict[str, Any]:
    """One event of a stream."""
    return {
        "object": "text_completion",
        "choices": [{"index": 0, "text": text, "finish_reason": finish_reason}],
        **more,
    }


def streaming(*texts: str, finish_reason: str = "stop") -> Script:
    """Write these pieces and end as servers do."""

    async def script(exchange: Exchange) -> None:
        await exchange.begin_stream()
        for text in texts:
            await exchange.event(piece(text))
        await exchange.event(piece("", finish_reason, usage={"prompt_tokens": 7, "completion_tokens": len(texts)}))
        await exchange.event("[DONE]")
        await exchange.end_stream()

    return script


@contextlib.asynccontextmanager
async def completions_server(
    script: Script, *, models: tuple[str, ...] = ("qwen2.5-coder-1.5b",)
) -> AsyncIterator[CompletionsServer]:
    """Serve `GET /v1/models` and run a script for every question."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (asked := await _read(reader)) is not None:
                server.asked.append(asked)
                exchange = Exchange(asked, reader, writer)
                if asked.path.endswith("/models"):
                    listed = [{"id": name, "object": "model", "max_model_len": 4096} for name in models]
                    await exchange.reply(200, {"object": "list", "data": listed})
                    continue
                await script(exchange)
        except (ConnectionError, asyncio.IncompleteReadError):
            server.left_early.set()
        finally:
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    server = CompletionsServer(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1")
    try:
        yield server
    finally:
        listener.close()


async def _read(reader: asyncio.StreamReader) -> Asked | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    content = await reader.readexactly(int(headers.get("content-length", 0)))
    method, path, _ = first.split(" ")
    return Asked(method, path, headers, json.loads(content) if content else {})
