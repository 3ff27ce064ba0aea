"""From what the engine wrote to what an editor shows: pure steps, each of which may drop it with a reason."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from engine.api import Length
from lsp_server.completion.candidate import Candidate
from lsp_server.completion.overlap import CLOSING_LINE, covered_rest, without_closing_lines, without_lines_below
from lsp_server.completion.repetition import is_near_copy, is_repetitive
from lsp_server.completion.snapshot import Snapshot, Trigger
from lsp_server.completion.syntax_window import SyntaxWindow
from lsp_server.document import split_lines

LONGEST_BLOCK: Final = 8
"""Lines shown at once; what the engine wrote beyond them is kept, and shown when these were accepted."""
_UNFINISHED: Final = re.compile(r"(?:[({\[,:=+\-*/%&|<>\\.]|=>|\b(?:and|or|not|in|is|then|do|else|try|begin))\s*\Z")
"""Ends of a line that the next lines go on from."""
_WORTH_A_KEY: Final = 2
_WORD_END: Final = re.compile(r"\w+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """Text to put in at the cursor."""

    text: str
    replaces: int = 0
    """Characters right of the cursor, on its line, that `text` stands for."""


class DropReason(Enum):
    """Why nothing is shown; the value is for a person."""

    BLANK = "nothing was written"
    REPETITIVE = "it repeats itself"
    REPEATS_NEXT_LINE = "it repeats the line below"
    COPIES_NEIGHBOUR = "it copies a neighbouring line"
    CHANGES_NOTHING = "it is what stands right of the cursor"
    TOO_LITTLE = "it is not worth a key"
    SYNTAX_ERROR = "it would add a syntax error"
    UNKNOWN_NAME = "it calls what exists nowhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A suggestion on its way through the steps, with what they judge it by."""

    text: str
    replaces: int
    candidate: Candidate
    snapshot: Snapshot
    length: Length


def postprocess(
    candidate: Candidate, snapshot: Snapshot, length: Length, *, skip: Collection[str] = ()
) -> Suggestion | DropReason:
    """Turn the engine's text into a suggestion.

    Args:
        candidate: what the engine wrote after the prefix.
        snapshot: the cursor it was written for.
        length: how far it may go.
        skip: names of steps to leave out, for a benchmark that measures each of them.
    """
    draft = Draft(text=candidate.text, replaces=0, candidate=candidate, snapshot=snapshot, length=length)
    for step in STEPS:
        if step.__name__ in skip:
            continue
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


def drop_half_token(draft: Draft) -> Draft:
    """Leave out the last word, or of several lines the last one, where the engine had to stop inside of it."""
    if not draft.candidate.is_cut or not draft.candidate.text.endswith(draft.text) or not draft.text:
        return draft
    lines = split_lines(draft.text)
    if len(lines) > 1 and lines[0].strip():
        return replace(draft, text="".join(lines[:-1]))
    return replace(draft, text=_WORD_END.sub("", draft.text))


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


def stop_at_node_end(draft: Draft) -> Draft:
    """Keep what belongs to the block that the cursor stands in."""
    if draft.length is Length.LINE or "\n" not in draft.text:
        return draft
    window = SyntaxWindow.around(draft.snapshot)
    return draft if window is None else replace(draft, text=draft.text[: window.length_in_node(draft.text)])


def stop_at_longest_block(draft: Draft) -> Draft:
    """Keep as many lines as a person reads at a glance; on demand all of them."""
    lines = split_lines(draft.text)
    if draft.snapshot.trigger is Trigger.INVOKED or len(lines) <= LONGEST_BLOCK:
        return draft
    return replace(draft, text="".join(lines[:LONGEST_BLOCK]))


def trim_end(draft: Draft) -> Draft:
    """Drop white space at the end."""
    return replace(draft, text=draft.text.rstrip())


def drop_blank(draft: Draft) -> Draft | DropReason:
    """Show nothing where nothing is left."""
    return draft if draft.text.strip() else DropReason.BLANK


def drop_repetitive(draft: Draft) -> Draft | DropReason:
    """Show nothing that ends in the same few tokens again and again."""
    return DropReason.REPETITIVE if is_repetitive(draft.text) else draft


def snip_closing_lines(draft: Draft) -> Draft:
    """Leave out last lines that only close what the lines below the cursor close already."""
    return replace(draft, text=without_closing_lines(draft.text, draft.snapshot.lines_below))


