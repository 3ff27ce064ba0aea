"""Causal grouped-query attention: flash-attn on a GPU when it is installed, torch's SDPA otherwise."""

import importlib.util
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F


def attend(
    query: Tensor, key: Tensor, value: Tensor, *, scale: float | None = None, segments: Tensor | None = None
) -> Tensor:
    """Attend causally, aligned at the end: the last query sees every key.

    Args:
        query: [B, heads, T, head_dim].
        key: [B, kv_heads, S, head_dim] with S >= T; the S - T first positions are the past.
        value: [B, kv_heads, S, value_dim].
        scale: what products are multiplied by; None is 1 / √head_dim.
        segments: [B, T], for T = S: a query sees only the keys whose number is its own. None: all before it.

    Returns:
        [B, heads, T, value_dim].
    """
    if segments is not None:
        return _attend_within(query, key, value, scale, segments)
    one_width = query.shape[-1] == value.shape[-1]  # flash-attn knows no other
    if one_width and query.is_cuda and query.dtype in (torch.float16, torch.bfloat16) and _flash_attn_installed():
        return _flash_attend(query, key, value, scale)
    length, total = query.shape[2], key.shape[2]
    grouped = query.shape[1] != key.shape[1]
    if length == 1:
        return F.scaled_dot_product_attention(query, key, value, scale=scale, enable_gqa=grouped)
    if length == total:
        if torch.compiler.is_compiling() and query.device.type == "cpu":
            return attend_in_blocks(query, key, value, scale=scale)
        return F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, enable_gqa=grouped)
    mask = torch.ones(length, total, dtype=torch.bool, device=query.device).tril(total - length)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale, enable_gqa=grouped)


def attend_in_blocks(
    query: Tensor, key: Tensor, value: Tensor, *, scale: float | None = None, segments: Tensor | None = None
) -> Tensor:
    """Attend causally as `attend` does where T = S, in plain products of blocks of queries with the keys before them.

    Compiled for a CPU, forward and backward together take less than half the time of torch's own kernel at the head
    sizes of small networks; the compiler fuses everything between the products. Scores are rounded to the dtype.
    """
    batch, heads, length, width = query.shape
    shared = key.shape[1]
    block = max(_SMALLEST_BLOCK, -(-length // _MOST_BLOCKS))
    scaled = (query * (width**-0.5 if scale is None else scale)).view(batch, shared, heads // shared, length, width)
    outputs = []
    for start in range(0, length, block):
        end = min(start + block, length)
        # All query heads of one key head are rows of one matrix.
        queries = scaled[:, :, :, start:end].reshape(batch * shared, -1, width)
        keys, values = (past[:, :, :end].reshape(batch * shared, end, -1) for past in (key, value))
        scores = torch.bmm(queries, keys.transpose(1, 2)).view(batch, heads, end - start, end)
        places = torch.arange(end, device=query.device)
        hidden = places > places[start:, None]
        if segments is not None:
            hidden = hidden | (segments[:, None, start:end, None] != segments[:, None, None, :end])
        weights = scores.float().masked_fill(hidden, float("-inf")).softmax(-1).to(query.dtype)
        mixed = torch.bmm(weights.view(batch * shared, -1, end), values)
        outputs.append(mixed.view(batch, heads, end - start, -1))
    return torch.cat(outputs, dim=2)


_SMALLEST_BLOCK = 128
_MOST_BLOCKS = 8
"""Every block is compiled apart."""


def _attend_within(query: Tensor, key: Tensor, value: Tensor, scale: float | None, segments: Tensor) -> Tensor:
    if torch.compiler.is_compiling() and query.device.type == "cpu":
        return attend_in_blocks(query, key, value, scale=scale, segments=segments)
    length = query.shape[2]
    past = torch.ones(length, length, dtype=torch.bool, device=query.device).tril()
    mask = past & (segments[:, None, :, None] == segments[:, None, None, :])
    grouped = query.shape[1] != key.shape[1]
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale, enable_gqa=grouped)


@cache
def _flash_attn_installed() -> bool:
    return importlib.util.find_spec("flash_attn") is not None


def _flash_attend(query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
    from flash_attn import flash_attn_func

    by_token = (states.transpose(1, 2) for states in (query, key, value))
    output: Tensor = flash_attn_func(*by_token, softmax_scale=scale, causal=True)
    return output.transpose(1, 2)
