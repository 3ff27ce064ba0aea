"""Where each name of a repository is defined, and in how many files it is used."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from repo_context.name_uses import NameUses
from repo_context.syntax import Definition


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """A definition and the file it is in."""

    path: str
    definition: Definition


class SymbolIndex:
    """Names to definitions over all files; files come and go one by one."""

    def __init__(self, uses: NameUses | None = None) -> None:
        """`uses`: which names files use, kept up to date by whoever gave it."""
        self._uses = NameUses() if uses is None else uses
        self._definitions: dict[str, tuple[Definition, ...]] = {}
        self._defined_in: dict[str, list[str]] = {}
        self._named: dict[str, dict[str, list[Definition]]] = {}
        self._children: dict[str, dict[str, list[Definition]]] = {}
        self._adding: dict[str, list[str]] = {}
        self._total = 0

    def __len__(self) -> int:
        """The number of definitions."""
        return self._total

    def add(self, path: str, definitions: tuple[Definition, ...]) -> None:
        """Add or replace one file."""
        self.remove(path)
        self._definitions[path] = definitions
        self._total += len(definitions)
        for name in {definition[0] for definition in definitions}:
            self._defined_in.setdefault(name, []).append(path)
        for name in types_added_to(path, definitions):
            self._adding.setdefault(name, []).append(path)

    def remove(self, path: str) -> None:
        """Take one file out; nothing happens when it is not in."""
        definitions = self._definitions.pop(path, None)
        if definitions is None:
            return
        self._named.pop(path, None)
        self._children.pop(path, None)
        self._total -= len(definitions)
        _forget(self._defined_in, {definition.name for definition in definitions}, path)
        _forget(self._adding, types_added_to(path, definitions), path)

    def definitions_in(self, path: str) -> tuple[Definition, ...]:
        """Return the definitions of a file in order of their lines."""
        return self._definitions.get(path, ())

    def files(self) -> int:
        """Return the number of files."""
        return len(self._definitions)

    def definitions_of(self, name: str) -> list[Located]:
        """Return every definition of a name, in order of path and line."""
        return [
            Located(path=path, definition=definition)
            for path in sorted(self._defined_in.get(name, ()))
            for definition in self.named_in(path, name)
        ]

    def named_in(self, path: str, name: str) -> Sequence[Definition]:
        """Return what one file defines under a name, in order of their lines."""
        named = self._named.get(path)
        if named is None:
            # Made when first asked for: opening a large repository must not pay for files that nobody asks about.
            named = self._named[path] = {}
            for definition in self._definitions.get(path, ()):
                named.setdefault(definition.name, []).append(definition)
        return named.get(name, ())

    def files_defining(self, name: str) -> int:
        """Return in how many files a name is defined."""
        return len(self._defined_in.get(name, ()))

    def members_of(self, path: str, owner: Definition) -> list[Definition]:
        """Return the members of a class, struct, interface or module, in order of their lines.

        In languages whose methods stand outside the type (Go, Rust, C++), those of the same file count.
        """
        members = [definition for definition in self._children_in(path, owner.name) if definition is not owner]
        # A nested class of the same name must not lend its members to the other one.
        namesakes = [other for other in self.named_in(path, owner.name) if other is not owner and _has_body(other)]
        if not namesakes:
            return members
        return [
            member
            for member in members
            if _is_inside(member, owner) or not any(_is_inside(member, other) for other in namesakes)
        ]

    def _children_in(self, path: str, parent: str) -> Sequence[Definition]:
        children = self._children.get(path)
        if children is None:
            children = self._children[path] = {}
            for definition in self._definitions.get(path, ()):
                children.setdefault(definition.parent, []).append(definition)
        return children.get(parent, ())

    def paths_adding_to(self, name: str) -> list[str]:
        """Return the files that add members to a type of this name that another file may define, in order of path."""
        return sorted(self._adding.get(name, ()))

    def added_to(self, name: str, path: str) -> list[Definition]:
        """Return the members that one of those files adds, in order of their lines."""
        extending = [item for item in self.definitions_in(path) if _extended_type(path, item) == name]
        return sorted({*self._children_in(path, name), *extending}, key=lambda item: (item.start_line, item.name))

    def used_among(self, path: str, words: Iterable[str]) -> list[str]:
        """Return those of some words that a file uses as names, in their order."""
        return self._uses.among(path, words)

    def files_using(self, name: str) -> int:
        """Return how many files use a name."""
        return self._uses.files_using(name)

    def files_using_each(self, names: Sequence[str]) -> list[int]:
        """Return how many files use each of some names."""
        return self._uses.files_using_each(names)


def types_added_to(path: str, definitions: Sequence[Definition]) -> set[str]:
    """Return the types that a file adds members to: those it does not define, partial ones, and extended ones.

    >>> method = Definition("run", "method", 0, 1, "func (j *Job) run()", "Job")
    >>> types_added_to("jobs.go", [method]), types_added_to("jobs.py", [method])
    ({'Job'}, set())
    """
    if not path.endswith(_SPREADING):
        return set()
    found = {item.parent for item in definitions} - {item.name for item in definitions} - {""}
    if path.endswith(".cs"):
        found.update(item.name for item in definitions if " partial " in f" {item.signature}" and _is_type(item))
    found.update(_extended_type(path, item) for item in definitions)
    return found - {""}


_SPREADING = (".go", ".rs", ".cs", ".kt", ".swift")
"""Files of languages in which a type's members may stand in several files."""
_EXTENSIONS = {".cs": re.compile(r"\(this (\w+)"), ".kt": re.compile(r"\bfun (?:<[^<>]*> )?(\w+)(?:<[^<>]*>)?\??\.")}


def _extended_type(path: str, definition: Definition) -> str:
    """Return the type that an extension method or function is for, empty for any other definition."""
    pattern = _EXTENSIONS.get(path[path.rfind(".") :])
    if pattern is None or definition.kind not in ("method", "function"):
        return ""
    match = pattern.search(definition.signature)
    return match.group(1) if match else ""


def _is_type(definition: Definition) -> bool:
    return definition.kind in ("class", "interface")


def _has_body(definition: Definition) -> bool:
    return definition.end_line - definition.start_line > 1


def _is_inside(inner: Definition, outer: Definition) -> bool:
    return outer.start_line <= inner.start_line and inner.end_line <= outer.end_line


def _forget(index: dict[str, list[str]], names: Iterable[str], path: str) -> None:
    """Take a path out of each name's list, and a name out of the index when nothing is left."""
    for name in names:
        paths = index[name]
        paths.remove(path)
        if not paths:
            del index[name]
