"""Chooses the snippets for one cursor: definitions and similar text, without repetition, within a token budget.

Part of the budget goes to definitions (as skeletons: a header and its members' signatures), the rest to BM25 over
chunks with a short query (5 lines on each side of the cursor, the cursor's line three times), files that imports
link to this one counting more. Each part earns its place: docs/retrieval.md has the ablation.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from repo_context.definition_lookup import LITERAL_SCORE, Candidate, find_definitions
from repo_context.import_graph import ImportGraph, ResolvedImport
from repo_context.languages import comment_marker, family_of, language_of
from repo_context.name_meaning import TYPES
from repo_context.recent_files import RecentFiles
from repo_context.snippet import Cursor, Snippet
from repo_context.symbol_index import Located, SymbolIndex
from repo_context.syntax import Definition, Import
from repo_context.terms import terms_of, terms_of_word, words_of
from repo_context.text_index import Hit, TextIndex

MAX_HITS = 96
MAX_CANDIDATES = 80
MAX_MISSES = 8
"""After so many snippets in a row that do not fit, no smaller one is looked for."""
MIN_TOKENS = 12
"""Where less is left, nothing is looked for: a path and one line take as much."""
WHOLE_LINES = 6
"""A function of so many lines at most is shown whole, a longer one by its signature."""
MEMBER_CHARACTERS = 110
"""A member's line in a skeleton is cut after so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankSettings:
    """The weights of ranking; the defaults are what was measured best, other values are for measuring."""

    definition_share: float = 0.6
    """Share of the budget that definitions asked for at the cursor may take before similar text has its turn."""
    imported_share: float = 0.1
    """Share beyond that for definitions that the file merely imports."""
    prefix_lines: int = 5
    suffix_lines: int = 5
    """Lines on each side of the cursor's line that the text query takes."""
    current_line_weight: int = 3
    linked_boost: float = 1.6
    """For files that import this one or are imported by it, and files in the same folder."""
    second_hand_boost: float = 1.2
    """For files that the imported files import."""
    skeleton_characters: float = 15.0
    """Length of a class skeleton, times the square root of the budget: about 100 tokens at 512, 200 at 2,048."""
    hinting_hits: int = 6
    """Similar chunks whose names hint at the definitions that the cursor needs."""
    terms: Callable[[str], list[str]] = terms_of


DEFAULT_SETTINGS = RankSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """The indexes that ranking reads."""

    symbols: SymbolIndex
    text: TextIndex
    graph: ImportGraph
    recent: RecentFiles
    lines_of: Callable[[str], Sequence[str] | None]
    """Path → lines as indexed; None when the file has changed since or is gone."""
    is_as_indexed: Callable[[str], bool]
    """Path → whether `lines_of` has lines: it costs less than to read them."""


def rank(
    cursor: Cursor,
    imports: Sequence[Import],
    index: Index,
    *,
    budget: int,
    count_tokens: Callable[[str], int],
    settings: RankSettings = DEFAULT_SETTINGS,
) -> tuple[Snippet, ...]:
    """Return snippets of other files, best first, whose path headers and texts fit `budget` tokens together.

    `imports` are those of the edited file. The same question always gets the same answer.
    """
    choice = _Choice(cursor, budget, count_tokens)
    drawing = _Drawing(cursor, index, room=int(settings.skeleton_characters * max(budget, 1) ** 0.5))
    resolved = index.graph.resolve(cursor.path, imports)
    hits = _search(cursor, resolved, index, settings)
    hints = _names_in(hits[: settings.hinting_hits], index)
    candidates = find_definitions(cursor, imports, resolved, index.symbols, index.graph, hints)[:MAX_CANDIDATES]
    near = [candidate for candidate in candidates if candidate.near]
    far = [candidate for candidate in candidates if not candidate.near]
    share = settings.definition_share
    choice.take(drawing.snippets(near), limit=int(budget * share))
    choice.take(drawing.snippets(far), limit=int(budget * (share + settings.imported_share)))
    choice.take(_similar_snippets(hits, index), limit=budget)
    choice.take(drawing.snippets([*near, *far]), limit=budget if share else 0)
    return choice.snippets()


