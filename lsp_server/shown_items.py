"""The suggestions on the screen: one offer for each document, followed until it is taken, left or replaced."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

from lsp_server.completion.acceptance import (
    KEPT_AFTER_SECONDS,
    VISIBLE_SECONDS,
    characters,
    is_word_step,
    kept_characters,
    taken,
)
from lsp_server.completion.answer import Ranked
from lsp_server.completion.snapshot import Snapshot
from lsp_server.document import Document, Edit
from lsp_server.stats_store import KeptRow, Row, SuggestionRow

_REMEMBERED: Final = 200
"""Items that a client may still accept by name."""
_LINES_AROUND: Final = 40
"""Lines around an accepted text in which it is looked for later."""
_REST: Final = 400
"""Characters behind an offer's place that are kept to compare."""


@dataclass(slots=True, kw_only=True)
class ShownItem:
    """One suggestion that an editor was given."""

    id: str
    text: str
    replaces: int
    confidence: float | None
    taken: int = 0
    by_command: bool = False
    """Whether some of it was put in at once, and not key by key."""
    ended: bool = False


@dataclass(slots=True, kw_only=True)
class Offer:
    """What an editor was given at one cursor."""

    snapshot: Snapshot
    line: int
    index: int
    """Of the cursor in its line, in characters."""
    rest: str
    items: list[ShownItem]
    shown_at: float
    """By a steady clock."""
    language: str


@dataclass(slots=True, kw_only=True)
class _Accepted:
    id: str
    line: int
    text: str
    timers: list[asyncio.TimerHandle] = field(default_factory=list)


