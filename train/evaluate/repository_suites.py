"""Holes in a repository of your own: lines by exact match, and functions by the repository's own tests."""

import ast
import random
import re
import shlex
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from repo_context.repository import Repository
from repo_context.snippet import Cursor
from train.data.document import SourceDocument
from train.errors import EvaluationError
from train.evaluate.datasets import read_repository
from train.evaluate.repository_holes import HoleKind, RepositoryHole, draw_holes, edit_similarity, is_exact
from train.evaluate.sandbox import Limits, Sandbox, for_runtime
from train.evaluate.suite import Extent, Infill, Judgement, Task

_SNIPPET_TOKENS = 300
_CHARACTERS_PER_TOKEN = 3
_TEST_FILE = re.compile(r"(^|/)(tests?/|test_[^/]*$|conftest\.py$|[^/]*_test\.py$)")
PYTEST = f"{shlex.quote(sys.executable)} -m pytest -x -q -p no:cacheprovider"
"""The default command; it exits with 0 when all tests pass."""


class RepositoryLines:
    """Next-line and mid-line holes, with the snippets that the language server would send."""

    name = "repository-lines"
    protocol = (
        "rest of a line, half of the holes on fresh lines, half inside one; the repository's snippets; exact match"
    )

    def __init__(self, repository: Path, *, count: int, seed: int) -> None:
        """Read the repository; `count` holes are drawn."""
        documents = read_repository(repository, "python")
        self.skipped: Mapping[str, int] = {}
        drawn = {kind: draw_holes(documents, kind, -(-count // 2), seed) for kind in HoleKind}
        with (
            tempfile.TemporaryDirectory() as index,
            Repository.open(repository, index_folder=Path(index)) as opened,
        ):
            self._tasks = [
                _line_task(opened, hole, number) for holes in drawn.values() for number, hole in enumerate(holes)
            ][:count]

    def tasks(self) -> Sequence[Task]:
        """Return the holes."""
        return self._tasks

    def cut(self, _task: Task, text: str) -> str:
        """Return the first line."""
        return text.partition("\n")[0]

    def judge(self, task: Task, completion: str) -> Judgement:
        """Compare with what stood there."""
        exact = float(is_exact(completion, task.truth or ""))
        similarity = edit_similarity(completion, task.truth or "")
        return Judgement(
            metrics={"exact match": exact, f"exact match, {task.row['kind']}": exact, "edit similarity": similarity}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Body:
    document: SourceDocument
    name: str
    start: int
    end: int


class RepositoryTests:
    """Bodies of functions taken out, and the repository's own tests to judge what a model puts there."""

    name = "repository-tests"

    def __init__(self, repository: Path, sandbox: Sandbox, *, command: str, count: int, seed: int) -> None:
        """Find functions that the tests depend on.

        Args:
            repository: its tests must pass as it stands, in the sandbox (no network).
            sandbox: every judgement runs the tests on a copy of the repository in it.
            command: runs the tests, for `sh`; exits with 0 when they pass.
            count: functions to find.
            seed: of the choice.

        Raises:
            EvaluationError: the tests fail already.
            SandboxError: programs cannot be run here.
        """
        self.protocol = f"whole function bodies; pass@k by `{command}` on a copy of the repository"
        self._repository, self._sandbox, self._command = repository.resolve(), sandbox, command
        self._limits = _test_limits(sandbox.limits)
        before = self._run_tests({})
        if before != "passed":
            raise EvaluationError(f"the tests of {repository} fail as they are in the sandbox ({before})")
        skipped: Counter[str] = Counter()
        self._tasks = self._find(count, seed, skipped)
        self.skipped: Mapping[str, int] = skipped

    def tasks(self) -> Sequence[Task]:
        """Return the functions; without its body, each of them breaks the tests."""
        return self._tasks

    def cut(self, task: Task, text: str) -> str:
        """Return the text up to the first line that is indented less than the body and so is none of it."""
        indent = task.row["indent"]
        kept: list[str] = []
        for number, line in enumerate(text.split("\n")):
            if number and line.strip() and len(line) - len(line.lstrip()) < indent:
                break
            kept.append(line)
        return "\n".join(kept).rstrip()

    def judge(self, task: Task, completion: str) -> Judgement:
        """Put the body in and run the tests."""
        question = task.question
        assert isinstance(question, Infill)
        reason = self._run_tests({question.path: f"{question.prefix}{completion}{question.suffix}"})
        exact = float(is_exact(completion, task.truth or ""))
        return Judgement(metrics={"pass": float(reason == "passed"), "exact match": exact}, reason=reason)

    def _find(self, count: int, seed: int, skipped: Counter[str]) -> list[Task]:
        documents = read_repository(self._repository, "python")
        bodies = [body for document in documents if not _TEST_FILE.search(document.path) for body in _bodies(document)]
        random.Random(seed).shuffle(bodies)
        tasks: list[Task] = []
        for body in bodies:
            if len(tasks) == count:
                break
            task = _body_task(body)
            question = task.question
            assert isinstance(question, Infill)
            broken = f"{question.prefix}raise NotImplementedError{question.suffix}"
            if self._run_tests({question.path: broken}) == "passed":
                skipped["no test notices that the body is missing"] += 1
            else:
                tasks.append(task)
        return tasks

    def _run_tests(self, files: Mapping[str, str]) -> str:
        outcome = self._sandbox.run(
            ["sh", "-c", self._command],
            files=files,
            copies={".": self._repository},
            limits=self._limits,
            environment={"PYTHONDONTWRITEBYTECODE": "1"},
        )
        return outcome.reason


def _test_limits(limits: Limits) -> Limits:
    return for_runtime(limits, seconds=120)


def _line_task(repository: Repository, hole: RepositoryHole, number: int) -> Task:
    cursor = Cursor(path=hole.path, prefix=hole.prefix, suffix=hole.suffix)
    snippets = repository.snippets_for(
        cursor, budget=_SNIPPET_TOKENS, count_tokens=lambda text: len(text) // _CHARACTERS_PER_TOKEN + 1
    )
    question = Infill(
        prefix=hole.prefix,
        suffix=hole.suffix,
        path=hole.path,
        comment=hole.comment,
        snippets=snippets,
        extent=Extent.LINE,
        max_tokens=64,
    )
    return Task(
        task_id=f"{hole.kind.value}/{number}/{hole.path}",
        question=question,
        truth=hole.truth,
        row={"kind": hole.kind.value},
    )


def _bodies(document: SourceDocument) -> list[_Body]:
    """Return the functions of a file whose body is two lines or longer, docstring aside."""
    try:
        tree = ast.parse(document.text)
    except (SyntaxError, ValueError):
        return []
    starts = [0]
    for line in document.text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        statements = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
        if not statements or statements[-1].end_lineno is None:
            continue
        first, last = statements[0], statements[-1].end_lineno
        if last - first.lineno < 1 or first.lineno == node.lineno:
            continue
        start = starts[first.lineno - 1] + first.col_offset
        if document.text[starts[first.lineno - 1] : start].strip():
            continue  # a semicolon, or characters of several bytes: columns cannot be trusted
        end = starts[last] - 1
        found.append(_Body(document=document, name=node.name, start=start, end=end))
    return found


def _body_task(body: _Body) -> Task:
    text = body.document.text
    prefix = text[: body.start]
    return Task(
        task_id=f"{body.document.path}::{body.name}",
        question=Infill(
            prefix=prefix,
            suffix=text[body.end :],
            path=body.document.path,
            comment=body.document.comment,
            max_tokens=512,
        ),
        truth=text[body.start : body.end],
        row={"indent": len(prefix) - prefix.rfind("\n") - 1},
    )
