"""Layers cut across processes: each holds some heads and a part of the feed-forward's width (arXiv 1909.08053, 3).

The processes form a mesh (rows, parts). Neighbours along `parts` hold one copy of the layers together and read the same
rows; those along `rows` read different ones. torch's `parallelize_module` cuts the layers and lets the processes
exchange what crosses a cut; norms, embedding and head stay whole along `parts`.
"""

from functools import cache

import torch
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor.parallel import ColwiseParallel, ParallelStyle, RowwiseParallel, parallelize_module

from engine.model.transformer import Transformer
from train.errors import RunError


@cache
def mesh_of(device: str, processes: int, parts: int) -> DeviceMesh:
    """Return the mesh (rows, parts) of all processes; neighbours hold one copy together."""
    return init_device_mesh(device, (processes // parts, parts), mesh_dim_names=("rows", "parts"))


def check_cut(network: Transformer, parts: int, *, processes: int) -> None:
    """Refuse what cannot be cut.

    Raises:
        RunError: the layers or the processes cannot be shared out so.
    """
    config = network.config
    if config.latent_attention is not None:
        raise RunError(
            "machine.tensor_parallel cuts the layers of LlamaForCausalLM shapes; share a DeepSeek-V2 shape out with "
            "machine.expert_parallel and machine.parallel=fsdp"
        )
    if processes % parts:
        raise RunError(f"machine.tensor_parallel={parts} needs a multiple of {parts} processes, not {processes}")
    if config.num_key_value_heads % parts or config.intermediate_size % parts:
        raise RunError(
            f"{config.num_key_value_heads} key heads and a feed-forward of {config.intermediate_size} cannot be cut by "
            f"machine.tensor_parallel={parts}; choose a divisor of both"
        )


def cut_layers(network: Transformer, mesh: DeviceMesh, device: torch.device) -> None:
    """Leave of every layer this process's part.

    Args:
        network: equal on every process.
        mesh: of `mesh_of`.
        device: of this process.
    """
    for block in network.layers:
        # Equal everywhere already, so that nothing needs to be sent.
        parallelize_module(block.to(device), mesh["parts"], _plan(), src_data_rank=None)


def _plan() -> dict[str, ParallelStyle]:
    return {
        **{f"self_attn.{name}_proj": ColwiseParallel() for name in "qkv"},
        "self_attn.o_proj": RowwiseParallel(),
        "mlp.gate_proj": ColwiseParallel(),
        "mlp.up_proj": ColwiseParallel(),
        "mlp.down_proj": RowwiseParallel(),
    }
