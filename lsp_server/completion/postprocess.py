"""From what the engine wrote to what an editor shows: pure steps, each of which may drop it with a reason."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from engine.api import Length
from lsp_server.completion.snapshot import Snapshot
from lsp_server.document import split_lines

_PAIRS: Final = {")": "(", "]": "[", "}": "{"}
_QUOTES: Final = "\"'`"
_SEPARATORS: Final = (":", "{", ";", ",")
_CLOSING_LINE: Final = re.compile(r"[\s)\]};,]*[)\]}][\s)\]};,]*|\s*(?:end|fi|done|esac)\b[\s;,]*")
_STUTTER: Final = re.compile(r"(.{3,}?)\1{5,}\s*\Z", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """Text to put in at the cursor."""

    text: str
    replaces: int = 0
    """Characters right of the cursor, on its line, that `text` stands for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A suggestion on its way through the steps, with what they judge it by."""

    text: str
    replaces: int
    snapshot: Snapshot
    length: Length


class DropReason(Enum):
    """Why nothing is shown."""

    BLANK = "nothing was written"
    STUTTER = "it repeats itself"
    REPEATS_NEXT_LINE = "it repeats the line below"
    CHANGES_NOTHING = "it is what stands right of the cursor"


def postprocess(text: str, snapshot: Snapshot, length: Length) -> Suggestion | DropReason:
    """Turn the engine's text into a suggestion.

    Args:
        text: what the engine wrote after the prefix.
        snapshot: the cursor it was written for.
        length: how far it may go.
    """
    draft = Draft(text=text, replaces=0, snapshot=snapshot, length=length)
    for step in _STEPS:
        outcome = step(draft)
        if isinstance(outcome, DropReason):
            return outcome
        draft = outcome
    return Suggestion(text=draft.text, replaces=draft.replaces)


def with_plain_insertion(suggestion: Suggestion, snapshot: Snapshot) -> Suggestion:
    """Leave the text right of the cursor alone where that gives the same line.

    Some editors paint a suggestion that replaces text over it; `a)` for the `)` that stands there already is the same
    as inserting `a`.
    """
    kept = snapshot.line_after[: suggestion.replaces]
    if suggestion.replaces and suggestion.text.endswith(kept) and len(suggestion.text) > len(kept):
        return Suggestion(text=suggestion.text.removesuffix(kept))
    return suggestion


def cut_to_length(draft: Draft) -> Draft:
    """Keep one line where one is asked for; a first line that is only a line end completes to nothing."""
    if draft.length is Length.LINE:
        return replace(draft, text=split_lines(draft.text)[0].rstrip("\r\n"))
    return draft


def drop_opening_blank_lines(draft: Draft) -> Draft:
    """On a blank line, begin with the first line that says something."""
    if draft.snapshot.line_before.strip() or draft.length is Length.LINE:
        return draft
    lines = split_lines(draft.text)
    while len(lines) > 1 and not lines[0].strip():
        del lines[0]
        # That line carries its own indentation; the cursor's line has some already.
        lines[0] = lines[0].removeprefix(draft.snapshot.line_before)
    return replace(draft, text="".join(lines))


def trim_end(draft: Draft) -> Draft:
    """Drop white space at the end."""
    return replace(draft, text=draft.text.rstrip())


def drop_blank(draft: Draft) -> Draft | DropReason:
    """Show nothing where nothing is left."""
    return draft if draft.text.strip() else DropReason.BLANK


def drop_stutter(draft: Draft) -> Draft | DropReason:
    """Show nothing that ends in six or more equal pieces: a small model's way of being lost."""
    match = _STUTTER.search(draft.text)
    # Rulers of dashes and runs of spaces or zeros are text that people write.
    if match and len(set(match[1])) > 1:
        return DropReason.STUTTER
    return draft


def snip_closing_lines(draft: Draft) -> Draft:
    """Leave out last lines that only close what the lines below the cursor close already."""
    lines = split_lines(draft.text)
    below = [line.strip() for line in split_lines(draft.snapshot.lines_below) if line.strip()]
    for count in range(min(len(lines) - 1, len(below)), 0, -1):
        tail = [line.strip() for line in lines[-count:]]
        if tail == below[:count] and all(_CLOSING_LINE.fullmatch(line) for line in tail):
            return replace(draft, text="".join(lines[:-count]).rstrip())
    return draft


def drop_repeated_line(draft: Draft) -> Draft | DropReason:
    """Show nothing that would make the cursor's line a copy of the next one."""
    below = next((line.strip() for line in split_lines(draft.snapshot.lines_below) if line.strip()), "")
    first = split_lines(draft.text)[0].rstrip()
    whole = (draft.snapshot.line_before + first).strip()
    # A closing bracket below another one is how blocks end.
    if below and whole == below and not _CLOSING_LINE.fullmatch(whole):
        return DropReason.REPEATS_NEXT_LINE
    return draft


def cover_rest_of_line(draft: Draft) -> Draft:
    """Replace the closing text right of the cursor that the suggestion writes again.

    `print("|")` with `hello")`: the suggestion closes the string and the call, so it stands for both characters.
    `f(|)` with `g(x)`: the bracket at its end is its own, so `)` stays.
    """
    rest = draft.snapshot.line_after
    first_line = split_lines(draft.text)[0].rstrip("\r\n")
    surplus = _surplus_closers(first_line, rest)
    covered = _covered(surplus, rest)
    if _is_subsequence(rest[:covered], first_line):
        return replace(draft, replaces=covered)
    # VS Code hides a suggestion that deletes something (the blank in `f(| )`): leave the closing text to the line.
    return replace(draft, text=first_line[: surplus.start].rstrip())


def drop_no_change(draft: Draft) -> Draft | DropReason:
    """Show nothing that writes what is there."""
    if draft.replaces and draft.text == draft.snapshot.line_after[: draft.replaces]:
        return DropReason.CHANGES_NOTHING
    return draft


def use_documents_line_end(draft: Draft) -> Draft:
    """End lines as the document does."""
    return replace(draft, text=re.sub(r"\r\n|\r|\n", draft.snapshot.line_end, draft.text))


_Step = Callable[[Draft], Draft | DropReason]
_STEPS: Final[tuple[_Step, ...]] = (
    cut_to_length,
    drop_opening_blank_lines,
    trim_end,
    drop_blank,
    drop_stutter,
    snip_closing_lines,
    drop_blank,
    drop_repeated_line,
    cover_rest_of_line,
    drop_no_change,
    use_documents_line_end,
)


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
