"""The syntax around a cursor, parsed in a window of bounded size, so that no keystroke waits for a whole file."""

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

from tree_sitter import Node, Tree

from lsp_server.completion.snapshot import Snapshot
from repo_context.errors import GrammarMissingError, ParseAbandonedError
from repo_context.kept_trees import KeptTrees
from repo_context.languages import Grammar, language_of

_LINES_ABOVE: Final = 120
_LINES_BELOW: Final = 40
_CHARACTERS: Final = 8_000
"""On each side: 200 lines take 0.7 ms."""
_COMMENTS: Final = ("comment", "line_comment", "block_comment", "multiline_comment", "heredoc_body")
_STRINGS: Final = ("string", "template_string", "char_literal", "character_literal", "rune_literal", "encapsed_string")
_TREES: Final = KeptTrees()
"""The last window in each grammar."""


class Place(Enum):
    """What a cursor stands in."""

    CODE = "code"
    COMMENT = "comment"
    STRING = "string"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntaxWindow:
    """The lines around a cursor, and the grammar they are in."""

    grammar: Grammar
    above: str
    """The text before the cursor, from a line on at which a new thing begins where one is near enough."""
    below: str

    @classmethod
    def around(cls, snapshot: Snapshot) -> "SyntaxWindow | None":
        """Cut the window; None where the language has no grammar here."""
        language = language_of(snapshot.path)
        if language is None or language.grammar is None:
            return None
        return cls(grammar=language.grammar, above=_above(snapshot.context_above), below=_below(snapshot.context_below))

    def place(self) -> Place:
        """Say what the cursor stands in."""
        tree = _parse(self.grammar, self.above + self.below)
        at = len(self.above.encode())
        node = tree.root_node.descendant_for_byte_range(max(at - 1, 0), at) if tree is not None else None
        while node is not None:
            kind = node.type
            if kind in _COMMENTS and (node.end_byte > at or _ends_with_line(node, at)):
                return Place.COMMENT
            if node.start_byte < at < node.end_byte:
                if kind == "interpolation" or kind.endswith("substitution"):
                    return Place.CODE
                if kind in _STRINGS or kind.endswith("string_literal"):
                    return Place.STRING
            node = node.parent
        return Place.CODE

    def adds_error(self, text: str, replaces: int) -> bool:
        """Whether putting a text in makes the window worse: more places that do not parse than without it."""
        with_text = _parse(self.grammar, self.above + text + self.below[replaces:])
        if with_text is None or not with_text.root_node.has_error:
            return False
        without = _parse(self.grammar, self.above + self.below)
        return without is None or _errors(with_text) > _errors(without)

    def length_in_node(self, text: str) -> int:
        """Return how much of a text of several lines belongs to what the cursor stands in; whole lines.

        The text ends where the smallest thing that began above the cursor's line ends inside of it.
        """
        tree = _parse(self.grammar, self.above + text + self.below)
        if tree is None:
            return len(text)
        start = len(self.above.encode())
        encoded = text.encode()
        row = self.above.count("\n")
        node = tree.root_node.descendant_for_byte_range(start, start)
        while node is not None and node.parent is not None:
            inside = node.end_byte - start
            if node.is_named and node.start_point.row < row and 0 < inside < len(encoded):
                end = encoded.find(b"\n", max(inside - 1, 0))
                return len(text) if end < 0 else len(encoded[:end].decode("utf-8", "ignore"))
            node = node.parent
        return len(text)


@lru_cache(maxsize=64)
def _parse(grammar: Grammar, text: str) -> Tree | None:
    """Parse a window; from the last one's tree, since a key changes a few characters of it."""
    try:
        return _TREES.tree(str(grammar), text, grammar, text.encode("utf-8", "replace"))
    except (GrammarMissingError, ParseAbandonedError):
        return None


def _errors(tree: Tree) -> int:
    """Count the places that do not parse."""
    found = 0
    todo: list[Node] = [tree.root_node]
    while todo:
        node = todo.pop()
        if node.is_error or node.is_missing:
            found += 1
        if node.has_error:
            todo.extend(node.children)
    return found


def _ends_with_line(comment: Node, at: int) -> bool:
    """Whether a comment that ends at the cursor goes on with what is typed: one that ends with its line."""
    text = comment.text or b""
    return comment.end_byte == at and not text.rstrip().endswith((b"*/", b"-->", b"]]", b"=end"))


def _above(prefix: str) -> str:
    """Cut the text before the cursor at the last line that begins something at the outermost level near it."""
    near = prefix[-_CHARACTERS:]
    lines = near.split("\n")
    lines = lines[1:] if len(near) < len(prefix) and len(lines) > 1 else lines
    if len(lines) <= _LINES_ABOVE:
        return "\n".join(lines)
    first = len(lines) - _LINES_ABOVE
    # Beginning in the middle of a string or a call would make everything below it look broken.
    start = next((number for number in range(first, len(lines) - 1) if _begins_something(lines[number])), first)
    return "\n".join(lines[start:])


def _begins_something(line: str) -> bool:
    return bool(line) and not line[0].isspace() and line[0] not in ")]}#/*\"'"


def _below(suffix: str) -> str:
    return "\n".join(suffix[:_CHARACTERS].split("\n")[: _LINES_BELOW + 1])
