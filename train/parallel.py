"""Where a network is trained, behind one interface: one process, whole copies (DDP), FSDP2 shards, DeepSpeed ZeRO-3."""

import math
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils.checkpoint import checkpoint

from engine.model.config import TransformerConfig
from engine.model.transformer import Transformer
from train.config import MachineConfig
from train.dispatch import Dispatch
from train.errors import RunError
from train.expert_parallel import by_mesh, share_out, travelling_experts, whole
from train.objective import Objective, summed_loss, summed_loss_in_pieces
from train.optimizer import OptimizerSettings, build_optimizers, set_rate, state_tensors
from train.processes import processes
from train.tensor_parallel import check_cut, cut_layers, mesh_of


class Placement(ABC):
    """A network placed for training. A step is `backward` for every micro-batch, then `update` or `discard`."""

    @abstractmethod
    def backward(self, ids: Tensor, targets: Tensor, *columns: Tensor, targets_in_step: int, is_last: bool) -> Tensor:
        """Add the gradient of one micro-batch [B, T]; return its summed loss, or this process's part of it.

        Args:
            ids: of this process alone.
            targets: like `ids`; `IGNORED` where no loss is taken.
            columns: what else the objective reads, like `ids`.
            targets_in_step: how many count in the whole step, over all processes: gradients are those of their mean.
            is_last: whether the step has no further micro-batch, so that processes may exchange gradients.
        """

    @abstractmethod
    def loss(self, ids: Tensor, targets: Tensor, *columns: Tensor) -> Tensor:
        """Return the summed loss of one batch and leave the gradients alone."""

    @abstractmethod
    def update(self, rate: float) -> float:
        """Clip the gradients, take a step and forget them; return their norm. Not finite: no step is taken."""

    @abstractmethod
    def discard(self) -> None:
        """Forget the gradients of this step."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Return weights (`weights.NAME`) and optimiser state, to be saved, or to be loaded into."""

    def publish(self) -> None:  # noqa: B027 - most have nothing to do
        """Bring the network up to date after its weights were loaded."""

    def save_own(self, folder: Path) -> None:  # noqa: B027
        """Save into a checkpoint's folder what `tensors` does not give."""

    def load_own(self, folder: Path) -> None:  # noqa: B027
        """Load from a checkpoint's folder what `tensors` does not give."""

    @abstractmethod
    def network(self) -> Transformer:
        """Return the whole network in fp32, ready to run. On any process but the main one its weights may be meta."""


def place(
    network: Transformer,
    machine: MachineConfig,
    optimizer: OptimizerSettings,
    objective_of: Callable[[Transformer], Objective] | None = None,
    dispatch: Dispatch | None = None,
) -> Placement:
    """Place `network`, equal on every process, as the recipe and the number of processes ask for.

    Raises:
        RunError: the optimiser or the precision cannot be had there, or DeepSpeed is not installed.
    """
    group = processes()
    if group.count > 1 and machine.parallel != "ddp" and optimizer.name == "muon":
        raise RunError("muon needs whole matrices; set machine.parallel=ddp or pretrain.optimizer=adamw")
    if machine.tensor_parallel > 1:
        if machine.parallel != "fsdp" or machine.expert_parallel > 1:
            raise RunError("machine.tensor_parallel needs machine.parallel=fsdp and machine.expert_parallel=1")
        check_cut(network, machine.tensor_parallel, processes=group.count)
        cut_layers(network, mesh_of(group.device.type, group.count, machine.tensor_parallel), group.device)
    if machine.expert_parallel > 1:
        if machine.parallel == "deepspeed" or optimizer.name == "muon":
            raise RunError("machine.expert_parallel needs machine.parallel=ddp or fsdp, and pretrain.optimizer=adamw")
        share_out(network, machine.expert_parallel, processes=group.count, device=group.device)
    if machine.gradient_checkpointing:
        for block in network.layers:
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    loss_of = summed_loss_in_pieces if machine.gradient_checkpointing else summed_loss
    objective = Objective(network, loss_of, dispatch) if objective_of is None else objective_of(network)
    if group.count == 1:
        kind = MasterWeights if machine.precision == "bfloat16" else OwnWeights
        return kind(objective.to(group.device), machine, optimizer)
    return {"ddp": Copies, "fsdp": Shards, "deepspeed": ZeroThree}[machine.parallel](objective, machine, optimizer)


