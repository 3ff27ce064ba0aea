"""Needles: there once, at their depth, in prompts of the asked length."""

from pathlib import Path

import pytest

from train.errors import EvaluationError
from train.evaluate.needle import DEPTHS, LONG_LENGTHS, Needle
from train.evaluate.suite import Continue


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for number in range(20):
        lines = [f"def function_{number}_{line}():\n    return {line}\n" for line in range(30)]
        (tmp_path / f"module_{number}.py").write_text("\n".join(lines))
    return tmp_path


def test_every_needle_is_there_once_at_its_depth_and_length(repository: Path) -> None:
    suite = Needle(repository, lengths=(1000, 4000), each=2, seed=3)
    tasks = suite.tasks()
    assert len(tasks) == 2 * len(DEPTHS) * 2
    for task in tasks:
        assert isinstance(task.question, Continue)
        prompt = task.question.prompt
        name = prompt.rpartition("assert ")[2].partition(" ")[0]
        needle = f'{name} = "{task.truth}"\n'
        assert prompt.count(needle) == 1
        assert prompt.endswith(f'{name} == "')
        assert len(prompt) == task.row["length"]
        place = prompt.index(needle)
        assert prompt[:place].endswith("\n") or place == 0
        assert place / task.row["length"] == pytest.approx(task.row["depth"], abs=0.15)


def test_needles_depend_on_the_seed_alone(repository: Path) -> None:
    one, same, other = (Needle(repository, lengths=(1000,), seed=seed).tasks() for seed in (1, 1, 2))
    assert one == same != other


@pytest.mark.parametrize(("offset", "found"), [('"', 1), ('" and more\nlines', 1), ("", 1), ("x", 0)])
def test_the_value_must_be_whole(repository: Path, offset: str, found: float) -> None:
    suite = Needle(repository, lengths=(1000,), each=1)
    task = suite.tasks()[0]
    metrics = suite.judge(task, suite.cut(task, f"{task.truth}{offset}")).metrics
    assert metrics == {"found": found, "found, 1,000 characters": found, "found, depth 0.00": found}


def test_a_repository_too_small_for_the_longest_prompt_is_refused(repository: Path) -> None:
    with pytest.raises(EvaluationError, match="too little Python source"):
        Needle(repository, lengths=(10_000_000,))


def test_long_prompts_of_128_thousand_tokens_hold_their_needles_at_every_depth(tmp_path: Path) -> None:
    for number in range(60):
        lines = [f"def function_{number}_{line}():\n    return {line}\n" for line in range(200)]
        (tmp_path / f"module_{number}.py").write_text("\n".join(lines))
    tasks = Needle(tmp_path, lengths=LONG_LENGTHS, each=1).tasks()
    assert [task.row["length"] for task in tasks] == [length for length in LONG_LENGTHS for _ in DEPTHS]
    for task in tasks:
        assert isinstance(task.question, Continue)
        assert task.question.prompt.count(task.truth) == 1
