"""The real server over the real transport, with an engine that does what a script says instead of a network.

    python -P scripted_server.py EVENTS

It writes one line for each thing that happens to the engine to the file EVENTS. What it completes is fixed by the last
word before the cursor: `slow` means never, until cancelled; `broken` an error; `repeat` what was asked; otherwise
`_done(value)`.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from engine.api import Chunk, Completion, CompletionRequest, EngineStatus, FinishReason
from engine.errors import EngineError
from lsp_server.first_answer import answer_initialize


class ScriptedEngine:
    def __init__(self, events: Path) -> None:
        self._events = events

    def note(self, line: str) -> None:
        with self._events.open("a") as file:
            file.write(line + "\n")

    async def complete(self, request: CompletionRequest) -> AsyncIterator[Chunk | Completion]:
        words = request.prefix.split()
        word = words[-1] if words else ""
        self.note(f"begin {word} path={request.path} collection={request.collection} length={request.length.value}")
        try:
            if word == "slow":
                await asyncio.sleep(3600)
            if word == "broken":
                raise EngineError("the script says so")
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.note(f"stopped {word}")
            raise
        text = "_done(value)"
        yield Chunk(text=text)
        yield Completion(
            text=text, finish_reason=FinishReason.LINE_END, prompt_tokens=1, new_tokens=1,
            mean_log_probability=-0.1, snippets_used=len(request.snippets),
        )  # fmt: skip

    async def learn(self, collection, files) -> int:
        self.note(f"learn {collection} {sorted(files)}")
        return len(files)

    async def forget(self, collection, names) -> None:
        self.note(f"forget {collection} {sorted(names)}")

    async def status(self) -> EngineStatus:
        return EngineStatus(
            process_id=1, model="script", parameters=0, device="cpu", dtype="float32", context_length=1, threads=1,
            memory_bytes=0, uptime_seconds=0.0, collections={},
        )  # fmt: skip

    async def close(self) -> None:
        self.note("close")


def main() -> int:
    opening = answer_initialize()

    from engine.paths import state_folder
    from lsp_server import logs
    from lsp_server.server import build
    from lsp_server.transport import serve_stdio

    logs.start(state_folder())

    async def connect(settings) -> ScriptedEngine:
        engine = ScriptedEngine(Path(sys.argv[1]))
        engine.note(f"connect {settings.model}")
        return engine

    async def serve() -> int:
        return await serve_stdio(build(connect), opening)

    return asyncio.run(serve())


if __name__ == "__main__":
    sys.exit(main())
