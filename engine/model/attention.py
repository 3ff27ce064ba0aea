"""Causal grouped-query attention: flash-attn on a GPU when it is installed, torch's SDPA otherwise."""

import importlib.util
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend causally, aligned at the end: the last query sees every key.

    Args:
        query: [B, heads, T, head_dim].
        key: [B, kv_heads, S, head_dim] with S >= T; the S - T first positions are the past.
        value: like `key`.

    Returns:
        [B, heads, T, head_dim].
    """
    if query.is_cuda and query.dtype in (torch.float16, torch.bfloat16) and _flash_attn_installed():
        return _flash_attend(query, key, value)
    length, total = query.shape[2], key.shape[2]
    grouped = query.shape[1] != key.shape[1]
    if length == 1:
        return F.scaled_dot_product_attention(query, key, value, enable_gqa=grouped)
    if length == total:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=grouped)
    mask = torch.ones(length, total, dtype=torch.bool, device=query.device).tril(total - length)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=grouped)


@cache
def _flash_attn_installed() -> bool:
    return importlib.util.find_spec("flash_attn") is not None


def _flash_attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    from flash_attn import flash_attn_func

    output: Tensor = flash_attn_func(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), causal=True)
    return output.transpose(1, 2)
