"""Finds the definitions in other files that the code at a cursor is about to need, each with a reason and a score.

What stands before the cursor says most: a receiver (`order.` wants the members of its type and of that type's bases),
the calls, tags and literals that are still open, then imported names near the cursor, imports that nothing uses yet,
the types of variables near it, the bases of the class around it, names that are visible without an import (same
package, included header), what the file tests, classes whose members the file uses, and at last all that it imports.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from repo_context.cursor_text import MAX_CHAIN, OWN, CursorText, Enclosing
from repo_context.import_graph import ImportGraph, ResolvedImport
from repo_context.mirrored_files import is_test_file
from repo_context.name_bindings import Binding, names_bound_by
from repo_context.name_meaning import MEMBERS, OWNERS, TYPES, Meanings
from repo_context.snippet import Cursor
from repo_context.symbol_index import Located, SymbolIndex
from repo_context.syntax import Definition, Import

MAX_OFFERED = 12
"""How many definitions stand for a whole module near the cursor."""
MAX_LISTED = 60
"""How many stand for a module before the cursor, as signatures."""
MAX_TESTED = 4
"""How many stand for the file that the edited one tests."""
RARE = 3
"""A member that so many files define at most says which class it belongs to."""
MAX_USES = 160
HINTED = 0.6
"""What a use in similar code weighs beside one next to the cursor."""
MAX_FAR = 60
"""Imported files that are looked through although nothing near the cursor names them."""
NEAR_SCORE = 40.0
"""From this score on something at the cursor asked for it; below, the file merely imports it."""
RECEIVER_SCORE = 100.0
RECEIVER_REASON = "receiver"
"""How the reason begins of what a receiver before the cursor (`order.`) asks for."""
LITERAL_SCORE = 90.0
"""What an open literal of a type is worth: its members are being written."""
CALL_SCORE = 76.0
PARAMETER_SCORE = 66.0
INHERITED_SCORE = 44.0
"""What the base of a type is worth that nothing before the cursor takes a member of."""
MAX_PARAMETERS = 3
"""How many types of a call's parameters are shown, and how many bases of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A definition that may help, and why."""

    located: Located
    reason: str
    score: float
    """0 to 100."""
    listed: tuple[Definition, ...] = ()
    """Set: these definitions of the same file are shown, as signatures, instead of `located` alone."""

    @property
    def near(self) -> bool:
        """Whether something at the cursor asked for it; otherwise the file merely imports it."""
        return self.score >= NEAR_SCORE


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
        self._text = CursorText(cursor)
        self._meanings = Meanings(cursor, self._text, imports, resolved, symbols, graph)
        self._written = names_bound_by(imports, frozenset())

    def candidates(self) -> Iterator[Candidate]:
        yield from self._receiver()
        for place, enclosing in enumerate(self._text.enclosing):
            yield from self._open_at_cursor(enclosing, place)
        members = self._text.near_members
        for place, name in enumerate(self._text.near_names):
            score = 80 - min(place, 60) / 3
            # The graph also binds names that no import statement holds: those of the same or of an imported package.
            bound_score = score if name in self._written else score - 20
            yield from self._of_name(name, members.get(name, ()), bound_score)
            yield from self._type_of_variable(name, score - 5)
        yield from self._unused_imports()
        for place, (name, located) in enumerate(self._meanings.own_bases):
            score = 62 - place if name in self._text.bases else INHERITED_SCORE
            yield from self._type(located, f"base {name} of the class around the cursor", score)
        for place, name in enumerate(self._text.near_names):
            yield from self._visible(name, 60 - min(place, 60) / 6)
        for name, weight in self._hints.items():
            score = 42 + 14 * weight
            yield from self._of_name(name, (), score)
            yield from self._visible(name, score)
        yield from self._tested()
        yield from self._owners(members)
        for place, item in enumerate(self._resolved[:MAX_FAR]):
            yield from self._imported(item, 30 - place / 9)

    # --- what is open at the cursor ---------------------------------------------------------------------------

    def _receiver(self) -> Iterator[Candidate]:
        """Yield what `a.b.` before the cursor can be followed by."""
        chain = self._text.receiver
        if not chain:
            return
        text = ".".join(chain)
        if chain[0] in OWN and len(chain) == 1:
            for place, (name, located) in enumerate(self._meanings.own_bases):
                yield from self._type(located, f"{RECEIVER_REASON} {chain[0]} is a {name}", RECEIVER_SCORE - place)
            return
        meaning = self._meanings.follow(chain)
        if meaning is None:
            return
        if meaning.located is not None:
            yield from self._type(meaning.located, f"{RECEIVER_REASON} {text}: its type", RECEIVER_SCORE)
            for base in self._meanings.lineage(meaning.located):
                reason = f"{RECEIVER_REASON} {text}: base {base.definition.name} of its type"
                yield from self._type(base, reason, RECEIVER_SCORE - 4)
        yield from self._listing(meaning.bindings, f"{RECEIVER_REASON} {text}: members", RECEIVER_SCORE - 5)

    def _listing(self, modules: Iterable[Binding], reason: str, score: float) -> Iterator[Candidate]:
        """Yield the names that modules offer as lists of signatures, one list a file that defines some of them."""
        offered = [item for binding in modules for item in self._meanings.top_level(binding.target)]
        by_file: dict[str, list[Definition]] = {}
        for located in self._meanings.most_used(offered, MAX_LISTED):
            by_file.setdefault(located.path, []).append(located.definition)
        for place, (path, listed) in enumerate(by_file.items()):
            located = Located(path=path, definition=listed[0])
            yield Candidate(located=located, reason=reason, score=score - place, listed=tuple(listed))

    def _type(self, located: Located, reason: str, score: float) -> Iterator[Candidate]:
        """Yield a definition, and the members that other files add to it."""
        yield Candidate(located=located, reason=reason, score=score)
        if located.definition.kind not in OWNERS:
            return
        for part in self._meanings.parts_elsewhere(located):
            if part:
                listed = tuple(item.definition for item in part)
                added = f"{reason} (added here)"
                worth = score - (0.5 if score >= LITERAL_SCORE else 15)
                yield Candidate(located=part[0], reason=added, score=worth, listed=listed)

    def _open_at_cursor(self, enclosing: Enclosing, place: int) -> Iterator[Candidate]:
        """Yield what an open call, tag or literal takes: its definition and the types of its parameters."""
        located = self._meanings.definition(enclosing.chain)
        if located is None:
            return
        name = ".".join(enclosing.chain)
        score = (LITERAL_SCORE if enclosing.in_literal else PARAMETER_SCORE) - 6 * place
        if located.definition.kind in TYPES and enclosing.in_literal:
            yield from self._type(located, f"type of the literal {name}", score)
        else:
            yield Candidate(located=located, reason=f"definition of {name}", score=CALL_SCORE + 4 - 6 * place)
        for signature in self._signatures(located):
            _, _, parameters = signature.definition.signature.partition(signature.definition.name)
            types = list(self._meanings.types_in(_in_brackets(parameters), signature))[:MAX_PARAMETERS]
            for number, taken in enumerate(types):
                # Braces are most often the literal of the first parameter that has a type of the repository.
                worth = min(score, PARAMETER_SCORE) - number if number else score
                yield Candidate(located=taken, reason=f"parameter of {name}", score=worth)
                for base in self._meanings.lineage(taken)[:MAX_PARAMETERS]:
                    yield Candidate(
                        located=base,
                        reason=f"parameter of {name}",
                        score=worth - 4 if worth >= LITERAL_SCORE else INHERITED_SCORE,
                    )

    def _signatures(self, located: Located) -> Iterator[Located]:
        """Yield the definitions whose signatures say what a call of this takes."""
        if located.definition.kind not in OWNERS:
            yield located
            return
        for member in self._symbols.members_of(located.path, located.definition):
            if member.kind == "constructor" or member.name in _CONSTRUCTORS:
                yield Located(path=located.path, definition=member)

    # --- names near the cursor --------------------------------------------------------------------------------

    def _of_name(self, name: str, members: Sequence[str], score: float) -> Iterator[Candidate]:
        """Yield what a name stands for that an import binds."""
        modules = []
        for binding in self._meanings.bindings.get(name, ()):
            located = self._meanings.exported(binding.target, binding.name) if binding.name else None
            if located is not None:
                yield from self._type(located, f"definition of {name}", score)
                return
            modules.append(binding)
        for place, member in enumerate(dict.fromkeys(members)):
            for binding in modules:
                located = self._meanings.exported(binding.target, member)
                if located is not None:
                    reason = f"definition of {name}.{member}"
                    yield Candidate(located=located, reason=reason, score=score - place / 2)
                    break
        if modules and not members:
            offered = [item for binding in modules for item in self._meanings.top_level(binding.target)]
            for place, located in enumerate(self._meanings.most_used(offered, MAX_OFFERED)):
                yield Candidate(located=located, reason=f"member of {name}", score=score - 10 - place)

    def _type_of_variable(self, name: str, score: float) -> Iterator[Candidate]:
        if name not in self._text.types and name not in self._text.values:
            return
        meaning = self._meanings.of_name(name, MAX_CHAIN)
        if meaning is not None and meaning.located is not None:
            yield from self._type(meaning.located, f"type of {name}", score)
            for base in self._meanings.lineage(meaning.located)[:MAX_PARAMETERS]:
                yield Candidate(located=base, reason=f"base of the type of {name}", score=INHERITED_SCORE)

    def _unused_imports(self) -> Iterator[Candidate]:
        """Yield imported names that nothing uses yet: what they are imported for is often being written."""
        for name, bindings in self._meanings.bindings.items():
            if self._text.counts[name] > 1 or name not in self._written:
                continue
            for binding in bindings:
                located = self._meanings.exported(binding.target, binding.name) if binding.name else None
                if located is not None:
                    yield Candidate(located=located, reason=f"imported {name}, not used yet", score=72)
                    break

    def _visible(self, name: str, score: float) -> Iterator[Candidate]:
        """Yield the definition of a name that no import binds but that the language may see."""
        if name in self._meanings.bindings or name in self._meanings.foreign or len(name) < 3:
            return
        if not 1 <= self._symbols.files_defining(name) <= RARE:
            return
        for located in self._meanings.nearest_first(self._symbols.definitions_of(name), self._cursor.path):
            if located.definition.kind not in MEMBERS and self._meanings.is_visible(located):
                yield Candidate(located=located, reason=f"definition of {name}", score=score)
                return

    # --- what the file is about -------------------------------------------------------------------------------

    def _tested(self) -> Iterator[Candidate]:
        """Yield what the file that is tested here offers, when the edited file is a test by its name."""
        if not is_test_file(self._cursor.path):
            return
        for path in self._graph.mirrors_of(self._cursor.path):
            for place, located in enumerate(self._meanings.most_used(self._meanings.top_level(path), MAX_TESTED)):
                if located.path == path:
                    yield Candidate(located=located, reason="this file tests it", score=NEAR_SCORE + 4 - place / 4)

    def _owners(self, near: Mapping[str, Sequence[str]]) -> Iterator[Candidate]:
        """Yield the classes whose rare members the file uses: the nearer and the more of them, the better."""
        distances = self._text.distances
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
            if not 1 <= defining <= RARE or name in self._meanings.bindings:
                continue
            # What nearly every file uses is most often a namesake of the language's own.
            told = 1 - math.log1p(self._symbols.files_using(name)) / math.log(self._symbols.files() + 2)
            for owner in self._owners_of(name):
                votes[owner] = votes.get(owner, 0) + weight * max(told, 0.02) / defining
                reasons.setdefault(owner, f"has a member {name}")
        for owner, vote in votes.items():
            yield Candidate(located=owner, reason=reasons[owner], score=25 + 33 * vote / (vote + 0.5))

    def _owners_of(self, member: str) -> Iterator[Located]:
        for located in self._meanings.nearest_first(self._symbols.definitions_of(member), self._cursor.path):
            definition = located.definition
            if definition.kind not in MEMBERS or not definition.parent:
                continue
            if located.path == self._cursor.path or not self._meanings.is_visible(located):
                continue
            for owner in self._symbols.named_in(located.path, definition.parent):
                if owner.kind in TYPES:
                    yield Located(path=located.path, definition=owner)
                    break

    def _imported(self, item: ResolvedImport, score: float) -> Iterator[Candidate]:
        """Yield everything that one import brings in: names that the file uses often first."""
        for imported in item.statement.names:
            located = self._meanings.exported(item.target, imported.name)
            if located is not None:
                often = min(self._text.counts[imported.alias], 8)
                yield Candidate(located=located, reason=f"imported {imported.name}", score=score + often)
        if not item.statement.names:
            for located in self._meanings.most_used(self._meanings.top_level(item.target), MAX_OFFERED):
                often = min(self._text.counts[located.definition.name], 8)
                yield Candidate(located=located, reason="imported", score=score - 10 + often)


_CONSTRUCTORS = frozenset({"__init__", "constructor", "__construct", "new", "initialize", "init"})


def _in_brackets(text: str) -> str:
    """Return what stands in the first round brackets of a text.

    >>> _in_brackets("<T extends A>(run: (b: B) => T, c: C): D")
    'run: (b: B) => T, c: C'
    """
    start = text.find("(") + 1
    depth = 1
    for place in range(start, len(text)):
        depth += (text[place] == "(") - (text[place] == ")")
        if depth == 0:
            return text[start:place]
    return text[start:]
