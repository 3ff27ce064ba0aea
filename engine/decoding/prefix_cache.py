"""Keeps the keys and values of each document's last prompt, so that the next keystroke reads only what changed."""

from collections import OrderedDict

import torch

from engine.decoding.generate import KeptTokens
from engine.model.config import TransformerConfig
from engine.model.key_value_cache import KeyValueCache

_GRAIN = 512
"""Capacities are multiples of this many tokens, so that a growing prompt seldom needs a new allocation."""


class PrefixCache:
    """Keys and values by document, the least recently used thrown away beyond a memory limit."""

    def __init__(
        self, config: TransformerConfig, *, dtype: torch.dtype, device: torch.device, memory_bytes: int = 1 << 30
    ) -> None:
        """Hold at most `memory_bytes`, or one document if that needs more."""
        self._config = config
        self._dtype = dtype
        self._device = device
        self._memory_bytes = memory_bytes
        self._documents: OrderedDict[str, KeptTokens] = OrderedDict()

    def take(self, document: str, *, capacity: int) -> KeptTokens:
        """Return what is kept for a document, with room for `capacity` tokens; empty when nothing fits."""
        kept = self._documents.pop(document, None)
        if kept is None or kept.cache.capacity < capacity:
            self._make_room(capacity)
            kept = KeptTokens(ids=[], cache=self._allocate(capacity))
        self._documents[document] = kept
        return kept

    @property
    def memory_bytes(self) -> int:
        """Bytes allocated."""
        return sum(kept.cache.memory_bytes for kept in self._documents.values())

    def _make_room(self, capacity: int) -> None:
        config = self._config
        numbers = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * capacity
        wanted = numbers * self._dtype.itemsize
        while self._documents and self.memory_bytes + wanted > self._memory_bytes:
            self._documents.popitem(last=False)

    def _allocate(self, capacity: int) -> KeyValueCache:
        rounded = -(-capacity // _GRAIN) * _GRAIN
        return KeyValueCache(self._config, capacity=rounded, dtype=self._dtype, device=self._device)
