"""Whether to suggest at a cursor at all, and how far a suggestion may go."""

import re
from collections.abc import Callable
from enum import Enum
from typing import Final

from engine.api import Length
from lsp_server.completion.snapshot import Snapshot, Trigger
from lsp_server.completion.syntax_window import Place, SyntaxWindow
from lsp_server.document import split_lines
from lsp_server.settings import LengthMode, Settings

_CLOSING_REST: Final = re.compile(r"""\s*[)>}\]"'`]*\s*[:{;,]?\s*""")
"""What may stand right of the cursor without making a suggestion a guess at the middle of a line."""
_OPENS_BLOCK: Final = re.compile(
    r"(?:[:{(\[]|=>|->|\b(?:then|else|begin|try|ensure)|\bdo(?:\s*\|[^|]*\|)?)\s*(?:#.*|//.*)?$"
)


class Refusal(Enum):
    """Why nothing is suggested unasked; the value is for a person."""

    DISABLED = "suggestions are turned off"
    LANGUAGE = "suggestions are turned off in this language"
    MIDDLE_OF_LINE = "the cursor stands in the middle of a line"
    EMPTY_DOCUMENT = "the document is empty"
    IN_COMMENT = "suggestions are turned off in comments"
    IN_STRING = "suggestions are turned off in strings"


def decide(snapshot: Snapshot, settings: Settings) -> Length | Refusal:
    """Return how far to suggest, or why a suggestion would be in the way.

    An explicit request is always answered. An unasked one is answered where only closing brackets, quotes and one
    separator stand right of the cursor, in a file that says something already.
    """
    if snapshot.trigger is Trigger.AUTOMATIC:
        refusal = next((refusal for refusal, applies in _REFUSALS.items() if applies(snapshot, settings)), None)
        if refusal is not None:
            return refusal
    if snapshot.line_after.strip() or settings.length is LengthMode.LINE:
        return Length.LINE
    if settings.length is LengthMode.BLOCK or snapshot.follows_acceptance or _at_empty_block(snapshot):
        return Length.BLOCK
    return Length.LINE


def _is_in(place: Place, snapshot: Snapshot) -> bool:
    window = SyntaxWindow.around(snapshot)
    return window is not None and window.place() is place


_REFUSALS: Final[dict[Refusal, Callable[[Snapshot, Settings], bool]]] = {
    Refusal.DISABLED: lambda _, settings: not settings.enabled,
    Refusal.LANGUAGE: lambda snapshot, settings: snapshot.language_id in settings.disabled_languages,
    Refusal.MIDDLE_OF_LINE: lambda snapshot, _: not _CLOSING_REST.fullmatch(snapshot.line_after),
    Refusal.EMPTY_DOCUMENT: lambda snapshot, _: _is_blank(snapshot.context_above) and _is_blank(snapshot.context_below),
    Refusal.IN_COMMENT: lambda snapshot, settings: not settings.comments and _is_in(Place.COMMENT, snapshot),
    Refusal.IN_STRING: lambda snapshot, settings: not settings.strings and _is_in(Place.STRING, snapshot),
}
"""In the order of their cost."""


def _is_blank(text: str) -> bool:
    return not text or text.isspace()


def _at_empty_block(snapshot: Snapshot) -> bool:
    """Whether the cursor stands on a blank line that a block's opening precedes and no deeper line follows."""
    if snapshot.line_before.strip():
        return False
    above = _last_filled_line(snapshot.prefix[-4096:])
    if above is None or not _OPENS_BLOCK.search(above):
        return False
    below = next((line for line in split_lines(snapshot.lines_below[:4096]) if line.strip()), "")
    return _indentation(below) <= _indentation(above)


def _last_filled_line(text: str) -> str | None:
    return next((line.rstrip() for line in reversed(split_lines(text)) if line.strip()), None)


def _indentation(line: str) -> int:
    return len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip())
