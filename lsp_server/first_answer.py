"""Answers `initialize` on standard input before the slow imports, and hands on what was read."""

import json
import os
from dataclasses import dataclass
from typing import Any, Final

from lsp_server.capabilities import initialize_result
from lsp_server.framing import Framing, frame

_STDIN: Final = 0
_STDOUT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What has passed before the server proper takes over."""

    messages: tuple[bytes, ...]
    """Bodies that were read, in order, `initialize` included."""
    pending: bytes
    """The beginning of a further message."""
    answered: bool
    """Whether the first message was `initialize` and has its answer."""


def answer_initialize() -> Opening:
    """Read from file descriptor 0 until a whole message is there; answer it on 1 if it is `initialize`."""
    framing = Framing()
    messages: list[bytes] = []
    while not messages:
        data = os.read(_STDIN, 65536)
        if not data:
            break
        messages.extend(framing.feed(data))
    answered = bool(messages) and _answer(messages[0])
    return Opening(messages=tuple(messages), pending=framing.pending, answered=answered)


def _answer(body: bytes) -> bool:
    message = _parse(body)
    if message.get("method") != "initialize" or "id" not in message:
        return False
    params = message.get("params")
    result = initialize_result(params if isinstance(params, dict) else {})
    reply = {"jsonrpc": "2.0", "id": message["id"], "result": result}
    _write(frame(json.dumps(reply, separators=(",", ":")).encode()))
    return True


def _parse(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(body)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(_STDOUT, data) :]
