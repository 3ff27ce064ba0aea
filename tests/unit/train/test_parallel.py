"""Several processes: two that share a batch end with the weights of one that has it alone, and go on from each other.

Run as a program, this file is one of those processes.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.model.transformer import Transformer
from tests.support.tiny_network import TINY
from train.checkpoint import newest_step
from train.config import load
from train.data.shards import Shard
from train.errors import RunError
from train.loop import CHECKPOINTS
from train.metrics import Metric
from train.parallel import processes
from train.stages.pretrain import pretrain, untrained

ROOT = Path(__file__).parents[3]


class StopHereError(Exception):
    """Ends a run in the middle."""


def _train(folder: Path, *overrides: str, stop_at: int = 0) -> Transformer:
    starts = np.random.default_rng(0).integers(0, 64, size=(36, 1))
    shard = Shard(rows=((starts + np.arange(24)) % 64).astype(np.uint16), index={})
    small = ["pretrain.batch_rows=4", "pretrain.warmup_steps=2", "pretrain.held_out_rows=4"]
    config = load("tiny_cpu", [*small, "machine.checkpoint_minutes=0.0", *overrides])

    def stop(metric: Metric) -> None:
        if metric.step == stop_at:
            raise StopHereError

    network = untrained(TINY, seed=1)
    return pretrain(network, config.pretrain, config.machine, shard, folder, seed=1, on_step=stop)


TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node=2")
ACCELERATE = ("accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1",
              "--main_process_port=0", "--mixed_precision=no", "--dynamo_backend=no")  # fmt: skip


def _train_in_two(folder: Path, *overrides: str, launcher: Sequence[str] = TORCHRUN) -> Transformer:
    """Train in two real processes that exchange gradients over gloo; return what the main one got."""
    launch = [sys.executable, "-m", *launcher]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "DS_ACCELERATOR": "cpu",
    }
    result = subprocess.run(
        [*launch, __file__, str(folder), *overrides], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-4000:]
    assert (folder / "processes").read_text() == "2"
    network = Transformer(TINY)
    network.load_state_dict(torch.load(folder / "result.pt", weights_only=True))
    return network


def _assert_equal(one: Transformer, other: Transformer) -> None:
    for first, second in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=1e-5)


LAYOUTS = {
    "copies": ("machine.parallel=ddp",),
    "copies that add micro-batches up": ("machine.parallel=ddp", "machine.micro_batch_tokens=24"),
    "shards": ("machine.parallel=fsdp",),
    "shards that compute layers again": (
        "machine.parallel=fsdp",
        "machine.micro_batch_tokens=24",
        "machine.gradient_checkpointing=true",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_processes_train_as_one_does(layout: str, tmp_path: Path) -> None:
    alone = _train(tmp_path / "alone")
    together = _train_in_two(tmp_path / "together", *LAYOUTS[layout])
    _assert_equal(alone, together)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("deepspeed") is None, reason="DeepSpeed is not installed: pip install midfill[deepspeed]")
def test_deepspeed_trains_and_goes_on_as_one_process_does(tmp_path: Path) -> None:
    alone = _train(tmp_path / "alone")
    options = ("machine.parallel=deepspeed", "machine.micro_batch_tokens=24")
    _assert_equal(alone, _train_in_two(tmp_path / "together", *options))
    shutil.rmtree(tmp_path / "together" / CHECKPOINTS / "step-00000008")
    _assert_equal(alone, _train_in_two(tmp_path / "together", *options))


@pytest.mark.slow
def test_accelerate_launch_starts_the_same_training(tmp_path: Path) -> None:
    alone = _train(tmp_path / "alone")
    _assert_equal(alone, _train_in_two(tmp_path / "together", launcher=ACCELERATE))


@pytest.mark.slow
def test_a_run_of_one_process_goes_on_in_two_and_the_other_way_round(tmp_path: Path) -> None:
    whole = _train(tmp_path / "whole")
    with pytest.raises(StopHereError):
        _train(tmp_path / "one", stop_at=4)
    assert newest_step(tmp_path / "one" / CHECKPOINTS) == 3
    _assert_equal(whole, _train_in_two(tmp_path / "one", "machine.parallel=fsdp"))
    _train_in_two(tmp_path / "two", "machine.parallel=fsdp", "pretrain.tokens=480")
    assert newest_step(tmp_path / "two" / CHECKPOINTS) == 5
    first = _train(tmp_path / "first", "pretrain.tokens=480")
    _assert_equal(first, _train(tmp_path / "two", "pretrain.tokens=480"))


def test_a_process_alone_needs_no_others() -> None:
    assert processes().is_main
    assert processes().count == 1
    processes().wait()
    assert processes().add(torch.ones(2)).tolist() == [1.0, 1.0]


def test_rows_that_fill_no_share_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="too few"):
        _train(tmp_path, "pretrain.batch_rows=64")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    trained = _train(target, *sys.argv[2:])
    if processes().is_main:
        torch.save(trained.state_dict(), target / "result.pt")
        (target / "processes").write_text(str(processes().count))
    processes().wait()
    torch.distributed.destroy_process_group()