class MasterWeights(Placement):
    """One process in bf16: the network itself holds bf16 weights, and fp32 masters take gradients and steps."""

    def __init__(self, objective: Objective, machine: MachineConfig, optimizer: OptimizerSettings) -> None:
        self._objective, self._clip_norm = objective, optimizer.clip_norm
        names = objective.network.named_parameters()
        self._weights = {name: parameter.detach().clone().float() for name, parameter in names}
        self._optimizers = build_optimizers(self._weights, optimizer)
        objective.to(torch.bfloat16)
        if machine.compile and can_compile():
            objective.compile()

    def backward(self, ids: Tensor, targets: Tensor, *columns: Tensor, targets_in_step: int, is_last: bool) -> Tensor:
        """See `Placement`; gradients of several micro-batches add up in fp32."""
        del is_last
        loss: Tensor = self._objective(ids, targets, *columns)
        (loss / targets_in_step).backward()  # type: ignore[no-untyped-call]
        for weight, parameter in zip(self._weights.values(), self._objective.network.parameters(), strict=True):
            if parameter.grad is None:
                continue
            weight.grad = parameter.grad.float() if weight.grad is None else weight.grad.add_(parameter.grad)
            parameter.grad = None
        return loss.detach()

    @torch.no_grad()
    def loss(self, ids: Tensor, targets: Tensor, *columns: Tensor) -> Tensor:
        """See `Placement`."""
        loss: Tensor = self._objective(ids, targets, *columns)
        return loss

    def update(self, rate: float) -> float:
        """See `Placement`."""
        norm = _step(self._weights.values(), self._optimizers, rate, self._clip_norm)
        self.publish()
        return norm

    def discard(self) -> None:
        """See `Placement`."""
        for weight in self._weights.values():
            weight.grad = None

    def tensors(self) -> dict[str, Tensor]:
        """See `Placement`."""
        return _tensors(self._weights, self._optimizers)

    @torch.no_grad()
    def publish(self) -> None:
        """See `Placement`."""
        torch._foreach_copy_(list(self._objective.network.parameters()), list(self._weights.values()))

    def network(self) -> Transformer:
        """See `Placement`."""
        return _whole(self._objective.network.config, self._weights)


class OwnWeights(Placement):
    """The network's own fp32 weights take the steps: one process in fp32, and the ground of `Copies` and `Shards`."""

    def __init__(self, objective: Objective, machine: MachineConfig, optimizer: OptimizerSettings) -> None:
        self._network, self._clip_norm = objective.network, optimizer.clip_norm
        self._device = processes().device
        self._readers = machine.tensor_parallel
        """Processes that read the same rows: each tells its part of their loss."""
        self._average = processes().count // self._readers
        """What several processes divide summed gradients by; undone, for `targets_in_step` divides already."""
        self._autocast = False
        self._module = self._wrap(objective, machine)
        self._weights = dict(self._network.named_parameters())
        self._optimizers = build_optimizers(self._weights, optimizer)

    def _wrap(self, objective: Objective, machine: MachineConfig) -> nn.Module:
        if machine.compile and can_compile():
            objective.compile()
        return objective

    def _apart(self) -> AbstractContextManager[None]:
        """Return a context in which processes do not exchange gradients."""
        return nullcontext()

    def _run(self, *inputs: Tensor) -> Tensor:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._autocast):
            loss: Tensor = self._module(*inputs)
        return loss

    def backward(self, ids: Tensor, targets: Tensor, *columns: Tensor, targets_in_step: int, is_last: bool) -> Tensor:
        """See `Placement`."""
        with nullcontext() if is_last else self._apart():
            loss = self._run(ids, targets, *columns)
            (loss * (self._average / targets_in_step)).backward()  # type: ignore[no-untyped-call]
        return loss.detach() / self._readers

    @torch.no_grad()
    def loss(self, ids: Tensor, targets: Tensor, *columns: Tensor) -> Tensor:
        """See `Placement`."""
        return self._run(ids, targets, *columns) / self._readers

    def update(self, rate: float) -> float:
        """See `Placement`."""
        return _step(self._weights.values(), self._optimizers, rate, self._clip_norm)

    def discard(self) -> None:
        """See `Placement`."""
        self._module.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Tensor]:
        """See `Placement`."""
        return _tensors(self._weights, self._optimizers)

    def network(self) -> Transformer:
        """See `Placement`."""
        return _whole(self._network.config, {name: whole(weight) for name, weight in self._weights.items()})


