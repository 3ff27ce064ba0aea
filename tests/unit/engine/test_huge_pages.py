import subprocess
import sys

import pytest
import torch

from engine.model import huge_pages


@pytest.mark.parametrize("shape", [(3, 5), (2, 512, 1024), (0,)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.uint8])
def test_a_tensor_has_the_asked_shape_and_can_be_written(shape, dtype):
    made = huge_pages.empty(shape, dtype).fill_(3)
    assert (made.shape, made.dtype) == (shape, dtype)
    assert bool((made == 3).all())


def test_gathering_changes_no_contents():
    # In a process of its own, since it moves all that the process holds.
    program = (
        "import torch; from engine.model import huge_pages\n"
        "held = [torch.arange(n) for n in (10, 1 << 16, 1 << 20)]\n"
        "huge_pages.gather()\n"
        "assert all(torch.equal(a, torch.arange(len(a))) for a in held)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
