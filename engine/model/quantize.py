"""Weights in 8 or 4 bits: groups of 64 along a row, each with a half-precision scale.

The 4-bit form is llama.cpp's q4_0 with larger groups and the scale of least squared error among a few.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

GROUP = 64
"""Weights that share a scale."""

_SHRINKS_4_BITS = (1.0, 0.95, 0.9, 0.85, 0.8)
"""Scales that are tried for a group, relative to the one that represents its largest weight exactly."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupQuantized:
    """A matrix as small integers and scales; columns are padded with zeros to whole groups."""

    bits: int
    values: Tensor
    """int8 [rows, groups, GROUP]: -127 to 127 for 8 bits, -8 to 7 for 4."""
    scales: Tensor
    """float16 [rows, groups]."""
    columns: int

    def dequantize(self) -> Tensor:
        """Return the matrix that products are really taken with, fp32 [rows, columns]."""
        values = self.values.float() * self.scales.float()[..., None]
        return values.flatten(1)[:, : self.columns]


def quantize(weight: Tensor, *, bits: int) -> GroupQuantized:
    """Round a matrix [rows, columns] to 8 or 4 bits.

    Raises:
        ValueError: another number of bits.
    """
    rows, columns = weight.shape
    padded = F.pad(weight.detach().float(), (0, -columns % GROUP))
    groups = padded.view(rows, -1, GROUP)
    if bits == 8:
        scales = groups.abs().amax(-1) / 127
        values, scales = _round(groups, scales, -127, 127)
    elif bits == 4:
        values, scales = _best_of(groups)
    else:
        raise ValueError(f"weights are quantised to 8 or 4 bits, not {bits}")
    return GroupQuantized(bits=bits, values=values, scales=scales, columns=columns)


def _best_of(groups: Tensor) -> tuple[Tensor, Tensor]:
    """Let the weight of largest size become -8, or fall a little outside, whichever leaves the least squared error."""
    largest = groups.gather(-1, groups.abs().argmax(-1, keepdim=True))[..., 0]
    best_values, best_scales, best_error = None, None, None
    for shrink in _SHRINKS_4_BITS:
        values, scales = _round(groups, largest / -8 * shrink, -8, 7)
        error = (values.float() * scales.float()[..., None] - groups).square().sum(-1)
        if best_values is None or best_scales is None or best_error is None:
            best_values, best_scales, best_error = values, scales, error
            continue
        better = error < best_error
        best_values = torch.where(better[..., None], values, best_values)
        best_scales = torch.where(better, scales, best_scales)
        best_error = torch.minimum(error, best_error)
    assert best_values is not None
    assert best_scales is not None
    return best_values, best_scales


def _round(groups: Tensor, scales: Tensor, lowest: int, highest: int) -> tuple[Tensor, Tensor]:
    stored = scales.half()
    exact = stored.float()
    inverse = torch.where(exact == 0, 0.0, 1 / exact)
    values = (groups * inverse[..., None]).round().clamp(lowest, highest).to(torch.int8)
    return values, stored
