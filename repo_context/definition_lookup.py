"""Finds the definitions in other files that the code at a cursor is about to need, each with a reason and a score.

What stands before the cursor says most: a receiver (`order.` wants the members of its type, followed through
annotations, constructor calls, declarations and the results of calls), then imported names near the cursor, imports
that nothing uses yet, the types of variables near it, the bases of the class around it, names that are visible without
an import (same package, included header), classes whose members the file uses, and at last everything else it imports.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property

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
RARE_TYPE = 8
"""The same for the name of a type, whose nearest definition is most often the one meant."""
MAX_CHAIN = 4
"""Longest chain of members that is followed from type to type."""
MAX_TEXT = 60_000
"""Characters on each side of the cursor that are read for types and counts."""
MAX_ROWS = 200
"""How far from the cursor, in lines, uses of a class's members still speak for it."""
MAX_USES = 160
HINTED = 0.6
"""What a use in similar code weighs beside one next to the cursor."""
MAX_FAR = 60
"""Imported files that are looked through although nothing near the cursor names them."""
OWNERS = frozenset({"class", "interface", "enum", "module"})
MEMBERS = frozenset({"field", "method", "constructor"})
NEAR_SCORE = 40.0
"""From this score on something at the cursor asked for it; below, the file merely imports it."""
RECEIVER_SCORE = 100.0
RECEIVER_REASON = "receiver"
"""How the reason begins of what a receiver before the cursor (`order.`) asks for."""

