"""Rotary position embedding with linear scaling (RoFormer; DeepSeek-Coder, section 3.6)."""

import torch
from torch import Tensor

from engine.model.config import TransformerConfig


def inverse_frequencies(config: TransformerConfig) -> Tensor:
    """Return the angle in radians by which one position turns each pair, fp32, shape [head_dim / 2].

    Pair i turns by theta^(-2i / head_dim) / factor: dividing the angle is dividing the position.
    """
    exponents = torch.arange(0, config.head_dim, 2, dtype=torch.int64).float() / config.head_dim
    return 1.0 / (config.rope_theta**exponents) / config.rope_factor


def cosines_and_sines(config: TransformerConfig, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Return cos and sin of every angle at `positions` [T], each fp32 of shape [T, head_dim]."""
    frequencies = inverse_frequencies(config).to(positions.device)
    angles = positions.float()[:, None] * frequencies[None, :]
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(states: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Turn `states` [B, heads, T, head_dim] by the angles of their positions.

    The pairs are (i, i + head_dim / 2), the half-split layout of Llama checkpoints.
    """
    first, second = states.chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    return (states * cosines + turned * sines).to(states.dtype)
