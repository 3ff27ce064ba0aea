"""Texts that are still good: typed into, come back to after a deletion, or left over from a longer one."""

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from engine.api import Length
from lsp_server.completion.answer import Facts
from lsp_server.completion.candidate import Candidate
from lsp_server.completion.prefix_trie import PrefixTrie
from lsp_server.completion.snapshot import Snapshot
from lsp_server.completion.typed_since import closed_by_editor
from lsp_server.document import split_lines

CAPACITY: Final = 512
_HEAD: Final = 160
"""Characters before the request's line that must be unchanged: about four lines, so that edits elsewhere do no harm."""
_BELOW: Final = 80
"""Characters of the next line that says something that must be unchanged."""
_LINES_FOUND: Final = 12
"""Lines of a text in which a cursor is found again."""


@dataclass(slots=True, kw_only=True, eq=False)
class Entry:
    """What the engine wrote at one cursor."""

    uri: str
    head: str
    """What stood before the cursor: the end of the lines above, and its own line."""
    starts_document: bool
    line_before: str
    line_after: str
    below: str
    length: Length
    candidates: tuple[Candidate, ...]
    """Best first."""
    facts: Facts
    wide: bool
    """Whether the engine was asked for several texts."""
    shown_to: int = 0
    """Characters of the first text that were on the screen."""
    keys: list[str] = field(default_factory=list)
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An entry that goes on at a cursor."""

    entry: Entry
    candidates: tuple[Candidate, ...]
    """What is left of them; only those that begin with what was typed."""
    typed: int
    """Characters typed since the engine was asked."""


class SuggestionCache:
    """The latest texts, in one trie for each document, keyed by the line that each of their lines begins."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._tries: dict[str, PrefixTrie[tuple[Entry, int]]] = {}
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        self._numbers = count()
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._entries)

    def put(
        self,
        snapshot: Snapshot,
        length: Length,
        candidates: tuple[Candidate, ...],
        *,
        facts: Facts,
        wide: bool = False,
    ) -> None:
        """Keep what the engine wrote at a cursor; several texts, best first.

        An empty one is kept too: the engine, asked again, would say the same.
        """
        entry = Entry(
            uri=snapshot.uri,
            head=_head(snapshot),
            starts_document=len(_head(snapshot)) == len(snapshot.prefix),
            line_before=snapshot.line_before,
            line_after=snapshot.line_after,
            below=_below(snapshot),
            length=length,
            candidates=candidates,
            facts=facts,
            wide=wide,
        )
        trie = self._tries.setdefault(snapshot.uri, PrefixTrie())
        for key, offset in _places(snapshot.line_before, candidates[0].text if candidates else ""):
            trie.add(key, (entry, offset))
            entry.keys.append(key)
        entry.number = next(self._numbers)
        self._entries[entry.number] = entry
        while len(self._entries) > self._capacity:
            self.drop(next(iter(self._entries.values())))

    def find(self, snapshot: Snapshot, length: Length, *, wide: bool = False) -> Found | None:
        """Return what a kept text says at a cursor, the one that was written nearest to it; None when there is none.

        What the engine wrote for `head` is good for `head + typed` while it starts with `typed` and the text around is
        the same. A text of one line says nothing about several, and one text nothing about others (`wide`).
        """
        found = self.peek(snapshot, length, wide=wide)
        if found is None:
            self.misses += 1
        else:
            self.hits += 1
            self._entries.move_to_end(found.entry.number)
        return found

    def peek(self, snapshot: Snapshot, length: Length, *, wide: bool = False) -> Found | None:
        """Find without counting it as a hit or a miss."""
        trie = self._tries.get(snapshot.uri)
        places = list(trie.along(snapshot.line_before)) if trie is not None else []
        below = _below(snapshot)
        for entry, offset in reversed(places):
            if (entry.length is Length.LINE and length is Length.BLOCK) or (wide and not entry.wide):
                continue
            typed = _typed(entry, offset, snapshot)
            if typed is None or entry.below != below:
                continue
            left = tuple(one.after(len(typed)) for one in entry.candidates if one.text.startswith(typed))
            if left and (left[0].text or not typed):
                return Found(entry=entry, candidates=left, typed=len(typed))
        return None

    def forget(self, uri: str) -> None:
        """Drop what is kept for a document."""
        self._tries.pop(uri, None)
        for number in [number for number, entry in self._entries.items() if entry.uri == uri]:
            del self._entries[number]

    def forget_unshown(self) -> None:
        """Drop what was not worth showing, as when the engine has learned: asked again, it may say something better."""
        for entry in [entry for entry in self._entries.values() if not entry.shown_to]:
            self.drop(entry)

    def drop(self, entry: Entry) -> None:
        """Drop one text."""
        if self._entries.pop(entry.number, None) is None:
            return
        trie = self._tries[entry.uri]
        for key in set(entry.keys):
            for value in [value for value in trie.along(key) if value[0] is entry]:
                trie.remove(key, value)

    def clear(self) -> None:
        """Drop everything, as when the model changes."""
        self._tries.clear()
        self._entries.clear()


def _places(line_before: str, text: str) -> list[tuple[str, int]]:
    """Return each line that a cursor may stand in when it has come into the text, with the line's offset in the text.

    >>> _places("x = ", "f(\\n    a")
    [('x = ', 0), ('', 3)]
    """
    places = [(line_before, 0)]
    offset = 0
    for line in split_lines(text)[:_LINES_FOUND][:-1]:
        offset += len(line)
        places.append(("", offset))
    return places


def _typed(entry: Entry, offset: int, snapshot: Snapshot) -> str | None:
    """Return what was typed since an entry was made, taking the cursor to stand in the line at `offset` of its text."""
    line = snapshot.line_before
    typed = line[len(entry.line_before) :] if offset == 0 else entry.candidates[0].text[:offset] + line
    end = len(snapshot.prefix) - len(typed)
    if end < 0 or not snapshot.prefix.endswith(typed) or not snapshot.prefix.endswith(entry.head, 0, end):
        return None
    if entry.starts_document and end != len(entry.head):
        return None
    return typed if closed_by_editor(typed, entry.line_after, snapshot.line_after) is not None else None


def _head(snapshot: Snapshot) -> str:
    start = max(0, len(snapshot.prefix) - len(snapshot.line_before) - _HEAD)
    return snapshot.prefix[start:]


def _below(snapshot: Snapshot) -> str:
    """Return the beginning of the next line that says something."""
    return snapshot.lines_below[:2000].lstrip()[:_BELOW].split("\n", 1)[0].rstrip()
