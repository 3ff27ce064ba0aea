"""The network on an NVIDIA GPU: bf16, flash-attn or SDPA for prompts, one CUDA graph for the step of a single token.

A step of a small network is a hundred kernel launches that take longer than the kernels; a graph launches them at once.
Its shapes are fixed, so a step attends to the cache's whole capacity behind a mask.
"""

from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.model.config import TransformerConfig
from engine.model.key_value_cache import KeyValueCache
from engine.model.network import TokenCache
from engine.model.rotary import cosines_and_sines, rotate
from engine.model.transformer import Block, Transformer


class CudaDecoder:
    """Runs a `Transformer` as it is, single tokens through a graph."""

    def __init__(self, transformer: Transformer) -> None:
        self._transformer = transformer
        self._steps: WeakKeyDictionary[KeyValueCache, SingleTokenStep] = WeakKeyDictionary()

    @property
    def config(self) -> TransformerConfig:
        """The shape."""
        return self._transformer.config

    @property
    def device(self) -> torch.device:
        """The GPU."""
        return self._transformer.device

    @property
    def precision(self) -> str:
        """The name of the weights' type."""
        return self._transformer.precision

    @property
    def path(self) -> str:
        """What runs it."""
        return "CUDA graph"

    @property
    def threads(self) -> int:
        """Threads that compute on the CPU."""
        return torch.get_num_threads()

    def parameter_count(self) -> int:
        """Return the number of parameters; tied embeddings count once."""
        return self._transformer.parameter_count()

    def new_cache(self, capacity: int) -> KeyValueCache:
        """Return an empty cache for up to `capacity` tokens."""
        return self._transformer.new_cache(capacity)

    def cache_bytes(self, capacity: int) -> int:
        """Return the bytes that `new_cache(capacity)` would allocate."""
        return self._transformer.cache_bytes(capacity)

    @torch.inference_mode()
    def logits(self, ids: Tensor, cache: TokenCache) -> Tensor:
        """Read ids [1, T]; return the logits [T, vocab_size] after each of them."""
        return self._transformer.logits(ids, cache)

    @torch.inference_mode()
    def next_logits(self, ids: Tensor, cache: TokenCache) -> Tensor:
        """Read ids [1, T]; return the logits [1, vocab_size] after the last."""
        assert isinstance(cache, KeyValueCache)
        if ids.shape[1] > 1:
            return self._transformer.next_logits(ids, cache)
        step = self._steps.get(cache)
        if step is None:
            step = self._steps[cache] = SingleTokenStep(self._transformer, cache)
        logits = step.run(ids, position=cache.length)
        cache.advance(1)
        return logits


class SingleTokenStep:
    """Reads one token into one cache; captured as a CUDA graph where that lies on a GPU."""

    def __init__(self, transformer: Transformer, cache: KeyValueCache) -> None:
        """Bind to the cache's memory, but not to the cache, which may go when its owner lets go of it."""
        self._transformer = transformer
        self._keys, self._values = cache.storage()
        for stored in (self._keys, self._values):
            stored[:, :, :, cache.length :] = 0  # a weight of 0 does not hide what is not a number
        self._ids = torch.zeros((1, 1), dtype=torch.long, device=transformer.device)
        self._position = torch.full((1,), cache.length, dtype=torch.long, device=transformer.device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._logits = torch.empty(0)

    def run(self, ids: Tensor, *, position: int) -> Tensor:
        """Read ids [1, 1] at a position; return logits [1, vocab_size].

        Raises:
            ValueError: the cache is full.
        """
        if position >= self._keys.shape[3]:
            raise ValueError(f"{position + 1} tokens do not fit in a key/value cache of {self._keys.shape[3]}")
        self._ids.copy_(ids)
        self._position.fill_(position)
        if not ids.is_cuda:
            return self._compute()
        if self._graph is None:
            self._capture()
        assert self._graph is not None
        self._graph.replay()
        return self._logits.clone()  # the next replay overwrites it

    def _capture(self) -> None:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._compute()  # libraries allocate their workspaces before a capture
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._logits = self._compute()

    def _compute(self) -> Tensor:
        transformer, config = self._transformer, self._transformer.config
        states: Tensor = transformer.embed_tokens(self._ids)
        cosines, sines = cosines_and_sines(config, self._position)
        angles = cosines.to(states.dtype), sines.to(states.dtype)
        unread = torch.arange(self._keys.shape[3], device=states.device) > self._position
        mask = torch.zeros(unread.shape, dtype=states.dtype, device=states.device).masked_fill(unread, float("-inf"))
        for number, block in enumerate(transformer.layers):
            assert isinstance(block, Block)
            normal = block.input_layernorm(states)
            states = states + block.self_attn.o_proj(self._attend(number, block, normal, angles, mask))
            states = states + block.mlp(block.post_attention_layernorm(states))
        logits: Tensor = transformer.lm_head(transformer.norm(states)[:, -1])
        return logits

    def _attend(self, layer: int, block: Block, states: Tensor, angles: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        attention, split = block.self_attn, (1, 1, -1, self._transformer.config.head_dim)
        query = rotate(attention.q_proj(states).view(split).transpose(1, 2), *angles)
        key = rotate(attention.k_proj(states).view(split).transpose(1, 2), *angles)
        value = attention.v_proj(states).view(split).transpose(1, 2)
        self._keys[layer].index_copy_(2, self._position, key)
        self._values[layer].index_copy_(2, self._position, value)
        mixed = F.scaled_dot_product_attention(
            query, self._keys[layer], self._values[layer], attn_mask=mask[None, None, None], enable_gqa=True
        )
        return mixed.transpose(1, 2).reshape(1, 1, -1)
