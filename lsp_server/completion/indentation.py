"""Indentation in the document's own style: tabs where it has tabs, its number of blanks where it has blanks."""

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from lsp_server.completion.snapshot import Snapshot

_INDENT: Final = re.compile(r"[ \t]*")
_NEAR: Final = 6000
"""Characters before and after the cursor whose lines tell the style."""
_STEPS: Final = (2, 4, 8, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndentStyle:
    """How a document indents."""

    unit: str
    """One level: a tab, or some blanks."""


def style_around(snapshot: Snapshot) -> IndentStyle | None:
    """Read the style off the lines near the cursor; None where nothing is indented.

    Where tabs and blanks are mixed, the style of more lines counts.
    """
    lines = [*snapshot.prefix[-_NEAR:].split("\n"), *snapshot.suffix[:_NEAR].split("\n")]
    indents = [_INDENT.match(line)[0] for line in lines if line.strip()]  # type: ignore[index]
    tabs = sum(indent.startswith("\t") for indent in indents)
    blanks = [len(indent) for indent in indents if indent.startswith(" ")]
    if not tabs and not blanks:
        return None
    if tabs >= len(blanks):
        return IndentStyle(unit="\t")
    return IndentStyle(unit=" " * _step(blanks))


def in_style(text: str, style: IndentStyle) -> str:
    """Rewrite the indentation of all lines but the first, which goes on the cursor's line.

    Levels are kept; what does not make a whole level (an aligned argument) stays as blanks behind the levels.
    """
    first, *rest = text.split("\n")
    if not any(line[:1] in (" ", "\t") for line in rest):
        return text
    written = _written_unit(rest, style)
    if written == style.unit:
        return text
    return "\n".join([first, *(_rewritten(line, written, style.unit) for line in rest)])


def _rewritten(line: str, written: str, unit: str) -> str:
    match = _INDENT.match(line)
    assert match is not None
    indent, body = match[0], line[match.end() :]
    levels = 0
    while indent.startswith((written, unit)):
        indent = indent.removeprefix(unit) if indent.startswith(unit) else indent.removeprefix(written)
        levels += 1
    return unit * levels + indent + body


def _written_unit(lines: list[str], style: IndentStyle) -> str:
    """Guess the unit that a text was written in."""
    indents = [_INDENT.match(line)[0] for line in lines if line.strip()]  # type: ignore[index]
    if any(indent.startswith("\t") for indent in indents):
        return "\t"
    if style.unit != "\t":
        # Blanks for blanks: lines that continue may be aligned to anything, so only the unit itself is known.
        return style.unit
    widths = [len(indent) for indent in indents if indent]
    return " " * _step(widths) if widths else style.unit


def _step(widths: list[int]) -> int:
    """Return the step between levels: the commonest difference of neighbouring lines that is a usual one."""
    ordered = [0, *widths]
    steps = Counter(abs(after - before) for before, after in pairwise(ordered))
    usual = [step for step in _STEPS if steps[step]]
    if usual:
        return max(usual, key=lambda step: steps[step])
    return min((width for width in widths if width), default=4)
