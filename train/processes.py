"""The processes that train together.

`accelerate launch` or `torchrun` starts them, on one machine or many; accelerate's `PartialState` joins them.
"""

import os
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

import torch
import torch.distributed as dist
from torch import Tensor

_PATIENCE = timedelta(hours=24)
"""How long processes wait for the main one to prepare data, and for each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """This process among all that train together."""

    rank: int
    count: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this one writes the files that all share."""
        return self.rank == 0

    def wait(self) -> None:
        """Return once every process has come here."""
        if self.count > 1:
            dist.barrier()

    def add(self, values: Tensor) -> Tensor:
        """Return the elementwise sum of `values` over all processes."""
        if self.count > 1:
            dist.all_reduce(values)
        return values


@cache
def processes() -> Processes:
    """Join the processes that `accelerate launch` or `torchrun` started, once; alone without them."""
    cpu = not torch.cuda.is_available()
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Processes(rank=0, count=1, device=torch.device("cpu" if cpu else "cuda"))
    from accelerate import PartialState

    state = PartialState(cpu=cpu, timeout=_PATIENCE)
    return Processes(rank=state.process_index, count=state.num_processes, device=state.device)
