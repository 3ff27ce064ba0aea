"""GRPO as a stage: what it draws, when it leaves the weights alone, and that it can be broken off."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.model.config import TransformerConfig
from engine.model.transformer import Transformer
from tests.support.small_functions import (
    MACHINE,
    RECIPE,
    TUNING_STEPS,
    Course,
    paired_difference,
    pass_rates,
    practise,
    samples,
)
from tests.support.tiny_v2 import v2_shape
from train.alignment.sampling import EngineSampler, VllmSampler
from train.alignment.tasks import CodeTask
from train.errors import CorpusError, RunError
from train.metrics import Metric, read_metrics
from train.objective import IGNORED
from train.rewards import Answer, Scored, Verdict
from train.stages.align import align

COURSE = Course.build()
TASKS = [sample.task for sample in samples()[:20]]
QUICK = replace(RECIPE, steps=4, prompts_per_step=2, answers_per_prompt=4, max_tokens=8, kl=0.04)


class Length:
    """Rewards long answers, in place of tests that an untrained network never passes."""

    def score(self, answers: Sequence[Answer]) -> list[Scored]:
        """See `Rewards`."""
        return [_scored(float(len(set(answer.ids)))) for answer in answers]


class Equal:
    """Rewards every answer alike."""

    def score(self, answers: Sequence[Answer]) -> list[Scored]:
        """See `Rewards`."""
        return [_scored(0.7) for _ in answers]


def _scored(reward: float) -> Scored:
    return Scored(reward=reward, verdict=Verdict(compiles=False, passed=(False,)))


def _align(
    folder: Path,
    rewards: Any,
    tasks: Sequence[CodeTask] = TASKS,
    stop_at: int = 0,
    shape: TransformerConfig | None = None,
    **changes: Any,
) -> Any:
    def stop(metric: Metric) -> None:
        if metric.step == stop_at:
            raise KeyboardInterrupt

    recipe, machine = replace(QUICK, **changes), replace(MACHINE, checkpoint_minutes=0.0)
    network, dialogue = COURSE.network(shape), COURSE.dialogue
    return align(network, tasks, COURSE.words, dialogue, rewards, recipe, machine, folder, seed=3, on_step=stop)


def _differ(one: Transformer, other: Transformer) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return any(not torch.equal(weight, wanted) for weight, wanted in pairs)


@pytest.mark.parametrize("variant", ["token", "sequence"])
def test_without_advantage_the_weights_stay_as_they_are(tmp_path: Path, variant: str) -> None:
    assert not _differ(_align(tmp_path / "equal", Equal(), variant=variant), COURSE.network())
    assert _differ(_align(tmp_path / "unequal", Length(), variant=variant), COURSE.network())


def test_a_broken_run_ends_with_the_weights_of_an_unbroken_one(tmp_path: Path) -> None:
    straight = _align(tmp_path / "straight", Length(), updates=2)
    with pytest.raises(KeyboardInterrupt):  # in the middle of two updates on the same answers
        _align(tmp_path / "broken", Length(), updates=2, stop_at=4)
    assert not _differ(_align(tmp_path / "broken", Length(), updates=2), straight)
    fields = ("loss", "reward", "divergence")
    lines = [
        [{name: line[name] for name in fields} for line in read_metrics(tmp_path / name)]
        for name in ("straight", "broken")
    ]
    assert lines[0] == lines[1]
    assert lines[0][0]["divergence"] == 0
    assert lines[0][-1]["divergence"] > 0


SHAPES = {"DeepSeek-Coder's": None, "V2's": v2_shape(vocab_size=COURSE.network().config.vocab_size)}


@pytest.mark.parametrize("shape", SHAPES)
def test_answers_are_scored_with_the_probabilities_they_were_drawn_with(shape: str, tmp_path: Path) -> None:
    network = COURSE.network(SHAPES[shape])
    _align(tmp_path, Length(), shape=SHAPES[shape], steps=1, max_tokens=12)
    stored = np.load(tmp_path / "rollouts" / "00000000.npz")
    gains, old, _, weights = (stored[f"column{number}"] for number in range(4))
    for ids, targets, found in zip(stored["ids"], stored["targets"], old, strict=True):
        places = np.flatnonzero(targets != IGNORED)
        assert COURSE.words.decode(ids[1 : places[0]].tolist()) in {task.instruction for task in TASKS}
        assert targets[places[-1]] == COURSE.dialogue.end or len(places) == 12
        cache = network.new_cache(64)
        with torch.no_grad():
            logits = network.next_logits(torch.from_numpy(ids[None, : places[0] + 1]), cache)
            for place in places:
                drawn = targets[place]
                assert found[place] == pytest.approx(float(logits[0].log_softmax(-1)[drawn]), abs=1e-5)
                logits = network.next_logits(torch.tensor([[drawn]]), cache)
        assert not found[targets == IGNORED].any()
    # Every answer weighs the same; a group's advantages add up to nothing, so with ratios of 1 there is no loss yet.
    np.testing.assert_allclose(weights.sum(1), weights.sum(1).mean(), rtol=1e-6)
    np.testing.assert_allclose(gains[:, 0].reshape(-1, QUICK.answers_per_prompt).sum(1), 0, atol=1e-5)
    assert read_metrics(tmp_path)[0]["loss"] == pytest.approx(0, abs=1e-5)


@pytest.mark.slow
def test_practice_makes_a_network_write_better_functions(tmp_path: Path) -> None:
    every = samples()
    shown, practised, held_out = every[:100], every[:170], every[170:]
    tuned = COURSE.fine_tune(COURSE.network(), shown, tmp_path / "tuned", steps=TUNING_STEPS)
    aligned = practise(tuned, COURSE, practised, tmp_path / "aligned", RECIPE, seed=0)
    before, after = (pass_rates(network, COURSE, held_out, count=16) for network in (tuned, aligned))
    gain, error = paired_difference(before, after)
    print(f"{sum(before) / len(before):.1%} pass before, {gain:+.1%} after practice, standard error {error:.1%}")
    assert gain > 4 * error


def test_a_task_without_room_for_an_answer_is_left_out(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"lower align\.max_tokens"):
        _align(tmp_path, Equal(), [replace(TASKS[0], instruction="add " * 100)])


def test_answers_are_those_of_a_slow_loop_without_a_cache() -> None:
    network, ends = COURSE.network(), [COURSE.dialogue.end]
    prompt = COURSE.dialogue.prompt("add 3")
    vocab = COURSE.words.vocab_size
    found = EngineSampler(network, ends=ends, vocab_size=vocab, max_tokens=12).sample(prompt, count=5, seed=9)
    chance = torch.Generator().manual_seed(9)
    rows = [list(prompt) for _ in range(5)]
    for _ in range(max(map(len, found))):
        with torch.no_grad():
            logits = torch.stack([network(torch.tensor([row]))[0, -1, :vocab] for row in rows])
        for row, token in zip(rows, torch.multinomial(logits.softmax(-1), 1, generator=chance)[:, 0], strict=True):
            row.append(int(token))
    assert [row[len(prompt) :][: len(answer)] for row, answer in zip(rows, found, strict=True)] == found
    assert all(len(answer) == 12 or answer[-1] in ends for answer in found)


def test_vllm_that_is_not_installed_is_asked_for() -> None:
    with pytest.raises(RunError, match="pip install vllm"):
        VllmSampler("model", COURSE.network(), ends=[0], max_tokens=8)
