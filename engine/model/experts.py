"""Mixture of experts in place of the feed-forward block (DeepSeekMoE; DeepSeek-V2, section 2.2)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.model.balance import Balance, Routing, balance_loss, tokens_by_expert, within_capacity
from engine.model.config import ExpertsConfig
from engine.model.feed_forward import SwiGLU
from engine.model.grouped_product import grouped_product


class Router(nn.Module):
    """Scores every expert for every token."""

    def __init__(self, hidden_size: int, experts: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(experts, hidden_size))

    def forward(self, states: Tensor) -> Tensor:
        """Map [..., hidden] to affinities [..., E] that add up to 1, in fp32 whatever the precision of the rest."""
        with torch.autocast(states.device.type, enabled=False):
            return F.linear(states.float(), self.weight.float()).softmax(-1)


def choose(scores: Tensor, shape: ExpertsConfig) -> tuple[Tensor, Tensor]:
    """Choose the experts of each token: those of highest affinity, in the groups with the highest affinities.

    Args:
        scores: affinities [..., E].
        shape: the experts and their groups.

    Returns:
        Affinities and numbers of the chosen experts, [..., K] each. The affinities do not add up to 1.
    """
    if shape.topk_group < shape.n_group:
        groups = scores.view(*scores.shape[:-1], shape.n_group, -1)
        best = groups.detach().amax(-1).topk(shape.topk_group, dim=-1, sorted=False).indices
        closed = torch.ones(groups.shape[:-1], dtype=torch.bool, device=scores.device).scatter(-1, best, value=False)
        scores = groups.masked_fill(closed[..., None], 0.0).flatten(-2)
    affinities, chosen = scores.topk(shape.num_experts_per_tok, dim=-1, sorted=False)
    return affinities, chosen


class RoutedExperts(nn.Module):
    """The weights of all routed experts, and their products with the tokens sent to them."""

    def __init__(self, hidden_size: int, shape: ExpertsConfig) -> None:
        super().__init__()
        self.experts = shape.n_routed_experts
        width = shape.moe_intermediate_size
        self.gate_up_proj = nn.Parameter(torch.empty(self.experts, 2 * width, hidden_size))
        """The rows of each expert's gate above those of its up projection."""
        self.down_proj = nn.Parameter(torch.empty(self.experts, hidden_size, width))

    def forward(self, states: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        """Add up what each token's experts make of it.

        Args:
            states: [N, hidden].
            chosen: experts [N, K]; a number beyond the last expert is nobody, whose answer is zero.
            weights: of the chosen experts' answers, [N, K].

        Returns:
            [N, hidden].
        """
        tokens, per_token = chosen.shape
        sorted_experts, order = chosen.flatten().sort(stable=True)
        ends = torch.searchsorted(sorted_experts, torch.arange(self.experts, device=chosen.device), right=True)
        answers = self.answers(states.index_select(0, order // per_token), ends)
        place = torch.empty_like(order).scatter(0, order, torch.arange(len(order), device=order.device))
        by_token = answers.index_select(0, place).view(tokens, per_token, -1)
        return (by_token * weights[..., None].to(by_token.dtype)).sum(1)

    def answers(self, rows: Tensor, ends: Tensor) -> Tensor:
        """Map rows [M, hidden], sorted by expert, to what their experts make of them; zeros beyond the last end."""
        return answers_by_expert(rows, self.gate_up_proj, self.down_proj, ends)


def answers_by_expert(rows: Tensor, gate_up: Tensor, down: Tensor, ends: Tensor) -> Tensor:
    """Map rows [M, hidden], sorted by expert, through the weights of `RoutedExperts`, or of a part of them."""
    gate, up = grouped_product(rows, gate_up, ends).chunk(2, dim=-1)
    return grouped_product(F.silu(gate) * up, down, ends)


class MixtureOfExperts(nn.Module):
    """Routed experts for each token, and shared ones for all."""

    def __init__(self, hidden_size: int, shape: ExpertsConfig) -> None:
        super().__init__()
        self.shape = shape
        self.gate = Router(hidden_size, shape.n_routed_experts)
        self.experts = RoutedExperts(hidden_size, shape)
        self.shared_experts = (
            SwiGLU(hidden_size, shape.moe_intermediate_size * shape.n_shared_experts)
            if shape.n_shared_experts
            else None
        )

    def forward(self, states: Tensor, balance: Balance | None = None) -> tuple[Tensor, Routing | None]:
        """Map [B, T, hidden] to [B, T, hidden].

        With `balance` tokens are dropped as it says, and what routing did is told; without it, as in serving, no token
        is dropped.
        """
        scores = self.gate(states)
        affinities, chosen = choose(scores, self.shape)
        routing = None
        if balance is not None:
            routing, chosen = self._balanced(scores, affinities, chosen, balance)
        weights = affinities * self.shape.routed_scaling_factor
        mixed = self.experts(states.flatten(0, 1), chosen.flatten(0, 1), weights.flatten(0, 1))
        output: Tensor = mixed.view(states.shape).to(states.dtype)
        return output if self.shared_experts is None else output + self.shared_experts(states), routing

    def _balanced(self, scores: Tensor, affinities: Tensor, chosen: Tensor, balance: Balance) -> tuple[Routing, Tensor]:
        experts = self.shape.n_routed_experts
        counts = tokens_by_expert(chosen, experts).sum(0).long()
        loss = balance_loss(scores, chosen, self.shape, balance.settings)
        if balance.never_dropped is None:
            return Routing(loss, counts, torch.zeros_like(counts[0])), chosen
        kept = within_capacity(affinities, chosen, self.shape, balance)
        return Routing(loss, counts, (~kept).sum()), chosen.masked_fill(~kept, experts)
