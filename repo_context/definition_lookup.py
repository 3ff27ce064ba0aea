"""Finds the definitions in other files that the code at a cursor is about to need.

In order: what imported names near the cursor stand for, the types of variables near it, the bases of the class around
it, names that are visible without an import (same package, included header), owners of members used near it, and at
last everything else that the file imports.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from repo_context.import_graph import ImportGraph, ResolvedImport
from repo_context.languages import family_of
from repo_context.snippet import Cursor
from repo_context.symbol_index import Located, SymbolIndex
from repo_context.syntax import Definition, Import

LINES_BEFORE = 10
LINES_AFTER = 3
MAX_REEXPORTS = 3
"""How many files a name is followed through that import it only to export it again."""
MAX_OFFERED = 12
"""How many definitions stand for a whole module."""
RARE = 3
"""A member that so many files define at most says which class it belongs to."""
OWNERS = frozenset({"class", "interface", "enum", "module"})

_NAME = re.compile(r"[^\W\d]\w*")
_MEMBER = re.compile(r"(?:([^\W\d]\w*)\s*)?(?:\.|->|::)\s*([^\W\d]\w*)?")
_ANNOTATED = re.compile(r"\b([^\W\d]\w*)\s*:\s*&?(?:mut\s+)?[\"']?(?:\w+\.)*([^\W\d]\w*)")
_CONSTRUCTED = re.compile(r"\b([^\W\d]\w*)\s*:?=\s*(?:await\s+)?(?:new\s+|&)?(?:\w+(?:\.|::))*([A-Z]\w*)\s*[({]")
_DECLARED = re.compile(r"\b([A-Z]\w*)(?:<[^<>=;]*>)?[\s*&]+([a-z_]\w*)\s*[=;,)]")
_BASES = re.compile(
    r"^\s*(?:export\s+|default\s+|abstract\s+|public\s+|private\s+|internal\s+|final\s+|static\s+|sealed\s+)*"
    r"(?:class|struct|interface)\s+\w+(?:<[^>]*>)?\s*"
    r"(?:\(([^)]*)\)|((?:extends|implements|:|<)\s*[^{]*))",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A definition that may help, and why."""

    located: Located
    reason: str
    near: bool
    """Whether something at the cursor asked for it; otherwise the file merely imports it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Binding:
    """What a name stands for in the edited file: a module, or a name in one."""

    resolved: ResolvedImport
    name: str
    """Empty: the module itself."""


def find_definitions(
    cursor: Cursor, imports: Sequence[Import], symbols: SymbolIndex, graph: ImportGraph
) -> list[Candidate]:
    """Return definitions of other files, best first, each once; `imports` are those of the edited file."""
    lookup = _Lookup(cursor, imports, symbols, graph)
    unique: dict[tuple[str, int, str], Candidate] = {}
    for candidate in lookup.candidates():
        located = candidate.located
        key = (located.path, located.definition.start_line, located.definition.name)
        if located.path != cursor.path:
            unique.setdefault(key, candidate)
    return list(unique.values())


class _Lookup:
    """One question; holds what its steps share."""

    def __init__(self, cursor: Cursor, imports: Sequence[Import], symbols: SymbolIndex, graph: ImportGraph) -> None:
        self._cursor = cursor
        self._symbols = symbols
        self._graph = graph
        self._resolved = graph.resolve(cursor.path, imports)
        self._bindings = {name: binding for item in self._resolved for name, binding in _bound_names(item)}
        self._foreign = _foreign_names(imports, {item.statement.line for item in self._resolved})
        before = cursor.prefix.rsplit("\n", LINES_BEFORE)[-LINES_BEFORE:]
        after = cursor.suffix.split("\n", LINES_AFTER)[:LINES_AFTER]
        self._near_text = "\n".join([*reversed(after), *before])
        self._near = list(dict.fromkeys([*_reversed_names(before), *_NAME.findall("\n".join(after))]))

    def candidates(self) -> Iterator[Candidate]:
        members = self._members()
        for name in self._near:
            yield from self._of_name(name, members.get(name, ()), f"definition of {name}")
        types = _local_types(self._cursor)
        for name in self._near:
            if name in types and types[name] not in self._near:
                yield from self._of_name(types[name], (), f"type of {name}")
        for base in _bases_around(self._cursor.prefix):
            yield from self._of_name(base, (), f"base {base} of the class around the cursor")
        for name in self._near:
            yield from self._visible(name)
        for used in members.values():
            for member in used:
                yield from self._owners(member)
        for item in self._resolved:
            yield from self._imported(item)

    def _members(self) -> dict[str, list[str]]:
        """Return name → members that are taken from it near the cursor, the nearest first."""
        members: dict[str, list[str]] = {}
        for match in reversed(list(_MEMBER.finditer(self._near_text))):
            owner = members.setdefault(match.group(1) or "", [])
            if match.group(2):
                owner.append(match.group(2))
        return members

    def _of_name(self, name: str, members: Sequence[str], reason: str) -> Iterator[Candidate]:
        """Yield what a name stands for that an import binds."""
        binding = self._bindings.get(name)
        if binding is None:
            return
        if binding.name:
            located = self._exported(binding.resolved.target, binding.name)
            if located is not None:
                yield Candidate(located=located, reason=reason, near=True)
                return
        for member in members:
            located = self._exported(binding.resolved.target, member)
            if located is not None:
                yield Candidate(located=located, reason=f"definition of {name}.{member}", near=True)
        if not members:
            yield from self._top_level(binding.resolved.target, f"member of {name}", near=True)

    def _exported(self, path: str, name: str) -> Located | None:
        """Return the definition that a module gives a name, through modules that only pass it on."""
        seen = {path}
        paths = [path]
        for _ in range(MAX_REEXPORTS + 1):
            for candidate in paths:
                own = self._defined_at_top(candidate, name)
                if own is not None:
                    return Located(path=candidate, definition=own)
            paths = [
                item.target
                for candidate in paths
                for item in self._graph.imports_of(candidate)
                if _passes_on(item, name) and item.target not in seen
            ]
            seen.update(paths)
        return None

    def _defined_at_top(self, path: str, name: str) -> Definition | None:
        for definition in self._symbols.definitions_in(path):
            if definition.name == name and not definition.parent:
                return definition
        if name == "default":
            exported = [item for item in self._symbols.definitions_in(path) if not item.parent]
            return next((item for item in exported if "export default" in item.signature), None)
        # Java, C# and PHP wrap everything into a package's or file's class: any definition of the name will do.
        return next((item for item in self._symbols.definitions_in(path) if item.name == name), None)

    def _visible(self, name: str) -> Iterator[Candidate]:
        """Yield the definition of a name that no import binds but that the language may see."""
        if name in self._bindings or name in self._foreign or len(name) < 3:
            return
        if not 1 <= self._symbols.files_defining(name) <= RARE:
            return
        for located in self._nearest_first(self._symbols.definitions_of(name)):
            definition = located.definition
            if definition.kind in ("field", "method", "constructor") or not self._same_family(located.path):
                continue
            yield Candidate(located=located, reason=f"definition of {name}", near=True)
            return

    def _owners(self, member: str) -> Iterator[Candidate]:
        """Yield the classes that a rare member belongs to."""
        if len(member) < 3 or not 1 <= self._symbols.files_defining(member) <= RARE:
            return
        for located in self._nearest_first(self._symbols.definitions_of(member)):
            owner = located.definition.parent
            if not owner or not self._same_family(located.path):
                continue
            for definition in self._symbols.definitions_in(located.path):
                if definition.name == owner and definition.kind in OWNERS:
                    found = Located(path=located.path, definition=definition)
                    yield Candidate(located=found, reason=f"has a member {member}", near=True)
                    break

    def _imported(self, item: ResolvedImport) -> Iterator[Candidate]:
        """Yield everything that one import brings in, whether or not it is used near the cursor."""
        for imported in item.statement.names:
            located = self._exported(item.target, imported.name)
            if located is not None:
                yield Candidate(located=located, reason=f"imported {imported.name}", near=False)
        if not item.statement.names:
            yield from self._top_level(item.target, "imported", near=False)

    def _top_level(self, path: str, reason: str, *, near: bool) -> Iterator[Candidate]:
        """Yield what a module offers, its own and what it passes on, that which most files use first."""
        offered: dict[str, Located] = {}
        for definition in self._symbols.definitions_in(path):
            if not definition.parent:
                offered.setdefault(definition.name, Located(path=path, definition=definition))
        for item in self._graph.imports_of(path):
            for definition in self._symbols.definitions_in(item.target):
                if not definition.parent and _passes_on(item, definition.name):
                    offered.setdefault(definition.name, Located(path=item.target, definition=definition))
        used = {name: self._symbols.files_using(name) for name in offered if not name.startswith("_")}
        for name in sorted(used, key=lambda name: (-used[name], name))[:MAX_OFFERED]:
            yield Candidate(located=offered[name], reason=reason, near=near)

    def _nearest_first(self, found: Sequence[Located]) -> list[Located]:
        """Order by closeness: imported files, then the same folder, then path."""
        imported = {item.target for item in self._resolved}
        folder = self._cursor.path.rpartition("/")[0]
        return sorted(
            found,
            key=lambda located: (
                located.path not in imported,
                located.path.rpartition("/")[0] != folder,
                located.path,
                located.definition.start_line,
            ),
        )

    def _same_family(self, path: str) -> bool:
        return family_of(path) == family_of(self._cursor.path)


def _bound_names(item: ResolvedImport) -> Iterator[tuple[str, _Binding]]:
    """Yield the names that an import binds in the importing file."""
    statement = item.statement
    module_path = re.split(r"[./\\]|::", statement.module.removesuffix(".h").removesuffix(".hpp"))
    for imported in statement.names:
        if item.target and _is_module_named(item.target, imported.name, statement.module):
            yield imported.alias, _Binding(resolved=item, name="")
        else:
            yield imported.alias, _Binding(resolved=item, name=imported.name)
    if statement.alias:
        yield statement.alias, _Binding(resolved=item, name=_class_name(item.target, module_path[-1]))
    elif not statement.names and module_path[-1]:
        yield module_path[-1], _Binding(resolved=item, name=_class_name(item.target, module_path[-1]))


def _is_module_named(target: str, name: str, module: str) -> bool:
    """Say whether `from module import name` took a Python submodule, not a name inside the module."""
    if not target.endswith((".py", ".pyi")):
        return False
    stem = target.rpartition(".")[0].removesuffix("/__init__")
    return stem.rpartition("/")[2] == name and module.rpartition(".")[2] != name


def _class_name(target: str, last: str) -> str:
    """Return the class that an import names in languages that import classes, not modules; empty in others."""
    return last if target.endswith((".java", ".php")) else ""


def _passes_on(item: ResolvedImport, name: str) -> bool:
    """Say whether a module that holds this import gives the name to its own importers."""
    return item.statement.wildcard or any(imported.alias == name for imported in item.statement.names)


def _foreign_names(imports: Sequence[Import], resolved_lines: set[int]) -> set[str]:
    """Return names that imports from outside the repository bind: a namesake in it is not what they mean."""
    names: set[str] = set()
    for statement in imports:
        if statement.line in resolved_lines:
            continue
        names.update(imported.alias for imported in statement.names)
        names.add(statement.alias or re.split(r"[./\\]|::", statement.module)[-1])
    return names


def _reversed_names(lines: Sequence[str]) -> Iterator[str]:
    """Yield the names of the lines before the cursor, the nearest first."""
    for line in reversed(lines):
        yield from reversed(_NAME.findall(line))


def _local_types(cursor: Cursor) -> dict[str, str]:
    """Return variable → type where the text near the cursor shows one; the nearest wins."""
    text = cursor.prefix[-6000:]
    types: dict[str, str] = {}
    for pattern in (_ANNOTATED, _CONSTRUCTED):
        types.update((match.group(1), match.group(2)) for match in pattern.finditer(text))
    types.update((match.group(2), match.group(1)) for match in _DECLARED.finditer(text))
    return types


def _bases_around(prefix: str) -> list[str]:
    """Return the bases of the last class that starts above the cursor and is not indented deeper than it."""
    line = prefix.rpartition("\n")[2]
    indent = len(line) - len(line.lstrip())
    for match in reversed(list(_BASES.finditer(prefix[-20_000:]))):
        header = match.group(0).lstrip("\n")
        if len(header) - len(header.lstrip()) < max(indent, 1):
            bases = match.group(1) or match.group(2) or ""
            return [
                name for name in _NAME.findall(bases) if name not in ("extends", "implements", "public", "metaclass")
            ]
    return []
