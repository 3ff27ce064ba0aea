"""DS-1000: data-science questions judged by running them against the libraries (Lai et al. 2022)."""

import ast
import importlib.util
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from train.evaluate.datasets import read_rows
from train.evaluate.sandbox import Sandbox, for_runtime
from train.evaluate.suite import Continue, Judgement, Task, before_first

_STOPS = ("</code>", "\n# SOLUTION END", "\nEND SOLUTION")
_SECONDS = 60.0


class Ds1000:
    """The questions whose libraries are installed; the others are counted as skipped."""

    name = "ds1000"
    protocol = "completion form, left to right to </code>, 512 new tokens; pass@k by the data's own tests, any version"

    def __init__(self, data: Path, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        rows = read_rows(data, ["ds1000.jsonl"], ("prompt", "reference_code", "metadata", "code_context"))
        skipped: Counter[str] = Counter()
        self._rows = [row for row in rows if not _misses(row, skipped)]
        self.skipped: Mapping[str, int] = skipped

    def tasks(self) -> Sequence[Task]:
        """Return the questions that can be run here."""
        return [
            Task(
                task_id=f"DS-1000/{row['metadata']['library']}/{row['metadata']['problem_id']}",
                question=Continue(prompt=row["prompt"], stop=_STOPS, max_tokens=512),
                truth=row["reference_code"],
                row=row,
            )
            for row in self._rows
        ]

    def cut(self, _task: Task, text: str) -> str:
        """Cut at the end of the code block."""
        return before_first(text, _STOPS)

    def judge(self, task: Task, completion: str) -> Judgement:
        """Run the data set's tests on the solution."""
        context = task.row["code_context"]
        program = f"{context}\ncode = {completion!r}\ntest_execution(code)\n"
        if "def test_string(" in context:
            program += "test_string(code)\n"
        limits = for_runtime(self._sandbox.limits, seconds=_SECONDS)
        outcome = self._sandbox.run_python(program, limits=limits, options=())
        library = task.row["metadata"]["library"]
        passed = float(outcome.passed)
        return Judgement(metrics={"pass": passed, f"pass, {library}": passed}, reason=outcome.reason)


def _misses(row: Mapping[str, Any], skipped: Counter[str]) -> bool:
    for name in sorted(_imports(row["code_context"]) | _imports(_inner(row["code_context"]))):
        if not _is_installed(name):
            skipped[f"{row['metadata']['library']}: {name} is not installed"] += 1
            return True
    return False


def _inner(context: str) -> str:
    """Return the program that the context keeps as a string and runs the solution in."""
    _, _, rest = context.partition('exec_context = r"""')
    return rest.partition('"""')[0].replace("[insert]", "")


_IMPORT = re.compile(r"^[ \t]*(?:import|from)[ \t]+(\w+)", re.MULTILINE)


@lru_cache(maxsize=4096)
def _imports(program: str) -> frozenset[str]:
    """Return the top-level modules that a program imports anywhere."""
    try:
        tree = ast.parse(program)
    except (SyntaxError, ValueError):  # a function whose body is the hole parses as nothing
        return frozenset(_IMPORT.findall(program))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return frozenset(name.partition(".")[0] for name in names if name)


@lru_cache(maxsize=256)
def _is_installed(name: str) -> bool:
    return name in sys.stdlib_module_names or importlib.util.find_spec(name) is not None