_NAME = re.compile(r"[^\W\d]\w*")
_WORD_OR_LINE = re.compile(r"\n|[^\W\d]\w*")
_MEMBER = re.compile(r"(?:([^\W\d]\w*)\s*)?(?:\.|->|::)\s*([^\W\d]\w*)?")
_CHAIN = re.compile(r"((?:[^\W\d]\w*\s*(?:\?\.|!?\.|->|::)\s*)+)\w*$")
_ARGUMENTS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|(?<=\w)<[\w, <>]*>")
_ANNOTATED = re.compile(r"\b([^\W\d]\w*)\??\s*:\s*&?(?:mut\s+|dyn\s+)?[\"']?((?:[^\W\d]\w*(?:\.|::))*[^\W\d]\w*)")
_CONSTRUCTED = re.compile(
    r"\b([^\W\d]\w*)\s*(?::\s*[\w.\[\]| ]+)?:?=\s*(?:await\s+)?(?:new\s+|&)?((?:\w+(?:\.|::))*[A-Z]\w*)\s*[({<]"
)
_ENTERED = re.compile(r"\bwith\s+((?:\w+\.)*[A-Z]\w*)\([^\n]*\)\s+as\s+(\w+)")
_DECLARED = re.compile(r"\b((?:[A-Z]\w*\.)*[A-Z]\w*)(?:<[^<>=;]*>)?(?:\[\])?[\s*&]+([a-z_]\w*)\s*[=;,):]")
_GO_DECLARED = re.compile(r"(?:\b|[(,]\s*)([a-z]\w*)\s+\*?(?:\[\])?\*?((?:\w+\.)?[A-Z]\w*|[a-z]\w*[A-Z]\w*)\b")
_ASSIGNED = re.compile(r"\b([^\W\d]\w*)(?:\s*,\s*\w+)?\s*:?=\s*(?:await\s+)?((?:[^\W\d]\w*(?:\.|->|::))*[^\W\d]\w*)\(")
_BASES = re.compile(
    r"^\s*(?:export\s+|default\s+|abstract\s+|public\s+|private\s+|internal\s+|final\s+|static\s+|sealed\s+|partial\s+)*"
    r"(?:class|struct|interface|record)\s+\w+(?:<[^>]*>)?\s*"
    r"(?:\(([^)]*)\)|((?:extends|implements|:|<)\s*[^{]*))",
    re.MULTILINE,
)
_TYPE_NAME = re.compile(r"[A-Z]\w*")
_SELF = frozenset({"self", "this", "cls", "super", "base"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A definition that may help, and why."""

    located: Located
    reason: str
    score: float
    """0 to 100."""

    @property
    def near(self) -> bool:
        """Whether something at the cursor asked for it; otherwise the file merely imports it."""
        return self.score >= NEAR_SCORE


@dataclass(frozen=True, slots=True, kw_only=True)
class _Binding:
    """What a name stands for in the edited file: a module, or a name in one."""

    resolved: ResolvedImport
    name: str
    """Empty: the module itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Meaning:
    """What an expression stands for: a value of a type (`located` is the type), a type, or a module."""

    located: Located | None = None
    bindings: tuple[_Binding, ...] = ()
    """Set for a module; more than one where a package is a folder of files."""


def find_definitions(
    cursor: Cursor,
    imports: Sequence[Import],
    resolved: Sequence[ResolvedImport],
    symbols: SymbolIndex,
    graph: ImportGraph,
    hints: Mapping[str, float],
) -> list[Candidate]:
    """Return definitions of other files, best first, each once.

    `imports` are those of the edited file, `resolved` what they lead to. `hints` are names that similar code elsewhere
    uses, each with a weight from 0 to 1: what it needs, this place may need too.
    """
    lookup = _Lookup(cursor, imports, resolved, symbols, graph, hints)
    best: dict[tuple[str, int, str], Candidate] = {}
    for candidate in lookup.candidates():
        located = candidate.located
        key = (located.path, located.definition.start_line, located.definition.name)
        if located.path == cursor.path:
            continue
        known = best.get(key)
        if known is None or candidate.score > known.score:
            best[key] = candidate
    # The sort is stable: of equal scores, what was found first comes first.
    return sorted(best.values(), key=lambda candidate: -candidate.score)


class _Lookup:
    """One question; holds what its steps share."""

    def __init__(
        self,
        cursor: Cursor,
        imports: Sequence[Import],
        resolved: Sequence[ResolvedImport],
        symbols: SymbolIndex,
        graph: ImportGraph,
        hints: Mapping[str, float],
    ) -> None:
        self._cursor = cursor
        self._hints = hints
        self._symbols = symbols
        self._graph = graph
        self._resolved = resolved
        self._bindings: dict[str, list[_Binding]] = {}
        for item in self._resolved:
            for name, binding in _bound_names(item):
                self._bindings.setdefault(name, []).append(binding)
        # A namesake in the repository is not what an import from outside it means.
        self._foreign = _names_bound_by(imports, {item.statement.line for item in self._resolved})
        self._written = _names_bound_by(imports, frozenset())
        self._imported_files = {item.target for item in self._resolved}
        before = cursor.prefix.rsplit("\n", LINES_BEFORE)[-LINES_BEFORE:]
        after = cursor.suffix.split("\n", LINES_AFTER)[:LINES_AFTER]
        self._near_text = "\n".join([*reversed(after), *before])
        self._near = list(dict.fromkeys([*_reversed_names(before), *_NAME.findall("\n".join(after))]))
        self._found: dict[str, Located | None] = {}

    def candidates(self) -> Iterator[Candidate]:
        yield from self._receiver()
        members = self._members()
        for place, name in enumerate(self._near):
            score = 80 - min(place, 60) / 3
            # The graph also binds names that no import statement holds: those of the same or of an imported package.
            bound_score = score if name in self._written else score - 20
            yield from self._of_name(name, members.get(name, ()), bound_score)
            yield from self._type_of_variable(name, score - 5)
        yield from self._unused_imports()
        for place, base in enumerate(self._bases):
            located = self._find_type(base)
            if located is not None:
                yield Candidate(located=located, reason=f"base {base} of the class around the cursor", score=62 - place)
        for place, name in enumerate(self._near):
            yield from self._visible(name, 60 - min(place, 60) / 6)
        for name, weight in self._hints.items():
            score = 42 + 14 * weight
            yield from self._of_name(name, (), score)
            yield from self._visible(name, score)
        yield from self._owners(members)
        for place, item in enumerate(self._resolved[:MAX_FAR]):
            yield from self._imported(item, 30 - place / 9)

    # --- the receiver before the cursor -----------------------------------------------------------------------

    def _receiver(self) -> Iterator[Candidate]:
        """Yield what `a.b.` before the cursor can be followed by."""
        chain = self._chain
        if not chain:
            return
        text = ".".join(chain)
        if chain[0] in _SELF and len(chain) == 1:
            for place, base in enumerate(self._bases):
                located = self._find_type(base)
                if located is not None:
                    yield Candidate(
                        located=located,
                        reason=f"{RECEIVER_REASON} {chain[0]} is a {base}",
                        score=RECEIVER_SCORE - place,
                    )
            return
        meaning = self._follow(chain, MAX_CHAIN)
        if meaning is None:
            return
        if meaning.located is not None:
            yield Candidate(located=meaning.located, reason=f"{RECEIVER_REASON} {text}: its type", score=RECEIVER_SCORE)
        offered = [item for binding in meaning.bindings for item in self._top_level(binding.resolved.target)]
        for place, located in enumerate(self._most_used(offered)):
            yield Candidate(
                located=located, reason=f"{RECEIVER_REASON} {text}: a member", score=RECEIVER_SCORE - 5 - place
            )

    @cached_property
    def _chain(self) -> tuple[str, ...]:
        """Return the names before the cursor that dots join: ("order", "owner") at `order.owner.na`."""
        line = self._cursor.prefix[-400:].rpartition("\n")[2]
        for _ in range(3):
            line = _ARGUMENTS.sub("", line)
        match = _CHAIN.search(line)
        return tuple(_NAME.findall(match.group(1)))[-MAX_CHAIN:] if match else ()

    def _follow(self, chain: Sequence[str], depth: int) -> _Meaning | None:
        """Return what a chain of names stands for, from its first name through its members."""
        if not chain or depth <= 0:
            return None
        if chain[0] in _SELF and len(chain) > 1:
            chain = chain[1:]
        meaning = self._meaning_of(chain[0], depth)
        for name in chain[1:]:
            meaning = meaning and self._member_of(meaning, name)
        return meaning

    def _meaning_of(self, name: str, depth: int) -> _Meaning | None:
        # A variable hides a module of the same name.
        written = self._find_type(self._types[name]) if name in self._types else None
        if written is not None:
            return _Meaning(located=written)
        bindings = self._bindings.get(name)
        if bindings is not None:
            for binding in bindings:
                located = self._exported(binding.resolved.target, binding.name) if binding.name else None
                if located is not None:
                    return _Meaning(located=located)
            return _Meaning(bindings=tuple(bindings[:MAX_FAR]))
        called = self._calls.get(name)
        if called is not None:
            meaning = self._follow(called, depth - 1)
            if meaning is not None and meaning.located is not None:
                return self._result_of(meaning.located)
        located = self._find_type(name) if name[:1].isupper() else None
        return _Meaning(located=located) if located else None

    def _member_of(self, meaning: _Meaning, name: str) -> _Meaning | None:
        """Return what a member of a module, or of a value, stands for."""
        for binding in meaning.bindings:
            located = self._exported(binding.resolved.target, name)
            if located is not None:
                return _Meaning(located=located)
        owner = meaning.located
        if owner is None or owner.definition.kind not in OWNERS:
            return None
        for member in self._symbols.members_of(owner.path, owner.definition):
            if member.name == name:
                return self._result_of(Located(path=owner.path, definition=member))
        return None

    def _result_of(self, located: Located) -> _Meaning | None:
        """Return the type of what a call of this, or a read of it, gives: the first name in it that is a type here."""
        definition = located.definition
        if definition.kind in OWNERS:
            return _Meaning(located=located)
        for name in _TYPE_NAME.findall(_result_text(definition)):
            if name == "Self":
                name = definition.parent
            found = self._find_type(name, near=located.path)
            if found is not None:
                return _Meaning(located=found)
        return None

    # --- names near the cursor --------------------------------------------------------------------------------

    def _members(self) -> dict[str, list[str]]:
        """Return name → members that are taken from it near the cursor, the nearest first."""
        members: dict[str, list[str]] = {}
        for match in reversed(list(_MEMBER.finditer(self._near_text))):
            owner = members.setdefault(match.group(1) or "", [])
            if match.group(2):
                owner.append(match.group(2))
        return members

    def _of_name(self, name: str, members: Sequence[str], score: float) -> Iterator[Candidate]:
        """Yield what a name stands for that an import binds."""
        modules = []
        for binding in self._bindings.get(name, ()):
            located = self._exported(binding.resolved.target, binding.name) if binding.name else None
            if located is not None:
                yield Candidate(located=located, reason=f"definition of {name}", score=score)
                return
            modules.append(binding.resolved.target)
        for place, member in enumerate(dict.fromkeys(members)):
            for target in modules:
                located = self._exported(target, member)
                if located is not None:
                    reason = f"definition of {name}.{member}"
                    yield Candidate(located=located, reason=reason, score=score - place / 2)
                    break
        if modules and not members:
            offered = [item for target in modules for item in self._top_level(target)]
            for place, located in enumerate(self._most_used(offered)):
                yield Candidate(located=located, reason=f"member of {name}", score=score - 10 - place)

    def _type_of_variable(self, name: str, score: float) -> Iterator[Candidate]:
        if name not in self._types and name not in self._calls:
            return
        meaning = self._meaning_of(name, MAX_CHAIN)
        if meaning is not None and meaning.located is not None:
            yield Candidate(located=meaning.located, reason=f"type of {name}", score=score)

    def _unused_imports(self) -> Iterator[Candidate]:
        """Yield imported names that nothing uses yet: what they are imported for is often being written."""
        for name, bindings in self._bindings.items():
            if self._counts[name] > 1 or name not in self._written:
                continue
            for binding in bindings:
                located = self._exported(binding.resolved.target, binding.name) if binding.name else None
                if located is not None:
                    yield Candidate(located=located, reason=f"imported {name}, not used yet", score=72)
                    break

    def _visible(self, name: str, score: float) -> Iterator[Candidate]:
        """Yield the definition of a name that no import binds but that the language may see."""
        if name in self._bindings or name in self._foreign or len(name) < 3:
            return
        if not 1 <= self._symbols.files_defining(name) <= RARE:
            return
        for located in self._nearest_first(self._symbols.definitions_of(name), self._cursor.path):
            if located.definition.kind not in MEMBERS and self._same_family(located.path):
                yield Candidate(located=located, reason=f"definition of {name}", score=score)
                return

    def _owners(self, near: Mapping[str, Sequence[str]]) -> Iterator[Candidate]:
        """Yield the classes whose rare members the file uses: the nearer and the more of them, the better."""
        distances = _distances(self._cursor)
        distances = {name: distances[name] for name in self._symbols.used_among(self._cursor.path, distances)}
        distances.update((member, 0) for used in near.values() for member in used)
        nearest = sorted(distances, key=lambda name: distances[name])[:MAX_USES]
        weights = {name: 1 / (1 + distances[name] / 10) for name in nearest}
        for name, weight in self._hints.items():
            weights[name] = max(weights.get(name, 0), HINTED * weight)
        votes: dict[Located, float] = {}
        reasons: dict[Located, str] = {}
        for name, weight in weights.items():
            defining = self._symbols.files_defining(name) if len(name) >= 3 else 0
            if not 1 <= defining <= RARE or name in self._bindings:
                continue
            # What nearly every file uses is most often a namesake of the language's own.
            told = 1 - math.log1p(self._symbols.files_using(name)) / math.log(self._symbols.files() + 2)
            for owner in self._owners_of(name):
                votes[owner] = votes.get(owner, 0) + weight * max(told, 0.02) / defining
                reasons.setdefault(owner, f"has a member {name}")
        for owner, vote in votes.items():
            yield Candidate(located=owner, reason=reasons[owner], score=25 + 33 * vote / (vote + 0.5))

    def _owners_of(self, member: str) -> Iterator[Located]:
        for located in self._nearest_first(self._symbols.definitions_of(member), self._cursor.path):
            definition = located.definition
            if definition.kind not in MEMBERS or not definition.parent:
                continue
            if located.path == self._cursor.path or not self._same_family(located.path):
                continue
            for owner in self._symbols.named_in(located.path, definition.parent):
                if owner.kind in OWNERS:
                    yield Located(path=located.path, definition=owner)
                    break

    def _imported(self, item: ResolvedImport, score: float) -> Iterator[Candidate]:
        """Yield everything that one import brings in: names that the file uses often first."""
        for imported in item.statement.names:
            located = self._exported(item.target, imported.name)
            if located is not None:
                often = min(self._counts[imported.alias], 8)
                yield Candidate(located=located, reason=f"imported {imported.name}", score=score + often)
        if not item.statement.names:
            for located in self._most_used(self._top_level(item.target)):
                often = min(self._counts[located.definition.name], 8)
                yield Candidate(located=located, reason="imported", score=score - 10 + often)

    # --- what names are bound to ------------------------------------------------------------------------------

    @cached_property
    def _counts(self) -> Counter[str]:
        """How often each name occurs around the cursor."""
        text = self._cursor.prefix[-MAX_TEXT:] + "\n" + self._cursor.suffix[:MAX_TEXT]
        return Counter(_NAME.findall(text))

    @cached_property
    def _bases(self) -> list[str]:
        return _bases_around(self._cursor.prefix)

    @cached_property
    def _types(self) -> dict[str, str]:
        return _local_types(self._cursor)

    @cached_property
    def _calls(self) -> dict[str, tuple[str, ...]]:
        """Variable → the chain of names whose call it was set to; the nearest wins."""
        text = self._cursor.prefix[-6000:]
        return {match.group(1): tuple(_NAME.findall(match.group(2))) for match in _ASSIGNED.finditer(text)}

    def _find_type(self, written: str, near: str = "") -> Located | None:
        """Return the definition of a type by its name, dotted or not: through imports, else the nearest visible one."""
        key = f"{near}:{written}"
        if key not in self._found:
            self._found[key] = self._find_type_anew(written, near)
        return self._found[key]

    def _find_type_anew(self, written: str, near: str) -> Located | None:
        first, *rest = _NAME.findall(written) or [""]
        last = rest[-1] if rest else first
        for binding in () if near else self._bindings.get(first, ()):
            wanted = binding.name or (rest[0] if rest else "")
            located = self._exported(binding.resolved.target, wanted) if wanted else None
            if located is not None:
                return located
        if (first in self._foreign and not near) or not 1 <= self._symbols.files_defining(last) <= RARE_TYPE:
            return None
        found = [
            located
            for located in self._symbols.definitions_of(last)
            if (located.definition.kind in OWNERS or located.definition.kind == "type")
            and self._same_family(located.path)
        ]
        return next(iter(self._nearest_first(found, near or self._cursor.path)), None)

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
        named = self._symbols.named_in(path, name)
        for definition in named:
            if not definition.parent:
                return definition
        if name == "default":
            exported = [item for item in self._symbols.definitions_in(path) if not item.parent]
            return next((item for item in exported if "export default" in item.signature), None)
        # Java, C# and PHP wrap everything into a package's or file's class: any definition of the name will do.
        return named[0] if named else None

    def _top_level(self, path: str) -> list[Located]:
        """Return what a module offers, its own and what it passes on, each name once."""
        offered: dict[str, Located] = {}
        for definition in self._symbols.definitions_in(path):
            if not definition.parent:
                offered.setdefault(definition.name, Located(path=path, definition=definition))
        for item in self._graph.imports_of(path):
            if item.statement.wildcard:
                for definition in self._symbols.definitions_in(item.target):
                    if not definition.parent:
                        offered.setdefault(definition.name, Located(path=item.target, definition=definition))
            for imported in item.statement.names:
                located = None if imported.alias in offered else self._exported(item.target, imported.name)
                if located is not None:
                    offered[imported.alias] = located
        return list(offered.values())

    def _most_used(self, offered: Sequence[Located]) -> list[Located]:
        """Return the public ones that most files use."""
        used = [
            (-self._symbols.files_using(located.definition.name), located.definition.name, place)
            for place, located in enumerate(offered)
            if not located.definition.name.startswith("_")
        ]
        return [offered[place] for _, _, place in sorted(used)[:MAX_OFFERED]]

    def _nearest_first(self, found: Sequence[Located], near: str) -> list[Located]:
        """Order by closeness to a file: imported files, then the same folder, then path."""
        if len(found) < 2:
            return list(found)
        folder = near.rpartition("/")[0]
        return sorted(
            found,
            key=lambda located: (
                located.path != near,
                located.path not in self._imported_files,
                located.path.rpartition("/")[0] != folder,
                located.path,
                located.definition.start_line,
            ),
        )

    def _same_family(self, path: str) -> bool:
        return family_of(path) == family_of(self._cursor.path)


def _distances(cursor: Cursor) -> dict[str, int]:
    """Return word → how many lines it is from the cursor, for words within `MAX_ROWS` of it."""
    distances: dict[str, int] = {}
    before = "\n".join(cursor.prefix.rsplit("\n", MAX_ROWS + 1)[-MAX_ROWS - 1 :])
    after = "\n".join(cursor.suffix.split("\n", MAX_ROWS + 1)[: MAX_ROWS + 1])
    for names in (reversed(_WORD_OR_LINE.findall(before)), _WORD_OR_LINE.findall(after)):
        distance = 0
        for name in names:
            if name == "\n":
                distance += 1
            elif distance < distances.get(name, MAX_ROWS + 1):
                distances[name] = distance
    return distances


def _result_text(definition: Definition) -> str:
    """Return the part of a signature that says the type of the result: after `->` or `):`, or before the name."""
    signature = definition.signature
    head, _, tail = signature.partition(definition.name)
    for mark in ("->", "):"):
        if mark in tail:
            return tail.rpartition(mark)[2]
    if definition.kind == "field" or "(" not in tail:
        return head + " " + tail
    if signature.startswith("func "):
        return tail.partition(")")[2]
    return head


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
    elif module_path[-1] and (not statement.names or item.target.endswith(".go")):
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


def _names_bound_by(imports: Sequence[Import], without_lines: Set[int]) -> set[str]:
    """Return the names that import statements bind, but for those of some lines."""
    names: set[str] = set()
    for statement in imports:
        if statement.line in without_lines:
            continue
        names.update(imported.alias for imported in statement.names)
        names.add(statement.alias or re.split(r"[./\\]|::", statement.module)[-1])
    return names


def _reversed_names(lines: Sequence[str]) -> Iterator[str]:
    """Yield the names of the lines before the cursor, the nearest first."""
    for line in reversed(lines):
        yield from reversed(_NAME.findall(line))


def _local_types(cursor: Cursor) -> dict[str, str]:
    """Return variable → type where the file shows one; what stands nearest above the cursor wins."""
    above = cursor.prefix[-MAX_TEXT:]
    near = above[-6000:]
    types: dict[str, str] = {}
    family = family_of(cursor.path)
    if family in _DECLARING:
        # Fields stand far from the methods that use them, above or below.
        for text in (cursor.suffix[:MAX_TEXT], above):
            types.update((match.group(2), match.group(1)) for match in _DECLARED.finditer(text))
    if family == "go":
        types.update((match.group(1), match.group(2)) for match in _GO_DECLARED.finditer(near))
    if family not in _DECLARING:
        types.update((match.group(1), match.group(2)) for match in _ANNOTATED.finditer(above))
    types.update((match.group(2), match.group(1)) for match in _ENTERED.finditer(near))
    types.update((match.group(1), match.group(2)) for match in _CONSTRUCTED.finditer(near))
    return types


_DECLARING = frozenset({"java", "csharp", "c", "kotlin", "scala", "php"})
"""Families that write a variable's type before its name."""


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
