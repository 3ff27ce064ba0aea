"""Group relative policy optimisation: DeepSeek-V2, equations 32 to 34, and DeepSeekMath (arXiv 2402.03300), section 4.

For a question, G answers are drawn and rewarded. With A the advantages of the answers in their group,

    J = mean over answers of   min(ρ A, clip(ρ, 1 − ε, 1 + ε) A) − β D          ρ = π / π_old,   D = k3(π, π_ref)

where π is the probability of the whole answer (`sequence`, as DeepSeek-V2 prints it) or that of each token, and the
mean is taken over an answer's tokens first (`token`, as DeepSeekMath prints it).
"""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from engine.model.transformer import Transformer
from train.objective import IGNORED, Objective, summed_loss

Variant = Literal["token", "sequence"]

_PIECE = 2048
"""Tokens scored at a time, and again for the gradient; see `train.objective`."""


def advantages(rewards: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return (r − mean) / std over each row of rewards [questions, G]; 0 where all of a row are alike.

    >>> advantages(np.array([[1.0, 0.0, 0.0, 1.0], [0.5, 0.5, 0.5, 0.5]])).tolist()
    [[1.0, -1.0, -1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]
    """
    centred = rewards - rewards.mean(axis=1, keepdims=True)
    spread = rewards.std(axis=1, keepdims=True)
    # Equal rewards leave rounding errors, which must not be blown up to advantages.
    told_apart = spread > 1e-6 * np.maximum(1.0, np.abs(rewards).max(axis=1, keepdims=True))
    return np.where(told_apart, centred / np.where(told_apart, spread, 1.0), 0.0).astype(np.float32)


def k3(log_policy: Tensor, log_reference: Tensor) -> Tensor:
    """Estimate the divergence of the policy from the reference: π_ref/π − log(π_ref/π) − 1, never below 0."""
    difference = log_reference - log_policy
    return torch.expm1(difference) - difference


def clipped_gain(log_ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """Return min(ρ A, clip(ρ, 1 − ε, 1 + ε) A) for log ρ."""
    ratio = log_ratio.exp()
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def log_probabilities(states: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """Return log π of targets [N] after states [N, hidden], in fp32 and in pieces; 0 where a target is ignored."""
    pieces = zip(torch.split(states, _PIECE), torch.split(targets, _PIECE), strict=True)
    return torch.cat([checkpoint(_piece, piece, head, wanted, use_reentrant=False) for piece, wanted in pieces])


class GrpoObjective(Objective):
    """The negative of J, for the loop that every stage runs.

    Columns, each [B, T]: the advantage, log π_old, log π_ref, and weights that add up, over the targets of an answer,
    to the targets in the step over the answers in the step: so dividing by the targets gives the mean over answers.
    """

    def __init__(self, network: Transformer, *, variant: Variant, clip: float, kl: float) -> None:
        super().__init__(network, summed_loss)
        self._variant, self._clip, self._kl = variant, clip, kl

    def forward(self, ids: Tensor, targets: Tensor, *columns: Tensor) -> Tensor:
        """See `Objective`."""
        advantage, old, reference, weights = columns
        states = self.network.hidden_states(ids)
        policy = log_probabilities(states.flatten(0, 1), self.network.lm_head.weight, targets.flatten())
        policy = policy.view(targets.shape)
        if self._variant == "sequence":
            policy, old, reference = policy.sum(1), old.sum(1), reference.sum(1)
            advantage, weights = advantage[:, 0], weights.sum(1)
        gain = clipped_gain(policy - old, advantage, self._clip)
        return -(weights * (gain - self._kl * k3(policy, reference))).sum()


def _piece(states: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    return -F.cross_entropy(F.linear(states, head).float(), targets, reduction="none", ignore_index=IGNORED)
