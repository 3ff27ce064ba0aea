"""Two processes that share a batch end with the weights of one that has it alone, and go on from each other."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from tests.support.launched_training import StopHereError, assert_equal, train_launched, train_small
from train.checkpoint import newest_step
from train.errors import RunError
from train.loop import CHECKPOINTS
from train.processes import processes

ACCELERATE = ("accelerate.commands.launch", "--multi_gpu", "--num_machines=1",
              "--main_process_port=0", "--mixed_precision=no", "--dynamo_backend=no")  # fmt: skip


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
    alone = train_small(tmp_path / "alone")
    together = train_launched(tmp_path / "together", *LAYOUTS[layout])
    assert_equal(alone, together)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("deepspeed") is None, reason="DeepSpeed is not installed: pip install midfill[deepspeed]")
def test_deepspeed_trains_and_goes_on_as_one_process_does(tmp_path: Path) -> None:
    alone = train_small(tmp_path / "alone")
    options = ("machine.parallel=deepspeed", "machine.micro_batch_tokens=24")
    assert_equal(alone, train_launched(tmp_path / "together", *options))
    shutil.rmtree(tmp_path / "together" / CHECKPOINTS / "step-00000008")
    assert_equal(alone, train_launched(tmp_path / "together", *options))


@pytest.mark.slow
def test_accelerate_launch_starts_the_same_training(tmp_path: Path) -> None:
    alone = train_small(tmp_path / "alone")
    assert_equal(alone, train_launched(tmp_path / "together", launcher=ACCELERATE))


@pytest.mark.slow
def test_a_run_of_one_process_goes_on_in_two_and_the_other_way_round(tmp_path: Path) -> None:
    whole = train_small(tmp_path / "whole")
    with pytest.raises(StopHereError):
        train_small(tmp_path / "one", stop_at=4)
    assert newest_step(tmp_path / "one" / CHECKPOINTS) == 3
    assert_equal(whole, train_launched(tmp_path / "one", "machine.parallel=fsdp"))
    train_launched(tmp_path / "two", "machine.parallel=fsdp", "pretrain.tokens=480")
    assert newest_step(tmp_path / "two" / CHECKPOINTS) == 5
    first = train_small(tmp_path / "first", "pretrain.tokens=480")
    assert_equal(first, train_small(tmp_path / "two", "pretrain.tokens=480"))


def test_a_process_alone_needs_no_others() -> None:
    assert processes().is_main
    assert processes().count == 1
    processes().wait()
    assert processes().add(torch.ones(2)).tolist() == [1.0, 1.0]


def test_rows_that_fill_no_share_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="too few"):
        train_small(tmp_path, "pretrain.batch_rows=64")
