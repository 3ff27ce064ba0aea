"""The network with 8-bit weights on torch alone: what runs on a CPU where there is no compiler.

One product for queries, keys and values, one for gate and up; torch's dynamic int8 product quantises the activations.
Nothing but the products is rounded. One token is bound by reading memory and by the number of framework calls; hence
keys lie transposed in huge pages, the two halves of a rotated pair lie side by side so that one complex product turns
them, queries are scaled by scaling their weights, and TorchScript runs the layers: between two products Python's own
memory would have to be fetched again each time, which took a quarter of a step.
"""

import logging
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.model import huge_pages
from engine.model.config import TransformerConfig
from engine.model.key_value_cache import KeyValueCache
from engine.model.network import TokenCache
from engine.model.rotary import cosines_and_sines
from engine.model.transformer import Block, Transformer

log = logging.getLogger("midfill.engine")

_QUERIES_AT_ONCE = 64
"""Tokens whose scores are taken together: blocks that stay in the cache of a core."""


class Int8Cache(KeyValueCache):
    """Keys and values of one sequence; keys lie transposed, their rotated pairs side by side."""

    def __init__(self, config: TransformerConfig, capacity: int) -> None:
        layers, heads, width = config.num_hidden_layers, config.num_key_value_heads, config.head_dim
        self._capacity = capacity
        self._keys = huge_pages.empty((layers, heads, width, capacity), torch.float32)
        self._values = huge_pages.empty((layers, heads, capacity, width), torch.float32)
        self.keys, self.values = [*self._keys], [*self._values]
        """Those of each layer: [heads, head_dim, capacity] and [heads, capacity, head_dim]."""
        self._length = 0

    @property
    def capacity(self) -> int:
        """Tokens that fit."""
        return self._capacity

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
        self._layers = _scripted(_Layers(transformer))
        self._head = _Product([transformer.lm_head.weight])
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
        logits: Tensor = self._head(self._hidden_states(ids[0], cache))
        return logits

    @torch.inference_mode()
    def next_logits(self, ids: Tensor, cache: TokenCache) -> Tensor:
        """Read ids [1, T]; return the logits [1, vocab_size] after the last."""
        assert isinstance(cache, Int8Cache)
        logits: Tensor = self._head(self._hidden_states(ids[0], cache)[-1:])
        return logits

    def _hidden_states(self, ids: Tensor, cache: Int8Cache) -> Tensor:
        start, end = cache.length, cache.length + len(ids)
        if end > self.config.max_position_embeddings:
            raise ValueError(f"{end} tokens are more than the {self.config.max_position_embeddings} of the context")
        if end > cache.capacity:
            raise ValueError(f"{end} tokens do not fit in a key/value cache of {cache.capacity}")
        embedded = self._embedding[ids].float()
        states: Tensor = self._layers(embedded, self._turns[start:end], cache.keys, cache.values, start)
        cache.advance(len(ids))
        return states


class _Product(nn.Module):
    """A packed int8 matrix; torch quantises what it reads, with one scale for all rows."""

    def __init__(self, weights: Sequence[Tensor], bias: Tensor | None = None) -> None:
        super().__init__()
        self.packed = _pack(weights, bias)

    def forward(self, states: Tensor) -> Tensor:
        """Map [T, columns] to [T, rows]."""
        output: Tensor = torch.ops.quantized.linear_dynamic(states, self.packed, False)
        return output


