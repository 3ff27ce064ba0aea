"""The whole network on one page: a pre-norm decoder with rotary positions, grouped-query attention and SwiGLU.

The shape is DeepSeek-Coder's (section 3.3), which is LlamaForCausalLM's; parameter names are the checkpoint's,
less the leading `model.`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.model.attention import attend
from engine.model.config import TransformerConfig
from engine.model.key_value_cache import KeyValueCache
from engine.model.network import TokenCache
from engine.model.rotary import cosines_and_sines, rotate


class RMSNorm(nn.Module):
    """Root-mean-square normalisation, computed in fp32 (Zhang and Sennrich 2019)."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, states: Tensor) -> Tensor:
        """Normalise the last dimension of `states`."""
        scaled = states.float()
        scaled = scaled * torch.rsqrt(scaled.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * scaled.to(states.dtype)


class Attention(nn.Module):
    """Grouped-query self-attention; with a cache it attends to everything the cache holds."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.config = config
        self.layer = layer
        queries = config.num_attention_heads * config.head_dim
        shared = config.num_key_value_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, queries, bias=config.query_key_value_bias)
        self.k_proj = nn.Linear(config.hidden_size, shared, bias=config.query_key_value_bias)
        self.v_proj = nn.Linear(config.hidden_size, shared, bias=config.query_key_value_bias)
        self.o_proj = nn.Linear(queries, config.hidden_size, bias=False)

    def forward(self, states: Tensor, angles: tuple[Tensor, Tensor], cache: KeyValueCache | None) -> Tensor:
        """Map [B, T, hidden] to [B, T, hidden]."""
        batch, length, _ = states.shape
        split = (batch, length, -1, self.config.head_dim)
        query = rotate(self.q_proj(states).view(split).transpose(1, 2), *angles)
        key = rotate(self.k_proj(states).view(split).transpose(1, 2), *angles)
        value = self.v_proj(states).view(split).transpose(1, 2)
        if cache is not None:
            key, value = cache.append(self.layer, key, value)
        mixed = attend(query, key, value).transpose(1, 2).reshape(batch, length, -1)
        output: Tensor = self.o_proj(mixed)
        return output


class SwiGLU(nn.Module):
    """Gated feed-forward block (Shazeer 2020)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, states: Tensor) -> Tensor:
        """Map [B, T, hidden] to [B, T, hidden]."""
        output: Tensor = self.down_proj(F.silu(self.gate_proj(states)) * self.up_proj(states))
        return output


class Block(nn.Module):
    """One layer: attention and feed-forward, each behind a norm and added to the residual stream."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config, layer)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = SwiGLU(config)

    def forward(self, states: Tensor, angles: tuple[Tensor, Tensor], cache: KeyValueCache | None) -> Tensor:
        """Map [B, T, hidden] to [B, T, hidden]."""
        states = states + self.self_attn(self.input_layernorm(states), angles, cache)
        output: Tensor = states + self.mlp(self.post_attention_layernorm(states))
        return output


class Transformer(nn.Module):
    """The decoder: ids in, logits of the next token out."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.embed_tokens.weight

    def forward(self, ids: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """Map ids [B, T] to logits [B, T, vocab_size] at every position.

        With a cache, `ids` follow the tokens it holds, and it holds `ids` too afterwards.
        """
        logits: Tensor = self.lm_head(self.hidden_states(ids, cache))
        return logits

    def logits(self, ids: Tensor, cache: TokenCache) -> Tensor:
        """Map ids [1, T] to the logits [T, vocab_size] after each of them."""
        assert isinstance(cache, KeyValueCache)
        logits: Tensor = self(ids, cache)[0]
        return logits

    def next_logits(self, ids: Tensor, cache: TokenCache | None = None) -> Tensor:
        """Map ids [B, T] to the logits [B, vocab_size] after the last one (the head runs on one position only)."""
        assert cache is None or isinstance(cache, KeyValueCache)
        logits: Tensor = self.lm_head(self.hidden_states(ids, cache)[:, -1])
        return logits

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.embed_tokens.weight.device

    @property
    def precision(self) -> str:
        """The name of the weights' type."""
        return str(self.embed_tokens.weight.dtype).removeprefix("torch.")

    @property
    def path(self) -> str:
        """What runs it."""
        return "torch"

    @property
    def threads(self) -> int:
        """Threads that compute on the CPU."""
        return torch.get_num_threads()

    def new_cache(self, capacity: int) -> KeyValueCache:
        """Return an empty cache for one sequence of up to `capacity` tokens."""
        weight = self.embed_tokens.weight
        return KeyValueCache(self.config, capacity=capacity, dtype=weight.dtype, device=weight.device)

    def cache_bytes(self, capacity: int) -> int:
        """Return the bytes that `new_cache(capacity)` would allocate."""
        config = self.config
        numbers = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * capacity
        return numbers * self.embed_tokens.weight.element_size()

    def hidden_states(self, ids: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """Map ids [B, T] to the normalised states [B, T, hidden] that the head reads."""
        start = 0 if cache is None else cache.length
        positions = torch.arange(start, start + ids.shape[1], device=ids.device)
        states: Tensor = self.embed_tokens(ids)
        cosines, sines = cosines_and_sines(self.config, positions)
        angles = (cosines.to(states.dtype), sines.to(states.dtype))
        for block in self.layers:
            states = block(states, angles, cache)
        if cache is not None:
            cache.advance(ids.shape[1])
        output: Tensor = self.norm(states)
        return output

    def parameter_count(self) -> int:
        """Return the number of parameters; tied embeddings count once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def initialise(self, generator: torch.Generator) -> None:
        """Draw every matrix from N(0, initializer_range²); residual outputs are scaled by 1/√(2·layers) (GPT-2)."""
        residual_scale = (2 * self.config.num_hidden_layers) ** -0.5
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                nn.init.ones_(parameter)
                continue
            std = self.config.initializer_range
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                std *= residual_scale
            nn.init.normal_(parameter, std=std, generator=generator)
