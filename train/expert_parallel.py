"""Routed experts that are shared out: each process holds a part of a layer's experts, and tokens travel to them.

The processes form a mesh (copies, experts). Neighbours along `experts` hold one whole set of experts together, those
along `copies` the same experts again. The weights are DTensors, cut along the experts: so checkpoints, norms and the
finished network see whole ones.
"""

from collections.abc import Iterable
from itertools import groupby

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed._functional_collectives import all_to_all_single_autograd
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.nn import functional as F

from engine.model.experts import MixtureOfExperts, RoutedExperts, answers_by_expert
from engine.model.transformer import Transformer
from train.errors import RunError


class TravellingExperts(RoutedExperts):
    """The part of a layer's routed experts that this process holds, for the tokens of all processes of its row."""

    def __init__(self, experts: RoutedExperts, mesh: DeviceMesh) -> None:
        """Keep a part.

        Args:
            experts: all of them, equal on every process.
            mesh: with the dimensions `copies` and `experts`.
        """
        nn.Module.__init__(self)  # without the weights that the base makes
        self.experts = experts.experts
        self.copies, self._holders = mesh["copies"], mesh["experts"]
        self.gate_up_proj, self.down_proj = self._part(experts.gate_up_proj), self._part(experts.down_proj)

    def answers(self, rows: Tensor, ends: Tensor) -> Tensor:
        """See `RoutedExperts`; every process of the row must come here as often, backwards too."""
        counts = ends.diff(prepend=ends.new_zeros(1))
        arriving = torch.empty_like(counts)
        dist.all_to_all_single(arriving, counts, group=self._holders.get_group())
        by_source = arriving.view(self._holders.size(), -1)
        sent, received = counts.view_as(by_source).sum(1).tolist(), by_source.sum(1).tolist()
        there = self._exchange(rows[: sum(sent)], received, sent)
        # What arrives is sorted by the process it comes from, then by expert.
        expert = torch.arange(by_source.shape[1], device=rows.device).repeat(len(received)).repeat_interleave(arriving)
        order = expert.argsort(stable=True)
        weights = self._own(self.gate_up_proj), self._own(self.down_proj)
        answered = answers_by_expert(there[order], *weights, by_source.sum(0).cumsum(0))
        back = self._exchange(answered[order.argsort()], sent, received)
        return F.pad(back, (0, 0, 0, len(rows) - len(back)))

    def share_gradients(self) -> None:
        """Give experts of which there are copies the mean of the copies' gradients, as DDP does for all else."""
        for weight in self.parameters():
            gradient = weight.grad
            if self.copies.size() > 1 and isinstance(gradient, DTensor):
                dist.all_reduce(gradient.to_local().div_(self.copies.size()), group=self.copies.get_group())

    def _part(self, weight: Tensor) -> nn.Parameter:
        # Equal everywhere already, so that nothing needs to be sent.
        return nn.Parameter(distribute_tensor(weight.detach(), self._holders, [Shard(0)], src_data_rank=None))

    def _own(self, weight: Tensor) -> Tensor:
        assert isinstance(weight, DTensor)
        own: Tensor = weight.to_local()
        if own.requires_grad:
            # The gradients of all holders' tokens meet here as a sum; what averages the rest expects their mean.
            own.register_hook(lambda gradient: gradient / self._holders.size())  # type: ignore[no-untyped-call]
        return own

    def _exchange(self, rows: Tensor, received: list[int], sent: list[int]) -> Tensor:
        return all_to_all_single_autograd(rows, received, sent, self._holders.get_group())


def share_out(network: Transformer, holders: int, *, processes: int, device: torch.device) -> None:
    """Leave of every layer's routed experts this process's part.

    Args:
        network: equal on every process.
        holders: processes that hold one set of experts together.
        processes: in all.
        device: of this process.

    Raises:
        RunError: the experts or the processes cannot be shared out so.
    """
    shape = network.config.experts
    if shape is None:
        raise RunError("machine.expert_parallel needs a network with experts; set it to 1")
    if processes % holders:
        raise RunError(f"machine.expert_parallel={holders} needs a multiple of {holders} processes, not {processes}")
    if shape.n_routed_experts % holders:
        raise RunError(f"{shape.n_routed_experts} experts cannot be shared by machine.expert_parallel={holders}")
    mesh = init_device_mesh(device.type, (processes // holders, holders), mesh_dim_names=("copies", "experts"))
    mixtures = [module for module in network.modules() if isinstance(module, MixtureOfExperts)]
    for mixture in mixtures:
        mixture.experts = TravellingExperts(mixture.experts.to(device), mesh)


def travelling_experts(network: nn.Module) -> list[TravellingExperts]:
    """Return the shared-out experts of all layers."""
    return [module for module in network.modules() if isinstance(module, TravellingExperts)]


def by_mesh(weights: Iterable[Tensor]) -> list[list[Tensor]]:
    """Sort weights by the mesh they are spread over: torch computes with those of one mesh together."""
    placed = [(_mesh_name(weight), weight) for weight in weights]
    return [[weight for _, weight in group] for _, group in groupby(sorted(placed, key=_first), key=_first)]


def whole(weight: Tensor) -> Tensor:
    """Return all of a weight; every process must ask."""
    return weight.full_tensor() if isinstance(weight, DTensor) else weight


def _mesh_name(weight: Tensor) -> str:
    return str(weight.device_mesh) if isinstance(weight, DTensor) else ""


def _first(pair: tuple[str, Tensor]) -> str:
    return pair[0]
