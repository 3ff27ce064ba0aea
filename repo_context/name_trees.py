"""Takes import statements apart that name several things at once: `a::{b::c, d as e}`, `a.{b => c, _}`."""

import re
from collections.abc import Iterator
from itertools import zip_longest
from typing import NamedTuple

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_TOKEN = re.compile(r"::|=>|[{},]|\.|\\|\*|r#\w+|`[^`]*`|[^\W\d][\w$]*")
_SEPARATORS = frozenset({"::", ".", "\\"})
_KEYWORDS = frozenset({"import", "use", "pub", "function", "const", "export"})
"""Words that may stand before a name without being part of it."""
_MAX_DEPTH = 50


class Leaf(NamedTuple):
    """One thing that a statement imports."""

    module: str
    """All but the last part of the name, with the language's own separator; the whole name if it has one part."""
    name: str
    """Empty: the module itself."""
    alias: str
    wildcard: bool


def flatten(statement: str) -> Iterator[Leaf]:
    """Yield what a statement imports, in its order.

    >>> [(leaf.module, leaf.name, leaf.alias) for leaf in flatten("use a::{self, b::{C as D}, e::*};")]
    [('a', '', ''), ('a::b', 'C', 'D'), ('a::e', '', '')]
    """
    words = _TOKEN.findall(_COMMENT.sub(" ", statement))
    if words[:1] in (["import"], ["use"]) and "::" not in words:
        del words[0]
    separator = next((word for word in words if word in _SEPARATORS), ".")
    prefixes: list[list[str]] = []
    leaf = _OpenLeaf([])
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        if word in _SEPARATORS:
            continue
        if word == "{":
            if len(prefixes) == _MAX_DEPTH:
                return
            prefixes.append(leaf.prefix)
            leaf = _OpenLeaf([*leaf.prefix, *leaf.parts])
        elif word in ",}":
            yield from leaf.closed(separator)
            leaf = _OpenLeaf(prefixes.pop() if word == "}" and prefixes else leaf.prefix)
        else:
            leaf.take(word, following)
    yield from leaf.closed(separator)


class _OpenLeaf:
    """A name while its parts come in."""

    def __init__(self, prefix: list[str]) -> None:
        self.prefix = prefix
        self.parts: list[str] = []
        self._alias: str | None = None
        self._arrow = False
        self._wildcard = False

    def take(self, word: str, following: str) -> None:
        """Add one word, star or arrow."""
        if word in ("as", "=>") and self.parts:
            self._alias, self._arrow = "", word == "=>"
        elif self._alias is not None:
            self._alias = self._alias or word.strip("`")
        elif word in ("*", "_", "given"):
            self._wildcard = True
        elif self.parts or self.prefix or following in _SEPARATORS or word not in _KEYWORDS:
            self.parts.append(word.strip("`").removeprefix("r#"))

    def closed(self, separator: str) -> Iterator[Leaf]:
        """Yield the finished leaf, if there is one."""
        hidden = self._arrow and self._alias == "_"
        if hidden or not (self.parts or self._wildcard):
            return
        path = [*self.prefix, *self.parts]
        if self._wildcard or path[-1:] == ["self"]:
            path = path if self._wildcard else path[:-1]
            yield Leaf(separator.join(path) or "self", "", self._alias or "", self._wildcard)
        elif len(path) == 1:
            yield Leaf(path[0], "", self._alias or "", wildcard=False)
        else:
            yield Leaf(separator.join(path[:-1]), path[-1], self._alias or "", wildcard=False)
