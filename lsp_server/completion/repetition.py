"""Text that repeats itself or its neighbours: a model's ways of being lost."""

import re
from typing import Final

_TOKEN: Final = re.compile(r"\w+|[^\w\s]|\s+")
_LIMITS: Final = ((1, 10), (10, 30), (20, 45), (30, 60))
"""(longest period, tokens it fills at the end): one token ten times, ten tokens in thirty, and so on."""
_TIMES: Final = 6
"""However short the run, this often is too often."""
_MUST_DIFFER: Final = 0.1
_SHORTEST_LINE: Final = 12
"""Shorter lines resemble each other by nature."""


def is_repetitive(text: str) -> bool:
    """Whether the end of a text repeats a short run of tokens, judged by the failure function of its reverse (KMP).

    Rulers, runs of zeros and the like are text that people write: a period of one kind of mark does not count.
    """
    tokens = _TOKEN.findall(text.rstrip())[::-1][: _LIMITS[-1][1]]
    failure = _failure(tokens)
    for length, matched in enumerate(failure, start=1):
        period = length - matched
        often = length >= max(_TIMES * period, _LIMITS[0][1])
        fills = any(period <= longest and length >= least for longest, least in _LIMITS)
        if (often or fills) and len(set("".join(tokens[:period]))) > 1:
            return True
    return False


def is_near_copy(line: str, other: str) -> bool:
    """Whether two lines are the same but for a tenth of their characters and their numbers agree.

    >>> is_near_copy("self.width = width", "self.width = width ")
    True
    >>> is_near_copy("self.width = width", "self.height = height")
    False
    """
    line, other = line.strip(), other.strip()
    if line == other:
        return bool(line)
    longest = max(len(line), len(other))
    allowed = int(_MUST_DIFFER * longest)
    if longest < _SHORTEST_LINE or abs(len(line) - len(other)) > allowed:
        return False
    # `x1 = 1` under `x0 = 0` is how tables are written.
    if re.findall(r"\w+", line) != re.findall(r"\w+", other):
        return False
    return _distance_within(line, other, allowed)


def _failure(tokens: list[str]) -> list[int]:
    table = [0] * len(tokens)
    matched = 0
    for index in range(1, len(tokens)):
        while matched and tokens[index] != tokens[matched]:
            matched = table[matched - 1]
        if tokens[index] == tokens[matched]:
            matched += 1
        table[index] = matched
    return table


def _distance_within(first: str, second: str, allowed: int) -> bool:
    """Whether the edit distance of two strings is at most `allowed`."""
    previous = list(range(len(second) + 1))
    for row, character in enumerate(first, start=1):
        current = [row]
        for column, other in enumerate(second, start=1):
            step = previous[column - 1] + (character != other)
            current.append(min(step, previous[column] + 1, current[-1] + 1))
        if min(current) > allowed:
            return False
        previous = current
    return previous[-1] <= allowed
