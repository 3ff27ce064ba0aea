"""Holes in a repository: lines compared, function bodies judged by the repository's own tests."""

from pathlib import Path

import pytest

from train.errors import EvaluationError
from train.evaluate.repository_suites import RepositoryLines, RepositoryTests
from train.evaluate.sandbox import Protection, Sandbox
from train.evaluate.suite import Infill

SHOP = '''"""A shop."""


def total(prices):
    """Add up."""
    result = 0
    for price in prices:
        result += price
    return result


def never_tested(x):
    y = x + 1
    return y
'''
TEST = "from shop import total\n\nassert total([1, 2]) == 3\nprint('ok')\n"
COMMAND = "python3 test_shop.py"
needs_namespaces = pytest.mark.skipif(
    Sandbox().protection is not Protection.NAMESPACES, reason="a repository's tests need a sandbox with namespaces"
)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    root.mkdir()
    (root / "shop.py").write_text(SHOP)
    (root / "test_shop.py").write_text(TEST)
    return root


@needs_namespaces
def test_bodies_are_judged_by_the_repository_s_own_tests(repository: Path) -> None:
    suite = RepositoryTests(repository, Sandbox(), command=COMMAND, count=5, seed=1)
    (task,) = suite.tasks()
    assert task.task_id == "shop.py::total"
    assert suite.skipped == {"no test notices that the body is missing": 1}
    assert isinstance(task.question, Infill)
    assert task.truth is not None
    assert task.question.prefix + task.truth + task.question.suffix == SHOP
    assert suite.judge(task, task.truth).metrics == {"pass": 1, "exact match": 1}
    assert suite.judge(task, "return sum(prices)").metrics == {"pass": 1, "exact match": 0}
    assert suite.judge(task, "return max(prices)").metrics == {"pass": 0, "exact match": 0}
    assert (repository / "shop.py").read_text() == SHOP


@needs_namespaces
def test_answers_end_with_the_body(repository: Path) -> None:
    suite = RepositoryTests(repository, Sandbox(), command=COMMAND, count=1, seed=1)
    (task,) = suite.tasks()
    assert suite.cut(task, "x = 1\n\n    return x\n\n\ndef more():\n    pass") == "x = 1\n\n    return x"


@needs_namespaces
def test_a_repository_whose_tests_fail_is_refused(repository: Path) -> None:
    (repository / "test_shop.py").write_text("assert False, 'broken'")
    with pytest.raises(EvaluationError, match="fail as they are in the sandbox"):
        RepositoryTests(repository, Sandbox(), command=COMMAND, count=1, seed=1)


def test_line_holes_fit_the_file_and_never_bring_its_own_text(repository: Path) -> None:
    suite = RepositoryLines(repository, count=6, seed=1)
    assert len(suite.tasks()) == 6
    for task in suite.tasks():
        assert isinstance(task.question, Infill)
        assert task.truth is not None
        text = task.question.prefix + task.truth + task.question.suffix
        assert text == (repository / task.question.path).read_text()
        assert all(snippet.path != task.question.path for snippet in task.question.snippets)
        assert suite.judge(task, suite.cut(task, f"{task.truth}\nmore")).metrics["exact match"] == 1
        assert suite.judge(task, "wrong").metrics["exact match"] == 0
