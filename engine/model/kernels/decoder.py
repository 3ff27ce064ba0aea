"""The network on C++ kernels: one call into `decoder.cpp` for each reading of tokens."""

import ctypes
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.model import huge_pages
from engine.model.config import TransformerConfig
from engine.model.kernels.build import level
from engine.model.kernels.packing import BLOCK, Arena, aligned, pack, packed_bytes
from engine.model.key_value_cache import KeyValueCache
from engine.model.network import TokenCache
from engine.model.quantize import quantize
from engine.model.rotary import cosines_and_sines
from engine.model.transformer import Block, Transformer

_EMBEDDING_BITS = 8
"""Of the embedding and the head, also where the layers have 4: they decide the logits directly."""


class _Matrix(ctypes.Structure):
    _fields_ = [
        ("weights", ctypes.c_void_p), ("scales", ctypes.c_void_p), ("bias", ctypes.c_void_p),
        ("rows", ctypes.c_int32), ("columns", ctypes.c_int32), ("bits", ctypes.c_int32), ("reserved", ctypes.c_int32),
    ]  # fmt: skip


class _Layer(ctypes.Structure):
    _fields_ = [
        ("query_key_value", _Matrix), ("output", _Matrix), ("gate_up", _Matrix), ("down", _Matrix),
        ("attention_norm", ctypes.c_void_p), ("feed_forward_norm", ctypes.c_void_p),
    ]  # fmt: skip


class _Shape(ctypes.Structure):
    _fields_ = [
        ("layers", ctypes.POINTER(_Layer)), ("embedding", _Matrix), ("head", _Matrix), ("norm", ctypes.c_void_p),
        ("cosines", ctypes.c_void_p), ("sines", ctypes.c_void_p), ("layer_count", ctypes.c_int32),
        ("hidden", ctypes.c_int32), ("intermediate", ctypes.c_int32), ("heads", ctypes.c_int32),
        ("key_value_heads", ctypes.c_int32), ("head_dim", ctypes.c_int32), ("vocabulary", ctypes.c_int32),
        ("epsilon", ctypes.c_float),
    ]  # fmt: skip


class _Cache(ctypes.Structure):
    _fields_ = [("keys", ctypes.c_void_p), ("values", ctypes.c_void_p), ("capacity", ctypes.c_int64)]


