"""Which experts the tokens of a step were sent to: the settings go in, what `metrics.jsonl` says comes out."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from engine.model.balance import BalanceSettings, Routing

_EDGES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
"""Bounds of the histogram's bins: an expert's tokens over the mean of its layer."""


class Dispatch:
    """Adds up what routing did in the micro-batches of a step."""

    def __init__(self, settings: BalanceSettings) -> None:
        self.settings = settings
        self._counts: Tensor | None = None
        """[layers, E + 1]: tokens sent to each expert, and the dropped ones."""
        self._loss: Tensor | None = None
        """[2]: the sum over micro-batches, and how many there were. A list's length would be compiled in."""

    def note(self, routing: Routing) -> None:
        """Add one micro-batch."""
        counts = torch.cat([routing.counts, routing.dropped[:, None]], dim=1)
        self._counts = counts if self._counts is None else self._counts + counts
        loss = torch.stack([routing.loss.detach(), torch.ones_like(routing.loss.detach())])
        self._loss = loss if self._loss is None else self._loss + loss

    def figures(self, add: Callable[[Tensor], Tensor]) -> dict[str, Any]:
        """Return what happened since the last call; nothing where no layer has experts.

        Args:
            add: sums a tensor over all processes.

        Returns:
            `expert_load_max` and `_min`: the busiest and the idlest expert of any layer, over the mean of its layer;
            `expert_load_histogram`: how many experts lie between 0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2 and above;
            `dropped`: share of what was sent; `balance_loss`: of this process, mean over its micro-batches.
        """
        if self._counts is None or self._loss is None:
            return {}
        told = load_figures(add(self._counts)) | {"balance_loss": float(self._loss[0] / self._loss[1])}
        self._counts, self._loss = None, None
        return told


def load_figures(counts: Tensor) -> dict[str, Any]:
    """Return the figures of counts [layers, E + 1], the last of each layer being the dropped tokens.

    >>> load_figures(torch.tensor([[4, 4, 0], [6, 2, 1]]))["expert_load_histogram"]
    [0, 0, 1, 0, 2, 0, 1, 0]
    """
    sent = counts[:, :-1].double()
    load = (sent / sent.mean(1, keepdim=True)).flatten().cpu()
    bins = torch.bucketize(load, torch.tensor(_EDGES, dtype=load.dtype), right=True)
    return {
        "expert_load_max": float(load.max()),
        "expert_load_min": float(load.min()),
        "expert_load_histogram": torch.bincount(bins, minlength=len(_EDGES) + 1).tolist(),
        "dropped": float(counts[:, -1].sum() / sent.sum()),
    }
