"""Matrices of a checkpoint in 8 or 4 bits: small integers under the matrix's own name, their scales beside them.

NAME         int8 [rows, columns]; with 4 bits uint8 [rows, columns / 2], where a byte holds a weight w of an even
             column as w + 8 and, above it, its right neighbour
NAME_scale   float16 [rows, groups]: one for 64 weights of a row

Reading gives back exactly what `engine.model.quantize` made, and quantising that again changes nothing: an engine that
runs in the stored number of bits computes as if it had quantised the original itself.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.errors import ModelFolderError
from engine.model.quantize import GROUP, GroupQuantized, quantize

METHOD = "midfill"
"""What `quantization_config` in `config.json` calls this form, so that nobody else takes the integers for weights."""

_SCALE = "_scale"
_TABLES = ("embed_tokens.weight", "lm_head.weight")
_TABLE_BITS = 8
"""Of the embedding and the head, also where the layers have 4: they decide the logits directly."""


def packed(name: str, tensor: Tensor, *, bits: int) -> Iterator[tuple[str, Tensor]]:
    """Yield how a tensor is stored: matrices as integers and scales, anything else as it is.

    Raises:
        ValueError: another number of bits than 8 or 4.
    """
    if tensor.dim() != 2 or tensor.shape[1] % 2:
        yield name, tensor
        return
    matrix = quantize(tensor, bits=_TABLE_BITS if name.endswith(_TABLES) else bits)
    values = matrix.values.flatten(1)[:, : matrix.columns]
    if matrix.bits == 4:
        even, odd = ((values + 8).to(torch.uint8)[:, start::2] for start in (0, 1))
        values = even | (odd << 4)
    yield name, values.contiguous()
    yield name + _SCALE, matrix.scales


def unpacked(tensors: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """Turn what `packed` yielded, in any order, back into matrices in fp32.

    Raises:
        ModelFolderError: integers without scales, or the reverse.
    """
    waiting: dict[str, Tensor] = {}
    for name, tensor in tensors:
        matrix = name.removesuffix(_SCALE)
        if matrix == name and tensor.dtype not in (torch.int8, torch.uint8):
            yield name, tensor
        elif matrix in waiting:
            other = waiting.pop(matrix)
            yield matrix, _matrix(other, tensor) if matrix != name else _matrix(tensor, other)
        else:
            waiting[matrix] = tensor
    if waiting:
        raise ModelFolderError(f"{next(iter(waiting))} is stored without its scales, or they without it; is it whole?")


def _matrix(values: Tensor, scales: Tensor) -> Tensor:
    bits = 8
    if values.dtype is torch.uint8:
        bits = 4
        values = torch.stack((values & 15, values >> 4), dim=-1).flatten(1).to(torch.int8) - 8
    columns = values.shape[1]
    groups = F.pad(values, (0, -columns % GROUP)).view(len(values), -1, GROUP)
    return GroupQuantized(bits=bits, values=groups, scales=scales, columns=columns).dequantize()