class _Choice:
    """Takes snippets while they fit and say something new."""

    def __init__(self, cursor: Cursor, budget: int, count_tokens: Callable[[str], int]) -> None:
        self._path = cursor.path
        self._budget = budget
        self._count_tokens = count_tokens
        self._spent = 0
        self._chosen: list[Snippet] = []
        self._texts: set[str] = set()
        self._held: dict[str, list[tuple[int, int, str]]] = {}
        """Path → first line, one past the last and squeezed text of each snippet chosen from it."""
        self._own_lines = set(map(str.strip, (cursor.prefix + cursor.suffix).splitlines()))

    def take(self, snippets: Iterator[Snippet], *, limit: int) -> None:
        """Take from `snippets` until what was spent since the first call reaches `limit` tokens."""
        misses = 0
        for snippet in snippets:
            if misses >= MAX_MISSES or limit - self._spent < MIN_TOKENS:
                return
            squeezed = " ".join(snippet.text.split())
            if self._is_known(snippet, squeezed):
                continue
            cost = self._count_tokens(f"{snippet.comment} {snippet.path}\n{snippet.text}\n")
            if self._spent + cost > limit:
                misses += 1
                continue
            misses = 0
            self._spent += cost
            self._texts.add(squeezed)
            self._held.setdefault(snippet.path, []).append((snippet.start_line, snippet.end_line, squeezed))
            self._chosen.append(snippet)

    def snippets(self) -> tuple[Snippet, ...]:
        return tuple(self._chosen)

    def _is_known(self, snippet: Snippet, squeezed: str) -> bool:
        """Say whether the prompt already holds this: from the edited file, or from a snippet chosen before."""
        if snippet.path == self._path or squeezed in self._texts:
            return True
        if self._own_lines.issuperset(map(str.strip, snippet.text.split("\n"))):
            return True
        return any(
            snippet.start_line < end and start < snippet.end_line and (squeezed in other or other in squeezed)
            for start, end, other in self._held.get(snippet.path, ())
        )


def _search(cursor: Cursor, resolved: Sequence[ResolvedImport], index: Index, settings: RankSettings) -> list[Hit]:
    """Return chunks like the text at the cursor, best first."""
    boosts = _boosts(cursor.path, resolved, index, settings)
    for path, factor in index.recent.boosts().items():
        boosts[path] = boosts.get(path, 1.0) * factor
    hits = index.text.search(_query(cursor, settings), limit=MAX_HITS, boosts=boosts, without=cursor.path)
    family = family_of(cursor.path)
    # Prose and other languages share words with the code at the cursor, but show nothing of how it goes on.
    return [hit for hit in hits if not family or family_of(hit.path) == family]


def _names_in(hits: Sequence[Hit], index: Index) -> dict[str, float]:
    """Return the names that chunks use, each with the score of the best of them relative to the first."""
    names: dict[str, float] = {}
    for hit in hits:
        lines = index.lines_of(hit.path) or ()
        words = dict.fromkeys(words_of("\n".join(lines[hit.start_line : hit.end_line])))
        for name in index.symbols.used_among(hit.path, words):
            names.setdefault(name, hit.score / hits[0].score)
    return names


def _similar_snippets(hits: Sequence[Hit], index: Index) -> Iterator[Snippet]:
    for hit in hits:
        lines = index.lines_of(hit.path)
        if lines is not None and hit.end_line <= len(lines):
            yield Snippet(
                path=hit.path,
                comment=comment_marker(hit.path),
                text="\n".join(lines[hit.start_line : hit.end_line]).rstrip(),
                start_line=hit.start_line,
                end_line=hit.end_line,
                score=round(hit.score, 4),
                reason="similar text (BM25)",
            )


def _query(cursor: Cursor, settings: RankSettings) -> list[str]:
    """Return the terms near the cursor; those of its own line count more."""
    before = cursor.prefix.rsplit("\n", settings.prefix_lines + 1)[-settings.prefix_lines - 1 :]
    after = cursor.suffix.split("\n", settings.suffix_lines + 1)[: settings.suffix_lines + 1]
    current = before[-1] + after[0]
    around = "\n".join([*before[:-1], *after[1:]])
    return settings.terms(around) + settings.terms(current) * settings.current_line_weight


def _boosts(path: str, resolved: Sequence[ResolvedImport], index: Index, settings: RankSettings) -> dict[str, float]:
    """Return path → factor for files that imports or the folder link to the edited one."""
    imported = {item.target for item in resolved}
    second = settings.second_hand_boost
    boosts = {item.target: second for target in imported for item in index.graph.imports_of(target)}
    boosts.update(dict.fromkeys(index.graph.files_beside(path), settings.linked_boost))
    boosts.update(dict.fromkeys(index.graph.importers_of(path), settings.linked_boost))
    boosts.update(dict.fromkeys(imported, settings.linked_boost))
    boosts.update(dict.fromkeys(index.graph.mirrors_of(path), settings.linked_boost))
    return boosts


