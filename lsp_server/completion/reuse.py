"""Suggestions that are still good: typed into, or come back to after a deletion."""

from collections import OrderedDict
from dataclasses import dataclass

from engine.api import Length
from lsp_server.completion.snapshot import Snapshot

_CAPACITY = 48
_SUFFIX_WINDOW = 400
"""Characters after the cursor's line that must be unchanged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    prefix: str
    line_after: str
    lines_below: str
    length: Length
    text: str


class RecentSuggestions:
    """The latest texts the engine wrote, found again by what stands before and after the cursor."""

    def __init__(self, capacity: int = _CAPACITY) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[tuple[str, str, str, Length], _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, snapshot: Snapshot, length: Length, text: str) -> None:
        """Keep what the engine wrote at a cursor."""
        if not text:
            return
        key = (snapshot.uri, snapshot.prefix, snapshot.suffix[:_SUFFIX_WINDOW], length)
        self._entries[key] = _Entry(
            prefix=snapshot.prefix,
            line_after=snapshot.line_after,
            lines_below=snapshot.lines_below[:_SUFFIX_WINDOW],
            length=length,
            text=text,
        )
        self._entries.move_to_end(key)
        while len(self._entries) > self._capacity:
            self._entries.popitem(last=False)

    def continue_suggestion(self, snapshot: Snapshot, length: Length) -> str | None:
        """Return the rest of a kept text whose beginning has been typed since; None when there is none.

        What the engine wrote for `prefix` is good for `prefix + typed` while it starts with `typed`, it goes on after
        it, and the text after the cursor is the same.
        """
        for key, entry in reversed(self._entries.items()):
            if key[0] != snapshot.uri or entry.length is not length:
                continue
            typed_length = len(snapshot.prefix) - len(entry.prefix)
            if not 0 <= typed_length < len(entry.text):
                continue
            if entry.line_after != snapshot.line_after:
                continue
            if not snapshot.prefix.endswith(entry.text[:typed_length]) or not snapshot.prefix.startswith(entry.prefix):
                continue
            if entry.lines_below != snapshot.lines_below[:_SUFFIX_WINDOW]:
                continue
            self._entries.move_to_end(key)
            return entry.text[typed_length:]
        return None

    def forget(self, uri: str) -> None:
        """Drop what is kept for a document."""
        for key in [key for key in self._entries if key[0] == uri]:
            del self._entries[key]

    def clear(self) -> None:
        """Drop everything, as when the model changes."""
        self._entries.clear()
