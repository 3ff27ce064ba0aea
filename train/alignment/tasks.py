"""Tasks to practise on: a request for Python code and the tests that an answer must pass."""

import ast
import doctest
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from train.data.document import SourceDocument
from train.data.instructions_from_source import draw_conversations
from train.errors import CorpusError

_FENCE = re.compile(r"```[ \t]*\w*[ \t]*\n(.*?)(?:\n?```|\Z)", re.DOTALL)
_REQUESTS = ("instruction", "prompt", "text", "question")
_TESTS = ("tests", "test_list", "test")
_SETUPS = ("setup", "test_setup_code")
_FUNCTION = re.compile(r"Write a Python function `(\w+)\(")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeTask:
    """One request and its tests."""

    instruction: str
    tests: tuple[str, ...]
    """Python statements; each is judged apart, after the answer has run. One that raises is failed."""
    setup: str = ""
    """Python in front of the answer: imports, say."""


def read_tasks(path: Path) -> list[CodeTask]:
    """Read JSON lines `{"instruction": ..., "tests": [...], "setup": ...}`, or those of MBPP or HumanEval as they are.

    Raises:
        CorpusError: the file cannot be read, or a line of it is none of these; the message names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"cannot read the tasks in {path}: {error}") from error
    tasks = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            tasks.append(_task(json.loads(line)))
        except (ValueError, TypeError, AttributeError) as error:
            raise CorpusError(
                f'{path}:{number} is no task ({error}); write {{"instruction": "...", "tests": ["assert ..."]}}'
            ) from error
    if not tasks:
        raise CorpusError(f"{path} holds no task")
    return tasks


def draw_tasks(documents: Iterable[SourceDocument]) -> Iterator[CodeTask]:
    """Yield a task for each documented function: it must be defined, and do what the examples in its docstring say."""
    for document in documents:
        examples = dict(_examples(document)) if document.language == "python" else {}
        for conversation in draw_conversations([document]):
            asked = conversation.turns[0].instruction
            found = _FUNCTION.match(asked)
            if found:
                name = found.group(1)
                yield CodeTask(instruction=asked, tests=(f"assert callable({name})", *examples.get(name, ())))


def code_of(answer: str) -> str:
    """Return the code in an answer: its first fenced block, closed or not, or else all of it.

    >>> code_of("Sure:\\n```python\\nx = 1\\n```\\nDone.")
    'x = 1'
    """
    found = _FENCE.search(answer)
    return found.group(1) if found else answer


def _task(raw: Mapping[str, Any]) -> CodeTask:
    tests = _field(raw, _TESTS)
    if isinstance(tests, str):
        called = f"\ncheck({raw['entry_point']})" if "entry_point" in raw else ""
        tests = [tests + called]
    if not (isinstance(tests, list) and tests and all(isinstance(test, str) for test in tests)):
        raise TypeError("its tests are no list of strings")
    setup = next((raw[name] for name in _SETUPS if name in raw), "")
    instruction = _field(raw, _REQUESTS)
    if not (isinstance(instruction, str) and isinstance(setup, str)):
        raise TypeError("its request or its setup is no string")
    return CodeTask(instruction=instruction, tests=tuple(tests), setup=setup)


def _field(raw: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        if name in raw:
            return raw[name]
    raise ValueError(f"it lacks {names[0]!r}")


def _examples(document: SourceDocument) -> Iterator[tuple[str, tuple[str, ...]]]:
    try:
        tree = ast.parse(document.text)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            tests = tuple(_tests(ast.get_docstring(node) or ""))
            if tests:
                yield node.name, tests


def _tests(docstring: str) -> Iterator[str]:
    try:
        examples = doctest.DocTestParser().get_examples(docstring)
    except ValueError:  # a docstring whose examples are indented inconsistently
        return
    for example in examples:
        if example.want and not example.exc_msg:
            yield f"assert repr(eval({example.source.strip()!r})) == {example.want.strip()!r}"
