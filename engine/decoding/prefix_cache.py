"""Keeps the keys and values of each document's last prompts, so that the next keystroke reads only what changed."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.decoding.generate import KeptTokens
from engine.model.network import Network

_GRAIN = 512
"""Capacities are multiples of this many tokens, so that a growing prompt seldom needs a new allocation."""
_WORTH_KEEPING = 0.5
"""A sequence of which a new prompt shares less than this is kept beside it: the cursor often jumps back."""
_PER_DOCUMENT = 2


@dataclass(eq=False, slots=True, kw_only=True)
class _Entry:
    document: str
    kept: KeptTokens
    users: int = 0


class PrefixCache:
    """Keys and values by document, the least recently used thrown away beyond a memory limit."""

    def __init__(self, network: Network, *, memory_bytes: int = 1 << 30) -> None:
        """Hold at most `memory_bytes`, or what is in use if that needs more."""
        self._network = network
        self._memory_bytes = memory_bytes
        self._entries: list[_Entry] = []
        """The least recently used first."""

    def take(self, document: str, ids: Sequence[int], *, capacity: int) -> KeptTokens:
        """Return what is kept for a document and shares the most with `ids`, with room for `capacity` tokens.

        It is nobody else's until it is given back: two windows may show one document.
        """
        own = [entry for entry in self._entries if entry.document == document]
        free = [entry for entry in own if not entry.users and entry.kept.cache.capacity >= capacity]
        best = max(free, key=lambda entry: entry.kept.common_prefix(ids), default=None)
        if best is None or (len(own) < _PER_DOCUMENT and not self._is_worth_changing(best, ids, capacity)):
            best = self._add(document, capacity)
        self._entries.remove(best)
        self._entries.append(best)
        best.users += 1
        return best.kept

    def give_back(self, kept: KeptTokens) -> None:
        """Say that a request is done with what it took."""
        for entry in self._entries:
            if entry.kept is kept:
                entry.users -= 1
        self._make_room(0)

    @property
    def memory_bytes(self) -> int:
        """Bytes allocated."""
        return sum(entry.kept.cache.memory_bytes for entry in self._entries)

    def _is_worth_changing(self, entry: _Entry, ids: Sequence[int], capacity: int) -> bool:
        """Whether a prompt shares so much that reading it there loses little, or there is no room for another."""
        enough = entry.kept.common_prefix(ids) >= _WORTH_KEEPING * len(entry.kept.ids)
        return enough or self.memory_bytes + self._network.cache_bytes(_rounded(capacity)) > self._memory_bytes

    def _add(self, document: str, capacity: int) -> _Entry:
        own = [entry for entry in self._entries if entry.document == document and not entry.users]
        small = [entry for entry in own if entry.kept.cache.capacity < capacity]
        for entry in small or own[: len(own) - _PER_DOCUMENT + 1]:
            self._entries.remove(entry)
        self._make_room(self._network.cache_bytes(_rounded(capacity)))
        entry = _Entry(document=document, kept=KeptTokens(ids=[], cache=self._network.new_cache(_rounded(capacity))))
        self._entries.append(entry)
        return entry

    def _make_room(self, wanted: int) -> None:
        for entry in [entry for entry in self._entries if not entry.users]:
            if self.memory_bytes + wanted <= self._memory_bytes:
                break
            self._entries.remove(entry)


def _rounded(capacity: int) -> int:
    return -(-capacity // _GRAIN) * _GRAIN