class Copies(OwnWeights):
    """A whole copy in each process (DDP): fp32 weights, bf16 by autocast, gradients averaged in fp32."""

    def _wrap(self, objective: Objective, machine: MachineConfig) -> nn.Module:
        self._autocast = machine.precision == "bfloat16"
        objective.to(self._device)
        if machine.compile and can_compile():
            objective.compile()
        ids = [self._device.index] if self._device.type == "cuda" else None
        shared_out = [name for name, weight in objective.named_parameters() if isinstance(weight, DTensor)]
        kind = nn.parallel.DistributedDataParallel
        kind._set_params_and_buffers_to_ignore_for_model(objective, shared_out)  # type: ignore[no-untyped-call]
        self._copies = kind(objective, device_ids=ids, gradient_as_bucket_view=True)
        return self._copies

    def _apart(self) -> AbstractContextManager[None]:
        return self._copies.no_sync()

    @torch.no_grad()
    def loss(self, ids: Tensor, targets: Tensor, *columns: Tensor) -> Tensor:
        """See `Placement`; around DDP, which would wait for the other processes."""
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._autocast):
            loss: Tensor = self._copies.module(ids, targets, *columns)
        return loss

    def update(self, rate: float) -> float:
        """See `Placement`."""
        for experts in travelling_experts(self._network):
            experts.share_gradients()
        return super().update(rate)


class Shards(OwnWeights):
    """FSDP2: each process keeps its part of every fp32 weight, and gathers a layer in bf16 when it is needed."""

    def _wrap(self, objective: Objective, machine: MachineConfig) -> nn.Module:
        from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

        # `fully_shard` moves what it is given: no device ever holds more whole layers than one.
        mesh = mesh_of(self._device.type, processes().count, self._readers)["rows"]
        lower = torch.bfloat16 if machine.precision == "bfloat16" else None
        policy = MixedPrecisionPolicy(param_dtype=lower, reduce_dtype=torch.float32 if lower else None)
        for experts in travelling_experts(objective):
            fully_shard(experts, mesh=experts.copies, mp_policy=policy)
        for block in objective.network.layers:
            if machine.compile and can_compile():
                block.compile()
            fully_shard(block, mesh=mesh, mp_policy=policy)
        fully_shard(objective, mesh=mesh, mp_policy=policy)
        assert isinstance(objective, FSDPModule)
        self._shards: FSDPModule = objective
        return objective

    def backward(self, ids: Tensor, targets: Tensor, *columns: Tensor, targets_in_step: int, is_last: bool) -> Tensor:
        """See `Placement`."""
        self._shards.set_requires_gradient_sync(is_last)
        return super().backward(ids, targets, *columns, targets_in_step=targets_in_step, is_last=is_last)

    def network(self) -> Transformer:
        """See `Placement`."""
        kept = {}
        for name, weight in self._weights.items():
            gathered = whole(weight)
            if processes().is_main:
                kept[name] = gathered.detach().cpu()
        return _whole(self._network.config, kept) if kept else _meta(self._network.config)


