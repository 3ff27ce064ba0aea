"""Word problems solved by writing a program: GSM8K and SVAMP (program-aided language models, Gao et al. 2022)."""

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from train.evaluate.datasets import read_rows
from train.evaluate.sandbox import Sandbox
from train.evaluate.suite import Continue, Judgement, Task, before_first

_EXAMPLES = """\
Question: A baker sells 14 loaves in the morning and twice as many in the afternoon. Each loaf costs 3 dollars. How \
much does the baker earn that day?

```python
def solution():
    morning = 14
    afternoon = 2 * morning
    price = 3
    return (morning + afternoon) * price
```

----

Question: Nora has 45 stickers. She gives 6 stickers to each of her 5 friends and then buys 12 more. How many stickers \
has she now?

```python
def solution():
    stickers = 45
    given = 6 * 5
    bought = 12
    return stickers - given + bought
```

----

Question: A tank holds 120 litres and is three quarters full. If 15 % of the water is used, how many litres are left?

```python
def solution():
    full = 120
    water = full * 3 / 4
    used = water * 0.15
    return water - used
```

----

"""
"""Worked examples for the prompt, ours; the papers' are others."""
_STOPS = ("Question:", "\n----", "```\n")
_TOLERANCE = 1e-4
_MARK = "answer:"


class Problems(Enum):
    """The data sets; the value is the suite's name."""

    GSM8K = "gsm8k"
    SVAMP = "svamp"


class ProgramAided:
    """One data set."""

    protocol = "3-shot, left to right, a Python function `solution`; its result within 1e-4 of the answer"

    def __init__(self, problems: Problems, data: Path, sandbox: Sandbox) -> None:
        self.name = problems.value
        self._problems, self._sandbox = problems, sandbox
        fields = ("question", "answer") if problems is Problems.GSM8K else ("Body", "Question", "Answer", "Equation")
        folder = data / problems.value if (data / problems.value).is_dir() else data
        self._rows = read_rows(folder, ["test.json", "test.jsonl", f"{problems.value}.jsonl"], fields)
        self.skipped: Mapping[str, int] = {}

    def tasks(self) -> Sequence[Task]:
        """Return all problems."""
        return [
            Task(
                task_id=f"{self.name}/{number}",
                question=Continue(
                    prompt=f"{_EXAMPLES}Question: {self._text(row)}\n\n```python\n", stop=_STOPS, max_tokens=512
                ),
                truth=f"def solution():\n    return {self._expression(row)}\n",
                row=row,
            )
            for number, row in enumerate(self._rows)
        ]

    def cut(self, _task: Task, text: str) -> str:
        """Return the program: the last block that defines `solution`, should the answer hold several."""
        blocks = [
            block for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL) if "def solution" in block
        ]
        return str(blocks[-1]) if blocks else before_first(text, _STOPS)

    def judge(self, task: Task, completion: str) -> Judgement:
        """Run the program and compare its result."""
        outcome = self._sandbox.run_python(f"{completion}\nprint({_MARK!r}, float(solution()))\n")
        if not outcome.passed:
            return Judgement(metrics={"pass": 0.0}, reason=outcome.reason)
        result = outcome.stdout.rpartition(_MARK)[2].strip()
        wanted = self._answer(task.row)
        try:
            right = abs(float(result) - wanted) <= _TOLERANCE * max(1.0, abs(wanted))
        except ValueError:
            right = False
        return Judgement(metrics={"pass": float(right)}, reason="passed" if right else f"{result}, not {wanted:g}")

    def _text(self, row: Mapping[str, Any]) -> str:
        if self._problems is Problems.GSM8K:
            return str(row["question"]).strip()
        return f"{str(row['Body']).strip().rstrip('.')}. {str(row['Question']).strip()}"

    def _answer(self, row: Mapping[str, Any]) -> float:
        if self._problems is Problems.GSM8K:
            return float(row["answer"].rpartition("####")[2].strip().replace(",", ""))
        return float(row["Answer"])

    def _expression(self, row: Mapping[str, Any]) -> str:
        return repr(self._answer(row)) if self._problems is Problems.GSM8K else str(row["Equation"])
