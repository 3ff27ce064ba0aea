"""Memory in huge pages, where Linux grants them: decoding reads all weights once a token, and looks up each page.

With pages of 4 KB one thread read two thirds as many bytes a second as with those of 2 MB.
"""

import ctypes
import math
import mmap
from pathlib import Path

import torch
from torch import Tensor

_HUGE = 2 << 20
_COLLAPSE = 25
"""MADV_COLLAPSE, Linux 6.1; Python has no name for it yet."""
_WORTH_IT = 2 * _HUGE


def empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return a tensor of arbitrary contents, in huge pages if it is large enough to gain from them."""
    size = math.prod(shape) * dtype.itemsize
    if size < _HUGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.empty(shape, dtype=dtype)
    # Private, because shared memory gets no huge pages.
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=dtype).view(shape)


def gather() -> None:
    """Move the process's large allocations into huge pages, for weights that a library packed into memory of its own.

    Does nothing where the system cannot; the memory stays where it is either way.
    """
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
        advise = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return
    advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for begin, end in _anonymous(lines):
        if end - begin >= _WORTH_IT:
            advise(begin, end - begin, _COLLAPSE)


def _anonymous(lines: list[str]) -> list[tuple[int, int]]:
    """Return the parts of writable private memory that whole huge pages can cover."""
    found = []
    for line in lines:
        addresses, access, _offset, _device, inode, *_name = line.split()
        if access == "rw-p" and inode == "0":
            begin, end = (int(address, 16) for address in addresses.split("-"))
            found.append((-(-begin // _HUGE) * _HUGE, end // _HUGE * _HUGE))
    return found
