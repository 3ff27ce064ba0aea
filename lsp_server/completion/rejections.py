"""What the user has sent away, so that it does not come back for ever; digests only, no text."""

from collections import OrderedDict
from hashlib import blake2b
from typing import Final

from lsp_server.completion.snapshot import Snapshot

ENOUGH: Final = 3
"""Dismissals after which a text is not shown in the same place again."""
_CAPACITY: Final = 1000


class Rejections:
    """How often each text was dismissed on its line."""

    def __init__(self) -> None:
        self._counts: OrderedDict[bytes, int] = OrderedDict()

    def note(self, snapshot: Snapshot, text: str) -> None:
        """Count a dismissal of a text at a cursor."""
        key = _key(snapshot, text)
        self._counts[key] = self._counts.pop(key, 0) + 1
        while len(self._counts) > _CAPACITY:
            self._counts.popitem(last=False)

    def forgive(self, snapshot: Snapshot, text: str) -> None:
        """Forget the dismissals of a text that was accepted after all."""
        self._counts.pop(_key(snapshot, text), None)

    def holds(self, snapshot: Snapshot, text: str) -> bool:
        """Whether a text was dismissed often enough at a cursor."""
        return self._counts.get(_key(snapshot, text), 0) >= ENOUGH


def _key(snapshot: Snapshot, text: str) -> bytes:
    """Name a line as it would be: what was typed of it and what was suggested of it do not matter."""
    line = (snapshot.line_before + text.split("\n", 1)[0]).strip()
    return blake2b(f"{snapshot.uri}\n{line}".encode("utf-8", "replace"), digest_size=12).digest()
