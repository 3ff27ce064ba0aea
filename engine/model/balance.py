"""What keeps experts equally busy in training: balance losses and dropped tokens (DeepSeek-V2, section 2.2.3).

A device is a group of experts with neighbouring numbers, `n_group` in all. Experts, devices and what is sent to them
are counted for each sequence, a row of the batch, alone.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from engine.model.config import ExpertsConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceSettings:
    """How strongly training pulls towards equal work; nothing of it is left when a model is served."""

    expert_alpha: float = 0.0
    """Weight of the expert-level loss (0.003 for the 236B model, 0.001 for Lite)."""
    device_alpha: float = 0.0
    """Weight of the device-level loss (0.05)."""
    communication_alpha: float = 0.0
    """Weight of the loss on what is sent to each device (0.02)."""
    capacity_factor: float | None = None
    """A device takes this many times its equal share of a batch's work and drops the rest (1.0); None: all of it."""
    never_dropped: float = 0.1
    """Share of the sequences that lose nothing, so that serving, which drops nothing, is no surprise to the network."""


class Routing(NamedTuple):
    """What routing did with one batch, in one layer or (with a leading dimension for them) in all that have experts."""

    loss: Tensor
    """Weighted sum of the balance losses, mean over sequences and sum over layers: [] in fp32, differentiable."""
    counts: Tensor
    """Tokens sent to each expert, [E] or [layers, E], before any was dropped."""
    dropped: Tensor
    """Of these, how many were dropped: [] or [layers]."""


class Balance(NamedTuple):
    """The settings, and which sequences of this batch lose nothing."""

    settings: BalanceSettings
    never_dropped: Tensor | None
    """[B], or None where no token is dropped."""

    @classmethod
    def of(cls, settings: BalanceSettings, ids: Tensor) -> "Balance":
        """Choose the sequences by their content, so that resuming a run chooses the same."""
        if settings.capacity_factor is None:
            return cls(settings, None)
        places = torch.arange(1, ids.shape[1] + 1, device=ids.device)
        drawn = (ids * places).sum(1) * _SCATTERING % _DRAWS
        return cls(settings, drawn < settings.never_dropped * _DRAWS)


_SCATTERING = 2_654_435_761
"""Knuth's multiplier: neighbouring sums get unlike remainders."""
_DRAWS = 1 << 20


def balance_loss(scores: Tensor, chosen: Tensor, shape: ExpertsConfig, settings: BalanceSettings) -> Tensor:
    """Return the weighted sum of the three losses (equations 23 to 31), mean over the sequences.

    Args:
        scores: affinities [B, T, E] after the softmax, of all experts; the gradient flows through them alone.
        chosen: experts [B, T, K] that each token is sent to.
        shape: the experts and their groups.
        settings: the weights.
    """
    batch, length, experts = scores.shape
    devices = shape.n_group
    counts = tokens_by_expert(chosen, experts)
    frequency = counts * (experts / (shape.num_experts_per_tok * length))
    probability = scores.mean(1)
    of_device = probability.view(batch, devices, -1).sum(-1)
    work = frequency.view(batch, devices, -1).mean(-1)
    received = _tokens_by_device(chosen, shape) * (devices / (shape.topk_group * length))
    losses = (
        settings.expert_alpha * (frequency * probability).sum(-1)
        + settings.device_alpha * (work * of_device).sum(-1)
        + settings.communication_alpha * (received * of_device).sum(-1)
    )
    return losses.mean()


def within_capacity(affinities: Tensor, chosen: Tensor, shape: ExpertsConfig, balance: Balance) -> Tensor:
    """Say which choices are kept where devices drop those of the lowest affinity beyond their capacity.

    Args:
        affinities: [B, T, K] of the chosen experts.
        chosen: [B, T, K].
        shape: the experts and their groups.
        balance: with a capacity.

    Returns:
        bool [B, T, K].
    """
    factor, spared = balance.settings.capacity_factor, balance.never_dropped
    assert factor is not None
    assert spared is not None
    spared = spared[:, None, None].expand_as(chosen).flatten()
    device = (chosen // (shape.n_routed_experts // shape.n_group)).flatten()
    budget = int(factor * device.numel() / shape.n_group)
    # Those that are spared come first and take their part of the budget.
    falling = (affinities.detach().flatten() + 2 * spared).argsort(descending=True, stable=True)
    order = falling[device[falling].argsort(stable=True)]
    sorted_device = device[order]
    first = torch.searchsorted(sorted_device, torch.arange(shape.n_group, device=device.device))
    rank = torch.arange(len(order), device=device.device) - first[sorted_device]
    kept = torch.empty_like(spared).scatter(0, order, rank < budget)
    return (kept | spared).view_as(chosen)


def tokens_by_expert(chosen: Tensor, experts: int) -> Tensor:
    """Count the tokens [B, E] that each sequence's choices [B, T, K] send to each expert."""
    flat = chosen.flatten(1)
    return torch.zeros(len(flat), experts, device=flat.device).scatter_add(1, flat, torch.ones_like(flat).float())


def _tokens_by_device(chosen: Tensor, shape: ExpertsConfig) -> Tensor:
    """Count the tokens [B, D] of each sequence of which any expert of a device has a part."""
    device = chosen // (shape.n_routed_experts // shape.n_group)
    sent = torch.zeros(*chosen.shape[:2], shape.n_group, device=chosen.device).scatter(2, device, 1.0)
    return sent.sum(1)
