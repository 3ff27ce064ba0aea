"""Chooses the snippets for one cursor: definitions and similar text, without repetition, within a token budget.

Half of the budget at most goes to definitions (as skeletons: a header and its members' signatures), the rest to
BM25 over chunks with a short query (5 lines on each side of the cursor, the cursor's line three times), files that
imports link to this one counting more. Measured on six repositories this beats either alone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from repo_context.definition_lookup import OWNERS, Candidate, find_definitions
from repo_context.import_graph import ImportGraph
from repo_context.languages import comment_marker, family_of, language_of
from repo_context.snippet import Cursor, Snippet
from repo_context.symbol_index import Located, SymbolIndex
from repo_context.syntax import Definition, Import
from repo_context.terms import terms_of
from repo_context.text_index import TextIndex

QUERY_LINES = 5
"""Lines on each side of the cursor's line that the query takes."""
CURRENT_LINE_WEIGHT = 3
LINKED_BOOST = 1.6
"""For files that import this one or are imported by it, and files in the same folder."""
SECOND_HAND_BOOST = 1.2
"""For files that the imported files import."""
DEFINITION_SHARE = 0.5
"""Share of the budget that definitions may take before similar text has had its turn."""
MAX_HITS = 96
MAX_CANDIDATES = 40
MAX_MISSES = 8
"""After so many snippets in a row that do not fit, no smaller one is looked for."""
WHOLE_LINES = 10
"""A function of so many lines at most is shown whole, a longer one by its signature."""
SKELETON_CHARACTERS = 480
"""Length of a class skeleton, about 140 tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """The indexes that ranking reads."""

    symbols: SymbolIndex
    text: TextIndex
    graph: ImportGraph
    lines_of: Callable[[str], Sequence[str] | None]
    """Path → lines as indexed; None when the file has changed since or is gone."""


def rank(
    cursor: Cursor,
    imports: Sequence[Import],
    index: Index,
    *,
    budget: int,
    count_tokens: Callable[[str], int],
) -> tuple[Snippet, ...]:
    """Return snippets of other files, best first, whose path headers and texts fit `budget` tokens together.

    `imports` are those of the edited file. The same question always gets the same answer.
    """
    choice = _Choice(cursor, budget, count_tokens)
    candidates = find_definitions(cursor, imports, index.symbols, index.graph)[:MAX_CANDIDATES]
    near = [candidate for candidate in candidates if candidate.near]
    far = [candidate for candidate in candidates if not candidate.near]
    choice.take(_definition_snippets(near, index), limit=int(budget * DEFINITION_SHARE))
    choice.take(_similar_snippets(cursor, imports, index), limit=budget)
    choice.take(_definition_snippets(far, index), limit=budget)
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
        self._own_lines = {line.strip() for line in (cursor.prefix + cursor.suffix).splitlines()}

    def take(self, snippets: Iterator[Snippet], *, limit: int) -> None:
        """Take from `snippets` until what was spent since the first call reaches `limit` tokens."""
        misses = 0
        for snippet in snippets:
            if misses >= MAX_MISSES or self._spent >= limit:
                return
            if self._is_known(snippet):
                continue
            cost = self._count_tokens(f"{snippet.comment} {snippet.path}\n{snippet.text}\n")
            if self._spent + cost > limit:
                misses += 1
                continue
            misses = 0
            self._spent += cost
            self._texts.add(_squeezed(snippet.text))
            self._chosen.append(snippet)

    def snippets(self) -> tuple[Snippet, ...]:
        return tuple(self._chosen)

    def _is_known(self, snippet: Snippet) -> bool:
        """Say whether the prompt already holds this: from the edited file, or from a snippet chosen before."""
        if snippet.path == self._path or _squeezed(snippet.text) in self._texts:
            return True
        if all(line.strip() in self._own_lines for line in snippet.text.split("\n")):
            return True
        return any(
            snippet.path == other.path
            and snippet.start_line < other.end_line
            and other.start_line < snippet.end_line
            and (_squeezed(snippet.text) in _squeezed(other.text) or _squeezed(other.text) in _squeezed(snippet.text))
            for other in self._chosen
        )


def _squeezed(text: str) -> str:
    return " ".join(text.split())


def _definition_snippets(candidates: Sequence[Candidate], index: Index) -> Iterator[Snippet]:
    for place, candidate in enumerate(candidates):
        located = candidate.located
        text = _show(located, index)
        if text:
            yield Snippet(
                path=located.path,
                comment=comment_marker(located.path),
                text=text,
                start_line=located.definition.start_line,
                end_line=located.definition.end_line,
                score=round(1 / (1 + place), 4),
                reason=candidate.reason,
            )


def _similar_snippets(cursor: Cursor, imports: Sequence[Import], index: Index) -> Iterator[Snippet]:
    hits = index.text.search(
        _query(cursor), limit=MAX_HITS, boosts=_boosts(cursor.path, imports, index), without=cursor.path
    )
    family = family_of(cursor.path)
    for hit in hits:
        # Prose and other languages share words with the code at the cursor, but show nothing of how it goes on.
        if family and family_of(hit.path) != family:
            continue
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


def _query(cursor: Cursor) -> list[str]:
    """Return the terms near the cursor; those of its own line count more."""
    before = cursor.prefix.rsplit("\n", QUERY_LINES + 1)[-QUERY_LINES - 1 :]
    after = cursor.suffix.split("\n", QUERY_LINES + 1)[: QUERY_LINES + 1]
    current = before[-1] + after[0]
    around = "\n".join([*before[:-1], *after[1:]])
    return terms_of(around) + terms_of(current) * CURRENT_LINE_WEIGHT


def _boosts(path: str, imports: Sequence[Import], index: Index) -> dict[str, float]:
    """Return path → factor for files that imports or the folder link to the edited one."""
    imported = {item.target for item in index.graph.resolve(path, imports)}
    boosts = {item.target: SECOND_HAND_BOOST for target in imported for item in index.graph.imports_of(target)}
    boosts.update(dict.fromkeys(index.graph.files_beside(path), LINKED_BOOST))
    boosts.update(dict.fromkeys(index.graph.importers_of(path), LINKED_BOOST))
    boosts.update(dict.fromkeys(imported, LINKED_BOOST))
    return boosts


def _show(located: Located, index: Index) -> str:
    """Return a definition as a reader needs it: short ones whole, classes as skeletons, functions by signature."""
    lines = index.lines_of(located.path)
    definition = located.definition
    if lines is None or definition.end_line > len(lines):
        return ""
    if definition.kind in OWNERS:
        members = index.symbols.members_of(located.path, definition)
        if definition.end_line - definition.start_line > WHOLE_LINES and members:
            return _skeleton(located, members, index)
    if definition.end_line - definition.start_line <= WHOLE_LINES:
        return _dedented(lines[definition.start_line : definition.end_line])
    return definition.signature


def _skeleton(located: Located, members: Sequence[Definition], index: Index) -> str:
    """Return a class's header and its members' signatures: those most files use, in the order of the source."""
    style = _style(located.path)
    header = located.definition.signature.removesuffix("{").rstrip()
    room = SKELETON_CHARACTERS - len(header)
    kept: list[Definition] = []
    ordered = sorted(
        (member for member in members if _is_public(member)),
        key=lambda member: (
            member.kind not in ("constructor", "field") and member.name not in ("__init__", "constructor"),
            -index.symbols.files_using(member.name),
            member.start_line,
        ),
    )
    for member in ordered:
        room -= len(member.signature) + len(style.indent) + 1
        if room < 0 and kept:
            break
        kept.append(member)
    body = [
        f"{style.indent}{_member_line(member, style)}" for member in sorted(kept, key=lambda member: member.start_line)
    ]
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
    if style is _PYTHON:
        return signature + style.stub if signature.endswith(":") else signature
    return signature if signature.endswith((";", ",", "}")) else signature + style.stub


def _is_public(member: Definition) -> bool:
    return not member.name.startswith("__") or member.name == "__init__"


def _dedented(lines: Sequence[str]) -> str:
    """Return lines without the indentation that they share with the first."""
    first = lines[0]
    indent = first[: len(first) - len(first.lstrip())]
    return "\n".join(line.removeprefix(indent) for line in lines).rstrip()
