"""A run's state on disk: written atomically, read back to the step."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from train.errors import RunError


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Everything that decides the rest of a run; the data order is a function of the step."""

    step: int
    """Steps done."""
    weights: list[torch.Tensor]
    """fp32 master weights, in the order of the network's parameters."""
    optimizer: dict[str, Any]


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write to a temporary file, then rename: a kill leaves the old checkpoint or the new one."""
    temporary = path.with_suffix(".partial")
    state = {"step": checkpoint.step, "weights": checkpoint.weights, "optimizer": checkpoint.optimizer}
    torch.save(state, temporary)
    temporary.replace(path)


def load(path: Path) -> Checkpoint | None:
    """Read a checkpoint; None when there is none yet.

    Raises:
        RunError: the file is broken.
    """
    if not path.exists():
        return None
    try:
        raw = torch.load(path, map_location="cpu", weights_only=True)
        return Checkpoint(step=raw["step"], weights=raw["weights"], optimizer=raw["optimizer"])
    except Exception as error:
        raise RunError(f"the checkpoint {path} is broken ({error}); delete it to train from the start") from error
