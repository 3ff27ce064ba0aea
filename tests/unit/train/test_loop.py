"""The loss guard: usual losses pass, spikes and losses that are no number are skipped, too many end the run."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.model.config import TransformerConfig
from engine.model.transformer import Transformer
from train.config import load
from train.errors import RunError
from train.loop import Batch, LoopSettings, LossGuard, train
from train.optimizer import OptimizerSettings
from train.schedule import Schedule


def _usual(steps: int) -> list[float]:
    return [float(value) for value in np.random.default_rng(0).normal(3.0, 0.05, steps)]


def test_a_spike_is_skipped_and_does_not_become_usual() -> None:
    guard = LossGuard(6.0)
    assert all(guard.admits(loss) for loss in _usual(200))
    assert not guard.admits(5.0)
    assert not guard.admits(5.0)
    assert guard.admits(3.1)


def test_a_falling_loss_is_no_spike() -> None:
    guard = LossGuard(6.0)
    assert all(guard.admits(10 * 0.99**step) for step in range(500))


def test_without_sigmas_only_what_is_no_number_is_skipped() -> None:
    guard = LossGuard(0.0)
    assert all(guard.admits(loss) for loss in [*_usual(100), 50.0])
    assert not guard.admits(math.nan)
    assert not guard.admits(math.inf)


def test_too_many_skipped_steps_end_the_run() -> None:
    guard = LossGuard(0.0)
    assert not any(guard.admits(math.nan) for _ in range(19))
    with pytest.raises(RunError, match="lower the learning rate"):
        guard.admits(math.nan)


def test_a_restored_guard_decides_alike() -> None:
    one, other = LossGuard(6.0), LossGuard(6.0)
    for loss in _usual(77):
        one.admits(loss)
    other.restore(json.loads(json.dumps(one.state())))
    assert one.state() == other.state()
    assert [one.admits(loss) for loss in (3.05, 3.9, 2.9)] == [other.admits(loss) for loss in (3.05, 3.9, 2.9)]


class _OneBadBatch:
    """Rows that count up, but for one step whose ids are noise."""

    steps, tokens_per_step = 300, 4 * 16

    def batch(self, step: int) -> Batch:
        chance = np.random.default_rng(step)
        rows = (chance.integers(0, 16, (4, 1)) + np.arange(17)) % 16
        if step == 280:
            rows = chance.integers(16, 64, (4, 17))
        return Batch(ids=rows[:, :-1], targets=rows[:, 1:])

    def held_out(self) -> list[Batch]:
        return []


def test_a_batch_that_spikes_does_not_reach_the_weights(tmp_path: Path) -> None:
    network = Transformer(
        TransformerConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=16,
            max_position_embeddings=32,
        )
    )
    network.initialise(torch.Generator().manual_seed(1))
    settings = LoopSettings(
        schedule=Schedule(shape="constant", peak=3e-3, steps=300),
        optimizer=OptimizerSettings(),
        machine=load("tiny_cpu").machine,
        spike_sigmas=6.0,
    )
    skipped = []
    train(network, _OneBadBatch(), settings, tmp_path, on_step=lambda metric: skipped.append(metric.skipped))
    assert [step for step, was in enumerate(skipped) if was] == [280]
