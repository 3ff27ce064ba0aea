"""The text of an open document, line by line as the protocol counts lines, frozen between edits.

A line ends at `\\n`, `\\r\\n` or a lone `\\r`, and nowhere else: form feed, vertical tab, U+0085, U+2028 and U+2029 are
ordinary characters in LSP, although `str.splitlines` breaks at each of them. A mirror that counts other lines than its
client puts every later edit in the wrong place.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from lsp_server.positions import PositionEncoding, column_of_index, index_of_column

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Position:
    """A place as the client names it: both numbers 0-based, the column in the client's encoding."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Text that replaces what stands between two positions, or the whole text where they are None."""

    start: Position | None
    end: Position | None
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """One version of a document; every edit makes a new one, so whoever holds one holds a snapshot."""

    uri: str
    language_id: str
    version: int
    encoding: PositionEncoding
    lines: tuple[str, ...]
    """Each with its line end, but for the last, which has none and may be empty."""

    @classmethod
    def from_text(
        cls, text: str, *, uri: str, language_id: str, version: int, encoding: PositionEncoding
    ) -> "Document":
        """Build the first version."""
        return cls(uri, language_id, version, encoding, tuple(split_lines(text)))

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.lines)

    def edited(self, edits: Iterable[Edit], *, version: int) -> "Document":
        """Return the document after `edits`, each of which counts in the text that the one before it left."""
        lines = list(self.lines)
        for edit in edits:
            if edit.start is None or edit.end is None:
                lines = split_lines(edit.text)
            else:
                self._splice(lines, edit.start, edit.end, edit.text)
        return Document(self.uri, self.language_id, version, self.encoding, tuple(lines))

    def split_at(self, position: Position) -> tuple[str, str]:
        """Return the text before and after a position; one beyond the text means the nearest place inside it."""
        line, index = self._locate(self.lines, position)
        before = "".join(self.lines[:line]) + self.lines[line][:index]
        return before, self.lines[line][index:] + "".join(self.lines[line + 1 :])

    def text_from(self, line: int, index: int, characters: int) -> str:
        """Return up to that many characters from a place on, given by line and index of a character in it."""
        if not 0 <= line < len(self.lines):
            return ""
        text = self.lines[line][index:]
        while len(text) < characters and line + 1 < len(self.lines):
            line += 1
            text += self.lines[line]
        return text[:characters]

    def place(self, position: Position) -> tuple[int, int]:
        """Return the line and the index of the character in it that a position means."""
        return self._locate(self.lines, position)

    def clamped(self, position: Position) -> Position:
        """Return the place that a position means: inside the text, at a character's start."""
        line, index = self._locate(self.lines, position)
        return Position(line=line, column=column_of_index(self.lines[line], index, self.encoding))

    def moved(self, position: Position, characters: int) -> Position:
        """Return the place `characters` code points to the right on the same line, at most its end."""
        line, index = self._locate(self.lines, position)
        index = min(index + characters, _content_length(self.lines[line]))
        return Position(line=line, column=column_of_index(self.lines[line], index, self.encoding))

    def _locate(self, lines: "list[str] | tuple[str, ...]", position: Position) -> tuple[int, int]:
        if position.line < 0:
            return 0, 0
        if position.line >= len(lines):
            return len(lines) - 1, len(lines[-1])
        line = lines[position.line]
        index = index_of_column(line, position.column, self.encoding)
        return position.line, min(index, _content_length(line))

    def _splice(self, lines: list[str], start: Position, end: Position, text: str) -> None:
        (first, head), (last, tail) = sorted((self._locate(lines, start), self._locate(lines, end)))
        joined = lines[first][:head] + text + lines[last][tail:]
        # A carriage return that stood alone may meet a line feed now, and then the two are one line end.
        if first > 0 and lines[first - 1].endswith("\r"):
            first -= 1
            joined = lines[first] + joined
        replacement = split_lines(joined)
        if last + 1 < len(lines):
            # The last touched line brought its own line end along; what follows it is the next line, not "".
            replacement.pop()
        lines[first : last + 1] = replacement


def split_lines(text: str) -> list[str]:
    """Split text into lines that keep their line ends; the last one has none.

    >>> split_lines("a\\r\\nb\\x0c\\rc")
    ['a\\r\\n', 'b\\x0c\\r', 'c']
    >>> split_lines("a\\n")
    ['a\\n', '']
    """
    if "\r" not in text:
        *ended, rest = text.split("\n")
        return [line + "\n" for line in ended] + [rest]
    lines = _LINE.findall(text)
    return [*lines, text[sum(map(len, lines)) :]]


def _content_length(line: str) -> int:
    if line.endswith("\r\n"):
        return len(line) - 2
    return len(line) - 1 if line.endswith(("\n", "\r")) else len(line)
