"""The whole network on one page: a pre-norm decoder with rotary positions, attention and feed-forward blocks.

Two shapes: DeepSeek-Coder's (section 3.3), which is LlamaForCausalLM's, with grouped-query attention and SwiGLU; and
DeepSeek-V2's, with latent attention and experts. Parameter names are the checkpoint's, less the leading `model.`; the
weights of all routed experts of a layer are one parameter (`engine.model.expert_weights` tells their names).
"""

import torch
from torch import Tensor, nn

from engine.model.attention import attend
from engine.model.balance import Balance, BalanceSettings, Routing
from engine.model.config import TransformerConfig
from engine.model.experts import MixtureOfExperts
from engine.model.feed_forward import SwiGLU
from engine.model.key_value_cache import KeyValueCache
from engine.model.latent_attention import LatentAttention
from engine.model.network import TokenCache
from engine.model.norm import RMSNorm
from engine.model.rotary import cosines_and_sines, rotate


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

    def forward(
        self, states: Tensor, angles: tuple[Tensor, Tensor], cache: KeyValueCache | None, segments: Tensor | None
    ) -> Tensor:
        """Map [B, T, hidden] to [B, T, hidden]."""
        batch, length, _ = states.shape
        split = (batch, length, -1, self.config.head_dim)
        query = rotate(self.q_proj(states).view(split).transpose(1, 2), *angles)
        key = rotate(self.k_proj(states).view(split).transpose(1, 2), *angles)
        value = self.v_proj(states).view(split).transpose(1, 2)
        if cache is not None:
            key, value = cache.append(self.layer, key, value)
        mixed = attend(query, key, value, segments=segments).transpose(1, 2).reshape(batch, length, -1)
        output: Tensor = self.o_proj(mixed)
        return output


class Block(nn.Module):
    """One layer of LlamaForCausalLM: attention and feed-forward, each behind a norm, added to the residual stream."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config, layer)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = SwiGLU(config.hidden_size, config.intermediate_size)

    def forward(
        self,
        states: Tensor,
        angles: tuple[Tensor, Tensor],
        cache: KeyValueCache | None,
        balance: Balance | None,
        segments: Tensor | None,
    ) -> tuple[Tensor, Routing | None]:
        """Map [B, T, hidden] to [B, T, hidden]; there is nothing to balance."""
        del balance
        states = states + self.self_attn(self.input_layernorm(states), angles, cache, segments)
        return states + self.mlp(self.post_attention_layernorm(states)), None


class LatentBlock(nn.Module):
    """One layer of DeepseekV2ForCausalLM: the same with latent attention, and in most layers with experts."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = LatentAttention(config, layer)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp: SwiGLU | MixtureOfExperts
        if config.experts is not None and config.experts.in_layer(layer):
            self.mlp = MixtureOfExperts(config.hidden_size, config.experts)
        else:
            self.mlp = SwiGLU(config.hidden_size, config.intermediate_size)

    def forward(
        self,
        states: Tensor,
        angles: tuple[Tensor, Tensor],
        cache: KeyValueCache | None,
        balance: Balance | None,
        segments: Tensor | None,
    ) -> tuple[Tensor, Routing | None]:
        """Map [B, T, hidden] to [B, T, hidden]; with `balance`, a layer with experts also tells how it routed."""
        states = states + self.self_attn(self.input_layernorm(states), angles, cache, segments)
        normal = self.post_attention_layernorm(states)
        if isinstance(self.mlp, SwiGLU):
            return states + self.mlp(normal), None
        mixed, routing = self.mlp(normal, balance)
        return states + mixed, routing


class Transformer(nn.Module):
    """The decoder: ids in, logits of the next token out."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        block = Block if config.latent_attention is None else LatentBlock
        self.layers = nn.ModuleList(block(config, layer) for layer in range(config.num_hidden_layers))
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
        return self.config.cache_numbers_per_token * capacity * self.embed_tokens.weight.element_size()

    def hidden_states(
        self, ids: Tensor, cache: KeyValueCache | None = None, *, segments: Tensor | None = None
    ) -> Tensor:
        """Map ids [B, T] to the normalised states [B, T, hidden] that the head reads.

        With `segments` [B, T], for training without a cache, a token sees only those before it with its own number.
        """
        states, _ = self._through_layers(ids, cache, None, segments)
        return states

    def states_and_routing(
        self, ids: Tensor, settings: BalanceSettings, *, segments: Tensor | None = None
    ) -> tuple[Tensor, Routing | None]:
        """Map ids [B, T], each row one sequence, as in training: `hidden_states`, and how all layers routed them.

        Tokens are dropped where the settings say so. The routing is None for a network without experts.
        """
        states, told = self._through_layers(ids, None, Balance.of(settings, ids), segments)
        if not told:
            return states, None
        losses, counts, dropped = zip(*told, strict=True)
        return states, Routing(torch.stack(losses).sum(), torch.stack(counts), torch.stack(dropped))

    def _through_layers(
        self, ids: Tensor, cache: KeyValueCache | None, balance: Balance | None, segments: Tensor | None
    ) -> tuple[Tensor, list[Routing]]:
        start = 0 if cache is None else cache.length
        positions = torch.arange(start, start + ids.shape[1], device=ids.device)
        states: Tensor = self.embed_tokens(ids)
        cosines, sines = cosines_and_sines(self.config, positions)
        angles = (cosines.to(states.dtype), sines.to(states.dtype))
        told = []
        for block in self.layers:
            states, routing = block(states, angles, cache, balance, segments)
            if routing is not None:
                told.append(routing)
        if cache is not None:
            cache.advance(ids.shape[1])
        return self.norm(states), told

    def parameter_count(self) -> int:
        """Return the number of parameters; tied embeddings count once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def active_parameter_count(self) -> int:
        """Return the number of parameters that one token is computed with: of routed experts, only those it is sent to.

        Both embeddings count, as in the papers.
        """
        experts = self.config.experts
        if experts is None:
            return self.parameter_count()
        of_one = 3 * self.config.hidden_size * experts.moe_intermediate_size
        unused = experts.n_routed_experts - experts.num_experts_per_tok
        return self.parameter_count() - len(self.config.expert_layers) * unused * of_one

    def initialise(self, generator: torch.Generator) -> None:
        """Draw every matrix from N(0, initializer_range²); residual outputs are scaled by 1/√(2·layers) (GPT-2)."""
        residual_scale = (2 * self.config.num_hidden_layers) ** -0.5
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                nn.init.ones_(parameter)
                continue
            std = self.config.initializer_range
            if name.endswith(("o_proj.weight", "down_proj.weight", "experts.down_proj")):
                std *= residual_scale
            nn.init.normal_(parameter, std=std, generator=generator)
