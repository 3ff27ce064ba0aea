"""Lays quantised matrices out as `decoder.cpp` reads them: 32 rows × 4 columns interleaved, in huge pages."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from engine.model import huge_pages
from engine.model.quantize import GROUP, GroupQuantized

BLOCK = 32
"""Rows that lie interleaved."""

_ALIGNMENT = 64


class Arena:
    """One piece of memory for all weights, in huge pages where the system grants them: fewer address look-ups."""

    def __init__(self, size: int) -> None:
        """Allocate `size` bytes; the sum of what will be put, each rounded up to 64."""
        self._bytes = huge_pages.empty((max(size, 1),), torch.uint8).numpy()
        self._used = 0

    def put(self, array: npt.NDArray[np.uint8]) -> int:
        """Copy an array in; return its address."""
        begin = self._used
        self._used += aligned(array.size)
        self._bytes[begin : begin + array.size] = array
        return int(self._bytes.ctypes.data) + begin


def aligned(size: int) -> int:
    """Round a size in bytes up to what an `Arena` uses for it."""
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def packed_bytes(rows: int, columns: int, bits: int) -> tuple[int, int]:
    """Return the bytes of a packed matrix's weights and of its scales."""
    groups = -(-rows // BLOCK) * -(-columns // GROUP) * BLOCK
    return groups * GROUP * bits // 8, groups * 2


def pack(matrix: GroupQuantized) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return the bytes of weights and scales, as `Matrix` in `decoder.cpp` describes them."""
    rows, groups, _ = matrix.values.shape
    extra = -rows % BLOCK
    values = F.pad(matrix.values, (0, 0, 0, 0, 0, extra)).to(torch.int16)
    stored = (values + (128 if matrix.bits == 8 else 8)).to(torch.uint8)
    # [block, row, group, quad of columns, column] -> [block, group, quad, row, column]
    stored = stored.view(-1, BLOCK, groups, GROUP // 4, 4).permute(0, 2, 3, 1, 4)
    if matrix.bits == 4:
        first, second = stored.chunk(2, dim=2)
        stored = first | (second << 4)
    scales = F.pad(matrix.scales, (0, 0, 0, extra)).view(-1, BLOCK, groups).transpose(1, 2)
    return _bytes(stored), _bytes(scales.contiguous().view(torch.uint8))


def _bytes(tensor: Tensor) -> npt.NDArray[np.uint8]:
    array: npt.NDArray[np.uint8] = tensor.contiguous().numpy().reshape(-1)
    return array
