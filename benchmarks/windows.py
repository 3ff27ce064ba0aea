"""Eight windows on one engine: the memory it takes, and what a busy window costs another's first token.

    python -m benchmarks.windows FILE... [--model default] [--windows 8] [--rounds 20]

Each window shows a file of its own (one of the FILEs, in turn) over a connection of its own. Memory is the engine
process's, from /proc: RSS counts pages shared with others in full (libraries, the page cache), PSS by their share.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from statistics import median
from typing import cast

from engine.api import Chunk, Completion, CompletionRequest, Length
from engine.client import EngineClient
from engine.daemon_start import EngineSettings


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--model", default="default")
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["MIDFILL_HOME"] = home
        asyncio.run(_measure(arguments))


async def _measure(arguments: argparse.Namespace) -> None:
    texts = [path.read_text("utf-8") for path in arguments.files]
    async with contextlib.AsyncExitStack() as stack:
        settings = EngineSettings(model=arguments.model, threads=1)
        clients = [await EngineClient.connect(settings) for _ in range(arguments.windows)]
        for client in clients:
            stack.push_async_callback(client.close)
        process = (await clients[0].status()).process_id
        stack.callback(os.kill, process, signal.SIGTERM)
        for number, client in enumerate(clients):
            for cursor in (0.4, 0.8):  # two prompts, which is as many as are kept of a document
                await _first_token(client, _request(texts[number % len(texts)], cursor, document=f"file {number}"))
            if number in (0, arguments.windows - 1):
                print(f"{number + 1} windows: {_memory(process)}", flush=True)
        alone, beside = [], []
        for number in range(arguments.rounds):
            text, cursor = texts[number % len(texts)], 0.3 + number / 100
            alone.append(await _first_token(clients[1], _request(text, cursor, document=f"alone {number}")))
            async with _busy(clients[0]):
                beside.append(await _first_token(clients[1], _request(text, cursor, document=f"beside {number}")))
        print(f"first token: {median(alone):.1f} ms alone, {median(beside):.1f} ms beside a busy window")


@contextlib.asynccontextmanager
async def _busy(client: EngineClient) -> AsyncIterator[None]:
    """Keep a window in the middle of a long answer."""
    asked = CompletionRequest(
        document="busy",
        path="busy.py",
        comment="#",
        prefix="x = '",
        suffix="",
        length=Length.BLOCK,
        max_tokens=500,
        temperature=2.0,
    )
    async with contextlib.aclosing(cast("AsyncGenerator[Chunk | Completion, None]", client.complete(asked))) as answers:
        await anext(answers)
        yield
        assert isinstance(await anext(answers), Chunk)


async def _first_token(client: EngineClient, request: CompletionRequest) -> float:
    """Return the milliseconds until something can be shown; the rest of the answer is waited for too."""
    began, seconds = time.perf_counter(), 0.0
    async for _ in client.complete(request):
        seconds = seconds or time.perf_counter() - began
    return seconds * 1e3


def _request(text: str, cursor: float, *, document: str) -> CompletionRequest:
    place = int(cursor * len(text))
    return CompletionRequest(
        document=document, path="window.py", comment="#", prefix=text[:place], suffix=text[place:], max_tokens=16
    )


def _memory(process: int) -> str:
    lines = Path(f"/proc/{process}/smaps_rollup").read_text("ascii").splitlines()
    sizes = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines[1:]}
    return f"RSS {sizes['Rss']:.1f} MiB, PSS {sizes['Pss']:.1f} MiB"


if __name__ == "__main__":
    main()
