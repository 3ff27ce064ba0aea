"""A cursor in a document, frozen: all that deciding on a suggestion may look at."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

_NEAR: Final = 4096
"""Characters on each side of the cursor in which its line ends are looked for."""


class Trigger(Enum):
    """Why a suggestion is asked for."""

    INVOKED = "invoked"
    """The user asked."""
    AUTOMATIC = "automatic"
    """The user typed or moved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One request's view of its document, taken before anything is awaited."""

    uri: str
    version: int
    language_id: str
    path: str
    """Relative to the repository's root with forward slashes, or the bare file name outside of any."""
    root: str | None
    """The workspace folder that holds the document."""
    comment: str
    """Line-comment marker of the document's language."""
    prefix: str
    suffix: str
    trigger: Trigger = Trigger.AUTOMATIC
    follows_acceptance: bool = False
    """Whether a suggestion was accepted, or typed to its end, right before the cursor."""
    cells_above: str = ""
    """What stands in a notebook before the document, which is one of its cells."""
    cells_below: str = ""

    @property
    def context_above(self) -> str:
        """All that stands before the cursor: what a suggestion may refer to."""
        return self.cells_above + self.prefix

    @property
    def context_below(self) -> str:
        """All that stands after the cursor."""
        return self.suffix + self.cells_below

    @property
    def line_before(self) -> str:
        """The cursor's line up to the cursor."""
        return self.prefix[_last_line_end(self.prefix) :]

    @property
    def line_after(self) -> str:
        """The rest of the cursor's line, without its line end."""
        return self.suffix[: _first_line_end(self.suffix)]

    @property
    def lines_below(self) -> str:
        """What follows the cursor's line, its line end included."""
        return self.suffix[_first_line_end(self.suffix) :]

    @property
    def line_end(self) -> str:
        """The line end that the document uses around the cursor."""
        for text in (self.suffix[:_NEAR], self.prefix[-_NEAR:]):
            if "\r\n" in text:
                return "\r\n"
            if "\n" in text:
                return "\n"
            if "\r" in text:
                return "\r"
        return "\n"


def _last_line_end(text: str) -> int:
    # The second search ends where the first did: a file of many lines has its nearest line end near.
    end = text.rfind("\n") + 1
    return max(text.rfind("\r", end) + 1, end)


def _first_line_end(text: str) -> int:
    end = text.find("\n")
    end = len(text) if end < 0 else end
    other = text.find("\r", 0, end)
    return end if other < 0 else other
