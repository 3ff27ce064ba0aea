"""GRPO as a stage: what it draws, when it leaves the weights alone, and that it can be broken off."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.model.transformer import Transformer
from tests.support.small_functions import MACHINE, RECIPE, Course, samples
from train.alignment.sampling import EngineSampler, VllmSampler
from train.alignment.tasks import CodeTask
from train.errors import CorpusError, RunError
from train.metrics import Metric, read_metrics
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


def _align(folder: Path, rewards: Any, tasks: Sequence[CodeTask] = TASKS, stop_at: int = 0, **changes: Any) -> Any:
    def stop(metric: Metric) -> None:
        if metric.step == stop_at:
            raise KeyboardInterrupt

    recipe, machine = replace(QUICK, **changes), replace(MACHINE, checkpoint_minutes=0.0)
    return align(
        COURSE.network(), tasks, COURSE.words, COURSE.dialogue, rewards, recipe, machine, folder, seed=3, on_step=stop
    )


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