class _ProductByRow(nn.Module):
    """The same for states whose rows differ in size: they are brought to one size first."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.product = _Product([weight])

    def forward(self, states: Tensor) -> Tensor:
        """Map [T, columns] to [T, rows]."""
        if len(states) == 1:
            output: Tensor = self.product(states)
        else:
            sizes = states.abs().amax(-1, True).clamp_(min=1e-30)
            output = self.product(states / sizes) * sizes
        return output


class _Layers(nn.Module):
    """All layers and the last norm, in what TorchScript understands; without it Python runs the same."""

    norm: Tensor

    def __init__(self, transformer: Transformer) -> None:
        super().__init__()
        config = transformer.config
        blocks = [block for block in transformer.layers if isinstance(block, Block)]
        self.layers = nn.ModuleList(_Layer(block, config) for block in blocks)
        self.register_buffer("norm", transformer.norm.weight.detach().float())
        self.epsilon: float = config.rms_norm_eps

    def forward(self, states: Tensor, turns: Tensor, keys: list[Tensor], values: list[Tensor], start: int) -> Tensor:
        """Map states [T, hidden] of the tokens from position `start` on; keys and values take theirs."""
        for number, layer in enumerate(self.layers):
            states = layer(states, turns, keys[number], values[number], start)
        return torch.rms_norm(states, self.norm.shape, self.norm, self.epsilon)


class _Layer(nn.Module):
    """One layer: turns are [T, 1, head_dim / 2], keys and values those of this layer in an `Int8Cache`."""

    attention_norm: Tensor
    feed_forward_norm: Tensor

    def __init__(self, block: Block, config: TransformerConfig) -> None:
        super().__init__()
        attention, mlp = block.self_attn, block.mlp
        scale = config.head_dim**-0.5  # of the scores, on the queries once
        self.queries: int = config.num_attention_heads
        self.shared: int = config.num_key_value_heads
        self.width: int = config.head_dim
        self.at_once: int = _QUERIES_AT_ONCE
        self.epsilon: float = config.rms_norm_eps
        query = _paired(attention.q_proj.weight, self.queries) * scale
        key = _paired(attention.k_proj.weight, self.shared)
        bias = None
        if attention.q_proj.bias is not None:
            turned = _paired(attention.q_proj.bias, self.queries) * scale, _paired(attention.k_proj.bias, self.shared)
            bias = torch.cat([*turned, attention.v_proj.bias.detach().float()])
        self.register_buffer("attention_norm", block.input_layernorm.weight.detach().float())
        self.query_key_value = _Product([query, key, attention.v_proj.weight], bias)
        self.output = _ProductByRow(attention.o_proj.weight)
        self.register_buffer("feed_forward_norm", block.post_attention_layernorm.weight.detach().float())
        self.gate_up = _Product([mlp.gate_proj.weight, mlp.up_proj.weight])
        self.down = _ProductByRow(mlp.down_proj.weight)

    def forward(self, states: Tensor, turns: Tensor, keys: Tensor, values: Tensor, start: int) -> Tensor:
        """Map states [T, hidden] of the tokens from position `start` on."""
        normal = torch.rms_norm(states, self.attention_norm.shape, self.attention_norm, self.epsilon)
        states = states + self.output(self.attend(self.query_key_value(normal), turns, keys, values, start))
        normal = torch.rms_norm(states, self.feed_forward_norm.shape, self.feed_forward_norm, self.epsilon)
        gate, up = self.gate_up(normal).chunk(2, -1)
        added: Tensor = self.down(F.silu(gate).mul_(up))
        return states + added

    def attend(self, projected: Tensor, turns: Tensor, keys: Tensor, values: Tensor, start: int) -> Tensor:
        """Map projected queries, keys and values [T, rows] to the mixed values [T, heads * head_dim]."""
        tokens, queries, shared, width = len(projected), self.queries, self.shared, self.width
        heads = projected.view(tokens, -1, width)
        pairs = torch.view_as_complex(heads.view(tokens, -1, width // 2, 2)[:, : queries + shared])
        turned = torch.view_as_real(pairs * turns).view(tokens, -1, width)
        keys.narrow(2, start, tokens).copy_(turned[:, queries:].permute(1, 2, 0))
        values.narrow(1, start, tokens).copy_(heads[:, queries + shared :].transpose(0, 1))
        query = turned[:, :queries].view(tokens, shared, -1, width)
        if tokens == 1:
            scores = torch.bmm(query[0], keys.narrow(2, 0, start + 1))
            return torch.bmm(scores.softmax(-1), values.narrow(1, 0, start + 1)).view(1, -1)
        mixed: list[Tensor] = []
        for block in torch.split(query, self.at_once):
            seen = start + len(block)
            mixed.append(_attend_block(block, keys.narrow(2, 0, seen), values.narrow(1, 0, seen)))
            start = seen
        return torch.cat(mixed)


def _attend_block(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Map scaled queries [T, shared, group, width] of the last T positions to [T, shared * group * width]."""
    tokens, shared, group, width = query.shape
    scores = torch.bmm(query.permute(1, 2, 0, 3).reshape(shared, -1, width), keys)
    later = torch.full((tokens, tokens), float("-inf")).triu_(1)
    scores.view(shared, group, tokens, -1).narrow(3, keys.shape[2] - tokens, tokens).add_(later)
    mixed = torch.bmm(scores.softmax(-1), values).view(shared, group, tokens, width)
    return mixed.permute(2, 0, 1, 3).reshape(tokens, -1)


def _scripted(layers: _Layers) -> nn.Module:
    """Compile for torch's interpreter; where a later torch no longer can, the same code runs in Python."""
    layers.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated in favour of compilers that need C++
        try:
            scripted: nn.Module = torch.jit.script(layers)
        except (AttributeError, OSError, RuntimeError) as error:  # OSError: the source is not there to be read
            log.info("the step runs in Python: %s", str(error).strip().split("\n")[0])
            return layers
        return scripted


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