def snip_lines_below(draft: Draft) -> Draft:
    """Leave out last lines that stand below the cursor already."""
    if draft.length is Length.LINE:
        return draft
    return replace(draft, text=without_lines_below(draft.text, draft.snapshot.lines_below))


def drop_repeated_line(draft: Draft) -> Draft | DropReason:
    """Show nothing that would make the cursor's line a copy of the next one."""
    below = next((line.strip() for line in split_lines(draft.snapshot.lines_below[:4096]) if line.strip()), "")
    whole = _whole_line(draft)
    # A closing bracket below another one is how blocks end.
    if below and whole == below and not CLOSING_LINE.fullmatch(whole):
        return DropReason.REPEATS_NEXT_LINE
    return draft


def drop_near_copy(draft: Draft) -> Draft | DropReason:
    """Show nothing that would make the cursor's line nearly a copy of the line above or below."""
    snapshot = draft.snapshot
    above = snapshot.prefix[-2000:].split("\n")[:-1]
    below = snapshot.lines_below[:2000].split("\n")[1:]
    whole = _whole_line(draft)
    if CLOSING_LINE.fullmatch(whole):
        return draft
    if any(lines and is_near_copy(whole, lines[0]) for lines in (above[::-1], below)):
        return DropReason.COPIES_NEIGHBOUR
    return draft


def cover_rest_of_line(draft: Draft) -> Draft:
    """Replace the closing text right of the cursor that the suggestion writes again."""
    text, replaces = covered_rest(draft.text, draft.snapshot.line_after)
    return replace(draft, text=text, replaces=replaces)


def drop_no_change(draft: Draft) -> Draft | DropReason:
    """Show nothing that writes what is there."""
    if draft.replaces and draft.text == draft.snapshot.line_after[: draft.replaces]:
        return DropReason.CHANGES_NOTHING
    return draft


def drop_too_little(draft: Draft) -> Draft | DropReason:
    """Show nothing unasked that takes as many keys to accept as to type: less than two characters, blanks aside."""
    if draft.snapshot.trigger is Trigger.INVOKED:
        return draft
    return draft if len("".join(draft.text.split())) >= _WORTH_A_KEY else DropReason.TOO_LITTLE


def drop_unknown_name(draft: Draft) -> Draft | DropReason:
    """Show nothing that calls a function which exists nowhere."""
    unknown = draft.candidate.unknown_names
    return DropReason.UNKNOWN_NAME if any(name in draft.text for name in unknown) else draft


def drop_syntax_error(draft: Draft) -> Draft | DropReason:
    """Show nothing that makes the code around it parse worse.

    Only a whole line is judged: the beginning of one seldom parses, nor does one that the next goes on from.
    """
    if draft.candidate.is_beginning:
        return draft
    window = SyntaxWindow.around(draft.snapshot)
    last_line = draft.snapshot.line_before + draft.text if "\n" not in draft.text else draft.text
    if window is None or _UNFINISHED.search(last_line) or not _is_balanced(last_line):
        return draft
    return DropReason.SYNTAX_ERROR if window.adds_error(draft.text, draft.replaces) else draft


def use_documents_line_end(draft: Draft) -> Draft:
    """End lines as the document does."""
    return replace(draft, text=re.sub(r"\r\n|\r|\n", draft.snapshot.line_end, draft.text))


Step = Callable[[Draft], Draft | DropReason]
STEPS: Final[tuple[Step, ...]] = (
    cut_to_length,
    drop_half_token,
    drop_opening_blank_lines,
    stop_at_node_end,
    stop_at_longest_block,
    trim_end,
    drop_blank,
    drop_repetitive,
    snip_closing_lines,
    snip_lines_below,
    drop_blank,
    drop_repeated_line,
    drop_near_copy,
    cover_rest_of_line,
    drop_no_change,
    drop_too_little,
    drop_unknown_name,
    drop_syntax_error,
    use_documents_line_end,
)


def _whole_line(draft: Draft) -> str:
    """Return the cursor's line as it would be, without the blanks around it."""
    return (draft.snapshot.line_before + split_lines(draft.text)[0].rstrip()).strip()


def _is_balanced(line: str) -> bool:
    """Whether a text opens no more brackets than it closes."""
    return all(line.count(opening) <= line.count(closing) for opening, closing in ("()", "[]", "{}"))
