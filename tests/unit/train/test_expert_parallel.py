"""Experts shared out over processes: they learn what one process that holds them all learns, and are saved whole."""

from pathlib import Path

import pytest
import torch

from engine.model.experts import RoutedExperts
from tests.support.launched_training import (
    SHAPES,
    StopHereError,
    assert_equal,
    train_launched,
    train_small,
)
from train.checkpoint import newest_step
from train.config import load
from train.errors import RunError
from train.expert_parallel import share_out
from train.loop import CHECKPOINTS
from train.metrics import read_metrics
from train.optimizer import OptimizerSettings
from train.parallel import place
from train.stages.pretrain import untrained

SHARED_OUT = ("machine.expert_parallel=2", "pretrain.balance={expert_alpha=0.01}")
ALONE = SHARED_OUT[1:]
LAYOUTS = {
    "copies of the rest": (2, "experts", ("machine.parallel=ddp",)),
    "shards of the rest": (2, "experts", ("machine.parallel=fsdp",)),
    "micro-batches, layers computed again": (
        2,
        "grouped experts",
        ("machine.parallel=ddp", "machine.micro_batch_tokens=24", "machine.gradient_checkpointing=true"),
    ),
    "two copies of the experts": (4, "experts", ("machine.parallel=ddp",)),
    "shards of two copies of the experts": (4, "grouped experts", ("machine.parallel=fsdp",)),
}


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_experts_shared_out_learn_what_one_process_learns(layout: str, tmp_path: Path) -> None:
    count, shape, options = LAYOUTS[layout]
    alone = train_small(tmp_path / "alone", *ALONE, shape=shape)
    together = train_launched(tmp_path / "together", *SHARED_OUT, *options, shape=shape, count=count)
    one, many = read_metrics(tmp_path / "alone"), read_metrics(tmp_path / "together")
    assert len(one) == len(many) == 8
    for field in ("loss", "gradient_norm", "expert_load_max", "expert_load_histogram"):
        for first, second in zip(one, many, strict=True):
            assert second[field] == pytest.approx(first[field], rel=1e-5, abs=1e-5), field
    assert_equal(alone, together)


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_a_run_of_one_process_goes_on_with_experts_shared_out_and_the_other_way_round(
    tmp_path: Path, parallel: str
) -> None:
    options = (*SHARED_OUT, f"machine.parallel={parallel}")
    whole = train_small(tmp_path / "whole", *ALONE, shape="experts")
    with pytest.raises(StopHereError):
        train_small(tmp_path / "one", *ALONE, shape="experts", stop_at=4)
    assert newest_step(tmp_path / "one" / CHECKPOINTS) == 3
    assert_equal(whole, train_launched(tmp_path / "one", *options, shape="experts"))
    train_launched(tmp_path / "two", *options, "pretrain.tokens=480", shape="experts")
    first = train_small(tmp_path / "first", *ALONE, "pretrain.tokens=480", shape="experts")
    assert_equal(first, train_small(tmp_path / "two", *ALONE, "pretrain.tokens=480", shape="experts"))


@pytest.mark.parametrize(
    ("shape", "holders", "count", "advice"),
    [
        ("tiny", 2, 2, "needs a network with experts"),
        ("experts", 3, 6, "10 experts cannot be shared"),
        ("experts", 2, 3, "needs a multiple of 2 processes, not 3"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(shape: str, holders: int, count: int, advice: str) -> None:
    with pytest.raises(RunError, match=advice):
        share_out(untrained(SHAPES[shape], seed=0), holders, processes=count, device=torch.device("cpu"))


@pytest.mark.parametrize(("optimizer", "parallel"), [("muon", "ddp"), ("adamw", "deepspeed")])
def test_what_needs_whole_experts_is_refused(optimizer: str, parallel: str) -> None:
    machine = load("tiny_cpu", ["machine.expert_parallel=2", f"machine.parallel={parallel}"]).machine
    settings = OptimizerSettings(name="muon" if optimizer == "muon" else "adamw")
    with pytest.raises(RunError, match="=ddp or fsdp, and"):
        place(untrained(SHAPES["experts"], seed=0), machine, settings)


def test_without_the_setting_every_process_has_all_experts() -> None:
    network = untrained(SHAPES["experts"], seed=0)
    assert load("tiny_cpu").machine.expert_parallel == 1
    assert all(type(network.layers[layer].mlp.experts) is RoutedExperts for layer in network.config.expert_layers)
