"""A small language client for tests: a real server process, its streams, and every message it sent."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]

NEOVIM = {
    "clientInfo": {"name": "Neovim", "version": "0.12.0"},
    "capabilities": {
        "general": {"positionEncodings": ["utf-8", "utf-16", "utf-32"]},
        "textDocument": {"inlineCompletion": {"dynamicRegistration": False}},
        "window": {"workDoneProgress": True},
        "workspace": {
            "configuration": True, "workspaceFolders": True,
            "didChangeConfiguration": {"dynamicRegistration": False},
            "didChangeWatchedFiles": {"dynamicRegistration": False},
        },
    },
}  # fmt: skip
VSCODE = {
    "clientInfo": {"name": "Visual Studio Code", "version": "1.109.0"},
    "capabilities": {
        "general": {"positionEncodings": ["utf-16"]},
        "textDocument": {"inlineCompletion": {"dynamicRegistration": True}},
        "window": {"workDoneProgress": True},
        "workspace": {
            "configuration": True, "workspaceFolders": True,
            "didChangeConfiguration": {"dynamicRegistration": True},
            "didChangeWatchedFiles": {"dynamicRegistration": True},
            "fileOperations": {"didCreate": True, "didRename": True, "didDelete": True},
        },
    },
}  # fmt: skip
BARE: dict[str, Any] = {"capabilities": {}}


class LspError(Exception):
    """An error reply."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(f"{error['code']}: {error['message']}")
        self.code = error["code"]


class LspClient:
    """Talks to one server process."""

    def __init__(self, process: asyncio.subprocess.Process, settings: object) -> None:
        self.process = process
        self.settings = settings
        self.received: list[dict[str, Any]] = []
        """Every notification and request of the server, in order."""
        self.replies: list[int] = []
        """Ids of the client's requests in the order of their answers."""
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._last_id = 0
        self._changed = asyncio.Event()
        self._reader = asyncio.ensure_future(self._read())

    async def initialize(self, client: Mapping[str, Any] = NEOVIM, *roots: Path, options: object = None) -> dict:
        params = {
            "processId": os.getpid(), **client, "rootUri": roots[0].as_uri() if roots else None,
            "workspaceFolders": [{"uri": root.as_uri(), "name": root.name} for root in roots] or None,
            "initializationOptions": options,
        }  # fmt: skip
        result = await self.request("initialize", params)
        await self.notify("initialized", {})
        return result

    async def request(self, method: str, params: object = None) -> Any:
        return await self.send(method, params)[1]

    def send(self, method: str, params: object = None) -> tuple[int, "asyncio.Future[Any]"]:
        """Send a request; returns its id and the future answer."""
        self._last_id += 1
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[self._last_id] = reply
        self._write({"id": self._last_id, "method": method, "params": params})
        return self._last_id, reply

    async def notify(self, method: str, params: object = None) -> None:
        self._write({"method": method, "params": params})
        await self.process.stdin.drain()

    def cancel(self, request_id: int) -> None:
        self._write({"method": "$/cancelRequest", "params": {"id": request_id}})

    async def open(self, uri: str, text: str, language_id: str = "python", version: int = 1) -> None:
        document = {"uri": uri, "languageId": language_id, "version": version, "text": text}
        await self.notify("textDocument/didOpen", {"textDocument": document})

    async def change(self, uri: str, version: int, *changes: Mapping[str, Any]) -> None:
        document = {"uri": uri, "version": version}
        await self.notify("textDocument/didChange", {"textDocument": document, "contentChanges": changes})

    def ask(self, uri: str, line: int, character: int, *, kind: int = 2, **context: object):
        """Send a request for a suggestion; returns its id and the future answer."""
        params = {
            "textDocument": {"uri": uri}, "position": {"line": line, "character": character},
            "context": {"triggerKind": kind, **context},
        }  # fmt: skip
        return self.send("textDocument/inlineCompletion", params)

    async def complete(self, uri: str, line: int, character: int, *, kind: int = 2, **context: object) -> list[dict]:
        result = await self.ask(uri, line, character, kind=kind, **context)[1]
        return result["items"]

    async def status(self) -> dict[str, Any]:
        return await self.request("midfill/status")

    async def status_when(self, holds, seconds: float = 60) -> dict[str, Any]:
        """Poll `midfill/status` until it satisfies `holds`."""
        for _ in range(int(seconds / 0.05)):
            status = await self.status()
            if holds(status):
                return status
            await asyncio.sleep(0.05)
        raise AssertionError(f"not in {seconds} s: {status}")

    async def until(self, holds, seconds: float = 30) -> None:
        """Wait until what was received satisfies `holds`."""
        async with asyncio.timeout(seconds):
            while not holds(self.received):
                self._changed.clear()
                await self._changed.wait()

    def methods(self) -> list[str]:
        return [message["method"] for message in self.received]

    async def stop(self) -> int:
        """Shut down politely; returns the exit code."""
        await asyncio.wait_for(self.request("shutdown"), 10)
        await self.notify("exit")
        return await asyncio.wait_for(self.process.wait(), 10)

    async def close(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        self._reader.cancel()
        self.process._transport.close()

    def write_raw(self, body: bytes) -> None:
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    def _write(self, message: dict[str, Any]) -> None:
        self.write_raw(json.dumps({"jsonrpc": "2.0", **message}).encode())

    async def _read(self) -> None:
        stdout = self.process.stdout
        while header := await stdout.readline():
            length = int(header.split(b":")[1])
            while (await stdout.readline()).strip():
                pass
            self._take(json.loads(await stdout.readexactly(length)))
        for reply in self._waiting.values():
            if not reply.done():
                reply.set_exception(ConnectionError("the server is gone"))

    def _take(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            self.replies.append(message["id"])
            reply = self._waiting.pop(message["id"])
            if reply.cancelled():
                return
            if "error" in message:
                reply.set_exception(LspError(message["error"]))
            else:
                reply.set_result(message.get("result"))
            return
        self.received.append(message)
        self._changed.set()
        if "id" in message:
            result = {"workspace/configuration": [self.settings], "workspace/applyEdit": {"applied": True}}
            self._write({"id": message["id"], "result": result.get(message["method"])})


@asynccontextmanager
async def running_server(
    home: Path, *command: str, settings: object = None, cwd: Path | None = None, environment: Mapping[str, str] = {}
) -> AsyncIterator[LspClient]:
    """Start a server with its own MIDFILL_HOME; without a command it is `midfill lsp` of this checkout."""
    arguments = command or ("-m", "lsp_server", "lsp")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        cwd=cwd, limit=1 << 24,
        env={**os.environ, "MIDFILL_HOME": str(home), "PYTHONPATH": str(CHECKOUT), **environment},
    )  # fmt: skip
    client = LspClient(process, settings)
    try:
        yield client
    finally:
        await client.close()


def sha256_of(text: str) -> str:
    """The digest that `midfill/status` gives for a text."""
    from hashlib import sha256

    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
