"""DS-1000: questions run against the installed libraries, and those without are counted."""

from pathlib import Path
from typing import Any

from tests.support.benchmark_data import write_rows
from train.evaluate.ds1000 import Ds1000
from train.evaluate.sandbox import Sandbox

CONTEXT = '''
import numpy as np

exec_context = r"""
import numpy as np
a = test_input
[insert]
"""

def test_execution(solution):
    code = exec_context.replace("[insert]", solution)
    env = {"test_input": np.array([1, 2, 3])}
    exec(code, env)
    assert env["result"] == 6

def test_string(solution):
    assert "for" not in solution
'''


def row(library: str, context: str) -> dict[str, Any]:
    return {
        "prompt": "Problem: sum a.\nBEGIN SOLUTION\n<code>\n",
        "reference_code": "result = a.sum()",
        "metadata": {"library": library, "problem_id": 7},
        "code_context": context,
    }


def test_answers_run_against_the_library_and_the_data_s_rules(tmp_path: Path) -> None:
    suite = Ds1000(write_rows(tmp_path / "ds1000.jsonl", [row("Numpy", CONTEXT)]), Sandbox())
    (task,) = suite.tasks()
    assert task.task_id == "DS-1000/Numpy/7"
    assert task.truth is not None
    right = suite.judge(task, suite.cut(task, f"{task.truth}\n</code>\nEND SOLUTION"))
    assert right.metrics == {"pass": 1, "pass, Numpy": 1}, right.reason
    assert suite.judge(task, "result = a.max()").metrics["pass"] == 0
    loop = "result = 0\nfor x in a: result += x"
    assert suite.judge(task, loop).metrics["pass"] == 0


def test_questions_without_their_library_are_counted_not_asked(tmp_path: Path) -> None:
    outer = CONTEXT.replace("import numpy as np\n\nexec", "import no_such_library\n\nexec")
    inner = CONTEXT.replace("import numpy as np\na =", "from other_library.deep import x\na =")
    body = inner.replace("[insert]", "def solve(a):\n[insert]\nresult = solve(a)")
    suite = Ds1000(write_rows(tmp_path / "ds1000.jsonl", [row("A", outer), row("B", inner), row("B", body)]), Sandbox())
    assert suite.tasks() == []
    assert suite.skipped == {"A: no_such_library is not installed": 1, "B: other_library is not installed": 2}
