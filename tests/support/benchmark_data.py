"""Small benchmark files in the published shapes, written here, so that tests need no download."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HUMANEVAL: dict[str, Any] = {
    "task_id": "HumanEval/900",
    "entry_point": "double",
    "prompt": '\ndef double(x):\n    """Twice x."""\n',
    "canonical_solution": "    return 2 * x\n",
    "test": "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(0) == 0\n",
}
INFILLING: dict[str, Any] = {
    "task_id": "SingleLineInfilling/HumanEval/900/L0",
    "entry_point": "total",
    "prompt": "def total(xs):\n    result = 0\n    for x in xs:\n",
    "suffix": "    return result\n",
    "canonical_solution": "        result += x\n",
    "test": "def check(candidate):\n    assert candidate([1, 2]) == 3\n",
}
MBPP: list[dict[str, Any]] = [
    {
        "task_id": number,
        "text": f"Write a function that adds {number}.",
        "code": f"def add(x):\r\n\treturn x + {number}",
        "test_setup_code": "",
        "test_list": [f"assert add(1) == {number + 1}", f"assert add(0) == {number}"],
    }
    for number in range(1, 13)
]
CRUXEVAL: dict[str, Any] = {
    "id": "sample_900",
    "code": "def f(xs):\n    return sorted(xs)",
    "input": "[3, 1]",
    "output": "[1, 3]",
}


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Write JSON lines, gzipped if the name says so; return the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path.parent
