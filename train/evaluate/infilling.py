"""Filling in the middle: HumanEval-infilling by exact match and by running, and the SantaCoder line benchmark."""

from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path

from repo_context.languages import comment_marker
from train.evaluate.datasets import read_rows
from train.evaluate.functions import run_python
from train.evaluate.repository_holes import edit_similarity, is_exact
from train.evaluate.sandbox import Sandbox
from train.evaluate.suite import Extent, Infill, Judgement, Task


class Split(Enum):
    """The sets of HumanEval-infilling (Bavarian et al. 2022, section 3.2): file name, and whether middles are lines."""

    SINGLE = "SingleLineInfilling"
    MULTI = "MultiLineInfilling"
    RANDOM = "RandomSpanInfilling"
    RANDOM_LIGHT = "RandomSpanInfillingLight"

    @property
    def is_of_lines(self) -> bool:
        """Whether every middle ends with a line end."""
        return self in (Split.SINGLE, Split.MULTI)


class Rule(Enum):
    """Which part of an answer to a one-line hole counts; scores under the two rules differ by up to 15 points."""

    FIRST_LINE = "first line"
    """DeepSeek-Coder-V2, table 6."""
    WHOLE = "whole answer"
    """DeepSeek-Coder, table 6."""


class HumanEvalInfilling:
    """HumanEval's solutions with a piece taken out."""

    def __init__(self, split: Split, data: Path, sandbox: Sandbox, *, rule: Rule = Rule.FIRST_LINE) -> None:
        names = {
            Split.SINGLE: "infilling-single",
            Split.MULTI: "infilling-multi",
            Split.RANDOM: "infilling-random",
            Split.RANDOM_LIGHT: "infilling-random-light",
        }
        self._first_line = split is Split.SINGLE and rule is Rule.FIRST_LINE
        self.name = names[split] + ("-whole" if split is Split.SINGLE and rule is Rule.WHOLE else "")
        counted = "the first line" if self._first_line else "the whole answer"
        self.protocol = f"{counted} counts; exact match (ends stripped), and pass@k of prompt + middle + suffix + tests"
        self._split = split
        self._sandbox = sandbox
        fields = ("task_id", "entry_point", "prompt", "suffix", "canonical_solution", "test")
        self._rows = read_rows(data, [f"HumanEval-{split.value}.jsonl.gz"], fields)
        self.skipped: Mapping[str, int] = {}

    def tasks(self) -> Sequence[Task]:
        """Return all tasks."""
        extent = Extent.LINE if self._first_line else Extent.END_MARK
        return [
            Task(
                task_id=row["task_id"],
                question=Infill(prefix=row["prompt"], suffix=row["suffix"], extent=extent, max_tokens=512),
                truth=row["canonical_solution"],
                row=row,
            )
            for row in self._rows
        ]

    def cut(self, _task: Task, text: str) -> str:
        r"""Apply the rule, and end a missing line's text with the line end that belongs to it.

        The middles of the line splits include their line end, while a model may stop before it: without it, the answer
        and the suffix's first line would become one.
        """
        if self._first_line:
            text = first_line(text)
        return text if not self._split.is_of_lines or text.endswith("\n") else text + "\n"

    def judge(self, task: Task, completion: str) -> Judgement:
        """Compare with the truth, and run the tests."""
        row = task.row
        ran = run_python(
            self._sandbox,
            f"{row['prompt']}{completion}{row['suffix']}\n{row['test']}\ncheck({row['entry_point']})\n",
        )
        exact = float(is_exact(completion, row["canonical_solution"]))
        similarity = edit_similarity(completion, row["canonical_solution"])
        return Judgement(
            metrics={"pass": ran.metrics["pass"], "exact match": exact, "edit similarity": similarity},
            reason=ran.reason,
        )


class LineHoles:
    """The single-line benchmark of SantaCoder (Allal et al. 2023): Python, Java and JavaScript, exact match."""

    def __init__(self, data: Path, *, rule: Rule) -> None:
        self.name = "fim-line" if rule is Rule.FIRST_LINE else "fim-line-whole"
        self.protocol = f"the {rule.value} counts; exact match (ends stripped); the mean is over rows, not languages"
        self._rule = rule
        names = ["santacoder-fim-task.jsonl", "test.jsonl", "train.jsonl"]
        self._rows = read_rows(data, names, ("prompt", "suffix", "canonical_solution", "language"))
        self.skipped: Mapping[str, int] = {}

    def tasks(self) -> Sequence[Task]:
        """Return the rows of all languages."""
        endings = {"py": "py", "python": "py", "java": "java", "js": "js", "javascript": "js"}
        extent = Extent.LINE if self._rule is Rule.FIRST_LINE else Extent.END_MARK
        tasks = []
        for number, row in enumerate(self._rows):
            path = f"solution.{endings.get(row['language'].lower(), row['language'])}"
            question = Infill(
                prefix=row["prompt"],
                suffix=row["suffix"],
                path=path,
                comment=comment_marker(path),
                extent=extent,
                max_tokens=64,
            )
            task_id = f"{row['language']}/{row.get('name', number)}/{number}"
            tasks.append(Task(task_id=task_id, question=question, truth=row["canonical_solution"], row=row))
        return tasks

    def cut(self, _task: Task, text: str) -> str:
        """Apply the rule."""
        return first_line(text) if self._rule is Rule.FIRST_LINE else text

    def judge(self, task: Task, completion: str) -> Judgement:
        """Compare with the truth; each language is a metric of its own beside the mean over all rows."""
        exact = float(is_exact(completion, task.row["canonical_solution"]))
        return Judgement(metrics={"exact match": exact, f"exact match, {task.row['language']}": exact})


def first_line(text: str) -> str:
    """Return the first line of an answer, or the second if the answer begins with a line end."""
    return text.removeprefix("\n").partition("\n")[0]
