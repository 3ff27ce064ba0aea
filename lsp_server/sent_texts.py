"""Sends a text to another process as what has changed since the last one: of a long file, a keystroke is a few bytes.

Both ends count the texts. A receiver that does not hold the one before says so, and is sent the whole.
"""

from collections.abc import Mapping
from typing import Any

from repo_context.text_difference import shared_end, shared_start


class TextSender:
    """The end that sends."""

    def __init__(self) -> None:
        self._number = 0
        self._last: str | None = None

    def forget(self) -> None:
        """Send the next text whole: the other end is a new process, or has lost its place."""
        self._last = None

    def pack(self, text: str) -> dict[str, Any]:
        """Return what `TextReceiver.unpack` makes the text of, as plain values."""
        last, self._last = self._last, text
        self._number += 1
        if last is None:
            return {"number": self._number, "whole": text}
        start = shared_start(last, text)
        end = shared_end(last, text, min(len(last), len(text)) - start)
        return {"number": self._number, "start": start, "end": end, "middle": text[start : len(text) - end]}


class TextReceiver:
    """The end that receives."""

    def __init__(self) -> None:
        self._number = 0
        self._last = ""

    def unpack(self, packed: Mapping[str, Any]) -> str | None:
        """Return the text that was packed; None when it builds on one that was not received."""
        if "whole" in packed:
            text: str = packed["whole"]
        elif packed["number"] != self._number + 1:
            return None
        else:
            text = self._last[: packed["start"]] + packed["middle"] + self._last[len(self._last) - packed["end"] :]
        self._number, self._last = packed["number"], text
        return text
