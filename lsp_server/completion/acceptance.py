"""What became of a suggestion, read from the document alone: typed through, accepted in part or whole, or left."""

import re
from collections import Counter
from difflib import SequenceMatcher
from typing import Final

from lsp_server.completion.typed_since import closed_by_editor

VISIBLE_SECONDS: Final = 0.75
"""A suggestion that was on the screen for less was not read (Cody's figure)."""
KEPT_AFTER_SECONDS: Final = (15, 30, 120, 300, 600)
"""When what is left of an accepted text is counted (Copilot's figures)."""
_COMPARED: Final = 200
"""Characters behind a suggestion's place that must be what they were."""
_WORD: Final = re.compile(r"\w+|[^\w\s]")


def taken(text: str, replaces: int, rest: str, now: str) -> int | None:
    """Return how many characters of a suggestion stand in the document; None when something else happened there.

    Args:
        text: the suggestion.
        replaces: characters of `rest` that it stands for.
        rest: what followed its place when it was shown.
        now: what follows its place now.

    >>> taken("oo(bar)", 0, "\\n", "oo\\n"), taken("oo(bar)", 0, "\\n", "x\\n")
    (2, None)
    """
    whole = rest[replaces : replaces + _COMPARED]
    if now.startswith(text) and now[len(text) : len(text) + len(whole)] == whole:
        return len(text)
    common = 0
    while common < min(len(text), len(now)) and text[common] == now[common]:
        common += 1
    line, _, below = rest.partition("\n")
    for count in range(common, -1, -1):
        behind, _, below_now = now[count:].partition("\n")
        if below_now[:_COMPARED] == below[:_COMPARED] and closed_by_editor(text[:count], line, behind) is not None:
            return count
    return None


def is_word_step(text: str, before: int, after: int) -> bool:
    """Whether going from one count of taken characters to another was one command, not one key."""
    return after - before > 1 and bool(text[before:after].strip())


def kept_characters(accepted: str, now: str) -> int:
    """Return how many characters of an accepted text, blanks aside, still stand, word by word and in order.

    Args:
        accepted: the text.
        now: the document around the place where it was put in.
    """
    words, others = _WORD.findall(accepted), _WORD.findall(now)
    present = Counter(others)
    if not any(word in present for word in words):
        return 0
    blocks = SequenceMatcher(None, words, others, autojunk=False).get_matching_blocks()
    return sum(len(word) for block in blocks for word in words[block.a : block.a + block.size])


def characters(text: str) -> int:
    """Return the number of characters of a text, blanks aside."""
    return sum(not character.isspace() for character in text)
