"""Says what names and chains of names stand for at a cursor: definitions, modules, the types of values.

Types are not inferred: a chain is followed as far as imports, annotations, declarations and signatures say.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import nsmallest

from repo_context.cursor_text import MAX_CHAIN, NAME, OWN, CursorText, bases_after
from repo_context.import_graph import ImportGraph, ResolvedImport
from repo_context.languages import family_of
from repo_context.mirrored_files import is_test_file
from repo_context.name_bindings import Binding, bindings_of, bindings_of_name, names_bound_by
from repo_context.snippet import Cursor
from repo_context.symbol_index import Located, SymbolIndex
from repo_context.syntax import Definition, Import

MAX_REEXPORTS = 3
"""How many files a name is followed through that import it only to export it again."""
MAX_BINDINGS = 60
RARE_TYPE = 8
"""A type's name that more files define is looked up through imports alone."""
MAX_BASES = 8
MAX_NAMES_OF_TYPE = 6
"""How many names of a written type are tried: `Annotated[Optional[X]]` means X."""
OWNERS = frozenset({"class", "interface", "enum", "module"})
TYPES = OWNERS | {"type"}
MEMBERS = frozenset({"field", "method", "constructor"})

_TYPE_NAME = re.compile(r"(?<![\w.])(?:[a-z]\w*(?:\.|::))*[A-Z]\w*")
_BARE_PARAMETER = re.compile(r"[A-Z][A-Z0-9]?$")
_BOUND = re.compile(rf"\s*(?:extends|super|:)\s*&?({_TYPE_NAME.pattern})")
_PARAMETER_BOUND = re.compile(r"\s*(?:extends|:)")
_WORD_END = re.compile(r"\w")
_LIST_BEFORE = re.compile(r"[<\[,]\s*\Z")
_EXPORT = re.compile(r"(?:@[\w.]+(?:\([^)]*\))?\s*)*(?:export|declare)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What an expression stands for: a value of a type (`located` is the type), a type, or a module."""

    located: Located | None = None
    bindings: tuple[Binding, ...] = ()
    """Set for a module; more than one where a package is a folder of files."""


class Meanings:
    """Answers for one cursor; remembers what it has looked up."""

    def __init__(
        self,
        cursor: Cursor,
        text: CursorText,
        imports: Sequence[Import],
        resolved: Sequence[ResolvedImport],
        symbols: SymbolIndex,
        graph: ImportGraph,
    ) -> None:
        """`imports` are those of the edited file, `resolved` what they lead to."""
        self._cursor = cursor
        self._family = family_of(cursor.path)
        self._text = text
        self._symbols = symbols
        self._graph = graph
        self.bindings = bindings_of(resolved)
        # A namesake in the repository is not what an import from outside it means.
        self.foreign = names_bound_by(imports, {item.statement.line for item in resolved})
        self._imported_files = {item.target for item in resolved}
        self._found: dict[tuple[str, str], Located | None] = {}
        self._exports: dict[tuple[str, str], Located | None] = {}
        self._lineages: dict[Located, tuple[Located, ...]] = {}

    # --- values -----------------------------------------------------------------------------------------------

    def follow(self, chain: Sequence[str], depth: int = MAX_CHAIN) -> Meaning | None:
        """Return what a chain of names stands for, from its first name through its members."""
        if not chain or depth <= 0:
            return None
        meaning: Meaning | None
        if chain[0] in OWN and len(chain) > 1:
            chain = chain[1:]
            meaning = self._variable(chain[0], depth) or self._inherited(chain[0])
        else:
            meaning = self.of_name(chain[0], depth)
        for name in chain[1:]:
            meaning = meaning and self._member_of(meaning, name)
        return meaning

    def of_name(self, name: str, depth: int = MAX_CHAIN) -> Meaning | None:
        """Return what a name stands for; a variable hides a module of the same name."""
        variable = self._variable(name, depth)
        if variable is not None:
            return variable
        bindings = self.bindings.get(name)
        if bindings is not None:
            for binding in bindings:
                located = self.exported(binding.target, binding.name) if binding.name else None
                if located is not None:
                    return Meaning(located=located)
            return Meaning(bindings=tuple(bindings[:MAX_BINDINGS]))
        located = self.find_type(name) if name[:1].isupper() else None
        return Meaning(located=located) if located else None

    def definition(self, chain: Sequence[str]) -> Located | None:
        """Return the definition that a chain of names leads to, before any call of it."""
        if len(chain) == 1:
            bound = self.of_name(chain[0])
            if bound is not None and bound.located is not None:
                return bound.located
            own = self._symbols.named_in(self._cursor.path, chain[0])
            return Located(path=self._cursor.path, definition=own[0]) if own else None
        owner = self.follow(chain[:-1])
        return self._member(owner, chain[-1]) if owner is not None else None

    def _variable(self, name: str, depth: int) -> Meaning | None:
        written = self._text.types.get(name)
        located = self._written_type(written) if written else None
        if located is not None:
            return Meaning(located=located)
        chain = self._text.values.get(name)
        meaning = self.follow(chain, depth - 1) if chain and chain != (name,) else None
        if meaning is not None and meaning.located is not None:
            return self._result_of(meaning.located)
        return None

    def _inherited(self, name: str) -> Meaning | None:
        """Return what a member of the class around the cursor stands for that a base of it has."""
        for base in self._text.bases:
            located = self.find_type(base)
            meaning = located and self._member_of(Meaning(located=located), name)
            if meaning:
                return meaning
        return None

    def _member_of(self, meaning: Meaning, name: str) -> Meaning | None:
        """Return what a member of a module, or of a value, stands for when it is read or called."""
        if meaning.bindings:
            located = self._member(meaning, name)
            return Meaning(located=located) if located else None
        member = self._member(meaning, name)
        return self._result_of(member) if member else None

    def _member(self, meaning: Meaning, name: str) -> Located | None:
        """Return the definition of a member of a module, or of a value's type and its bases."""
        for binding in meaning.bindings:
            located = self.exported(binding.target, name)
            if located is not None:
                return located
        if meaning.located is None or meaning.located.definition.kind not in TYPES:
            return None
        for owner in (meaning.located, *self.lineage(meaning.located)):
            for member in self._symbols.members_of(owner.path, owner.definition):
                if member.name == name:
                    return Located(path=owner.path, definition=member)
            for part in self.parts_elsewhere(owner):
                for located in part:
                    if located.definition.name == name:
                        return located
        return None

    def _result_of(self, located: Located) -> Meaning | None:
        """Return the type of what a call of this, or a read of it, gives: the first name in it that is a type here."""
        definition = located.definition
        if definition.kind in TYPES:
            return Meaning(located=located)
        text = _result_text(definition)
        if re.search(r"\bSelf\b|\bthis\b", text) and definition.parent:
            text = definition.parent
        found = next(self.types_in(text, located), None)
        return Meaning(located=found) if found else None

    # --- types ------------------------------------------------------------------------------------------------

    def types_in(self, text: str, source: Located | None = None) -> Iterator[Located]:
        """Yield the types that a piece of source names, in its order, each once.

        `source` is the definition whose signature the text is from; without it the text is the edited file's own.
        Names of type parameters stand for their bounds.
        """
        declared = source.definition.signature if source else self._cursor.prefix[-2000:]
        seen: set[Located] = set()
        for name in list(dict.fromkeys(_TYPE_NAME.findall(text)))[:MAX_NAMES_OF_TYPE]:
            bound = _bound_in(declared, name)
            if not bound and _BARE_PARAMETER.match(name):
                continue
            written = bound if bound and _is_parameter(declared, name) else name
            located = self.find_type(written, near=source.path if source else "")
            if located is not None and located not in seen:
                seen.add(located)
                yield located

    def _written_type(self, written: str) -> Located | None:
        if written[:1].islower() and NAME.fullmatch(written):
            located = self.find_type(written)
        else:
            located = next(self.types_in(written), None)
        return located if located is not None and located.definition.kind in TYPES else None

    def find_type(self, written: str, near: str = "") -> Located | None:
        """Return the definition of a type by its name, dotted or not: through imports, else the nearest visible one.

        `near`: the file that names it, when that is not the edited one.
        """
        key = (near, written)
        if key not in self._found:
            self._found[key] = self._find_type_anew(written, near or self._cursor.path)
        return self._found[key]

    def _find_type_anew(self, written: str, near: str) -> Located | None:
        first, *rest = NAME.findall(written) or [""]
        last = rest[-1] if rest else first
        for binding in self._bindings_in(near, first):
            wanted = binding.name or (rest[0] if rest else "")
            located = self.exported(binding.target, wanted) if wanted else None
            if located is not None:
                return located
        is_own = near == self._cursor.path
        if (is_own and first in self.foreign) or not 1 <= self._symbols.files_defining(last) <= RARE_TYPE:
            return None
        found = [
            located
            for located in self._symbols.definitions_of(last)
            if located.definition.kind in TYPES and self.is_visible(located, near)
        ]
        return next(iter(self.nearest_first(found, near)), None)

    def _bindings_in(self, path: str, name: str) -> Sequence[Binding]:
        if path == self._cursor.path:
            return self.bindings.get(name, ())
        return bindings_of_name(self._graph.imports_of(path), name)

    def lineage(self, located: Located) -> tuple[Located, ...]:
        """Return the bases of a type, the nearest first; for an alias, the types that it is made of."""
        if located not in self._lineages:
            self._lineages[located] = ()
            found: dict[Located, None] = {}
            queue = [located]
            while queue and len(found) < MAX_BASES:
                current = queue.pop(0)
                for name in _bases_of(current.definition):
                    base = self.find_type(name, near=current.path)
                    if base is not None and base != located and base not in found:
                        found[base] = None
                        queue.append(base)
            self._lineages[located] = tuple(found)
        return self._lineages[located]

    def parts_elsewhere(self, owner: Located) -> list[list[Located]]:
        """Return the members that other files add to a type (Go's methods, Rust's impls, ...), one list a file."""
        name, path = owner.definition.name, owner.path
        folder = path.rpartition("/")[0]
        parts = []
        for other in self._symbols.paths_adding_to(name):
            if other == path or family_of(other) != family_of(path) or is_test_file(other):
                continue
            if other.endswith(".go") and other.rpartition("/")[0] != folder:
                continue
            parts.append([Located(path=other, definition=item) for item in self._symbols.added_to(name, other)])
        return parts[:MAX_BASES]

    # --- what modules offer -----------------------------------------------------------------------------------

    def exported(self, path: str, name: str) -> Located | None:
        """Return the definition that a module gives a name, through modules that only pass it on."""
        key = (path, name)
        if key not in self._exports:
            self._exports[key] = self._exported_anew(path, name)
        return self._exports[key]

    def _exported_anew(self, path: str, name: str) -> Located | None:
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

    def top_level(self, path: str) -> list[Located]:
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
                located = None if imported.alias in offered else self.exported(item.target, imported.name)
                if located is not None:
                    offered[imported.alias] = located
        return list(offered.values())

    def most_used(self, offered: Sequence[Located], limit: int) -> list[Located]:
        """Return the public ones that most files use."""
        public = [(located.definition.name, place) for place, located in enumerate(offered)]
        public = [(name, place) for name, place in public if not name.startswith("_")]
        used = self._symbols.files_using_each([name for name, _ in public])
        best = nsmallest(limit, [(-times, name, place) for times, (name, place) in zip(used, public, strict=True)])
        return [offered[place] for _, _, place in best]

    # --- what is visible --------------------------------------------------------------------------------------

    def is_visible(self, located: Located, near: str = "") -> bool:
        """Say whether a file may name a definition that it has not imported, at the cost of an import at most."""
        near = near or self._cursor.path
        if located.path == near:
            return True
        family = family_of(located.path)
        if family != self._family:
            return False
        is_beside = located.path.rpartition("/")[0] == near.rpartition("/")[0]
        if is_test_file(located.path) and not (is_beside and family in _SEEN_BESIDE):
            return False
        return family != "script" or located.path.endswith(".d.ts") or _is_exported(located.definition)

    def nearest_first(self, found: Sequence[Located], near: str) -> list[Located]:
        """Order by closeness to a file: the file itself, imported files, then the same folder, then path."""
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

    @cached_property
    def own_bases(self) -> list[tuple[str, Located]]:
        """The bases of the class around the cursor, each with what it is called, then the bases of those."""
        direct = [(name, located) for name in self._text.bases if (located := self.find_type(name)) is not None]
        further = [(other.definition.name, other) for _, located in direct for other in self.lineage(located)]
        return [*direct, *further][:MAX_BASES]


_SEEN_BESIDE = frozenset({"jvm", "go", "csharp", "swift", "rust"})
"""Families in which files of one folder see each other's names without an import."""


def _bound_in(declared: str, name: str) -> str:
    """Return the bound that a declaration gives a type parameter, empty where none stands behind the name.

    >>> _bound_in("class Bed<T extends Plant>", "T")
    'Plant'
    """
    for place in _places(declared, name):
        bound = _BOUND.match(declared, place + len(name))
        if bound is not None and (place == 0 or not _WORD_END.match(declared, place - 1)):
            return bound.group(1)
    return ""


def _is_parameter(declared: str, name: str) -> bool:
    """Say whether a name with a bound stands in a list of type parameters."""
    return any(
        _PARAMETER_BOUND.match(declared, place + len(name)) and _LIST_BEFORE.search(declared, 0, place)
        for place in _places(declared, name)
    )


def _places(text: str, name: str) -> Iterator[int]:
    place = text.find(name)
    while place >= 0:
        yield place
        place = text.find(name, place + 1)


def _is_exported(definition: Definition) -> bool:
    return bool(definition.parent) or _EXPORT.match(definition.signature) is not None


def _bases_of(definition: Definition) -> list[str]:
    """Return the names of a type's bases as its signature has them; of an alias, all types that it is made of."""
    _, _, tail = definition.signature.partition(definition.name)
    if definition.kind == "type":
        return _TYPE_NAME.findall(tail.partition("=")[2])
    return bases_after(re.sub(r"^<[^(:]*>\s*", "", tail).removesuffix("{").partition(" where ")[0])


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


def _passes_on(item: ResolvedImport, name: str) -> bool:
    """Say whether a module that holds this import gives the name to its own importers."""
    return item.statement.wildcard or any(imported.alias == name for imported in item.statement.names)
