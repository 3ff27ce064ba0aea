"""Multi-head latent attention (DeepSeek-V2, section 2.1): the cache holds one small latent instead of keys and values.

A token's keys and values are products of its latent and `kv_b_proj`. The plain form takes these products, then attends
as usual. The absorbed form moves them to the query and to the output: heads then share one key, the latent and its
rotated part, and one value, the latent. Both give the same; which takes fewer multiplications depends on how many
queries there are.
"""

import torch
from torch import Tensor, nn

from engine.model.attention import attend
from engine.model.config import LatentAttentionConfig, TransformerConfig
from engine.model.key_value_cache import KeyValueCache
from engine.model.norm import RMSNorm
from engine.model.rotary import rotate_neighbours, softmax_scale

_LATENT_EPS = 1e-6
"""Of the norms on latents: the released code takes its default here, whatever `rms_norm_eps` says."""


class LatentAttention(nn.Module):
    """Attention over compressed keys and values; with a cache it attends to everything the cache holds."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        assert config.latent_attention is not None
        self.shape: LatentAttentionConfig = config.latent_attention
        self.layer = layer
        self.heads = config.num_attention_heads
        self.scale = softmax_scale(config)
        hidden, shape = config.hidden_size, self.shape
        queries = self.heads * config.head_dim
        if shape.q_lora_rank is None:
            self.q_proj = nn.Linear(hidden, queries, bias=False)
        else:
            self.q_a_proj = nn.Linear(hidden, shape.q_lora_rank, bias=False)
            self.q_a_layernorm = RMSNorm(shape.q_lora_rank, _LATENT_EPS)
            self.q_b_proj = nn.Linear(shape.q_lora_rank, queries, bias=False)
        self.kv_a_proj_with_mqa = nn.Linear(hidden, shape.kv_lora_rank + shape.qk_rope_head_dim, bias=False)
        self.kv_a_layernorm = RMSNorm(shape.kv_lora_rank, _LATENT_EPS)
        self.kv_b_proj = nn.Linear(
            shape.kv_lora_rank, self.heads * (shape.qk_nope_head_dim + shape.v_head_dim), bias=False
        )
        self.o_proj = nn.Linear(self.heads * shape.v_head_dim, hidden, bias=False)

    def forward(
        self, states: Tensor, angles: tuple[Tensor, Tensor], cache: KeyValueCache | None, segments: Tensor | None
    ) -> Tensor:
        """Map [B, T, hidden] to [B, T, hidden]."""
        query, rotary_query = self._queries(states, angles)
        kept = self._kept(states, angles)
        if cache is None:
            return self.plain(query, rotary_query, kept, segments)
        kept, _ = cache.append(self.layer, kept, kept[..., :0])
        if query.shape[2] <= self._most_absorbed:
            return self.absorbed(query, rotary_query, kept)
        return self.plain(query, rotary_query, kept)

    def plain(self, query: Tensor, rotary_query: Tensor, kept: Tensor, segments: Tensor | None = None) -> Tensor:
        """Attend with keys and values made of latents; shapes as for `absorbed`, segments [B, T] as for `attend`."""
        shape = self.shape
        latents, rotary_key = torch.split(kept, [shape.kv_lora_rank, shape.qk_rope_head_dim], dim=-1)
        made = self._by_head(self.kv_b_proj(latents[:, 0]))
        key, value = torch.split(made, [shape.qk_nope_head_dim, shape.v_head_dim], dim=-1)
        key = torch.cat((key, rotary_key.expand(-1, self.heads, -1, -1)), dim=-1)
        mixed = attend(torch.cat((query, rotary_query), dim=-1), key, value, scale=self.scale, segments=segments)
        output: Tensor = self.o_proj(mixed.transpose(1, 2).flatten(2))
        return output

    def absorbed(self, query: Tensor, rotary_query: Tensor, kept: Tensor) -> Tensor:
        """Attend to the latents themselves.

        Args:
            query: [B, heads, T, qk_nope_head_dim].
            rotary_query: [B, heads, T, qk_rope_head_dim], turned.
            kept: [B, 1, S, kv_lora_rank + qk_rope_head_dim], latents and turned keys; the last T are the queries' own.

        Returns:
            [B, T, hidden].
        """
        shape = self.shape
        batch, heads, length, _ = query.shape
        from_latent = self.kv_b_proj.weight.view(heads, -1, shape.kv_lora_rank)
        to_keys, to_values = torch.split(from_latent, [shape.qk_nope_head_dim, shape.v_head_dim], dim=1)
        absorbed = torch.cat((torch.matmul(query, to_keys), rotary_query), dim=-1).mul_(self.scale).flatten(1, 2)
        keys = kept[:, 0]
        total = keys.shape[1]
        scores = torch.bmm(absorbed, keys.transpose(1, 2)).view(batch, heads, length, total)
        if length > 1:  # only among the last keys, the queries' own, are there any that a query must not see
            later = torch.ones(length, length, dtype=torch.bool, device=keys.device).triu(1)
            scores[..., total - length :].masked_fill_(later, float("-inf"))
        weights = scores.float().softmax(-1).to(keys.dtype).flatten(1, 2)
        mixed = torch.bmm(weights, keys[..., : shape.kv_lora_rank])
        values = torch.matmul(mixed.view(batch, heads, length, -1), to_values.transpose(1, 2))
        output: Tensor = self.o_proj(values.transpose(1, 2).reshape(batch, length, -1))
        return output

    def _by_head(self, projected: Tensor) -> Tensor:
        """Map [B, T, heads × width] to [B, heads, T, width]."""
        return projected.view(*projected.shape[:2], self.heads, -1).transpose(1, 2)

    def _queries(self, states: Tensor, angles: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the parts [B, heads, T, width] of the queries without and with positions."""
        shape = self.shape
        if shape.q_lora_rank is None:
            queries = self.q_proj(states)
        else:
            queries = self.q_b_proj(self.q_a_layernorm(self.q_a_proj(states)))
        heads = self._by_head(queries)
        query, rotary_query = torch.split(heads, [shape.qk_nope_head_dim, shape.qk_rope_head_dim], dim=-1)
        return query, rotate_neighbours(rotary_query, *angles)

    def _kept(self, states: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
        """Return what is remembered of the tokens, [B, 1, T, kv_lora_rank + qk_rope_head_dim]."""
        shape = self.shape
        compressed = self.kv_a_proj_with_mqa(states)[:, None]
        latents, rotary_key = torch.split(compressed, [shape.kv_lora_rank, shape.qk_rope_head_dim], dim=-1)
        return torch.cat((self.kv_a_layernorm(latents), rotate_neighbours(rotary_key, *angles)), dim=-1)

    @property
    def _most_absorbed(self) -> int:
        """Queries up to which absorbing takes fewer multiplications than making every key and value anew."""
        shape = self.shape
        made = shape.qk_nope_head_dim + shape.v_head_dim
        return max(1, shape.kv_lora_rank * made // max(1, 2 * shape.kv_lora_rank - made))