class _Drawing:
    """Shows definitions as a reader at one cursor needs them."""

    def __init__(self, cursor: Cursor, index: Index, room: int) -> None:
        self._index = index
        self._room = room
        before, after = cursor.prefix.rsplit("\n", 6)[-6:], cursor.suffix.split("\n", 4)[:4]
        near = "\n".join([*before, *after])
        self._shown: dict[tuple[str, int, str], str] = {}
        self._likelihoods: dict[str, float] = {}
        self._names, self._terms = frozenset(words_of(near)), frozenset(terms_of(near))

    def snippets(self, candidates: Sequence[Candidate]) -> Iterator[Snippet]:
        """Yield one snippet a definition that can be shown, in the order given."""
        for candidate in candidates:
            located = candidate.located
            room = self._room * 2 if candidate.score >= LITERAL_SCORE else self._room
            key = (located.path, located.definition.start_line, located.definition.name)
            text = self._shown.get(key)
            if text is None:
                text = self._list(candidate.listed, room) if candidate.listed else self._show(located, room)
                self._shown[key] = text
            if text:
                shown = (*candidate.listed, located.definition)
                yield Snippet(
                    path=located.path,
                    comment=comment_marker(located.path),
                    text=text,
                    start_line=min([item.start_line for item in shown]),
                    end_line=max([item.end_line for item in shown]),
                    score=round(candidate.score, 4),
                    reason=candidate.reason,
                )

    def _show(self, located: Located, room: int) -> str:
        """Return a definition: short ones whole, classes as skeletons, functions by signature."""
        definition = located.definition
        if not self._index.is_as_indexed(located.path):
            return ""
        length = definition.end_line - definition.start_line
        if definition.kind in TYPES:
            members = self._index.symbols.members_of(located.path, definition)
            if members and (length > WHOLE_LINES or members[-1].start_line >= definition.end_line):
                return _skeleton(located, self._chosen(members, room - len(definition.signature)))
        if length <= WHOLE_LINES:
            lines = self._index.lines_of(located.path) or ()
            return _dedented(lines[definition.start_line : definition.end_line])
        return definition.signature

    def _list(self, listed: Sequence[Definition], room: int) -> str:
        """Return the likeliest of some definitions of one file as signatures, one a line."""
        kept = self._chosen(listed, room)
        return "\n".join(item.signature.removesuffix("{").rstrip()[: MEMBER_CHARACTERS * 2] for item in kept)

    def _chosen(self, members: Sequence[Definition], room: int) -> list[Definition]:
        """Return the members that fit, in the order of the source: likely ones first.

        A member is likely when many files use it and when its name's parts occur near the cursor.
        """
        likelihoods = self._likelihoods
        self._weigh([member for member in members if member.name not in likelihoods])
        ordered = sorted([(-likelihoods[member.name], place) for place, member in enumerate(members)])
        kept: list[Definition] = []
        for _, place in ordered:
            member = members[place]
            room -= min(len(member.signature), MEMBER_CHARACTERS) + 5
            if room < 0 and kept:
                break
            kept.append(member)
        return sorted(kept, key=lambda member: member.start_line)

    def _weigh(self, members: Sequence[Definition]) -> None:
        """Find out how likely members are; of several with one name the first counts."""
        if not members:
            return
        likelihoods, names, terms = self._likelihoods, self._names, self._terms
        used = self._index.symbols.files_using_each([member.name for member in members])
        for member, times in zip(reversed(members), reversed(used), strict=True):
            name = member.name
            likelihood = math.sqrt(times)
            parts = terms_of_word(name)
            if not terms.isdisjoint(parts):
                likelihood += 4 * (sum([part in terms for part in parts]) / len(parts))
            if name in names:
                likelihood += 8
            if member.kind == "constructor" or name in _CONSTRUCTORS:
                likelihood += 3
            likelihoods[name] = -1 if name.startswith("__") and name != "__init__" else likelihood


_CONSTRUCTORS = frozenset({"__init__", "constructor"})


def _skeleton(located: Located, members: Sequence[Definition]) -> str:
    """Return a class's header and some members' signatures."""
    style = _style(located.path)
    header = located.definition.signature.removesuffix("{").rstrip()
    body = [f"{style.indent}{_member_line(member, style)}" for member in members]
    return "\n".join([header + style.open, *body, *([style.close] if style.close else [])])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Style:
    """How a skeleton is punctuated."""

    indent: str
    open: str
    close: str
    stub: str
    """What stands for a member's body."""


_PYTHON = _Style(indent="    ", open="", close="", stub=" ...")
_RUBY = _Style(indent="  ", open="", close="end", stub="")
_SCRIPT = _Style(indent="  ", open=" {", close="}", stub=";")
_BRACES = _Style(indent="    ", open=" {", close="}", stub=";")
_STYLES = {"python": _PYTHON, "ruby": _RUBY, "javascript": _SCRIPT, "typescript": _SCRIPT, "tsx": _SCRIPT}


def _style(path: str) -> _Style:
    language = language_of(path)
    return _STYLES.get(language.name, _BRACES) if language else _BRACES


def _member_line(member: Definition, style: _Style) -> str:
    signature = member.signature.removesuffix("{").rstrip()
    if len(signature) > MEMBER_CHARACTERS:
        cut = signature[:MEMBER_CHARACTERS]
        return f"{cut.rpartition(', ')[0] or cut}, ..."
    if style is _PYTHON:
        return signature + style.stub if signature.endswith(":") else signature
    return signature if signature.endswith((";", ",", "}")) else signature + style.stub


def _dedented(lines: Sequence[str]) -> str:
    """Return lines without the indentation that they share with the first."""
    first = lines[0] if lines else ""
    indent = first[: len(first) - len(first.lstrip())]
    return "\n".join(line.removeprefix(indent) for line in lines).rstrip()
