"""A network with latent attention and experts in 8 or 4 bits, on torch alone: for shapes that no faster form runs.

Products are taken with packed weights, of experts one expert after the other: only those run that a token is sent to,
and no matrix is ever unpacked as a whole. 8 bits have one scale a row and round activations for the time of a product
(torch's dynamic int8 product); 4 bits have one for 64 weights and take activations in bfloat16. The router, the norms,
and `kv_b_proj`, which absorbed attention reads as it is, keep fp32; the embedding keeps bfloat16.
"""

import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.model.config import TransformerConfig
from engine.model.experts import RoutedExperts
from engine.model.key_value_cache import KeyValueCache
from engine.model.network import TokenCache
from engine.model.quantize import GROUP, quantize
from engine.model.transformer import Transformer

_ROW_BLOCK = 16
"""torch packs 4-bit rows in blocks of this many."""


def packed_bytes(config: TransformerConfig, *, bits: int) -> int:
    """Estimate the bytes of a network's packed weights; the few that stay wider add some hundredths."""
    with torch.device("meta"):
        parameters = Transformer(config).parameter_count()
    scales = 32 / GROUP if bits == 4 else 0
    return int(parameters * (bits + scales) / 8)


class QuantizedNetwork:
    """Runs a quantised network; see `engine.model.network.Network`."""

    def __init__(self, transformer: Transformer, *, bits: int) -> None:
        """Quantise `transformer` in place, a matrix at a time; it is not to be used by others afterwards.

        Raises:
            ValueError: `bits` are neither 8 nor 4.
        """
        self._parameters = transformer.parameter_count()
        self.precision = f"int{bits}"
        self.path = "torch, packed weights"
        for name, module in list(transformer.named_modules()):
            if isinstance(module, RoutedExperts):
                transformer.set_submodule(name, QuantizedExperts(module, bits))
            elif isinstance(module, nn.Linear) and not name.endswith("kv_b_proj"):
                transformer.set_submodule(name, PackedLinear(module.weight, bits))
        embedding = transformer.embed_tokens.weight.detach().to(torch.bfloat16)
        self._transformer = transformer.float()
        transformer.set_submodule("embed_tokens", _StoredEmbedding(embedding))

    @property
    def config(self) -> TransformerConfig:
        """The shape."""
        return self._transformer.config

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    @property
    def threads(self) -> int:
        """Threads that compute on the CPU."""
        return torch.get_num_threads()

    def parameter_count(self) -> int:
        """Return the number of parameters; tied embeddings count once."""
        return self._parameters

    def weight_bytes(self) -> int:
        """Return the bytes that all weights take."""
        packed = (module.stored_bytes for module in self._transformer.modules() if isinstance(module, PackedLinear))
        plain = (parameter.numel() * parameter.element_size() for parameter in self._transformer.parameters())
        return sum(packed) + sum(plain)

    def new_cache(self, capacity: int) -> KeyValueCache:
        """Return an empty cache for up to `capacity` tokens."""
        return KeyValueCache(self.config, capacity=capacity)

    def cache_bytes(self, capacity: int) -> int:
        """Return the bytes that `new_cache(capacity)` would allocate."""
        return 4 * self.config.cache_numbers_per_token * capacity

    @torch.inference_mode()
    def logits(self, ids: Tensor, cache: TokenCache) -> Tensor:
        """Read ids [1, T]; return the logits [T, vocab_size] after each of them."""
        return self._transformer.logits(ids, cache)

    @torch.inference_mode()
    def next_logits(self, ids: Tensor, cache: TokenCache) -> Tensor:
        """Read ids [1, T]; return the logits [1, vocab_size] after the last."""
        return self._transformer.next_logits(ids, cache)


class PackedLinear(nn.Module):
    """A matrix in 8 or 4 bits, and products with it."""

    def __init__(self, weight: Tensor, bits: int) -> None:
        super().__init__()
        self._bits = bits
        self._rows, self._columns = weight.shape
        if bits == 8:
            self._packed = _pack_8(weight)
            self.stored_bytes = weight.numel() + 4 * self._rows
        elif bits == 4:
            self._packed, self._scales = _pack_4(weight)
            self.stored_bytes = self._packed.numel() + 2 * self._scales.numel()
        else:
            raise ValueError(f"weights are packed in 8 or 4 bits, not {bits}")

    def forward(self, states: Tensor) -> Tensor:
        """Map [..., columns] to [..., rows] in fp32."""
        flat = states.reshape(-1, self._columns)
        product = self._product_8(flat) if self._bits == 8 else self._product_4(flat)
        return product.view(*states.shape[:-1], self._rows)

    def _product_8(self, states: Tensor) -> Tensor:
        # torch has one scale for all rows, so rows are brought to one size first.
        sizes = states.abs().amax(-1, keepdim=True).clamp_(min=1e-30)
        product: Tensor = torch.ops.quantized.linear_dynamic(states / sizes, self._packed, False)
        return product.mul_(sizes)

    def _product_4(self, states: Tensor) -> Tensor:
        padded = F.pad(states, (0, -self._columns % GROUP)).to(torch.bfloat16)
        product: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(padded, self._packed, GROUP, self._scales)
        return product[:, : self._rows].float()


class QuantizedExperts(RoutedExperts):
    """All routed experts of a layer, packed."""

    def __init__(self, experts: RoutedExperts, bits: int) -> None:
        """Pack the weights of `experts`."""
        nn.Module.__init__(self)  # without the weights that the base makes
        self.experts = experts.experts
        self._gate_up = nn.ModuleList(PackedLinear(weight, bits) for weight in experts.gate_up_proj)
        self._down = nn.ModuleList(PackedLinear(weight, bits) for weight in experts.down_proj)

    def answers(self, rows: Tensor, ends: Tensor) -> Tensor:
        """See `RoutedExperts`."""
        answers = torch.zeros_like(rows)
        start = 0
        for expert, end in enumerate(ends.tolist()):
            if end > start:
                gate, up = self._gate_up[expert](rows[start:end]).chunk(2, dim=-1)
                answers[start:end] = self._down[expert](F.silu(gate) * up)
            start = end
        return answers


class _StoredEmbedding(nn.Module):
    """An embedding in bfloat16 that is read in fp32: one row is read at a time, so its size is what counts."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, ids: Tensor) -> Tensor:
        return self.weight[ids].float()


def _pack_8(weight: Tensor) -> object:
    rows = weight.detach().float()
    scales = rows.abs().amax(1).clamp_(min=1e-12).double() / 127
    zeros = torch.zeros(len(rows), dtype=torch.long)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated in favour of a package that has no such product
        quantized = torch.quantize_per_channel(rows, scales, zeros, 0, torch.qint8)
        return torch.ops.quantized.linear_prepack(quantized, None)


def _pack_4(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return torch's packed integers [rows, columns / 2] and bfloat16 scales and zeros [groups, rows, 2]."""
    padded = F.pad(weight.detach().float(), (0, 0, 0, -len(weight) % _ROW_BLOCK))
    quantized = quantize(padded, bits=4)
    packed: Tensor = torch.ops.aten._convert_weight_to_int4pack_for_cpu(quantized.values.flatten(1).int() + 8, 1)
    scales = quantized.scales.to(torch.bfloat16).t()
    return packed, torch.stack((scales, torch.zeros_like(scales)), dim=-1).contiguous()
