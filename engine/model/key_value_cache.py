"""Preallocated keys and values, or latents, of the tokens already seen."""

import torch
from torch import Tensor

from engine.model.config import TransformerConfig


class KeyValueCache:
    """Keys and values of up to `capacity` tokens for every layer; the network appends, callers truncate.

    Latent attention keeps its latents as the keys, and values of no width.
    """

    def __init__(
        self,
        config: TransformerConfig,
        *,
        capacity: int,
        batch: int = 1,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        heads, key_width, value_width = config.cache_shape
        shape = (config.num_hidden_layers, batch, heads, capacity)
        self._keys = torch.empty((*shape, key_width), dtype=dtype, device=device)
        self._values = torch.empty((*shape, value_width), dtype=dtype, device=device)
        self._length = 0

    @property
    def capacity(self) -> int:
        """Tokens that fit."""
        return self._keys.shape[3]

    @property
    def length(self) -> int:
        """Tokens held."""
        return self._length

    @property
    def memory_bytes(self) -> int:
        """Bytes allocated for keys and values."""
        return (self._keys.numel() + self._values.numel()) * self._keys.element_size()

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store one layer's new keys and values [B, kv_heads, T, width]; return all of that layer's so far.

        The length grows only with `advance`, once every layer has been written.

        Raises:
            ValueError: the new tokens do not fit; the caller must truncate or allocate a larger cache.
        """
        end = self._length + keys.shape[2]
        if end > self.capacity:
            raise ValueError(f"{end} tokens do not fit in a key/value cache of {self.capacity}")
        self._keys[layer, :, :, self._length : end] = keys
        self._values[layer, :, :, self._length : end] = values
        return self._keys[layer, :, :, :end], self._values[layer, :, :, :end]

    def storage(self) -> tuple[Tensor, Tensor]:
        """Return all memory for keys and for values, each [layers, B, kv_heads, capacity, width]."""
        return self._keys, self._values

    def held(self) -> tuple[Tensor, Tensor]:
        """Return the keys and values of all layers, each [layers, B, kv_heads, length, width]."""
        return self._keys[:, :, :, : self._length], self._values[:, :, :, : self._length]

    def advance(self, tokens: int) -> None:
        """Count `tokens` new tokens as held."""
        self._length += tokens

    def truncate(self, length: int) -> None:
        """Forget every token from position `length` on.

        Raises:
            ValueError: `length` is negative or beyond what is held.
        """
        if not 0 <= length <= self._length:
            raise ValueError(f"cannot truncate a cache of {self._length} tokens to {length}")
        self._length = length
