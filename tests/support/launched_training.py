"""A small pretraining run, in this process or in several that a launcher starts; as a program, one of those."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from engine.model.transformer import Transformer
from tests.support.tiny_network import TINY
from tests.support.tiny_v2 import GROUPED, v2_shape
from train.config import load
from train.data.shards import Shard
from train.metrics import Metric
from train.processes import processes
from train.stages.pretrain import pretrain, untrained

ROOT = Path(__file__).parents[2]
# A scaling factor of 16 makes gradients whose rounding alone moves Adam's steps by more than 1e-5.
_EVEN = replace(GROUPED, routed_scaling_factor=1.0)
SHAPES = {
    "tiny": TINY,
    "experts": v2_shape(vocab_size=64, initializer_range=0.05),
    "grouped experts": v2_shape(vocab_size=64, initializer_range=0.05, experts=_EVEN),
}
TORCHRUN = ("torch.distributed.run", "--standalone")


class StopHereError(Exception):
    """Ends a run in the middle."""


def train_small(folder: Path, *overrides: str, shape: str = "tiny", stop_at: int = 0) -> Transformer:
    """Train a network for eight steps, or as the overrides say, in the processes that this one belongs to."""
    starts = np.random.default_rng(0).integers(0, 64, size=(36, 1))
    shard = Shard(rows=((starts + np.arange(24)) % 64).astype(np.uint16), index={})
    small = ["pretrain.batch_rows=4", "pretrain.warmup_steps=2", "pretrain.held_out_rows=4"]
    config = load("tiny_cpu", [*small, "machine.checkpoint_minutes=0.0", *overrides])

    def stop(metric: Metric) -> None:
        if metric.step == stop_at:
            raise StopHereError

    network = untrained(SHAPES[shape], seed=1)
    return pretrain(network, config.pretrain, config.machine, shard, folder, seed=1, on_step=stop)


def train_launched(
    folder: Path, *overrides: str, shape: str = "tiny", count: int = 2, launcher: Sequence[str] = TORCHRUN
) -> Transformer:
    """Do the same in real processes that exchange tensors over gloo; return what the main one got."""
    many = f"--nproc-per-node={count}" if launcher is TORCHRUN else f"--num_processes={count}"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "DS_ACCELERATOR": "cpu",
    }
    command = [sys.executable, "-m", *launcher, many, __file__, shape, str(folder), *overrides]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-4000:]
    assert (folder / "processes").read_text() == str(count)
    network = Transformer(SHAPES[shape])
    network.load_state_dict(torch.load(folder / "result.pt", weights_only=True))
    return network


def assert_equal(one: Transformer, other: Transformer) -> None:
    """Compare all weights, up to rounding."""
    for (name, first), second in zip(one.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")


if __name__ == "__main__":
    wanted, target = sys.argv[1], Path(sys.argv[2])
    trained = train_small(target, *sys.argv[3:], shape=wanted)
    if processes().is_main:
        torch.save(trained.state_dict(), target / "result.pt")
        (target / "processes").write_text(str(processes().count))
    processes().wait()
    torch.distributed.destroy_process_group()
