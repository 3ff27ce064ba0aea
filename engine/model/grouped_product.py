"""Many products at once: rows sorted by group, each group with a matrix of its own.

A GPU does it in one kernel. A CPU goes through the groups, each a contiguous slice: one product for an expert with any
rows, never one for a token. torch.compile sees a single operation either way.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

_ALIGNED_BYTES = 16
"""Rows must begin at multiples of this for the GPU's kernel."""


def grouped_product(states: Tensor, weights: Tensor, ends: Tensor) -> Tensor:
    """Multiply each row with the matrix of its group, as `torch.nn.functional.linear` does; differentiable.

    Args:
        states: [N, columns], sorted by group.
        weights: [groups, rows, columns].
        ends: [groups], where each group's rows end; what lies beyond the last end gets zeros.

    Returns:
        [N, rows].
    """
    kind = states.device.type
    if torch.is_autocast_enabled(kind):
        lower = torch.get_autocast_dtype(kind)
        states, weights = states.to(lower), weights.to(lower)
    product: Tensor = _product(states, weights, ends)
    return product


@torch.library.custom_op("midfill::grouped_product", mutates_args=())
def _product(states: Tensor, weights: Tensor, ends: Tensor) -> Tensor:
    if _has_kernel(states, weights):
        beyond = torch.arange(len(states), device=ends.device) >= ends[-1]
        product = F.grouped_mm(states, weights.transpose(1, 2), offs=ends.int())
        return product.masked_fill_(beyond[:, None], 0)
    product = states.new_empty((len(states), weights.shape[1]))
    for group, rows in _groups(ends):
        torch.mm(states[rows], weights[group].t(), out=product[rows])
    product[int(ends[-1]) :] = 0
    return product


@_product.register_fake
def _(states: Tensor, weights: Tensor, ends: Tensor) -> Tensor:
    del ends
    return states.new_empty((states.shape[0], weights.shape[1]))


@torch.library.custom_op("midfill::grouped_outer_product", mutates_args=())
def _outer_product(gradients: Tensor, states: Tensor, ends: Tensor) -> Tensor:
    """Return the sums [groups, rows, columns] of the outer products of each group's rows."""
    if _has_kernel(gradients, states):
        return F.grouped_mm(gradients.t(), states, offs=ends.int())
    sums = states.new_zeros((len(ends), gradients.shape[1], states.shape[1]))
    for group, rows in _groups(ends):
        torch.mm(gradients[rows].t(), states[rows], out=sums[group])
    return sums


@_outer_product.register_fake
def _(gradients: Tensor, states: Tensor, ends: Tensor) -> Tensor:
    return states.new_empty((ends.shape[0], gradients.shape[1], states.shape[1]))


def _keep_for_gradient(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    del output
    ctx.save_for_backward(*inputs)


def _gradient(ctx: Any, gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
    states, weights, ends = ctx.saved_tensors
    gradients = gradients.contiguous()
    of_states = _product(gradients, weights.transpose(1, 2), ends) if ctx.needs_input_grad[0] else None
    of_weights = _outer_product(gradients, states, ends) if ctx.needs_input_grad[1] else None
    return of_states, of_weights, None


_product.register_autograd(_gradient, setup_context=_keep_for_gradient)


def _groups(ends: Tensor) -> Iterator[tuple[int, slice]]:
    start = 0
    for group, end in enumerate(ends.tolist()):
        if end > start:
            yield group, slice(start, end)
        start = end


def _has_kernel(*operands: Tensor) -> bool:
    """Whether the device does all products in one kernel: bf16 on a GPU since Ampere, and aligned rows."""
    return all(
        operand.is_cuda
        and operand.dtype is torch.bfloat16
        and operand.shape[-1] * operand.element_size() % _ALIGNED_BYTES == 0
        and operand.shape[-2] * operand.element_size() % _ALIGNED_BYTES == 0
        and torch.cuda.get_device_capability(operand.device) >= (8, 0)
        for operand in operands
    )
