"""What training makes small: the network with its loss, as one module."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from engine.model.transformer import Transformer
from train.dispatch import Dispatch

IGNORED = -100
"""A target that no loss is taken on."""


class Objective(nn.Module):
    """The network and its loss as one module, so that whatever wraps a module sees every weight in one forward."""

    def __init__(
        self,
        network: Transformer,
        loss_of: Callable[[Tensor, Tensor, Tensor], Tensor],
        dispatch: Dispatch | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self._loss_of, self._dispatch = loss_of, dispatch

    def forward(self, ids: Tensor, targets: Tensor, *columns: Tensor) -> Tensor:
        """Return the loss summed over all targets [B, T] that are not ignored, in nats, as an fp32 scalar.

        The one column there may be, [B, T], numbers segments: a token sees only those before it with its own number.
        """
        (segments,) = columns or (None,)
        if self._dispatch is None or not torch.is_grad_enabled():
            states = self.network.hidden_states(ids, segments=segments)
            return self._loss_of(states.flatten(0, 1), self.network.lm_head.weight, targets.flatten())
        states, routing = self.network.states_and_routing(ids, self._dispatch.settings, segments=segments)
        loss = self._loss_of(states.flatten(0, 1), self.network.lm_head.weight, targets.flatten())
        if routing is None:
            return loss
        self._dispatch.note(routing)
        # The step divides by its targets, and the balance losses are means already.
        return loss + routing.loss * (targets != IGNORED).sum()


def summed_loss(states: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """Score states [N, hidden] with `head` [vocab_size, hidden]; torch.compile fuses all but the product."""
    return F.cross_entropy(F.linear(states, head).float(), targets, reduction="sum", ignore_index=IGNORED)


def summed_loss_in_pieces(states: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """Equal `summed_loss` without ever holding all logits: pieces are scored, and scored again for the gradient."""
    total = states.new_zeros((), dtype=torch.float32)
    for piece, wanted in zip(torch.split(states, _PIECE), torch.split(targets, _PIECE), strict=True):
        total = total + checkpoint(summed_loss, piece, head, wanted, use_reentrant=False)
    return total


_PIECE = 2048
"""Tokens scored at a time: 2,048 × 32,256 logits take 264 MB in fp32."""
