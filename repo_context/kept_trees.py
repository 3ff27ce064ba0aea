"""Parses a file that is being edited from its last tree: of a few thousand lines, only what an edit touches."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from tree_sitter import Point, Tree

from repo_context.languages import Grammar
from repo_context.syntax import FileSyntax, parse_tree, read_tree
from repo_context.text_difference import shared_end, shared_start

MAX_TREES = 8
"""Files whose trees are kept; a tree takes some thirty times the memory of its text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    source: str
    grammar: Grammar
    tree: Tree


class KeptTrees:
    """The trees of the files that were edited last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def parse(self, path: str, source: str, grammar: Grammar, lines: Sequence[str]) -> FileSyntax:
        """Return what `syntax.parse` returns, and keep the tree for the next time; errors as there."""
        encoded = source.encode("utf-8", "surrogatepass")
        return read_tree(self.tree(path, source, grammar, encoded), encoded, grammar, lines)

    def tree(self, path: str, source: str, grammar: Grammar, encoded: bytes) -> Tree:
        """Return the tree that `syntax.parse_tree` returns for the encoded source, and keep it; errors as there."""
        kept = self._kept.pop(path, None)
        tree = None
        # Where there are errors, how a parser recovers depends on the tree that it started from: those are parsed anew,
        # so that an index never depends on the way that a text has come about.
        if kept is not None and kept.grammar == grammar and not kept.tree.root_node.has_error:
            tree = parse_tree(encoded, grammar, _edited(kept, source))
        if tree is None or tree.root_node.has_error:
            tree = parse_tree(encoded, grammar)
        self._kept[path] = _Kept(source=source, grammar=grammar, tree=tree)
        if len(self._kept) > MAX_TREES:
            self._kept.popitem(last=False)
        return tree

    def __contains__(self, path: str) -> bool:
        """Say whether a tree of a file is kept, of whichever text."""
        return path in self._kept

    def drop(self, path: str) -> None:
        """Forget one file; nothing happens when it is not kept."""
        self._kept.pop(path, None)


def _edited(kept: _Kept, source: str) -> Tree:
    """Return a copy of the old tree that was told where the new text differs."""
    old, tree = kept.source, kept.tree.copy()
    start = shared_start(old, source)
    shared = shared_end(old, source, min(len(old), len(source)) - start)
    before = old[:start].encode("utf-8", "surrogatepass")
    removed = old[start : len(old) - shared].encode("utf-8", "surrogatepass")
    added = source[start : len(source) - shared].encode("utf-8", "surrogatepass")
    tree.edit(
        start_byte=len(before),
        old_end_byte=len(before) + len(removed),
        new_end_byte=len(before) + len(added),
        start_point=_end_of(before),
        old_end_point=_end_of(before + removed),
        new_end_point=_end_of(before + added),
    )
    return tree


def _end_of(text: bytes) -> Point:
    return Point(text.count(b"\n"), len(text) - text.rfind(b"\n") - 1)
