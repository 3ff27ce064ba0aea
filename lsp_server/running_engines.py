"""Which engine processes of this user run now; asks them, and starts none."""

import asyncio
from pathlib import Path

from engine import wire
from engine.api import EngineStatus
from engine.errors import EngineError

_ANSWER_SECONDS = 3.0


async def running_engines(runtime_folder: Path) -> list[tuple[Path, EngineStatus | None]]:
    """Return the sockets in a folder that somebody serves, with what each engine says of itself; None: nothing."""
    found = []
    for socket in sorted(runtime_folder.glob("*.sock")):
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                reader, writer = await asyncio.open_unix_connection(str(socket))
                try:
                    found.append((socket, await _status(reader, writer)))
                finally:
                    writer.close()
        except (FileNotFoundError, ConnectionError):
            continue  # left behind by a process that was killed; the next start replaces it
        except (EngineError, OSError):
            found.append((socket, None))
    return found


async def _status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> EngineStatus | None:
    writer.write(wire.frame({"type": "hello", "protocol": wire.PROTOCOL_VERSION}))
    greeting = await wire.read_message(reader)
    if greeting is None or greeting.get("type") != "hello":
        return None
    writer.write(wire.frame({"type": "status", "id": 1}))
    answer = await wire.read_message(reader)
    return None if answer is None else wire.status_from_json(wire.field(answer, "value", dict))
