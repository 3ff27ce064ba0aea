"""An engine process that writes what a script says, over the engine's own protocol and socket.

    python -P scripted_engine.py SCRIPT.json EVENTS

It answers the language server that `server_of_scripted_engine.py` runs in the same MIDFILL_HOME. SCRIPT is a list of
`{"after": REGEX, "before": REGEX, "text": TEXT, "sure": NUMBER, "token_ms": NUMBER, "alternatives": [TEXT, ...]}`: the
first whose patterns end the text before the cursor, and begin the text after it, is written, token by token; without
one, nothing. EVENTS gets a line for each thing asked.
"""

import asyncio
import json
import math
import os
import re
import sys
from pathlib import Path

from engine import wire
from engine.api import Chunk, Completion, CompletionRequest, EngineStatus, FinishReason
from tests.support.server_of_scripted_engine import socket_path

_TOKEN = re.compile(r"\w+|\s+|[^\w\s]")


class ScriptedDaemon:
    """Serves any number of clients."""

    def __init__(self, script: Path, events: Path) -> None:
        self._script, self._events = script, events

    def note(self, line: str) -> None:
        with self._events.open("a") as file:
            file.write(line + "\n")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running: dict[int, asyncio.Task] = {}
        while (message := await wire.read_message(reader)) is not None:
            match message["type"]:
                case "hello":
                    self.send(writer, {"type": "hello", "protocol": wire.PROTOCOL_VERSION})
                case "complete":
                    running[message["id"]] = asyncio.ensure_future(self.complete(writer, message))
                case "abort":
                    task = running.pop(message["id"], None)
                    if task is not None and not task.done():
                        self.note("abort")
                        task.cancel()
                case "status":
                    status = EngineStatus(
                        process_id=os.getpid(), model="script", parameters=0, device="cpu", dtype="float32",
                        context_length=1, threads=1, memory_bytes=0, uptime_seconds=0.0, collections={},
                    )  # fmt: skip
                    self.send(writer, {"type": "result", "id": message["id"], "value": wire.status_to_json(status)})
                case _:
                    self.send(writer, {"type": "result", "id": message["id"], "value": 0})
        writer.close()

    async def complete(self, writer: asyncio.StreamWriter, message: dict) -> None:
        request = wire.request_from_json(message["request"])
        self.note(f"complete {request.length.value} {request.prefix[-20:]!a}")
        rules = [rule for rule in json.loads(self._script.read_text()) if fits(rule, request)]
        rule = rules[0] if rules else {}
        for token in _TOKEN.findall(rule.get("text", "")):
            await asyncio.sleep(rule.get("token_ms", 0) / 1000)
            self.answer(writer, message["id"], Chunk(text=token))
        texts = [rule.get("text", ""), *rule.get("alternatives", ())]
        for text in texts[: request.alternatives]:
            self.answer(writer, message["id"], completion_of(text, rule.get("sure", 0.99)))
        self.send(writer, {"type": "end", "id": message["id"]})

    def answer(self, writer: asyncio.StreamWriter, request_id: int, answer: Chunk | Completion) -> None:
        self.send(writer, wire.answer_to_json(answer) | {"id": request_id})

    def send(self, writer: asyncio.StreamWriter, message: dict) -> None:
        writer.write(wire.frame(message))


def fits(rule: dict, request: CompletionRequest) -> bool:
    ends = re.search(rule["after"] + r"\Z", request.prefix) is not None
    return ends and re.match(rule.get("before", ""), request.suffix) is not None


def completion_of(text: str, sure: float) -> Completion:
    score, ends = math.log(sure), [match.end() for match in _TOKEN.finditer(text)]
    return Completion(
        text=text, finish_reason=FinishReason.LINE_END, prompt_tokens=7, new_tokens=len(ends),
        mean_log_probability=score, snippets_used=0, token_scores=tuple((end, score) for end in ends),
        timings={"queue": 0.1, "prefill": 1.0, "decode": 1.0},
    )  # fmt: skip


async def main() -> None:
    daemon = ScriptedDaemon(Path(sys.argv[1]), Path(sys.argv[2]))
    socket = socket_path()
    server = await asyncio.start_unix_server(daemon.serve, str(socket), limit=1 << 26)
    socket.chmod(0o600)
    daemon.note("serving")
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
