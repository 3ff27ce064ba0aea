"""The network with 8-bit weights on torch alone: what runs on a CPU where there is no compiler.

One product for queries, keys and values, one for gate and up; torch's dynamic int8 product quantises the activations.
Nothing but the products is rounded. One token is bound by reading memory and by the number of framework calls; hence
keys lie transposed in huge pages, the two halves of a rotated pair lie side by side so that one complex product turns
them, and queries are scaled by scaling their weights.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.model import huge_pages
from engine.model.config import TransformerConfig
from engine.model.key_value_cache import KeyValueCache
from engine.model.network import TokenCache
from engine.model.rotary import cosines_and_sines
from engine.model.transformer import Block, Transformer

_QUERIES_AT_ONCE = 64
"""Tokens whose scores are taken together: blocks that stay in the cache of a core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    attention_norm: Tensor
    query_key_value: object
    """torch's packed int8 matrix, as are the next three."""
    output: object
    feed_forward_norm: Tensor
    gate_up: object
    down: object


class Int8Cache(KeyValueCache):
    """Keys and values of one sequence; keys lie transposed, their rotated pairs side by side."""

    def __init__(self, config: TransformerConfig, capacity: int) -> None:
        layers, heads, width = config.num_hidden_layers, config.num_key_value_heads, config.head_dim
        self._capacity = capacity
        self._keys = huge_pages.empty((layers, heads, width, capacity), torch.float32)
        self._values = huge_pages.empty((layers, heads, capacity, width), torch.float32)
        self._by_layer = [*zip(self._keys, self._values, strict=True)]
        self._length = 0

    @property
    def capacity(self) -> int:
        """Tokens that fit."""
        return self._capacity

    def put(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store one layer's keys [T, heads, head_dim] and values; return its keys [heads, head_dim, S] and values.

        Raises:
            ValueError: they do not fit.
        """
        tokens = len(keys)
        end = self._length + tokens
        if end > self._capacity:
            raise ValueError(f"{end} tokens do not fit in a key/value cache of {self._capacity}")
        all_keys, all_values = self._by_layer[layer]
        all_keys.narrow(2, self._length, tokens).copy_(keys.permute(1, 2, 0))
        all_values.narrow(1, self._length, tokens).copy_(values.transpose(0, 1))
        return all_keys.narrow(2, 0, end), all_values.narrow(1, 0, end)

    def held(self) -> tuple[Tensor, Tensor]:
        """Return keys and values as every other cache has them: [layers, 1, heads, length, head_dim]."""
        keys = self._keys[..., : self._length]
        pairs = keys.view(*keys.shape[:2], -1, 2, self._length)
        keys = pairs.transpose(2, 3).flatten(2, 3).transpose(2, 3)
        return keys[:, None], self._values[:, None, :, : self._length]


class Int8Decoder:
    """Runs a network's int8 copy; the original is not needed afterwards."""

    def __init__(self, transformer: Transformer) -> None:
        """Quantise the weights, one scale per row."""
        config = transformer.config
        self.config = config
        self.device = torch.device("cpu")
        self.precision = "int8"
        self.path = "torch"
        self._parameters = transformer.parameter_count()
        # Read one row at a time, so its size is what counts.
        kept_as = torch.bfloat16 if _is_bfloat16(transformer) else torch.float16
        self._embedding = transformer.embed_tokens.weight.detach().to(kept_as)
        self._layers = [_pack_layer(block, config) for block in transformer.layers if isinstance(block, Block)]
        self._norm = transformer.norm.weight.detach().float()
        self._head = _pack([transformer.lm_head.weight])
        cosines, sines = cosines_and_sines(config, torch.arange(config.max_position_embeddings))
        self._turns = torch.complex(cosines, sines)[:, None, : config.head_dim // 2].contiguous()
        huge_pages.gather()

    @property
    def threads(self) -> int:
        """Threads that compute on the CPU."""
        return torch.get_num_threads()

    def parameter_count(self) -> int:
        """Return the number of parameters; tied embeddings count once."""
        return self._parameters

    def new_cache(self, capacity: int) -> Int8Cache:
        """Return an empty cache for up to `capacity` tokens."""
        return Int8Cache(self.config, capacity)

    def cache_bytes(self, capacity: int) -> int:
        """Return the bytes that `new_cache(capacity)` would allocate."""
        config = self.config
        return 8 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * capacity

    @torch.inference_mode()
    def logits(self, ids: Tensor, cache: TokenCache) -> Tensor:
        """Read ids [1, T]; return the logits [T, vocab_size] after each of them."""
        assert isinstance(cache, Int8Cache)
        return _product(self._head, self._hidden_states(ids[0], cache))

    @torch.inference_mode()
    def next_logits(self, ids: Tensor, cache: TokenCache) -> Tensor:
        """Read ids [1, T]; return the logits [1, vocab_size] after the last."""
        assert isinstance(cache, Int8Cache)
        return _product(self._head, self._hidden_states(ids[0], cache)[-1:])

    def _hidden_states(self, ids: Tensor, cache: Int8Cache) -> Tensor:
        config, eps = self.config, self.config.rms_norm_eps
        end = cache.length + len(ids)
        if end > config.max_position_embeddings:
            raise ValueError(f"{end} tokens are more than the {config.max_position_embeddings} of the model's context")
        turns = self._turns[cache.length : end]
        states = self._embedding[ids].float()
        for number, layer in enumerate(self._layers):
            normal = _normalise(states, layer.attention_norm, eps)
            mixed = self._attend(number, _product(layer.query_key_value, normal), turns, cache)
            states += _product_by_row(layer.output, mixed)
            normal = _normalise(states, layer.feed_forward_norm, eps)
            gate, up = _product(layer.gate_up, normal).chunk(2, dim=-1)
            states += _product_by_row(layer.down, F.silu(gate).mul_(up))
        cache.advance(len(ids))
        return _normalise(states, self._norm, eps)

    def _attend(self, layer: int, projected: Tensor, turns: Tensor, cache: Int8Cache) -> Tensor:
        config, tokens = self.config, len(projected)
        queries, shared, width = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        heads = projected.view(tokens, -1, width)
        pairs = torch.view_as_complex(heads.view(tokens, -1, width // 2, 2)[:, : queries + shared])
        turned = torch.view_as_real(pairs * turns).view(tokens, -1, width)
        keys, values = cache.put(layer, turned[:, queries:], heads[:, queries + shared :])
        if tokens == 1:
            scores = torch.bmm(turned[0, :queries].view(shared, -1, width), keys)
            return torch.bmm(scores.softmax(-1), values).view(1, -1)
        query = turned[:, :queries].view(tokens, shared, -1, width).permute(1, 2, 0, 3)
        blocks = torch.split(query, _QUERIES_AT_ONCE, dim=2)
        ends = range(cache.length, cache.length + tokens, _QUERIES_AT_ONCE)
        mixed = [
            _attend_block(block, keys[:, :, : start + block.shape[2]], values[:, : start + block.shape[2]])
            for start, block in zip(ends, blocks, strict=True)
        ]
        return torch.cat(mixed)


def _attend_block(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Map scaled queries [shared, group, T, width] of the last T positions to [T, shared * group * width]."""
    shared, group, tokens, width = query.shape
    scores = torch.bmm(query.reshape(shared, -1, width), keys)
    by_token = scores.view(shared, group, tokens, -1)
    by_token[..., -tokens:] += torch.full((tokens, tokens), float("-inf")).triu_(1)
    mixed = torch.bmm(scores.softmax(-1), values).view(shared, group, tokens, width)
    return mixed.permute(2, 0, 1, 3).reshape(tokens, -1)


def _normalise(states: Tensor, weight: Tensor, eps: float) -> Tensor:
    if len(states) > 1:
        return F.rms_norm(states, weight.shape, weight, eps)
    # The same for one row in half the calls.
    size = float(torch.linalg.vector_norm(states))
    return (states * weight).mul_((size * size / len(weight) + eps) ** -0.5)


def _product(packed: object, states: Tensor) -> Tensor:
    output: Tensor = torch.ops.quantized.linear_dynamic(states, packed, False)
    return output


def _product_by_row(packed: object, states: Tensor) -> Tensor:
    """Like `_product`; torch has one scale for all rows, so rows are brought to one size first."""
    if len(states) == 1:
        return _product(packed, states)
    sizes = states.abs().amax(-1, keepdim=True).clamp_(min=1e-30)
    return _product(packed, states / sizes).mul_(sizes)


def _pack_layer(block: Block, config: TransformerConfig) -> _Layer:
    attention, mlp = block.self_attn, block.mlp
    scale = config.head_dim**-0.5  # of the scores, on the queries once
    heads = config.num_attention_heads, config.num_key_value_heads
    query = _paired(attention.q_proj.weight, heads[0]) * scale
    key = _paired(attention.k_proj.weight, heads[1])
    bias = None
    if attention.q_proj.bias is not None:
        turned = _paired(attention.q_proj.bias, heads[0]) * scale, _paired(attention.k_proj.bias, heads[1])
        bias = torch.cat([*turned, attention.v_proj.bias.detach().float()])
    return _Layer(
        attention_norm=block.input_layernorm.weight.detach().float(),
        query_key_value=_pack([query, key, attention.v_proj.weight], bias),
        output=_pack([attention.o_proj.weight]),
        feed_forward_norm=block.post_attention_layernorm.weight.detach().float(),
        gate_up=_pack([mlp.gate_proj.weight, mlp.up_proj.weight]),
        down=_pack([mlp.down_proj.weight]),
    )


def _paired(rows: Tensor, heads: int) -> Tensor:
    """Bring the two rows of each rotated pair, half a head apart in checkpoints, side by side."""
    halves = rows.detach().float().view(heads, 2, len(rows) // heads // 2, *rows.shape[1:])
    return halves.transpose(1, 2).flatten(0, 2)


def _pack(weights: Sequence[Tensor], bias: Tensor | None = None) -> object:
    """Quantise matrices that read the same input, one above the other."""
    weight = torch.cat([weight.detach().float() for weight in weights])
    scales = weight.abs().amax(1).clamp_(min=1e-12).double() / 127
    zeros = torch.zeros(len(weight), dtype=torch.long)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated in favour of a package that has no such product
        quantized = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        return torch.ops.quantized.linear_prepack(quantized, None if bias is None else bias.detach().float())


def _is_bfloat16(transformer: Transformer) -> bool:
    return transformer.embed_tokens.weight.dtype is torch.bfloat16
