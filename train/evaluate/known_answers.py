"""Models that do not think: they give the data's own solutions, or wrong ones, to prove that the evaluators judge."""

from collections.abc import Callable, Sequence

from train.errors import EvaluationError
from train.evaluate.suite import Continue, Infill, Question, Task


class KnownAnswers:
    """Answers each question with what a function says of its task."""

    def __init__(self, name: str, tasks: Sequence[Task], answer: Callable[[Task], str]) -> None:
        self.name = name
        self._answers = {task.question: answer(task) for task in tasks}

    def write(self, question: Question, *, temperature: float, seed: int) -> str:  # noqa: ARG002 - a protocol's
        """Return the known answer, the same at every temperature and seed."""
        return self._answers[question]


def right_answer(task: Task) -> str:
    """Return the data's own solution.

    Raises:
        EvaluationError: the data hold none.
    """
    if task.truth is None:
        raise EvaluationError(f"the data hold no solution of {task.task_id}")
    return task.truth


def wrong_answer(task: Task) -> str:
    """Return text that cannot be right: a program with it does not parse, and a comparison with it fails."""
    question = task.question
    if isinstance(question, Infill):
        return "!! not the code that stood here\n"
    assert isinstance(question, Continue)
    return ' "not what was asked for" !!\n'


def failing_answer(task: Task) -> str:
    """Return a program that parses and runs, and gives no right result."""
    if "entry_point" in task.row:
        return '\n    raise ValueError("wrong")\n'
    if "test_list" in task.row:
        return "assert False, 'wrong'\n"
    if "input" in task.row:
        return "f() == 'no such value'" if task.task_id.startswith("CRUXEval-I") else " 'no such value'"
    return "def solution():\n    return -987654321\n"
