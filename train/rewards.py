"""What an answer is worth: its tests are run in the sandbox, or a model that learned from such runs judges it."""

import json
import os
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from train.alignment.tasks import CodeTask, code_of
from train.evaluate.sandbox import Sandbox

_INSIDE = Path(__file__).with_name("alignment") / "run_candidates.py"
_TOGETHER = 32
"""Answers that share one sandbox; starting one takes as long as running dozens of small answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the network wrote."""

    task: CodeTask
    text: str
    """Without the mark that ends it."""
    prompt: Sequence[int]
    """The ids of the request."""
    ids: Sequence[int]
    """The ids of the answer, its end mark included where the network wrote one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of running an answer."""

    compiles: bool
    passed: tuple[bool, ...]
    """For each test."""

    @property
    def share(self) -> float:
        """Of the tests passed."""
        return sum(self.passed) / len(self.passed)

    @property
    def solved(self) -> bool:
        """Whether every test passed."""
        return all(self.passed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What an answer is worth, and what came of running it."""

    reward: float
    verdict: Verdict


class Rewards(Protocol):
    """Gives answers their worth."""

    def score(self, answers: Sequence[Answer]) -> list[Scored]:
        """Return what each answer is worth, in their order."""


class Judge:
    """Runs answers against their tests."""

    def __init__(self, sandbox: Sandbox, *, seconds: int = 3) -> None:
        """Choose where.

        Args:
            sandbox: keeps the answers from the machine.
            seconds: of the processor for one answer with all its tests; twice that by the clock.
        """
        self._sandbox, self._seconds = sandbox, seconds

    def judge(self, answers: Sequence[Answer]) -> list[Verdict]:
        """Run every answer; one that does not end in time fails the tests it has not passed by then.

        Raises:
            SandboxError: the sandbox itself failed.
        """
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            parts = [answers[start : start + _TOGETHER] for start in range(0, len(answers), _TOGETHER)]
            found = threads.map(self._judge_together, parts)
            return [verdict for verdicts in found for verdict in verdicts]

    def _judge_together(self, answers: Sequence[Answer]) -> list[Verdict]:
        word = secrets.token_hex(16)
        candidates = [(_program(answer), answer.task.tests) for answer in answers]
        job = json.dumps({"word": word, "seconds": self._seconds, "candidates": candidates})
        limits = replace(self._sandbox.limits, seconds=self._sandbox.limits.seconds + 3 * self._seconds * len(answers))
        outcome = self._sandbox.run_python(
            _INSIDE.read_text(encoding="utf-8"), files={"candidates.json": job}, limits=limits
        )
        _, found, after = outcome.stdout.partition(word)
        if outcome.passed and found:
            return [Verdict(compiles=first, passed=tuple(rest)) for first, *rest in json.loads(after)]
        if len(answers) > 1:  # one of them brought the process down that runs them all
            return [verdict for answer in answers for verdict in self._judge_together([answer])]
        return [Verdict(compiles=False, passed=(False,) * len(answer.task.tests)) for answer in answers]


@dataclass(frozen=True, slots=True, kw_only=True)
class TestRewards:
    """The share of the tests that pass, and a little for an answer that compiles."""

    __test__ = False

    judge: Judge
    compile_reward: float
    """Of an answer that compiles and passes no test; one that passes them all gets 1."""

    def score(self, answers: Sequence[Answer]) -> list[Scored]:
        """See `Rewards`."""
        return [Scored(reward=self._worth(verdict), verdict=verdict) for verdict in self.judge.judge(answers)]

    def _worth(self, verdict: Verdict) -> float:
        return self.compile_reward * verdict.compiles + (1 - self.compile_reward) * verdict.share


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRewards:
    """A reward model's score (DeepSeek-Coder-V2, section 3.5); answers are run too, to tell what they really do."""

    scores: Callable[[Sequence[Sequence[int]]], list[float]]
    """Scores requests with their answers; see `train.stages.reward_model`."""
    judge: Judge

    def score(self, answers: Sequence[Answer]) -> list[Scored]:
        """See `Rewards`."""
        scores = self.scores([[*answer.prompt, *answer.ids] for answer in answers])
        verdicts = self.judge.judge(answers)
        return [Scored(reward=reward, verdict=verdict) for reward, verdict in zip(scores, verdicts, strict=True)]


def _program(answer: Answer) -> str:
    return f"{answer.task.setup}\n{code_of(answer.text)}\n"
