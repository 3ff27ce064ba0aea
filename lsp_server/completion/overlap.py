"""Text that a suggestion writes again although it stands right of the cursor or below it already."""

import re
from dataclasses import dataclass
from typing import Final

from lsp_server.document import split_lines

_PAIRS: Final = {")": "(", "]": "[", "}": "{"}
_QUOTES: Final = "\"'`"
_SEPARATORS: Final = (":", "{", ";", ",")
_NEAR: Final = 8_000
"""Characters below the cursor that are compared: more than any suggestion has, and far less than a long file."""
CLOSING_LINE: Final = re.compile(r"[\s)\]};,]*[)\]}][\s)\]};,]*|\s*(?:end|fi|done|esac)\b[\s;,]*")
"""A line that only closes blocks."""


def without_closing_lines(text: str, lines_below: str) -> str:
    """Leave out last lines that only close what the lines below the cursor close already, at the same indentation."""
    lines = split_lines(text)
    if len(lines) == 1:
        return text
    below = [line.rstrip() for line in split_lines(lines_below[:_NEAR]) if line.strip()]
    for count in range(min(len(lines) - 1, len(below)), 0, -1):
        tail = [line.rstrip() for line in lines[-count:]]
        if tail == below[:count] and all(CLOSING_LINE.fullmatch(line) for line in tail):
            return "".join(lines[:-count]).rstrip()
    return text


def without_lines_below(text: str, lines_below: str) -> str:
    """Leave out last lines, two or more, that are the next lines of the document, blank ones aside."""
    lines = split_lines(text)
    if len(lines) == 1:
        return text
    below = [line.strip() for line in split_lines(lines_below[:_NEAR]) if line.strip()]
    filled = [(number, line.strip()) for number, line in enumerate(lines) if line.strip()]
    for count in range(min(len(filled) - 1, len(below)), 0, -1):
        tail = filled[-count:]
        long_enough = count > 1 or len(tail[0][1]) > 3
        if long_enough and [line for _, line in tail] == below[:count]:
            return "".join(lines[: tail[0][0]]).rstrip()
    return text


def covered_rest(text: str, rest: str) -> tuple[str, int]:
    """Return the text to put in, and how many characters of the line's rest it stands for.

    `print("|")` with `hello")`: the suggestion closes the string and the call, so it stands for both characters.
    `f(|)` with `g(x)`: the bracket at its end is its own, so `)` stays.
    """
    first_line = split_lines(text)[0].rstrip("\r\n")
    surplus = _surplus_closers(first_line, rest)
    covered = _covered(surplus, rest)
    if _is_subsequence(rest[:covered], first_line):
        return text, covered
    # VS Code hides a suggestion that deletes something (the blank in `f(| )`): leave the closing text to the line.
    return first_line[: surplus.start].rstrip(), 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Surplus:
    """The brackets and quotes that a text closes without having opened them."""

    closers: str
    start: int
    """Index of the first of them."""
    tail: str
    """What follows the last of them."""


def _covered(surplus: _Surplus, rest: str) -> int:
    """Return how many characters of `rest` are written again by the text with this surplus, which comes before it."""
    place = 0
    for closer in surplus.closers:
        found = _skip_blank(rest, place)
        if not rest.startswith(closer, found):
            return place
        place = found + 1
    # All brackets met; what follows the last of them may be there too: `x):` before `):`.
    following = rest[place:].strip()
    if following in _SEPARATORS and surplus.tail.rstrip().endswith(following):
        return len(rest.rstrip())
    return place


def _surplus_closers(text: str, rest: str) -> _Surplus:
    """Find the surplus of a line that is put in before `rest`; a quote that begins `rest` is open already."""
    opened: list[str] = []
    found: list[int] = []
    first = rest.lstrip()[:1]
    quote = inherited = first if first in tuple(_QUOTES) else ""
    escaped = False
    for index, character in enumerate(text):
        if escaped:
            escaped = False
        elif quote:
            escaped = character == "\\"
            if character == quote:
                if inherited:
                    found.append(index)
                quote = inherited = ""
        elif character in _QUOTES:
            quote = character
        elif character in _PAIRS.values():
            opened.append(character)
        elif character in _PAIRS:
            if opened and opened[-1] == _PAIRS[character]:
                opened.pop()
            else:
                found.append(index)
    return _Surplus(
        closers="".join(text[index] for index in found),
        start=found[0] if found else len(text),
        tail=text[found[-1] + 1 :] if found else text,
    )


def _skip_blank(text: str, place: int) -> int:
    while place < len(text) and text[place].isspace():
        place += 1
    return place


def _is_subsequence(few: str, many: str) -> bool:
    characters = iter(many)
    return all(character in characters for character in few)
