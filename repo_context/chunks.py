"""Cuts a file into chunks of a few lines, at the boundaries of its syntax where there is a tree."""

from collections.abc import Sequence, Set
from typing import TypeAlias

from tree_sitter import Node

MAX_CHUNK_LINES = 12
"""Longest chunk in lines; 10 to 15 measure alike, 60 clearly worse at small budgets."""

LineRange: TypeAlias = tuple[int, int]
"""First line and one past the last line, 0-based."""


def cut_lines(lines: Sequence[str]) -> list[LineRange]:
    """Cut plain text: at most `MAX_CHUNK_LINES` lines, a paragraph's end preferred; blank chunks are left out."""
    return _pack(_paragraphs(lines, 0, len(lines)), lines)


def cut_tree(root: Node, lines: Sequence[str]) -> list[LineRange]:
    """Cut a parsed file: no chunk is longer than `MAX_CHUNK_LINES`, small neighbours share one.

    A node that fits stays whole; one that does not is opened, and its children are cut in turn. A definition that is
    opened starts a chunk of its own.
    """
    openings: set[int] = set()
    return _pack(_units(root, lines, openings), lines, openings)


_WRAPPERS = frozenset({"decorated_definition", "export_statement", "template_declaration"})
"""Nodes around a definition that start before it: with its decorators, say."""


def _units(root: Node, lines: Sequence[str], openings: set[int]) -> list[LineRange]:
    """Return line ranges that do not overlap, in order, each the smallest piece that syntax allows.

    The first lines of definitions that do not fit into one chunk are added to `openings`.
    """
    units: list[LineRange] = []
    covered = 0
    total = len(lines)
    stack = [root]
    while stack:
        node = stack.pop()
        end, column = node.end_point
        if column:
            end += 1
        if end <= covered:
            # The most frequent case, and a look at where the node starts costs as much as this one at its end.
            continue
        first, _ = node.start_point
        start = max(covered, first)
        if end > total:
            end = total
        if end <= start:
            continue
        if end - first <= MAX_CHUNK_LINES:
            if start > covered:
                units += _paragraphs(lines, covered, start)
            units.append((start, end))
            covered = end
        elif children := node.children:
            if _starts_definition(node):
                openings.add(start)
            stack += children[::-1]
        else:
            units.extend(_paragraphs(lines, covered, end))
            covered = end
    if covered < len(lines):
        units.extend(_paragraphs(lines, covered, len(lines)))
    return units


def _starts_definition(node: Node) -> bool:
    if node.type in _WRAPPERS:
        return True
    if node.child_by_field_name("body") is None:
        return False
    return node.parent is None or node.parent.type not in _WRAPPERS


def _paragraphs(lines: Sequence[str], start: int, end: int) -> list[LineRange]:
    """Cut lines at blank lines, and where a paragraph is longer than a chunk, anywhere."""
    ranges: list[LineRange] = []
    first = start
    for row in range(start, end):
        if row - first == MAX_CHUNK_LINES or (row > first and not lines[row].strip()):
            ranges.append((first, row))
            first = row
    if first < end:
        ranges.append((first, end))
    return ranges


def _pack(units: Sequence[LineRange], lines: Sequence[str], openings: Set[int] = frozenset()) -> list[LineRange]:
    """Join neighbours while they fit and none of `openings` lies between them, then trim blank lines at both ends."""
    packed: list[LineRange] = []
    first = last = -MAX_CHUNK_LINES
    for start, end in units:
        if end - first > MAX_CHUNK_LINES or start in openings:
            packed.append((first, last))
            first = start
        last = end
    packed.append((first, last))
    return [trimmed for start, end in packed[1:] if (trimmed := _trim(lines, start, end))]


def _trim(lines: Sequence[str], start: int, end: int) -> LineRange | None:
    while start < end and not lines[start].strip():
        start += 1
    while end > start and not lines[end - 1].strip():
        end -= 1
    return (start, end) if start < end else None
