"""What decoding asks of a network, whatever it runs on: the fp32 reference, quantised weights, C++ kernels, a GPU."""

from typing import Protocol

import torch
from torch import Tensor

from engine.model.config import TransformerConfig


class TokenCache(Protocol):
    """What a network keeps of the tokens it has read; only the network that made it can extend it."""

    @property
    def capacity(self) -> int:
        """Tokens that fit."""

    @property
    def length(self) -> int:
        """Tokens held."""

    @property
    def memory_bytes(self) -> int:
        """Bytes allocated."""

    def truncate(self, length: int) -> None:
        """Forget every token from position `length` on.

        Raises:
            ValueError: `length` is negative or beyond what is held.
        """


class Network(Protocol):
    """A decoder that reads tokens into a cache and says what may follow.

    Not for several threads at once.
    """

    @property
    def config(self) -> TransformerConfig:
        """The shape."""

    @property
    def device(self) -> torch.device:
        """Where `logits` are returned and the weights lie."""

    @property
    def precision(self) -> str:
        """How the weights are held: "float32", "bfloat16", "int8", "int4"."""

    @property
    def path(self) -> str:
        """What runs it, for people: "torch", "C++ kernels (AVX-512 VNNI)", "CUDA graph"."""

    @property
    def threads(self) -> int:
        """Threads that compute on the CPU."""

    def parameter_count(self) -> int:
        """Return the number of parameters; tied embeddings count once."""

    def new_cache(self, capacity: int) -> TokenCache:
        """Return an empty cache with room for `capacity` tokens."""

    def cache_bytes(self, capacity: int) -> int:
        """Return the bytes that `new_cache(capacity)` would allocate."""

    def logits(self, ids: Tensor, cache: TokenCache) -> Tensor:
        """Read ids [1, T] behind what the cache holds; return the logits [T, vocab_size] after each of them.

        Raises:
            ValueError: they do not fit.
        """

    def next_logits(self, ids: Tensor, cache: TokenCache) -> Tensor:
        """Like `logits`, but only those after the last token: [1, vocab_size]."""
