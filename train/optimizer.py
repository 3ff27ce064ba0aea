"""AdamW as DeepSeek-Coder uses it, or Muon on the hidden matrices with AdamW on the rest."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from train.expert_parallel import by_mesh

BETAS = (0.9, 0.95)
"""DeepSeek-Coder, section 3.4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerSettings:
    """Which optimiser, and what holds its steps down."""

    name: Literal["adamw", "muon"] = "adamw"
    weight_decay: float = 0.1
    """On matrices; norms have none."""
    clip_norm: float = 1.0
    """Largest norm of all gradients together."""


def build_optimizers(weights: Mapping[str, Tensor], settings: OptimizerSettings) -> list[torch.optim.Optimizer]:
    """Return the optimisers that together train every one of `weights` once.

    Muon (Jordan et al. 2024) makes each update of a matrix nearly orthogonal, so it needs whole matrices; its rate is
    scaled to AdamW's root mean square (Moonlight, arXiv 2502.16982), so one schedule serves both. The embedding and
    the head stay with AdamW.
    """
    hidden = {name for name, weight in weights.items() if settings.name == "muon" and _is_hidden(name, weight)}
    rest = [weight for name, weight in weights.items() if name not in hidden]
    matrices, norms = ([weight for weight in rest if (weight.dim() >= 2) is wide] for wide in (True, False))
    groups = [
        *({"params": some, "weight_decay": settings.weight_decay} for some in by_mesh(matrices)),
        *({"params": some, "weight_decay": 0.0} for some in by_mesh(norms)),
    ]
    optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=0.0, betas=BETAS, fused=True)]
    if hidden:
        matrices = [weights[name] for name in weights if name in hidden]
        muon = torch.optim.Muon(matrices, lr=0.0, weight_decay=settings.weight_decay, adjust_lr_fn="match_rms_adamw")
        optimizers.append(muon)
    return optimizers


def set_rate(optimizers: Iterable[torch.optim.Optimizer], rate: float) -> None:
    """Use `rate` from the next step on."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate


def state_tensors(optimizers: Iterable[torch.optim.Optimizer], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return every tensor the optimisers keep, named after its weight, made first where no step was taken yet."""
    names = {id(weight): name for name, weight in weights.items()}
    tensors = {}
    for optimizer in optimizers:
        if not optimizer.state:
            _make_state(optimizer)
        for weight, state in optimizer.state.items():
            for key, value in state.items():
                tensors[f"{names[id(weight)]}.{key}"] = value
    return tensors


def _make_state(optimizer: torch.optim.Optimizer) -> None:
    """Take one step of rate zero on gradients of zero: it makes the state tensors and leaves the weights as they are.

    Whoever calls this loads a checkpoint into those tensors next, so that the step does not count.
    """
    rates = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
        for weight in group["params"]:
            weight.grad = torch.zeros_like(weight)
    optimizer.step()
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
        for weight in group["params"]:
            weight.grad = None


def _is_hidden(name: str, weight: Tensor) -> bool:
    return weight.dim() == 2 and not name.endswith(("embed_tokens.weight", "lm_head.weight"))