class KernelCache:
    """Keys (transposed) and values of the tokens read so far, in half precision."""

    def __init__(self, config: TransformerConfig, capacity: int) -> None:
        self._capacity = -(-capacity // BLOCK) * BLOCK
        width = -(-config.head_dim // BLOCK) * BLOCK
        heads = (config.num_hidden_layers, config.num_key_value_heads)
        blocks = self._capacity // BLOCK
        self.keys = huge_pages.empty((*heads, blocks, width, BLOCK), torch.float16)
        self.values = huge_pages.empty((*heads, width // BLOCK, self._capacity, BLOCK), torch.float16)
        self._length = 0

    @classmethod
    def of(cls, config: TransformerConfig, read: KeyValueCache) -> "KernelCache":
        """Take over what another form of the same network has read."""
        made = cls(config, read.capacity)
        keys, values = read.held()
        room = (0, made.keys.shape[-2] - config.head_dim, 0, made.capacity - read.length)
        heads, width = made.keys.shape[:2], made.keys.shape[-2]
        padded = F.pad(keys[:, 0].half(), room)
        made.keys.copy_(padded.view(*heads, -1, BLOCK, width).transpose(-1, -2))
        padded = F.pad(values[:, 0].half(), room)
        made.values.copy_(padded.view(*heads, made.capacity, -1, BLOCK).transpose(2, 3))
        made._length = read.length
        return made

    @property
    def capacity(self) -> int:
        """Tokens that fit."""
        return self._capacity

    @property
    def length(self) -> int:
        """Tokens held."""
        return self._length

    @property
    def memory_bytes(self) -> int:
        """Bytes allocated."""
        return 2 * (self.keys.numel() + self.values.numel())

    def truncate(self, length: int) -> None:
        """Forget every token from position `length` on.

        Raises:
            ValueError: `length` is negative or beyond what is held.
        """
        if not 0 <= length <= self._length:
            raise ValueError(f"cannot truncate a cache of {self._length} tokens to {length}")
        self._length = length

    def advance(self, tokens: int) -> None:
        """Count `tokens` new tokens as held."""
        self._length += tokens


class KernelDecoder:
    """Runs a network's quantised copy; the original is not needed afterwards."""

    def __init__(self, library: ctypes.CDLL, transformer: Transformer, *, bits: int, threads: int) -> None:
        """Quantise the weights to `bits` (8 or 4) and start `threads` - 1 threads."""
        self.config = transformer.config
        self.device = torch.device("cpu")
        self.precision = f"int{bits}"
        self._parameters = transformer.parameter_count()
        self._library = library
        _declare(library)
        self._tensors: list[Tensor] = []
        """Whatever the kernels read by address and must therefore outlive them."""
        self._arena = Arena(_arena_bytes(transformer, bits))
        self._shape = self._describe(transformer, bits)
        self.threads = threads
        self._decoder: int | None = library.midfill_open(ctypes.byref(self._shape), threads)

    def __del__(self) -> None:
        if getattr(self, "_decoder", None):
            self._library.midfill_close(self._decoder)

    @property
    def path(self) -> str:
        """What runs it, with the instruction set."""
        return f"C++ kernels ({level(self._library)})"

    def use_threads(self, threads: int) -> None:
        """Compute with this many threads from now on."""
        self._library.midfill_close(self._decoder)
        self.threads = threads
        self._decoder = self._library.midfill_open(ctypes.byref(self._shape), threads)

    def parameter_count(self) -> int:
        """Return the number of parameters; tied embeddings count once."""
        return self._parameters

    def new_cache(self, capacity: int) -> KernelCache:
        """Return an empty cache for up to `capacity` tokens."""
        return KernelCache(self.config, capacity)

    def cache_bytes(self, capacity: int) -> int:
        """Return the bytes that `new_cache(capacity)` would allocate."""
        config = self.config
        width, tokens = (-(-number // BLOCK) * BLOCK for number in (config.head_dim, capacity))
        return 4 * config.num_hidden_layers * config.num_key_value_heads * width * tokens

    def logits(self, ids: Tensor, cache: TokenCache) -> Tensor:
        """Read ids [1, T]; return the logits [T, vocab_size] after each of them."""
        return self._read(ids, cache, wanted=ids.shape[1])

    def next_logits(self, ids: Tensor, cache: TokenCache) -> Tensor:
        """Read ids [1, T]; return the logits [1, vocab_size] after the last."""
        return self._read(ids, cache, wanted=1)

    def _read(self, ids: Tensor, cache: TokenCache, *, wanted: int) -> Tensor:
        assert isinstance(cache, KernelCache)
        ids = ids[0].contiguous()
        tokens, config = len(ids), self.config
        end = cache.length + tokens
        if end > min(cache.capacity, config.max_position_embeddings):
            raise ValueError(f"{end} tokens do not fit in a key/value cache of {cache.capacity}")
        if tokens == 0 or int(ids.min()) < 0 or int(ids.max()) >= config.vocab_size:
            raise ValueError("no ids, or one that the vocabulary has not")
        logits = torch.empty((wanted, config.vocab_size))
        room = _Cache(cache.keys.data_ptr(), cache.values.data_ptr(), cache.capacity)
        self._library.midfill_read(
            self._decoder, ids.data_ptr(), tokens, cache.length, ctypes.byref(room), wanted, logits.data_ptr()
        )
        cache.advance(tokens)
        return logits

    def _describe(self, transformer: Transformer, bits: int) -> _Shape:
        config = self.config
        layers = (_Layer * config.num_hidden_layers)(*(self._layer(block, bits) for block in _blocks(transformer)))
        embedding = self._matrix([transformer.embed_tokens.weight], _EMBEDDING_BITS)
        tied = config.tie_word_embeddings
        head = embedding if tied else self._matrix([transformer.lm_head.weight], _EMBEDDING_BITS)
        cosines, sines = cosines_and_sines(config, torch.arange(config.max_position_embeddings))
        half = config.head_dim // 2
        return _Shape(
            layers=layers, embedding=embedding, head=head, norm=self._floats(transformer.norm.weight),
            cosines=self._floats(cosines[:, :half]), sines=self._floats(sines[:, :half]),
            layer_count=config.num_hidden_layers, hidden=config.hidden_size, intermediate=config.intermediate_size,
            heads=config.num_attention_heads, key_value_heads=config.num_key_value_heads, head_dim=config.head_dim,
            vocabulary=config.vocab_size, epsilon=config.rms_norm_eps,
        )  # fmt: skip

    def _layer(self, block: Block, bits: int) -> _Layer:
        attention, mlp = block.self_attn, block.mlp
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        biases = [projection.bias for projection in projections if projection.bias is not None]
        return _Layer(
            query_key_value=self._matrix([projection.weight for projection in projections], bits, biases),
            output=self._matrix([attention.o_proj.weight], bits),
            gate_up=self._matrix([mlp.gate_proj.weight, mlp.up_proj.weight], bits),
            down=self._matrix([mlp.down_proj.weight], bits),
            attention_norm=self._floats(block.input_layernorm.weight),
            feed_forward_norm=self._floats(block.post_attention_layernorm.weight),
        )

    def _matrix(self, weights: list[Tensor], bits: int, biases: Sequence[Tensor] = ()) -> _Matrix:
        """Quantise matrices that read the same input, one above the other."""
        quantized = quantize(torch.cat([weight.detach() for weight in weights]), bits=bits)
        values, scales = pack(quantized)
        return _Matrix(
            weights=self._arena.put(values), scales=self._arena.put(scales),
            bias=self._floats(torch.cat([*biases])) if biases else None,
            rows=quantized.values.shape[0], columns=quantized.columns, bits=bits,
        )  # fmt: skip

    def _floats(self, tensor: Tensor) -> int:
        kept = tensor.detach().float().clone(memory_format=torch.contiguous_format)
        self._tensors.append(kept)
        return kept.data_ptr()


def weight_bytes(config: TransformerConfig, *, bits: int) -> int:
    """Return the bytes of the quantised matrices, which one decode step reads once."""
    shared = config.num_key_value_heads * config.head_dim
    queries = config.num_attention_heads * config.head_dim
    hidden, wide = config.hidden_size, config.intermediate_size
    shapes = [(queries + 2 * shared, hidden), (hidden, queries), (2 * wide, hidden), (hidden, wide)]
    layer = sum(_matrix_bytes(rows, columns, bits) for rows, columns in shapes)
    tables = 1 if config.tie_word_embeddings else 2
    return config.num_hidden_layers * layer + tables * _matrix_bytes(config.vocab_size, hidden, _EMBEDDING_BITS)


def _matrix_bytes(rows: int, columns: int, bits: int) -> int:
    return sum(aligned(size) for size in packed_bytes(rows, columns, bits))


def _arena_bytes(transformer: Transformer, bits: int) -> int:
    return weight_bytes(transformer.config, bits=bits)


def _blocks(transformer: Transformer) -> Iterator[Block]:
    for block in transformer.layers:
        assert isinstance(block, Block)
        yield block


def _declare(library: ctypes.CDLL) -> None:
    pointer, number = ctypes.c_void_p, ctypes.c_int32
    library.midfill_open.argtypes, library.midfill_open.restype = [pointer, number], pointer
    library.midfill_close.argtypes, library.midfill_close.restype = [pointer], None
    library.midfill_read.argtypes = [pointer, pointer, number, number, pointer, number, pointer]
    library.midfill_read.restype = None
