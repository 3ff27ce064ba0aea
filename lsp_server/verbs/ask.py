"""`midfill ask FILE:START-END INSTRUCTION`: lines changed by an instruct model, as a unified diff."""

import argparse
import asyncio
import difflib
import io
import json
import os
import re
import sys
from pathlib import Path
from typing import Final

from engine.api import Completion, CompletionRequest, FinishReason, Length
from engine.model_registry import find_model
from lsp_server.shared_engine import connect_model
from lsp_server.verbs.complaints import BadInputError
from lsp_server.verbs.place import find_root, read_source
from repo_context.languages import comment_marker, language_of

_RANGE: Final = re.compile(r"(?P<file>.+):(?P<start>\d+)(?:-(?P<end>\d+))?")
_FENCE: Final = re.compile(r"^(?P<fence>`{3,}|~{3,})[^\n]*\n(?P<code>.*?)^(?P=fence)[ \t]*$", re.MULTILINE | re.DOTALL)
_LINES_AROUND: Final = 30
"""Lines of the file above and below that the model is shown beside those it is to change."""


def run(arguments: argparse.Namespace) -> int:
    """Print the diff; return the exit code, 1 when the model changes nothing."""
    if arguments.max_tokens < 1:
        raise BadInputError(f"--max-tokens must be at least 1, and it is {arguments.max_tokens}")
    if not arguments.instruction.strip():
        raise BadInputError("say what to do with the lines")
    file, start, end, text = _read(arguments.place)
    lines = _lines(text)
    question = _question(file, lines, start, end, arguments.instruction)
    completion = asyncio.run(_ask(arguments.model, file, question, arguments.max_tokens))
    if completion.finish_reason is FinishReason.MAX_TOKENS:
        raise BadInputError(
            f"the answer was not finished after {completion.new_tokens} tokens; give --max-tokens or fewer lines"
        )
    changed = _changed(lines, start, end, completion.text)
    name = _name(file)
    diff = "".join(_diff(text, changed, name))
    if arguments.apply and diff:
        _write(file, changed)
    if arguments.json:
        told = {"file": name, "start": start, "end": end, "answer": completion.text, "diff": diff}
        print(json.dumps(told | {"applied": bool(arguments.apply and diff)}, indent=2))
    else:
        sys.stdout.write(diff)
    if not diff:
        print("midfill: the model changes nothing", file=sys.stderr)
    return 0 if diff else 1


def replacement(answer: str) -> str:
    """Return the code in a model's answer: its first fenced block, or all of it where there is none.

    >>> replacement("Here:\\n```python\\nx = 1\\n```\\nDone.")
    'x = 1\\n'
    """
    found = _FENCE.search(answer)
    if found:
        return found["code"]
    opened = re.search(r"^(?:`{3,}|~{3,})[^\n]*\n", answer, re.MULTILINE)  # never closed
    return answer[opened.end() :] if opened else answer.strip("\n") + "\n"


def reindented(code: str, like: str) -> str:
    """Move a block of code sideways until its first line with text is indented as that of `like` is."""
    wanted, found = _indentation(like), _indentation(code)
    if wanted == found:
        return code
    moved = []
    for line in code.splitlines(keepends=True):
        if not line.strip():
            moved.append(line)
        elif line.startswith(found):
            moved.append(wanted + line[len(found) :])
        else:
            return code  # indented less than the first line: not a block that can be moved
    return "".join(moved)


def _read(place: str) -> tuple[Path, int, int, str]:
    match = _RANGE.fullmatch(place)
    if match is None:
        raise BadInputError(f"{place!r} is no FILE:START-END; give, for example, src/app.py:12-20")
    file = Path(match["file"]).expanduser().absolute()
    text = read_source(file)
    start, end = int(match["start"]), int(match["end"] or match["start"])
    count = len(_lines(text))
    if not 1 <= start <= end <= count:
        raise BadInputError(f"{match['file']} has {count} lines; {start}-{end} is no part of it")
    return file, start, end, text


def _question(file: Path, lines: list[str], start: int, end: int, instruction: str) -> str:
    language = language_of(file.name)
    fence = "```" + (language.name.lower() if language else "")
    chosen = "".join(lines[start - 1 : end])
    around = "".join(
        [
            *lines[max(0, start - 1 - _LINES_AROUND) : start - 1],
            *lines[start - 1 : end],
            *lines[end : end + _LINES_AROUND],
        ]
    )
    return (
        f"This is a part of the file {_name(file)}:\n{fence}\n{_ended(around)}```\n\n"
        f"Change these lines of it:\n{fence}\n{_ended(chosen)}```\n\n"
        f"{instruction.strip()}\n\n"
        "Answer with the changed lines only, complete, in one code block. Do not repeat the lines around them."
    )


async def _ask(model: str, file: Path, question: str, max_tokens: int) -> Completion:
    engine = await connect_model(find_model(model))
    request = CompletionRequest(
        document=f"ask:{os.getpid()}",
        path=_name(file),
        comment=comment_marker(file.name),
        prefix="",
        suffix="",
        length=Length.BLOCK,
        max_tokens=max_tokens,
        instruction=question,
    )
    try:
        *_, last = [answer async for answer in engine.complete(request)]
    finally:
        await engine.close()
    assert isinstance(last, Completion)
    return last


def _changed(lines: list[str], start: int, end: int, answer: str) -> str:
    chosen = "".join(lines[start - 1 : end])
    code = reindented(replacement(answer), chosen)
    code = _ended(code) if chosen.endswith(("\n", "\r")) else code.rstrip("\n")
    if "\r\n" in chosen:
        code = code.replace("\r\n", "\n").replace("\n", "\r\n")
    return "".join([*lines[: start - 1], code, *lines[end:]])


def _diff(before: str, after: str, name: str) -> list[str]:
    lines = difflib.unified_diff(_lines(before), _lines(after), f"a/{name}", f"b/{name}")
    return [line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines]


def _write(file: Path, text: str) -> None:
    mark = "\ufeff" if file.read_bytes().startswith(b"\xef\xbb\xbf") else ""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        temporary.write_bytes((mark + text).encode())
        temporary.chmod(file.stat().st_mode)
        temporary.replace(file.resolve())
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise BadInputError(f"cannot write {file}: {error.strerror}") from error


def _name(file: Path) -> str:
    root = find_root(file)
    return file.relative_to(root).as_posix() if root is not None else file.name


def _lines(text: str) -> list[str]:
    """Split at line ends as editors do; `splitlines` would at form feeds and a dozen others too."""
    return list(io.StringIO(text, newline=""))


def _indentation(code: str) -> str:
    first = next((line for line in code.splitlines() if line.strip()), "")
    return first[: len(first) - len(first.lstrip())]


def _ended(text: str) -> str:
    return text if text.endswith("\n") or not text else f"{text}\n"