class ZeroThree(Placement):
    """DeepSpeed ZeRO-3: bf16 weights, their fp32 masters and the optimiser's state are all cut up by DeepSpeed."""

    def __init__(self, objective: Objective, machine: MachineConfig, optimizer: OptimizerSettings) -> None:
        try:
            import deepspeed
        except ImportError as error:
            raise RunError("machine.parallel=deepspeed needs DeepSpeed: pip install deepspeed") from error
        self._network = objective.network
        (adamw,) = build_optimizers(dict(objective.network.named_parameters()), optimizer)
        self._engine, *_ = deepspeed.initialize(
            model=objective,
            optimizer=adamw,
            config={
                "train_micro_batch_size_per_gpu": 1,
                # Of micro-batches DeepSpeed is told one by one (`is_last`), so their number is not fixed.
                "gradient_accumulation_steps": 1,
                "gradient_clipping": optimizer.clip_norm,
                "bf16": {"enabled": machine.precision == "bfloat16"},
                "zero_optimization": {"stage": 3},
                "zero_allow_untested_optimizer": True,
                "zero_force_ds_cpu_optimizer": False,
            },
        )

    def backward(self, ids: Tensor, targets: Tensor, *columns: Tensor, targets_in_step: int, is_last: bool) -> Tensor:
        """See `Placement`."""
        self._engine.set_gradient_accumulation_boundary(is_last)
        loss: Tensor = self._engine(ids, targets, *columns)
        self._engine.backward(loss * (processes().count / targets_in_step))
        return loss.detach()

    @torch.no_grad()
    def loss(self, ids: Tensor, targets: Tensor, *columns: Tensor) -> Tensor:
        """See `Placement`."""
        loss: Tensor = self._engine(ids, targets, *columns)
        return loss

    def update(self, rate: float) -> float:
        """See `Placement`; DeepSpeed itself clips, and leaves out a step whose gradients overflow."""
        set_rate([self._engine.optimizer.optimizer], rate)
        self._engine.step()
        return float(self._engine.get_global_grad_norm() or 0.0)

    def discard(self) -> None:
        """See `Placement`."""
        self._engine.optimizer.zero_grad()

    def tensors(self) -> dict[str, Tensor]:
        """See `Placement`: none, DeepSpeed keeps its own files."""
        return {}

    def save_own(self, folder: Path) -> None:
        """See `Placement`."""
        self._engine.save_checkpoint(str(folder), tag="deepspeed")

    def load_own(self, folder: Path) -> None:
        """See `Placement`."""
        self._engine.load_checkpoint(str(folder), tag="deepspeed")

    def network(self) -> Transformer:
        """See `Placement`."""
        from deepspeed.utils import safe_get_full_fp32_param

        kept = {}
        for name, parameter in self._network.named_parameters():
            gathered = safe_get_full_fp32_param(parameter)
            if processes().is_main:
                kept[name] = gathered.detach().cpu()
        return _whole(self._network.config, kept) if kept else _meta(self._network.config)


def can_compile() -> bool:
    """Whether torch.compile finds the C++ compiler it needs."""
    return shutil.which(os.environ.get("CXX", "g++")) is not None


def _step(weights: Iterable[Tensor], optimizers: list[torch.optim.Optimizer], rate: float, clip_norm: float) -> float:
    groups = by_mesh(weights)
    norm = torch.linalg.vector_norm(torch.stack([_gradient_norm(group) for group in groups]))
    for group in groups:
        torch.nn.utils.clip_grads_with_norm_(group, clip_norm, norm)
    value = float(norm)
    if math.isfinite(value):
        set_rate(optimizers, rate)
        for optimizer in optimizers:
            optimizer.step()
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    return value


def _gradient_norm(weights: Iterable[Tensor]) -> Tensor:
    return whole(torch.nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None]))


def _tensors(weights: Mapping[str, Tensor], optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    named = {f"weights.{name}": weight.detach() for name, weight in weights.items()}
    return named | {f"optimizer.{name}": value for name, value in state_tensors(optimizers, weights).items()}


def _meta(config: TransformerConfig) -> Transformer:
    with torch.device("meta"):
        return Transformer(config)


def _whole(config: TransformerConfig, weights: Mapping[str, Tensor]) -> Transformer:
    """Return a network with a copy of `weights` in fp32 on the CPU, so that training on does not change it."""
    network = _meta(config)
    copies = {name: weight.detach().to("cpu", torch.float32, copy=True) for name, weight in weights.items()}
    network.load_state_dict(copies, strict=False, assign=True)
    if config.tie_word_embeddings:
        network.lm_head.weight = network.embed_tokens.weight
    return network.requires_grad_(requires_grad=False).eval()
