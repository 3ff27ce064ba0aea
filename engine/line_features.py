"""What speaks for and against a line at the cursor, as numbers: its probability, and how it fits the text around it.

A probability that falls token by token cannot see that a name stands nowhere near, that a bracket stays open, or that
the line is already the next one. A log-linear model weighs all of it (conditional logit, McFadden 1974); its weights
are fitted by `midfill train mixture` and lie in `mixture.json`.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

LOG_PROBABILITY: Final = "log_probability"
"""Of the line and its end, by network and n-gram models together."""
BEHIND: Final = "behind"
"""Log-probability of the first tokens behind the line."""
FEATURES: Final = (
    LOG_PROBABILITY,
    BEHIND,
    "characters",
    "repeats_next_line",
    "similar_lines",
    "unknown_names",
    "distant_names",
    "indentation_clash",
    "open_brackets",
)
BY_PROBABILITY: Final[Mapping[str, float]] = {LOG_PROBABILITY: 1.0, BEHIND: 0.5}
"""Weights for a model that brings none."""

_FILE_CHARACTERS: Final = 60_000
"""Looked at on each side of the cursor."""
_NEAR_LINES: Final = 30
_BRACKET_LINES: Final = 60
_NAME: Final = re.compile(r"[^\W\d]\w+")
_WORD: Final = re.compile(r"\w+")
_LAST_WORD: Final = re.compile(r"\w+$")
_BRACKETS: Final = re.compile(r"[()\[\]{}]")
_BLOCK_OPENERS: Final = (":", "(", "[", "{")
_TAB: Final = 8


class Surroundings:
    """The text around one cursor."""

    def __init__(self, prefix: str, suffix: str) -> None:
        """Take the text on both sides; `suffix` starts with the end of the cursor's line."""
        *before, self._typed = prefix[-_FILE_CHARACTERS:].split("\n")
        after = suffix[:_FILE_CHARACTERS].split("\n")[1:]
        self._next = next((line for line in after if line.strip()), "")
        self._shapes = Counter(_read(line).shape for line in (*before, *after))
        self._names = _names_in([*before, self._typed, *after])
        self._near_names = _names_in([*before[-_NEAR_LINES:], self._typed, *after[:_NEAR_LINES]])
        self._opened = _unmatched("\n".join([*before[-_BRACKET_LINES:], self._typed])).opened
        self._closed_behind = _unmatched("\n".join(after[:_BRACKET_LINES])).closed

    def features(self, line: str) -> dict[str, float]:
        """Return all features but the probabilities of what `line` makes of the cursor's line."""
        full = self._typed + line
        text = full.strip()
        names = self._names_of(line)
        goes_deeper = bool(self._next) and _columns(self._next) > _columns(full)
        brackets = _unmatched(line)
        opened = max(0, self._opened - brackets.closed) + brackets.opened
        return {
            "characters": float(len(line)),
            "repeats_next_line": float(text == self._next.strip()),
            "similar_lines": math.log1p(self._shapes[_read(full).shape]),
            "unknown_names": float(sum(name not in self._names for name in names)),
            "distant_names": float(sum(name not in self._near_names for name in names)),
            "indentation_clash": float(text.endswith(_BLOCK_OPENERS) != goes_deeper),
            "open_brackets": float(abs(opened - self._closed_behind)),
        }

    def _names_of(self, line: str) -> list[str]:
        """Return the names that a line writes; one that was begun before the cursor is whole."""
        begun = _LAST_WORD.search(self._typed)
        return _NAME.findall(begun[0] + line if begun and _WORD.match(line) else line)


def score(features: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Return the weighted sum; what has no weight does not count."""
    return sum(weights.get(name, 0.0) * value for name, value in features.items())


@dataclass(frozen=True, slots=True)
class _Line:
    shape: str
    """The line without its words."""
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Brackets:
    opened: int
    closed: int


@lru_cache(1 << 14)  # a keystroke changes one line of a file
def _read(line: str) -> _Line:
    return _Line(_WORD.sub("#", line.strip()), frozenset(_NAME.findall(line)))


def _names_in(lines: Sequence[str]) -> frozenset[str]:
    return frozenset[str]().union(*(_read(line).names for line in lines))


def _unmatched(text: str) -> _Brackets:
    """Count the brackets that nothing in `text` closes or has opened, whatever their kind."""
    opened = closed = 0
    for bracket in _BRACKETS.findall(text):
        if bracket in "([{":
            opened += 1
        elif opened:
            opened -= 1
        else:
            closed += 1
    return _Brackets(opened, closed)


def _columns(line: str) -> int:
    expanded = line.expandtabs(_TAB)
    return len(expanded) - len(expanded.lstrip())
