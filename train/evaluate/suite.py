"""What a suite is: tasks that ask a model to write, a rule for cutting what it wrote, and a judge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from engine.api import Snippet


class Extent(Enum):
    """How far a model may write into a hole."""

    LINE = "line"
    """Up to the end of the cursor's line, as a language server asks."""
    END_MARK = "end mark"
    """Until the model says that the middle is complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Continue:
    """Asks for the text that comes next (left to right, no suffix)."""

    prompt: str
    context: str = ""
    """Stands before the prompt; a model with little room keeps the prompt's end first, then the context's start."""
    context_tokens: int = 512
    """Most that the context may take."""
    stop: tuple[str, ...] = ()
    """The answer ends before the first of these."""
    max_tokens: int = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Infill:
    """Asks for the text between prefix and suffix."""

    prefix: str
    suffix: str
    path: str = "solution.py"
    comment: str = "#"
    snippets: Sequence[Snippet] = ()
    extent: Extent = Extent.END_MARK
    max_tokens: int = 256


Question = Continue | Infill


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One thing to ask, and what is needed to judge the answer."""

    task_id: str
    question: Question
    truth: str | None
    """The answer in the data set, as a model should write it; None where the data hold only tests."""
    row: Mapping[str, Any] = field(default_factory=dict)
    """The data set's own fields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What one answer is worth."""

    metrics: Mapping[str, float]
    """0 to 1 each; `pass` becomes pass@k."""
    reason: str = ""
    """Why not, in one line."""


class Suite(Protocol):
    """A benchmark, loaded."""

    @property
    def name(self) -> str:
        """As in `--suite`."""

    @property
    def protocol(self) -> str:
        """One line: prompt, extent, what is compared; scores are only comparable under equal protocols."""

    @property
    def skipped(self) -> Mapping[str, int]:
        """Reason → tasks of the data set that cannot be asked here."""

    def tasks(self) -> Sequence[Task]:
        """Return the tasks in the data set's order."""

    def cut(self, task: Task, text: str, /) -> str:
        """Return the part of what a model wrote that counts."""

    def judge(self, task: Task, completion: str, /) -> Judgement:
        """Judge one cut answer; called from several threads.

        Raises:
            SandboxError: programs cannot be run here.
        """


def before_first(text: str, stops: Sequence[str]) -> str:
    """Return `text` up to the earliest of `stops`."""
    ends = [found for stop in stops if (found := text.find(stop)) >= 0]
    return text[: min(ends)] if ends else text
