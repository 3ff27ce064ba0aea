"""Server-sent events of a completions server, read line by line (WHATWG HTML, section 9.2.6; no torch)."""

import json
from collections.abc import AsyncIterator
from typing import Any, Final

from engine.errors import EngineUnavailableError

_LONGEST_EVENT: Final = 1 << 20
"""Characters; an event of ours holds a token."""


async def events(lines: AsyncIterator[str]) -> AsyncIterator[dict[str, Any] | None]:
    """Yield the JSON object of every event, and None for the `[DONE]` that ends a stream.

    Comments, which servers send to keep a connection open, and fields other than `data` are skipped.

    Raises:
        EngineUnavailableError: an event holds no JSON object, or is longer than any should be.
    """
    data: list[str] = []
    size = 0
    async for line in lines:
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
            size += len(line)
            if size > _LONGEST_EVENT:
                raise EngineUnavailableError("an event without an end; is this a completions server?")
        elif not line and data:
            yield _read("\n".join(data))
            data, size = [], 0
    if data:
        yield _read("\n".join(data))


def _read(text: str) -> dict[str, Any] | None:
    if text.strip() == "[DONE]":
        return None
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        raise EngineUnavailableError("an event that holds no JSON object; is this a completions server?")
    return event
