"""Function suites: what is asked, where answers are cut, and that running decides."""

import shutil
from pathlib import Path

import pytest

from tests.support.benchmark_data import HUMANEVAL, MBPP, write_rows
from train.errors import EvaluationError
from train.evaluate.functions import TOOLCHAINS, HumanEval, Mbpp, MbppPart, MultiplE
from train.evaluate.sandbox import Protection, Sandbox
from train.evaluate.suite import Continue, Task

SANDBOX = Sandbox()
needs_namespaces = pytest.mark.skipif(
    SANDBOX.protection is not Protection.NAMESPACES, reason="compilers need a sandbox with namespaces"
)


def question(task: Task) -> Continue:
    assert isinstance(task.question, Continue)
    return task.question


@pytest.fixture
def humaneval(tmp_path: Path) -> HumanEval:
    return HumanEval(write_rows(tmp_path / "HumanEval.jsonl.gz", [HUMANEVAL]), SANDBOX)


def test_humaneval_asks_for_what_follows_the_stripped_prompt(humaneval: HumanEval) -> None:
    (task,) = humaneval.tasks()
    assert question(task).prompt == 'def double(x):\n    """Twice x."""'
    assert question(task).max_tokens == 500


@pytest.mark.parametrize(
    "more",
    [
        "\ndef other(): pass",
        "\nclass A: pass",
        "\nif __name__ == '__main__': 1/0",
        "\n# done",
        "\nprint(double(3) / 0)",
    ],
)
def test_humaneval_cuts_at_the_next_top_level_statement(humaneval: HumanEval, more: str) -> None:
    (task,) = humaneval.tasks()
    assert humaneval.cut(task, f"\n    return 2 * x{more}") == "\n    return 2 * x"


@pytest.mark.parametrize(
    ("completion", "passed"),
    [
        ("\n    return 2 * x\n", 1.0),
        ("\n    return x + x", 1.0),
        ("\n    return 3 * x\n", 0.0),
        ("\n    return 2 *", 0.0),
        ("", 0.0),
        ("\n    import sys; sys.exit(1)", 0.0),
    ],
)
def test_humaneval_runs_the_tests(humaneval: HumanEval, completion: str, passed: float) -> None:
    (task,) = humaneval.tasks()
    assert humaneval.judge(task, completion).metrics == {"pass": passed}


def test_mbpp_shows_tasks_2_to_4_and_asks_from_11_on(tmp_path: Path) -> None:
    suite = Mbpp(write_rows(tmp_path / "mbpp.jsonl", MBPP), SANDBOX)
    first, second = suite.tasks()
    assert (first.task_id, second.task_id) == ("Mbpp/11", "Mbpp/12")
    prompt = question(first).prompt
    assert [f"adds {number}." in prompt for number in (1, 2, 3, 4, 5, 11)] == [False, True, True, True, False, True]
    assert prompt.count("[DONE]\n") == 3
    assert prompt.endswith("assert add(1) == 12\nassert add(0) == 11\n[BEGIN]\n")


def test_mbpp_runs_the_asserts(tmp_path: Path) -> None:
    suite = Mbpp(write_rows(tmp_path / "mbpp.jsonl", MBPP), SANDBOX, part=MbppPart.ALL)
    assert len(suite.tasks()) == len(MBPP)
    task = suite.tasks()[0]
    right = suite.cut(task, "def add(x):\n    return x + 1\n[DONE]\n\nYou are an expert")
    assert right == "def add(x):\n    return x + 1\n"
    assert suite.judge(task, right).metrics["pass"] == 1
    assert suite.judge(task, "def add(x):\n    return x + 2\n").metrics["pass"] == 0


PROGRAMS = {
    "cpp": (
        "#include<cassert>\nlong twice(long x) {\n",
        "}\nint main() {\n    assert(twice(2) == 4);\n}\n",
        ["\n}"],
        "\n    return 2 * x;",
    ),
    "java": (
        "import java.util.*;\nimport org.javatuples.*;\nclass Problem {\n    public static long twice(long x) {\n",
        "    }\n    public static void main(String[] args) {\n    assert(twice(2l) == 4l);\n    }\n\n}\n",
        ["\n    }\n"],
        "\n        return 2 * x;",
    ),
    "js": (
        "function twice(x){\n",
        "const assert = require('node:assert');\nassert.deepEqual(twice(2), 4);",
        ["\nfunction "],
        "\n    return 2 * x;\n}",
    ),
    "rs": (
        "fn twice(x: isize) -> isize {\n",
        "}\n\nfn main() {\n    assert_eq!(twice(2), 4);\n}\n",
        ["\n}"],
        "\n    2 * x",
    ),
    "sh": (
        "#!/bin/bash\ntwice() {\n",
        '}\n\nset -e\n[[ $(twice 2) = "4" ]]\n',
        ["\n}"],
        "\n    echo $((2 * $1))",
    ),
}


@needs_namespaces
@pytest.mark.slow
@pytest.mark.parametrize("language", PROGRAMS)
def test_multipl_e_builds_and_runs_right_and_wrong_programs(tmp_path: Path, language: str) -> None:
    missing = [command for command in TOOLCHAINS[language].needs if shutil.which(command) is None]
    if missing:
        pytest.skip(f"{missing[0]} is not installed")
    prompt, test, stops, solution = PROGRAMS[language]
    row = {"task_id": "twice", "prompt": prompt, "test": test, "stop_tokens": stops}
    suite = MultiplE(language, write_rows(tmp_path / f"humaneval-{language}.jsonl", [row]), SANDBOX)
    (task,) = suite.tasks()
    closed = f"{solution}\n    }}\n" if language == "java" else f"{solution}\n}}\n" if "\n}" in stops else solution
    right = suite.judge(task, suite.cut(task, f"{closed}\nfunction more() {{"))
    assert right.metrics["pass"] == 1, right.reason
    assert suite.judge(task, solution.replace("2 *", "3 *")).metrics["pass"] == 0
    assert suite.judge(task, " !!").metrics["pass"] == 0


def test_multipl_e_counts_what_cannot_be_asked_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"task_id": "twice", "prompt": "p", "test": "t", "stop_tokens": []}
    folder = write_rows(tmp_path / "humaneval-php.jsonl", [row, row])
    monkeypatch.setenv("PATH", str(tmp_path))
    suite = MultiplE("php", folder, SANDBOX)
    assert suite.tasks() == []
    assert suite.skipped == {"php is not installed": 2}


def test_data_of_another_shape_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="holds none of HumanEval"):
        HumanEval(tmp_path, SANDBOX)
    folder = write_rows(tmp_path / "HumanEval.jsonl", [{"task_id": "x"}])
    with pytest.raises(EvaluationError, match="row 0: no field 'prompt'"):
        HumanEval(folder, SANDBOX)
    (tmp_path / "HumanEval.jsonl").write_text("{")
    with pytest.raises(EvaluationError, match="is broken"):
        HumanEval(folder, SANDBOX)
