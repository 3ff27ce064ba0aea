"""Rotary position embedding (RoFormer), scaled linearly (DeepSeek-Coder, section 3.6) or by parts (YaRN)."""

import math

import torch
from torch import Tensor

from engine.model.config import TransformerConfig, YarnConfig


def inverse_frequencies(config: TransformerConfig) -> Tensor:
    """Return the angle in radians by which one position turns each pair, fp32, shape [rotary_width / 2].

    Pair i turns by theta^(-2i / width) / factor: dividing the angle is dividing the position. YaRN divides the angles
    of slow pairs only (arXiv 2309.00071, section 3.2).
    """
    exponents = torch.arange(0, config.rotary_width, 2, dtype=torch.int64).float() / config.rotary_width
    frequencies = 1.0 / (config.rope_theta**exponents)
    if config.yarn is None:
        return frequencies / config.rope_factor
    ramp = _ramp(config.yarn, config.rope_theta, config.rotary_width)
    return frequencies * (1 - ramp + ramp / config.yarn.factor)


def softmax_scale(config: TransformerConfig) -> float:
    """Return what the product of a query and a key is multiplied by.

    Under YaRN the root of it goes to either: mscale(s, mscale_all_dim)² / √width (DeepSeek-V2, section 3.1.4).
    """
    scale: float = config.head_dim**-0.5
    if config.yarn is None:
        return scale
    mscale = _mscale(config.yarn.factor, config.yarn.mscale_all_dim)
    return scale * mscale * mscale


def cosines_and_sines(config: TransformerConfig, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Return cos and sin of every angle at `positions` [T], each fp32 of shape [T, rotary_width].

    The angles of all pairs come twice, one after the other. YaRN multiplies both by mscale(s, mscale) /
    mscale(s, mscale_all_dim), which is 1 where these are equal.
    """
    frequencies = inverse_frequencies(config).to(positions.device)
    angles = positions.float()[:, None] * frequencies[None, :]
    angles = torch.cat((angles, angles), dim=-1)
    yarn = config.yarn
    if yarn is None:
        return angles.cos(), angles.sin()
    size = _mscale(yarn.factor, yarn.mscale) / _mscale(yarn.factor, yarn.mscale_all_dim)
    return angles.cos() * size, angles.sin() * size


def rotate(states: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Turn `states` [B, heads, T, head_dim] by the angles of their positions.

    The pairs are (i, i + head_dim / 2), the half-split layout of Llama checkpoints.
    """
    first, second = states.chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    return (states * cosines + turned * sines).to(states.dtype)


def rotate_neighbours(states: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Turn `states` [B, heads, T, width] like `rotate`, in the pairs (2i, 2i + 1) of DeepSeek-V2 checkpoints."""
    pairs = states.shape[-1] // 2
    even, odd = states.reshape(*states.shape[:-1], pairs, 2).unbind(-1)
    cosines, sines = cosines[:, :pairs], sines[:, :pairs]
    turned = torch.stack((even * cosines - odd * sines, odd * cosines + even * sines), dim=-1)
    return turned.flatten(-2).to(states.dtype)


def _ramp(yarn: YarnConfig, theta: float, width: int) -> Tensor:
    """Return how far each pair is scaled, from 0 (turns often within the old length) to 1 (turns seldom)."""

    def pair_that_turns(times: float) -> float:
        length = yarn.original_max_position_embeddings
        return width * math.log(length / (2 * math.pi * times)) / (2 * math.log(theta))

    low = max(math.floor(pair_that_turns(yarn.beta_fast)), 0)
    high = min(math.ceil(pair_that_turns(yarn.beta_slow)), width - 1)
    # Where both fall on one pair the released code steps to the next by a thousandth, not to divide by zero.
    steps = torch.arange(width // 2, dtype=torch.float32) - low
    return (steps / max(high - low, 0.001)).clamp(0, 1)


def _mscale(factor: float, weight: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0