class ShownItems:
    """Follows what editors do with the suggestions they were given; tells a store and the memory of rejections."""

    def __init__(
        self,
        *,
        record: Callable[[Row], None],
        on_rejected: Callable[[Snapshot, str], None],
        on_accepted: Callable[[Snapshot, str], None],
        document: Callable[[str], Document | None],
        client: Callable[[], str],
    ) -> None:
        """Connect.

        Args:
            record: takes what is to be counted.
            on_rejected: told of a text that was seen and left.
            on_accepted: told of a text that was taken.
            document: finds an open document by its URI.
            client: names the editor.
        """
        self._record, self._on_rejected, self._on_accepted = record, on_rejected, on_accepted
        self._document, self._client = document, client
        self._offers: dict[str, Offer] = {}
        self._known: OrderedDict[str, tuple[Offer, ShownItem]] = OrderedDict()
        self._accepted: dict[str, list[_Accepted]] = {}
        self._ends: dict[str, tuple[int, int, int]] = {}
        """By document: its version, and line and index at which an accepted text ended."""

    def offer(self, snapshot: Snapshot, line: int, index: int, ranked: Sequence[Ranked]) -> list[str]:
        """Take note of what an editor is given at a cursor; returns an id for each.

        Where it is what is left of the suggestions on the screen, they keep their ids.
        """
        running = self._offers.get(snapshot.uri)
        if running is not None and ranked and self._is_left_of(running, ranked, line, index):
            return [item.id for item in running.items[: len(ranked)]]
        self.end(snapshot.uri)
        if not ranked:
            return []
        items = [
            ShownItem(
                id=uuid4().hex,
                text=one.suggestion.text,
                replaces=one.suggestion.replaces,
                confidence=one.confidence,
            )
            for one in ranked
        ]  # fmt: skip
        offer = Offer(
            snapshot=snapshot,
            line=line,
            index=index,
            rest=snapshot.suffix[:_REST],
            items=items,
            shown_at=time.monotonic(),
            language=snapshot.language_id,
        )
        self._offers[snapshot.uri] = offer
        for item in items:
            self._known[item.id] = (offer, item)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return [item.id for item in items]

    def follows_acceptance(self, uri: str, version: int, line: int, index: int) -> bool:
        """Whether an accepted text ends at a cursor and nothing was done since."""
        return self._ends.get(uri) == (version, line, index)

    def edited(self, document: Document, edits: Iterable[Edit]) -> None:
        """Follow a document's edits, which are in `document` already."""
        edits = list(edits)
        for accepted in self._accepted.get(document.uri, ()):
            accepted.line += _lines_moved(edits, accepted.line)
        offer = self._offers.get(document.uri)
        if offer is None:
            return
        offer.line += _lines_moved(edits, offer.line)
        now = document.text_from(offer.line, offer.index, _REST)
        progress = [(item, taken(item.text, item.replaces, offer.rest, now)) for item in offer.items]
        going = [(item, count) for item, count in progress if count is not None]
        if not going:
            self.end(document.uri)
            return
        for item, count in going:
            item.by_command = item.by_command or is_word_step(item.text, item.taken, count)
            item.taken = max(item.taken, count)
            if count == len(item.text):
                self._finish(offer, item, document)
                return

    def accepted(self, item_id: str) -> str:
        """Take a client's word that an item was accepted; returns its text, empty for an unknown one."""
        known = self._known.get(item_id)
        if known is None:
            return ""
        offer, item = known
        document = self._document(offer.snapshot.uri)
        if not item.ended:
            item.taken, item.by_command = len(item.text), True
            self._finish(offer, item, document)
        return item.text

    def partially_accepted(self, item_id: str, count: int) -> None:
        """Take a client's word that a part of an item was accepted."""
        known = self._known.get(item_id)
        if known is not None and not known[1].ended:
            known[1].by_command = True
            known[1].taken = max(known[1].taken, min(count, len(known[1].text)))

    def shown(self, item_id: str) -> None:
        """Take a client's word that an item is visible now."""
        known = self._known.get(item_id)
        if known is not None and not known[1].ended and known[1].taken == 0:
            known[0].shown_at = time.monotonic()

    def dismissed(self, item_id: str) -> None:
        """Take a client's word that the user sent an item away."""
        known = self._known.get(item_id)
        if known is None or known[1].ended:
            return
        offer, item = known
        self._offers.pop(offer.snapshot.uri, None)
        self._close(offer, item, "rejected")

    def document_of(self, item_id: str) -> str | None:
        """Return the URI of the document that an item was shown in."""
        known = self._known.get(item_id)
        return known[0].snapshot.uri if known is not None else None

    def end(self, uri: str) -> None:
        """End a document's offer: something else is there now."""
        offer = self._offers.pop(uri, None)
        if offer is None:
            return
        # Of several to choose from, the one that got furthest stands for all.
        item = max(offer.items, key=lambda one: one.taken)
        if item.taken and item.by_command:
            self._close(offer, item, "partial")
            self._watch(offer, item.id, item.text[: item.taken])
        elif time.monotonic() - offer.shown_at < VISIBLE_SECONDS:
            self._close(offer, item, "ignored")
        else:
            self._close(offer, item, "rejected")

    def forget(self, uri: str) -> None:
        """Drop what is known of a closed document."""
        self.end(uri)
        self._ends.pop(uri, None)
        for accepted in self._accepted.pop(uri, ()):
            for timer in accepted.timers:
                timer.cancel()

    def close(self) -> None:
        """End everything."""
        for uri in {*self._offers, *self._accepted}:
            self.forget(uri)

    def _is_left_of(self, running: Offer, ranked: Sequence[Ranked], line: int, index: int) -> bool:
        document = self._document(running.snapshot.uri)
        if document is None or len(ranked) > len(running.items):
            return False
        pairs = zip(running.items, ranked, strict=False)
        if any(item.text[item.taken :] != one.suggestion.text for item, one in pairs):
            return False
        return _moved(running.line, running.index, running.items[0].text[: running.items[0].taken]) == (line, index)

    def _finish(self, offer: Offer, item: ShownItem, document: Document | None) -> None:
        self._offers.pop(offer.snapshot.uri, None)
        self._close(offer, item, "accepted" if item.by_command else "typed")
        self._watch(offer, item.id, item.text)
        if document is not None:
            self._ends[document.uri] = (document.version, *_moved(offer.line, offer.index, item.text))

    def _close(self, offer: Offer, item: ShownItem, outcome: str) -> None:
        for one in offer.items:
            one.ended = True
        self._record(
            SuggestionRow(
                id=item.id,
                at=time.time(),
                language=offer.language,
                client=self._client(),
                outcome=outcome,
                characters=characters(item.text),
                lines=item.text.count("\n") + 1,
                taken=characters(item.text[: item.taken]),
                visible_ms=(time.monotonic() - offer.shown_at) * 1000,
                confidence=item.confidence,
            )
        )
        if outcome == "rejected":
            self._on_rejected(offer.snapshot, item.text)
        elif outcome in ("accepted", "typed"):
            self._on_accepted(offer.snapshot, item.text)

    def _watch(self, offer: Offer, item_id: str, text: str) -> None:
        """Count later what is left of an accepted text; the text itself is held in memory until then."""
        uri, loop = offer.snapshot.uri, asyncio.get_running_loop()
        accepted = _Accepted(id=item_id, line=offer.line, text=text)
        self._accepted.setdefault(uri, []).append(accepted)
        accepted.timers = [loop.call_later(after, self._count, uri, accepted, after) for after in KEPT_AFTER_SECONDS]

    def _count(self, uri: str, accepted: _Accepted, after: int) -> None:
        document = self._document(uri)
        if document is not None:
            first = max(0, accepted.line - _LINES_AROUND)
            last = accepted.line + accepted.text.count("\n") + _LINES_AROUND
            kept = kept_characters(accepted.text, "".join(document.lines[first:last]))
            self._record(KeptRow(id=accepted.id, after=after, characters=kept))
        if after == KEPT_AFTER_SECONDS[-1]:
            self._accepted[uri].remove(accepted)


def _moved(line: int, index: int, text: str) -> tuple[int, int]:
    """Return the place behind a text that stands at a place."""
    lines = text.count("\n")
    return (line, index + len(text)) if not lines else (line + lines, len(text) - text.rfind("\n") - 1)


def _lines_moved(edits: Iterable[Edit], line: int) -> int:
    """Return by how many lines edits above a line have moved it."""
    moved = 0
    for edit in edits:
        if edit.start is not None and edit.end is not None and edit.end.line < line:
            moved += edit.text.count("\n") - (edit.end.line - edit.start.line)
    return moved
