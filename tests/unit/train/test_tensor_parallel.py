"""Layers cut across processes learn what whole ones learn, and are saved whole."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine.model.transformer import Transformer
from tests.support.launched_training import SHAPES, StopHereError, assert_equal, train_launched, train_small
from tests.support.tiny_network import TINY
from train.checkpoint import newest_step
from train.config import load
from train.errors import RunError
from train.loop import CHECKPOINTS
from train.metrics import read_metrics
from train.optimizer import OptimizerSettings
from train.parallel import place
from train.tensor_parallel import check_cut

CUT = ("machine.parallel=fsdp", "machine.tensor_parallel=2")
LAYOUTS = {
    "one copy": (2, ()),
    "micro-batches, layers computed again": (
        2,
        ("machine.micro_batch_tokens=24", "machine.gradient_checkpointing=true"),
    ),
    "two copies that read different rows": (4, ()),
}


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layers_that_are_cut_learn_what_whole_ones_learn(layout: str, tmp_path: Path) -> None:
    count, options = LAYOUTS[layout]
    alone = train_small(tmp_path / "alone")
    together = train_launched(tmp_path / "together", *CUT, *options, count=count)
    one, many = read_metrics(tmp_path / "alone"), read_metrics(tmp_path / "together")
    assert len(one) == len(many) == 8
    for field in ("loss", "gradient_norm", "held_out_loss"):
        for first, second in zip(one, many, strict=True):
            assert second.get(field) == pytest.approx(first.get(field), rel=1e-5, abs=1e-5), field
    assert_equal(alone, together)


@pytest.mark.slow
def test_a_run_of_whole_layers_goes_on_with_cut_ones_and_the_other_way_round(tmp_path: Path) -> None:
    whole = train_small(tmp_path / "whole")
    with pytest.raises(StopHereError):
        train_small(tmp_path / "one", stop_at=4)
    assert newest_step(tmp_path / "one" / CHECKPOINTS) == 3
    assert_equal(whole, train_launched(tmp_path / "one", *CUT))
    train_launched(tmp_path / "two", *CUT, "pretrain.tokens=480")
    first = train_small(tmp_path / "first", "pretrain.tokens=480")
    assert_equal(first, train_small(tmp_path / "two", "pretrain.tokens=480"))


@pytest.mark.parametrize(
    ("shape", "parts", "processes", "advice"),
    [
        (SHAPES["experts"], 2, 2, "share a DeepSeek-V2 shape out with"),
        (TINY, 2, 3, "needs a multiple of 2 processes, not 3"),
        (TINY, 4, 4, "2 key heads and a feed-forward of 64"),
        (replace(TINY, intermediate_size=33), 2, 2, "feed-forward of 33"),
    ],
)
def test_what_cannot_be_cut_is_refused(shape: object, parts: int, processes: int, advice: str) -> None:
    with pytest.raises(RunError, match=advice):
        check_cut(Transformer(shape), parts, processes=processes)


@pytest.mark.parametrize("options", [("machine.parallel=ddp",), ("machine.parallel=fsdp", "machine.expert_parallel=2")])
def test_what_cuts_do_not_go_with_is_refused(options: tuple[str, ...]) -> None:
    machine = load("tiny_cpu", ["machine.tensor_parallel=2", *options]).machine
    network = Transformer(SHAPES["experts"] if len(options) > 1 else TINY)
    with pytest.raises(RunError, match=r"machine\.tensor_parallel needs"):
        place(network, machine, OptimizerSettings())
