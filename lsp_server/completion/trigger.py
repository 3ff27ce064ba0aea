"""Whether to suggest at a cursor at all, and how far a suggestion may go."""

import re
from typing import Final

from engine.api import Length
from lsp_server.completion.snapshot import Snapshot, Trigger
from lsp_server.document import split_lines
from lsp_server.settings import LengthMode, Settings

_CLOSING_REST: Final = re.compile(r"""\s*[)>}\]"'`]*\s*[:{;,]?\s*""")
"""What may stand right of the cursor without making a suggestion a guess at the middle of a line."""
_OPENS_BLOCK: Final = re.compile(
    r"(?:[:{(\[]|=>|->|\b(?:then|else|begin|try|ensure)|\bdo(?:\s*\|[^|]*\|)?)\s*(?:#.*|//.*)?$"
)


def decide(snapshot: Snapshot, settings: Settings) -> Length | None:
    """Return how far to suggest, or None where a suggestion would be in the way.

    An explicit request is always answered. An unasked one is answered where only closing brackets, quotes and one
    separator stand right of the cursor, in a file that says something already.
    """
    if snapshot.trigger is Trigger.AUTOMATIC:
        if not settings.enabled or snapshot.language_id in settings.disabled_languages:
            return None
        if not _CLOSING_REST.fullmatch(snapshot.line_after):
            return None
        if not snapshot.prefix.strip() and not snapshot.suffix.strip():
            return None
    if snapshot.line_after.strip() or settings.length is LengthMode.LINE:
        return Length.LINE
    if settings.length is LengthMode.BLOCK or _at_empty_block(snapshot):
        return Length.BLOCK
    return Length.LINE


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
