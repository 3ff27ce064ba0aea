"""What was typed between two looks at a document, if typing is all that happened."""

from typing import Final

from lsp_server.completion.snapshot import Snapshot

_PAIRS: Final = {"(": ")", "[": "]", "{": "}", '"': '"', "'": "'", "`": "`"}


def typed_since(earlier: Snapshot, later: Snapshot) -> str | None:
    """Return the text typed at the cursor since `earlier`; None when anything else changed.

    Brackets and quotes that an editor closed by itself while they were typed count as unchanged.
    """
    typed_length = len(later.prefix) - len(earlier.prefix)
    if typed_length < 0 or not later.prefix.startswith(earlier.prefix):
        return None
    typed = later.prefix[len(earlier.prefix) :]
    closed = closed_by_editor(typed, earlier.line_after, later.line_after)
    if closed is None or later.lines_below != earlier.lines_below:
        return None
    return typed


def closed_by_editor(typed: str, before: str, now: str) -> str | None:
    """Return what an editor put right of the cursor while `typed` was typed; None where it is something else.

    >>> closed_by_editor("f(", "", ")")
    ')'
    >>> closed_by_editor("f(", "", "x") is None
    True
    """
    if now == before:
        return ""
    if not now.endswith(before):
        return None
    added = now[: len(now) - len(before)]
    wanted = [_PAIRS[character] for character in typed if character in _PAIRS]
    for character in added:
        # The innermost bracket was closed last and stands first.
        while wanted and wanted[-1] != character:
            wanted.pop()
        if not wanted:
            return None
        wanted.pop()
    return added
