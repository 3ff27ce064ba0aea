"""A reward model's loss is that of the formula, and what it learns from pairs holds for answers it has not seen."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.model.transformer import Transformer
from tests.support.small_functions import MACHINE
from tests.support.tiny_network import TINY
from train.alignment.tasks import CodeTask
from train.config import RewardModelConfig
from train.errors import CorpusError
from train.rewards import Answer, Verdict
from train.stages.reward_model import Pair, PairBatches, PairObjective, RewardModel, pairs_of, train_reward_model

END, GOOD = 1, 5
RECIPE = RewardModelConfig(
    learning_rate=3e-3, warmup_steps=5, answers_per_prompt=4, pairs_per_prompt=4, batch_pairs=8, passes=8
)


def _network() -> Transformer:
    network = Transformer(TINY)
    network.initialise(torch.Generator().manual_seed(0))
    return network


def _pairs(count: int, seed: int) -> list[Pair]:
    """Return answers of random length; the better of two holds the token `GOOD` somewhere."""
    chance, pairs = np.random.default_rng(seed), []
    for _ in range(count):
        better, worse = (chance.integers(6, 64, chance.integers(4, 20)).tolist() for _ in range(2))
        better[chance.integers(len(better))] = GOOD
        pairs.append(Pair(better=[*better, END], worse=[*worse, END]))
    return pairs


def test_the_loss_is_that_of_bradley_and_terry() -> None:
    network, pairs = _network(), _pairs(6, 0)
    batch = PairBatches(pairs=pairs, batch_pairs=6, passes=1, end=END, seed=0).batch(0)
    loss = PairObjective(network, end=END)(torch.from_numpy(batch.ids), torch.from_numpy(batch.targets))
    model, total = RewardModel(network=network, end=END), 0.0
    for pair in pairs:
        with torch.no_grad():
            better, worse = (float(network(torch.tensor([row]))[0, -1, END]) for row in (pair.better, pair.worse))
        assert model.score([pair.better, pair.worse]) == pytest.approx([better, worse], abs=1e-5)
        total -= math.log(1 / (1 + math.exp(worse - better)))
    assert float(loss.detach()) / 2 == pytest.approx(total, rel=1e-5)


def test_an_answer_that_was_cut_off_is_scored_as_if_it_had_ended() -> None:
    model = RewardModel(network=_network(), end=END)
    assert model.score([[7, 8, 9]]) == model.score([[7, 8, 9, END]])


def test_what_is_learned_from_pairs_holds_for_others(tmp_path: Path) -> None:
    network = train_reward_model(
        _network(), _pairs(100, 1), RECIPE, MACHINE, tmp_path, end=END, seed=0, on_step=lambda metric: None
    )
    model, others = RewardModel(network=network, end=END), _pairs(100, 2)
    better, worse = (np.array(model.score([getattr(pair, side) for pair in others])) for side in ("better", "worse"))
    assert (better > worse).mean() > 0.8


def test_pairs_are_answers_of_unlike_worth_to_one_task() -> None:
    task = CodeTask(instruction="x", tests=("a", "b"))
    kinds = {
        10: (True, (True, True)),
        11: (True, (True, False)),
        12: (True, (False, False)),
        13: (False, (False, False)),
    }
    answers = [Answer(task=task, text="", prompt=[2], ids=[first]) for first in (10, 11, 12, 13, 11)]
    verdicts = [Verdict(compiles=kinds[first][0], passed=kinds[first][1]) for first in (10, 11, 12, 13, 11)]
    pairs = pairs_of(answers, verdicts, END, most=100, chance=np.random.default_rng(0))
    found = sorted((pair.better[1], pair.worse[1]) for pair in pairs)
    assert found == [(10, 11), (10, 12), (10, 13), (11, 12), (11, 13), (12, 13)]
    assert all(pair.better[-1] == pair.worse[-1] == END for pair in pairs)
    assert len(pairs_of(answers, verdicts, END, most=2, chance=np.random.default_rng(0))) == 2


def test_without_a_pair_there_is_nothing_to_learn(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"align\.reward=tests"):
        train_reward_model(_network(), [], RECIPE, MACHINE, tmp_path, end=END, seed=0, on_step=lambda metric: None)
