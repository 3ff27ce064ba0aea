"""How checkpoints name experts' weights: each matrix of each expert is a tensor of its own there, here they are one."""

from collections.abc import Iterator

from torch import Tensor

_GATE_AND_UP = ".mlp.experts.gate_up_proj"
_DOWN = ".mlp.experts.down_proj"


def is_joined(name: str) -> bool:
    """Whether a parameter of the network is several tensors of a checkpoint."""
    return name.endswith((_GATE_AND_UP, _DOWN))


def separated(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a checkpoint that a parameter of the network consists of, as views of `tensor`.

    Any other parameter is one tensor of the same name.
    """
    if not is_joined(name):
        yield name, tensor
        return
    layer, _, joined = name.rpartition(".mlp.experts.")
    for number, matrices in enumerate(tensor):
        expert = f"{layer}.mlp.experts.{number}"
        if joined == "down_proj":
            yield f"{expert}.down_proj.weight", matrices
            continue
        gate, up = matrices.chunk(2)
        yield f"{expert}.gate_proj.weight", gate
        yield f"{expert}.up_proj.weight", up
