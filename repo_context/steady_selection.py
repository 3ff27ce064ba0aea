"""Keeps a selection of snippets while the cursor stays where it is, unless a new one is clearly better.

Snippets stand at the front of a prompt, so a selection that changes throws away everything that the engine has kept of
it. Most keystrokes move a few scores and exchange the last snippets; that is not worth reading a thousand tokens again.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from repo_context.definition_lookup import RECEIVER_REASON
from repo_context.snippet import Cursor, Snippet
from repo_context.syntax import Import

NEIGHBOURHOOD_LINES = 2
"""The cursor is still where it was while it is at most so many lines away."""
ENOUGH_SHARED = 0.4
"""A selection is kept while it holds this share of the new one."""
DECAY = 0.85
"""What a place in the new ranking weighs, as a share of the place before it."""
MAX_FILES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    row: int
    budget: int
    imported: frozenset[Import]
    snippets: tuple[Snippet, ...]
    states: tuple[object, ...]


class SteadySelection:
    """The last selection of each file that was asked for."""

    def __init__(self, state_of: Callable[[str], object | None]) -> None:
        """`state_of`: path → an object that is another one once the file has changed; None when it has gone."""
        self._state_of = state_of
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def settle(
        self, cursor: Cursor, budget: int, imports: Sequence[Import], found: tuple[Snippet, ...]
    ) -> tuple[Snippet, ...]:
        """Return the selection to use: the last one for this file where it still serves, else `found`.

        It serves no longer when the cursor has moved away, when the edited file imports something else, when a file in
        it has changed, when its text has got into the edited file, when what stands before the cursor asks for
        something that it lacks, or when less than `ENOUGH_SHARED` of what ranks high now is in it.
        """
        # An edit above them moves statements to other lines, which changes nothing that they bring in.
        imported = frozenset(statement._replace(line=0) for statement in imports)
        row = cursor.prefix.count("\n")
        kept = self._kept.get(cursor.path)
        is_here = kept is not None and abs(row - kept.row) <= NEIGHBOURHOOD_LINES
        if kept is not None and is_here and (kept.budget, kept.imported) == (budget, imported):
            serves = not _lacks_urgent(kept.snippets, found) and _shared(kept.snippets, found) >= ENOUGH_SHARED
            if serves and self._states(kept.snippets) == kept.states and not _is_written(kept.snippets, cursor):
                return kept.snippets
        self._kept[cursor.path] = _Kept(
            row=row, budget=budget, imported=imported, snippets=found, states=self._states(found)
        )
        self._kept.move_to_end(cursor.path)
        if len(self._kept) > MAX_FILES:
            self._kept.popitem(last=False)
        return found

    def _states(self, snippets: Sequence[Snippet]) -> tuple[object, ...]:
        return tuple(self._state_of(snippet.path) for snippet in snippets)


def _key(snippet: Snippet) -> tuple[str, int, str]:
    return snippet.path, snippet.start_line, snippet.text


def _lacks_urgent(kept: Sequence[Snippet], found: Sequence[Snippet]) -> bool:
    """Say whether the best of `found` is what a receiver before the cursor asks for, and not in `kept`."""
    if not found or not found[0].reason.startswith(RECEIVER_REASON):
        return False
    return _key(found[0]) not in {_key(snippet) for snippet in kept}


def _shared(kept: Sequence[Snippet], found: Sequence[Snippet]) -> float:
    """Return how much of `found` is in `kept`, 0 to 1."""
    held = {_key(snippet) for snippet in kept}
    weight, total, shared = 1.0, 0.0, 0.0
    for snippet in found:
        total += weight
        shared += weight * (_key(snippet) in held)
        weight *= DECAY
    return shared / total if total else float(not kept)


def _is_written(snippets: Sequence[Snippet], cursor: Cursor) -> bool:
    """Say whether all lines of a snippet have come to stand in the edited file."""
    return any(
        all(line.strip() in cursor.prefix or line.strip() in cursor.suffix for line in snippet.text.split("\n"))
        for snippet in snippets
    )
