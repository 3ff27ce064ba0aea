"""Whole functions from a description, judged by running them: HumanEval, MBPP and MultiPL-E."""

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any

from train.evaluate.datasets import read_rows
from train.evaluate.sandbox import Limits, Sandbox, for_runtime
from train.evaluate.suite import Continue, Judgement, Task, before_first

PYTHON_STOPS = ("\ndef", "\nclass", "\nif", "\n#", "\nprint")
"""What ends a Python function (deepseek-ai/DeepSeek-Coder, Evaluation/HumanEval)."""


class HumanEval:
    """164 Python functions (Chen et al. 2021)."""

    name = "humaneval"
    protocol = "prompt stripped, left to right, up to the next top-level statement, 500 new tokens; pass@k by tests"

    def __init__(self, data: Path, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        fields = ("task_id", "prompt", "entry_point", "canonical_solution", "test")
        self._rows = read_rows(data, ["HumanEval.jsonl.gz"], fields)
        self.skipped: Mapping[str, int] = {}

    def tasks(self) -> Sequence[Task]:
        """Return all tasks; a completion begins with the line end that stripping took from the prompt."""
        return [
            Task(
                task_id=row["task_id"],
                question=Continue(prompt=row["prompt"].strip(), stop=PYTHON_STOPS, max_tokens=500),
                truth="\n" + row["canonical_solution"],
                row=row,
            )
            for row in self._rows
        ]

    def cut(self, _task: Task, text: str) -> str:
        """Cut at the next top-level statement."""
        return before_first(text, PYTHON_STOPS)

    def judge(self, task: Task, completion: str) -> Judgement:
        """Run the data set's `check` on the function."""
        row = task.row
        program = f"{row['prompt'].strip()}{completion}\n{row['test']}\ncheck({row['entry_point']})\n"
        return run_python(self._sandbox, program)


class MbppPart(Enum):
    """Which of the 974 tasks are asked; the value is the suite's name."""

    TEST = "mbpp"
    """The official test split: task ids 11 to 510."""
    ALL = "mbpp-all"
    """Worked examples and training split too: for checking the evaluator, not a model."""


class Mbpp:
    """Small Python tasks (Austin et al. 2021) with three worked examples in the prompt, as DeepSeek-Coder measures."""

    protocol = "3-shot (task ids 2, 3, 4), left to right to [DONE], 500 new tokens; pass@k by its three asserts"

    def __init__(self, data: Path, sandbox: Sandbox, *, part: MbppPart = MbppPart.TEST) -> None:
        self.name = part.value
        self._part, self._sandbox = part, sandbox
        fields = ("task_id", "text", "code", "test_list", "test_setup_code")
        self._rows = read_rows(data, ["mbpp.jsonl"], fields)
        self._examples = "".join(_mbpp_prompt(row) + f"{row['code']}\n[DONE]\n\n" for row in self._rows[1:4])
        self.skipped: Mapping[str, int] = {}

    def tasks(self) -> Sequence[Task]:
        """Return the tasks of the part."""
        rows = self._rows[10:510] if self._part is MbppPart.TEST else self._rows
        return [self._task(row) for row in rows]

    def cut(self, _task: Task, text: str) -> str:
        """Cut at the end mark of the worked examples."""
        return before_first(text, ("[DONE]",))

    def judge(self, task: Task, completion: str) -> Judgement:
        """Run the asserts."""
        tests = "\n".join(task.row["test_list"])
        program = f"{task.row['test_setup_code']}\n{completion}\n{tests}\n"
        return run_python(self._sandbox, program, limits=replace(self._sandbox.limits, seconds=40, cpu_seconds=10))

    def _task(self, row: dict[str, Any]) -> Task:
        question = Continue(prompt=self._examples + _mbpp_prompt(row), stop=("[DONE]",), max_tokens=500)
        return Task(task_id=f"Mbpp/{row['task_id']}", question=question, truth=f"{row['code']}\n", row=row)


def _mbpp_prompt(row: Mapping[str, Any]) -> str:
    tests = "\n".join(row["test_list"])
    return (
        f"You are an expert Python programmer, and here is your task: {row['text']} "
        f"Your code should pass these tests:\n\n{tests}\n[BEGIN]\n"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """How one language's programs are built and run."""

    file: str
    needs: tuple[str, ...]
    """Commands that must be installed."""
    script: str
    """For `sh`, in the folder of the program."""
    seconds: float


TOOLCHAINS: Mapping[str, Toolchain] = {
    "cpp": Toolchain(
        file="main.cpp", needs=("g++",), script="g++ -std=c++17 -O0 main.cpp -o main && ./main", seconds=60
    ),
    "java": Toolchain(
        file="Main.java",
        needs=("javac", "java"),
        script="javac -encoding UTF-8 -nowarn Main.java && java -ea Problem",
        seconds=60,
    ),
    "js": Toolchain(file="main.js", needs=("node",), script="node main.js", seconds=30),
    "rs": Toolchain(
        file="main.rs", needs=("rustc",), script="rustc --edition 2021 -A warnings main.rs && ./main", seconds=60
    ),
    "sh": Toolchain(file="main.sh", needs=("bash",), script="bash main.sh", seconds=30),
    "php": Toolchain(file="main.php", needs=("php",), script="php main.php", seconds=30),
    "rb": Toolchain(file="main.rb", needs=("ruby",), script="ruby main.rb", seconds=30),
    "ts": Toolchain(
        file="main.ts", needs=("tsc", "node"), script="tsc --target es2020 main.ts; node main.js", seconds=60
    ),
    "go": Toolchain(file="main_test.go", needs=("go",), script="go mod init main && go test ./...", seconds=90),
    "cs": Toolchain(file="main.cs", needs=("mcs", "mono"), script="mcs -d:DEBUG main.cs && mono main.exe", seconds=60),
}
_TUPLES = re.compile(r"\b(Unit|Pair|Triplet|Quartet|Quintet|Sextet)\s*<|\.with\(")
_CRATES = re.compile(r"\b(md5|regex|rand)::")


class MultiplE:
    """HumanEval in another language (Cassano et al. 2022), as DeepSeek-Coder keeps it."""

    protocol = "prompt stripped, left to right, cut at the data's own stop strings, 500 new tokens; pass@k by its tests"

    def __init__(self, language: str, data: Path, sandbox: Sandbox) -> None:
        self.name = f"multipl-e-{language}"
        self._sandbox = sandbox
        self._language = language
        self._toolchain = TOOLCHAINS[language]
        rows = read_rows(data, [f"humaneval-{language}.jsonl"], ("task_id", "prompt", "test", "stop_tokens"))
        skipped: Counter[str] = Counter()
        self._rows = [row for row in rows if not self._misses(row, skipped)]
        self.skipped: Mapping[str, int] = skipped

    def tasks(self) -> Sequence[Task]:
        """Return the tasks whose libraries are here; the data hold no solutions."""
        return [
            Task(
                task_id=f"{self.name}/{row['task_id']}",
                question=Continue(prompt=row["prompt"].strip(), stop=tuple(row["stop_tokens"]), max_tokens=500),
                truth=None,
                row=row,
            )
            for row in self._rows
        ]

    def cut(self, task: Task, text: str) -> str:
        """Cut at the data's stop strings; the tests begin with what closes the function where that was cut off."""
        return before_first(text, task.row["stop_tokens"])

    def judge(self, task: Task, completion: str) -> Judgement:
        """Build and run the program with its tests."""
        program = f"{task.row['prompt'].strip()}{completion}\n{task.row['test']}"
        if self._language == "java":
            program = program.replace("import org.javatuples.*;", "")  # tasks that use it are left out
        toolchain = self._toolchain
        folders = _installed_folders(toolchain.needs)
        path = os.pathsep.join([*(f"{folder}/bin" for folder in folders), os.environ.get("PATH", os.defpath)])
        outcome = self._sandbox.run(
            ["sh", "-c", toolchain.script],
            files={toolchain.file: program},
            limits=for_runtime(self._sandbox.limits, seconds=toolchain.seconds),
            environment={"PATH": path},
            visible=folders,
        )
        return Judgement(metrics={"pass": float(outcome.passed)}, reason=outcome.reason)

    def _misses(self, row: Mapping[str, Any], skipped: Counter[str]) -> bool:
        absent = [command for command in self._toolchain.needs if shutil.which(command) is None]
        if absent:
            skipped[f"{absent[0]} is not installed"] += 1
        elif self._language == "java" and _TUPLES.search(row["prompt"] + row["test"]):
            skipped["uses the javatuples library"] += 1
        elif self._language == "rs" and _CRATES.search(row["prompt"] + row["test"]):
            skipped["uses a crate"] += 1
        else:
            return False
        return True


@lru_cache(maxsize=16)
def _installed_folders(commands: tuple[str, ...]) -> tuple[Path, ...]:
    """Return where toolchains lie that are not the system's, a `bin` below each."""
    folders = []
    for command in commands:
        found = Path(shutil.which(command) or command).resolve()
        folder = found.parent.parent
        if command == "rustc":  # what lies in the path may be rustup, which picks the compiler by more than its path
            asked = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=False)
            folder = Path(asked.stdout.strip() or folder)
        if not folder.is_relative_to("/usr"):
            folders.append(folder)
    return tuple(folders)


def run_python(sandbox: Sandbox, program: str, *, limits: Limits | None = None) -> Judgement:
    """Judge a program by whether it ends without an error."""
    outcome = sandbox.run_python(program, limits=limits)
    return Judgement(metrics={"pass": float(outcome.passed)}, reason=outcome.reason)
