"""The network with 8-bit weights on torch alone: what runs on a CPU where there is no compiler.

One product for queries, keys and values, one for gate and up; torch's dynamic int8 product quantises the activations.
Nothing but the products is rounded. Framework calls cost as much as arithmetic here, hence as few of them as possible.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.model.attention import attend
from engine.model.key_value_cache import KeyValueCache
from engine.model.network import TokenCache
from engine.model.rotary import cosines_and_sines
from engine.model.transformer import Block, Transformer


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    attention_norm: Tensor
    query_key_value: object
    """torch's packed int8 matrix, as are the next three."""
    output: object
    feed_forward_norm: Tensor
    gate_up: object
    down: object


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
        self._layers = [_pack_layer(block) for block in transformer.layers if isinstance(block, Block)]
        self._norm = transformer.norm.weight.detach().float()
        self._head = _pack([transformer.lm_head.weight])
        cosines, sines = cosines_and_sines(config, torch.arange(config.max_position_embeddings))
        sines[:, : config.head_dim // 2] *= -1
        self._cosines, self._sines = cosines[:, None], sines[:, None]

    @property
    def threads(self) -> int:
        """Threads that compute on the CPU."""
        return torch.get_num_threads()

    def parameter_count(self) -> int:
        """Return the number of parameters; tied embeddings count once."""
        return self._parameters

    def new_cache(self, capacity: int) -> KeyValueCache:
        """Return an empty cache for up to `capacity` tokens."""
        return KeyValueCache(self.config, capacity=capacity)

    def cache_bytes(self, capacity: int) -> int:
        """Return the bytes that `new_cache(capacity)` would allocate."""
        config = self.config
        return 8 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * capacity

    @torch.inference_mode()
    def logits(self, ids: Tensor, cache: TokenCache) -> Tensor:
        """Read ids [1, T]; return the logits [T, vocab_size] after each of them."""
        assert isinstance(cache, KeyValueCache)
        return _product(self._head, self._hidden_states(ids[0], cache))

    @torch.inference_mode()
    def next_logits(self, ids: Tensor, cache: TokenCache) -> Tensor:
        """Read ids [1, T]; return the logits [1, vocab_size] after the last."""
        assert isinstance(cache, KeyValueCache)
        return _product(self._head, self._hidden_states(ids[0], cache)[-1:])

    def _hidden_states(self, ids: Tensor, cache: KeyValueCache) -> Tensor:
        config, eps = self.config, self.config.rms_norm_eps
        end = cache.length + len(ids)
        if end > config.max_position_embeddings:
            raise ValueError(f"{end} tokens are more than the {config.max_position_embeddings} of the model's context")
        angles = self._cosines[cache.length : end], self._sines[cache.length : end]
        states = self._embedding[ids].float()
        for number, layer in enumerate(self._layers):
            normal = _normalise(states, layer.attention_norm, eps)
            mixed = self._attend(number, _product(layer.query_key_value, normal), angles, cache)
            states = states + _product_by_row(layer.output, mixed)
            normal = _normalise(states, layer.feed_forward_norm, eps)
            gate, up = _product(layer.gate_up, normal).chunk(2, dim=-1)
            states = states + _product_by_row(layer.down, F.silu(gate).mul_(up))
        cache.advance(len(ids))
        return _normalise(states, self._norm, eps)

    def _attend(self, layer: int, projected: Tensor, angles: tuple[Tensor, Tensor], cache: KeyValueCache) -> Tensor:
        config, tokens = self.config, len(projected)
        queries, shared, width = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        heads = projected.view(tokens, queries + 2 * shared, width)
        turning = heads[:, : queries + shared]
        turned = torch.addcmul(turning * angles[0], turning.roll(width // 2, dims=-1), angles[1])
        key, value = turned[:, queries:].transpose(0, 1), heads[:, queries + shared :].transpose(0, 1)
        keys, values = cache.append(layer, key[None], value[None])
        if tokens > 1:
            query = turned[:, :queries].transpose(0, 1)[None]
            return attend(query, keys, values)[0].transpose(0, 1).reshape(tokens, -1)
        # One token: plain products cost half of what torch's attention costs.
        query = turned[0, :queries].view(shared, -1, width)
        scores = torch.bmm(query, keys[0].transpose(1, 2)).mul_(width**-0.5)
        return torch.bmm(scores.softmax(-1), values[0]).view(1, -1)


def _normalise(states: Tensor, weight: Tensor, eps: float) -> Tensor:
    return F.rms_norm(states, weight.shape, weight, eps)


def _product(packed: object, states: Tensor) -> Tensor:
    output: Tensor = torch.ops.quantized.linear_dynamic(states, packed, False)
    return output


def _product_by_row(packed: object, states: Tensor) -> Tensor:
    """Like `_product`; torch has one scale for all rows, so rows are brought to one size first."""
    if len(states) == 1:
        return _product(packed, states)
    sizes = states.abs().amax(-1, keepdim=True).clamp_(min=1e-30)
    return _product(packed, states / sizes).mul_(sizes)


def _pack_layer(block: Block) -> _Layer:
    attention, mlp = block.self_attn, block.mlp
    projections = (attention.q_proj, attention.k_proj, attention.v_proj)
    biases: list[Tensor] = [projection.bias for projection in projections if projection.bias is not None]
    return _Layer(
        attention_norm=block.input_layernorm.weight.detach().float(),
        query_key_value=_pack([projection.weight for projection in projections], torch.cat(biases) if biases else None),
        output=_pack([attention.o_proj.weight]),
        feed_forward_norm=block.post_attention_layernorm.weight.detach().float(),
        gate_up=_pack([mlp.gate_proj.weight, mlp.up_proj.weight]),
        down=_pack([mlp.down_proj.weight]),
    )


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
