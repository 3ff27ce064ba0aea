"""The real server on standard input and output, with an engine that answers from a script.

    python -P scripted_midfill.py SCRIPT EVENTS

SCRIPT is a JSON object from what stands before the cursor to the texts that may follow, best first; it is read at each
question. EVENTS gets one line for each question to the engine.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from engine.api import Chunk, Completion, CompletionRequest, EngineStatus, FinishReason, Length
from lsp_server.first_answer import answer_initialize


class ScriptedEngine:
    def __init__(self, script: Path, events: Path) -> None:
        self._script = script
        self._events = events

    async def complete(self, request: CompletionRequest) -> AsyncIterator[Chunk | Completion]:
        line = request.prefix.rpartition("\n")[2]
        with self._events.open("a") as file:
            file.write(f"{line}|\n")
        script = json.loads(self._script.read_text())
        texts = next((texts for before, texts in script.items() if request.prefix.endswith(before)), [""])
        await asyncio.sleep(0.02)
        yield Chunk(text=texts[0])
        reason = FinishReason.LINE_END if request.length is Length.LINE else FinishReason.BLOCK_END
        for text in texts[: request.alternatives]:
            yield _completion(text, reason)

    async def learn(self, collection, files) -> int:
        return len(files)

    async def forget(self, collection, names) -> None:
        pass

    async def status(self) -> EngineStatus:
        return EngineStatus(
            process_id=1, model="script", parameters=0, device="cpu", dtype="float32", context_length=1, threads=1,
            memory_bytes=0, uptime_seconds=0.0, collections={},
        )  # fmt: skip

    async def close(self) -> None:
        pass


def _completion(text: str, reason: FinishReason) -> Completion:
    known = {
        "text": text, "finish_reason": reason, "prompt_tokens": 1, "new_tokens": 1 if text else 0,
        "mean_log_probability": -0.01, "snippets_used": 0,
    }  # fmt: skip
    return Completion(**known)


def main() -> int:
    opening = answer_initialize()

    from engine.paths import state_folder
    from lsp_server import logs
    from lsp_server.server import build
    from lsp_server.transport import serve_stdio

    logs.start(state_folder())

    async def connect(settings) -> ScriptedEngine:
        return ScriptedEngine(Path(sys.argv[1]), Path(sys.argv[2]))

    async def serve() -> int:
        return await serve_stdio(build(connect), opening)

    return asyncio.run(serve())


if __name__ == "__main__":
    sys.exit(main())
