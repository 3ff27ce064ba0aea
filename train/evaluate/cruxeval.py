"""CRUXEval: 800 small functions; predict the output of an input, or an input for an output (Gu et al. 2024)."""

import ast
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from train.evaluate.datasets import read_rows
from train.evaluate.functions import run_python
from train.evaluate.sandbox import Sandbox
from train.evaluate.suite import Continue, Judgement, Task, before_first

_EXAMPLES = (
    ("def f(words):\n    return {word: len(word) for word in words}", "['tea', 'milk']", "{'tea': 3, 'milk': 4}"),
    (
        "def f(text, count):\n    while count:\n        text = text[1:] + text[0]\n        count -= 1\n    return text",
        "'night', 2",
        "'ghtni'",
    ),
)
"""Worked examples for the prompt, ours; the paper's are others."""


class Direction(Enum):
    """What is to be predicted; the value is the paper's letter."""

    INPUT = "i"
    OUTPUT = "o"


class CruxEval:
    """One direction."""

    def __init__(self, direction: Direction, data: Path, sandbox: Sandbox) -> None:
        self.name = f"cruxeval-{direction.value}"
        self.protocol = "2-shot without reasoning, left to right, one line; pass@k by running the assertion"
        self._direction, self._sandbox = direction, sandbox
        self._rows = read_rows(data, ["cruxeval.jsonl"], ("id", "code", "input", "output"))
        self.skipped: Mapping[str, int] = {}

    def tasks(self) -> Sequence[Task]:
        """Return all tasks."""
        examples = "".join(self._assertion(*example, answered=example) for example in _EXAMPLES)
        return [
            Task(
                task_id=f"CRUXEval-{self._direction.name[0]}/{row['id']}",
                question=Continue(
                    prompt=examples + self._assertion(row["code"], row["input"], row["output"]),
                    stop=("\n",),
                    max_tokens=128,
                ),
                truth=f"f({row['input']}) == {row['output']}" if self._is_input else f" {row['output']}",
                row=row,
            )
            for row in self._rows
        ]

    def cut(self, _task: Task, text: str) -> str:
        """Cut at the end of the line."""
        return before_first(text, ("\n",))

    def judge(self, task: Task, completion: str) -> Judgement:
        """Check the answer by running the function; an answer that is no plain value is wrong."""
        answer = completion.strip()
        if self._is_input:
            answer = _call(answer)
            if not _is_call(answer):
                return Judgement(metrics={"pass": 0.0}, reason="the answer is no call of f")
            return self._check(task.row, f"{task.row['output']} == {answer}")
        if not _is_plain(answer):
            return Judgement(metrics={"pass": 0.0}, reason="the answer is no plain value")
        return self._check(task.row, f"({answer}) == f({task.row['input']})")

    @property
    def _is_input(self) -> bool:
        return self._direction is Direction.INPUT

    def _check(self, row: Mapping[str, Any], assertion: str) -> Judgement:
        return run_python(self._sandbox, f"{row['code']}\nassert {assertion}\n")

    def _assertion(self, code: str, given: str, result: str, *, answered: tuple[str, str, str] | None = None) -> str:
        """Return a function and the assertion about it, complete or up to where the model goes on."""
        if self._is_input:
            # The result stands first, so that what is asked for comes last.
            start = f"{code}\n\n# Find an input for which f returns {result}.\nassert "
            return start + (f"f({given}) == {result}\n\n\n" if answered else "")
        return f"{code}\n\nassert f({given}) ==" + (f" {result}\n\n\n" if answered else "")


def _call(answer: str) -> str:
    """Return the call at the start of `f(...) == ...`, or the text unchanged."""
    try:
        tree = ast.parse(answer, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return answer
    if isinstance(tree, ast.Compare) and isinstance(tree.left, ast.Call):
        return ast.get_source_segment(answer, tree.left) or answer
    return answer


def _is_call(answer: str) -> bool:
    try:
        tree = ast.parse(answer, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    if not (isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id == "f"):
        return False
    # Some inputs of the data are functions or use names of the program, so anything goes but asking `f` itself.
    parts = [*tree.args, *(keyword.value for keyword in tree.keywords)]
    inner = [node for part in parts for node in ast.walk(part)]
    return not any(isinstance(node, ast.Name) and node.id == "f" for node in inner)


def _is_plain(answer: str) -> bool:
    try:
        return _holds_values_only(ast.parse(answer, mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _holds_values_only(tree: ast.expr) -> bool:
    """Say whether an expression could not have called `f` itself: no name but a built-in type's or value's."""
    allowed = {"set", "dict", "list", "tuple", "frozenset", "bytearray", "bytes", "range", "float", "int", "str"}
    return all(not isinstance(node, ast.Name) or node.id in allowed for node in ast.walk(tree)) and not any(
        isinstance(node, ast.Lambda | ast.NamedExpr) for node in ast.walk(tree)
    )
