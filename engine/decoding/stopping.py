"""Decides, as text streams in, where a completion ends."""

import math
import re
from typing import Protocol

from engine.api import BlankLines, FinishReason, Length

_LINE_END = re.compile(r"[\r\n]")
_GAP = re.compile(r"\r?\n[ \t\r\n]*")
_OPENERS = ("{", "(", "[", ":")
_CLOSERS = ("}", ")", "]")
_TAB = 8


class Stop(Protocol):
    """Takes generated text piece by piece and lets through what belongs to the completion."""

    def push(self, text: str) -> tuple[str, FinishReason | None]:
        """Return the text that can be shown now, and why the completion ends if it does."""

    def flush(self) -> str:
        """Return the text that was held back, when the tokens end by themselves."""


def stop_for(length: Length, *, prefix: str, suffix: str, blank_lines: BlankLines = BlankLines.AUTO) -> Stop:
    """Return the rules for a completion between `prefix` and `suffix`."""
    if length is Length.LINE:
        return LineStop()
    return BlockStop(prefix=prefix, suffix=suffix, blank_lines=blank_lines)


class LineStop:
    """Ends before the first line end."""

    def push(self, text: str) -> tuple[str, FinishReason | None]:
        """Let through what stands before a line end."""
        found = _LINE_END.search(text)
        return (text, None) if found is None else (text[: found.start()], FinishReason.LINE_END)

    def flush(self) -> str:
        """Return nothing: nothing is held back."""
        return ""


class BlockStop:
    """Ends with the block or paragraph the cursor stands in.

    The first line is the cursor's own, or the first one written when that is blank. Where it opens a block (it ends
    with a bracket or a colon) the completion ends when a line is indented no deeper, after that line if it closes the
    bracket. Otherwise it ends before a line indented less, and before one indented no deeper that follows a blank
    line. Two blank lines end it anywhere. `BlankLines` makes more, or less, of blank lines.

    A line end is held back until the line behind it shows its indentation. The last one is dropped, since the line end
    after the cursor takes its place, unless other text stands right behind the cursor.
    """

    def __init__(self, *, prefix: str, suffix: str, blank_lines: BlankLines = BlankLines.AUTO) -> None:
        self._ending_gap = {BlankLines.AUTO: 2, BlankLines.END: 1, BlankLines.KEEP: math.inf}[blank_lines]
        """Blank lines that end the completion anywhere."""
        self._paragraph_gap = math.inf if blank_lines is BlankLines.KEEP else 1
        """Blank lines that end it before a line indented no deeper than the first."""
        self._line = prefix[prefix.rfind("\n") + 1 :]
        """The current line so far, what stands before the cursor included."""
        self._keep_last_line_end = bool(suffix.split("\n", 1)[0].strip())
        self._held = ""
        self._base: int | None = None
        """Columns of the first line's indentation, once it has text."""
        self._opens: bool | None = None
        """Whether the first line opens a block, once it is complete."""
        self._closing = False
        """Whether the current line closes that block."""

    def push(self, text: str) -> tuple[str, FinishReason | None]:
        """Let through whole lines of the block and what is known of the last."""
        text = self._held + text
        shown = ""
        while gap := _GAP.search(text):
            shown += self._show(text[: gap.start()])
            if self._closing and not self._line.rstrip().endswith(_OPENERS):
                return shown + self._last_line_end(), FinishReason.BLOCK_END
            if gap.end() == len(text):
                self._held = text[gap.start() :]
                return shown, None
            if self._ends_at(gap.group(), text[gap.end() :]):
                return shown + self._last_line_end(), FinishReason.BLOCK_END
            shown += gap.group()
            self._line = gap.group().rpartition("\n")[2]
            text = text[gap.end() :]
        self._held = "\r" if text.endswith("\r") else ""  # half a line end, perhaps
        return shown + self._show(text.removesuffix(self._held)), None

    def flush(self) -> str:
        """Return the line end that was held back."""
        held, self._held = self._held, ""
        return held

    def _show(self, text: str) -> str:
        self._line += text
        if self._base is None and self._line.strip():
            self._base = _columns(self._line)
        return text

    def _ends_at(self, gap: str, behind: str) -> bool:
        """Whether the block is over before the line that follows `gap` and begins with `behind`."""
        if self._base is None:
            return False  # blank lines before the first line with text
        blank_lines = gap.count("\n") - 1
        columns = _columns(gap.rpartition("\n")[2])
        if self._opens is None:
            self._opens = self._line.rstrip().endswith(_OPENERS)
        self._closing = False
        if blank_lines >= self._ending_gap or columns < self._base:
            return True
        if columns > self._base:
            return False
        if self._opens:
            self._closing = behind.startswith(_CLOSERS)
            return not self._closing
        return blank_lines >= self._paragraph_gap

    def _last_line_end(self) -> str:
        return "\n" if self._keep_last_line_end else ""


def _columns(line: str) -> int:
    expanded = line.expandtabs(_TAB)
    return len(expanded) - len(expanded.lstrip())
