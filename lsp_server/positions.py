"""Columns of a line, counted the way a client counts them: UTF-8 bytes, UTF-16 code units or code points."""

from enum import Enum


class PositionEncoding(Enum):
    """How `Position.character` counts; the value is the protocol's own name."""

    UTF8 = "utf-8"
    UTF16 = "utf-16"
    UTF32 = "utf-32"


def index_of_column(line: str, column: int, encoding: PositionEncoding) -> int:
    """Return the index into `line` of a client's column.

    A column beyond the end is the end; a column inside a character is that character's start.

    >>> index_of_column("a😀b", 3, PositionEncoding.UTF16)
    2
    >>> index_of_column("a😀b", 99, PositionEncoding.UTF8)
    3
    """
    if column <= 0:
        return 0
    if encoding is PositionEncoding.UTF32 or line.isascii():
        return min(column, len(line))
    width = _WIDTHS[encoding]
    passed = 0
    for index, character in enumerate(line):
        passed += width(ord(character))
        if passed > column:
            return index
    return len(line)


def column_of_index(line: str, index: int, encoding: PositionEncoding) -> int:
    """Return the client's column of an index into `line`.

    >>> column_of_index("a😀b", 2, PositionEncoding.UTF16)
    3
    """
    index = min(index, len(line))
    if encoding is PositionEncoding.UTF32 or line.isascii():
        return index
    width = _WIDTHS[encoding]
    return sum(width(ord(character)) for character in line[:index])


def _utf8_width(code_point: int) -> int:
    # A lone surrogate counts three bytes: JSON can carry one, and an encoder would refuse it.
    return 1 if code_point < 0x80 else 2 if code_point < 0x800 else 3 if code_point < 0x10000 else 4


def _utf16_width(code_point: int) -> int:
    return 1 if code_point < 0x10000 else 2


_WIDTHS = {PositionEncoding.UTF8: _utf8_width, PositionEncoding.UTF16: _utf16_width}
