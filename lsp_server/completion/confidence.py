"""How likely the beginning of a suggestion is to be kept, and how likely it must be to be shown."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from lsp_server.completion.candidate import Candidate
from lsp_server.completion.snapshot import Snapshot
from lsp_server.settings import Assertiveness


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A logistic regression fitted on recorded edits, and the probability that each assertiveness asks for."""

    weights: Mapping[str, float]
    """By feature; `bias` is the constant."""
    needed: Mapping[Assertiveness, float]


@cache
def calibration() -> Calibration:
    """Read the calibration that comes with midfill; docs/behaviour.md says how it was fitted."""
    raw = json.loads((files("lsp_server.completion") / "calibration.json").read_text("utf-8"))
    needed = {mode: float(raw["needed"][mode.value]) for mode in Assertiveness}
    return Calibration(weights=raw["weights"], needed=needed)


def confidence(candidate: Candidate, end: int, snapshot: Snapshot) -> float | None:
    """Return the probability that a candidate's first `end` characters are kept; None where the engine says nothing.

    What was typed since the engine was asked no longer counts: it came true.
    """
    values = features(candidate, end, snapshot)
    if values is None:
        return None
    weights = calibration().weights
    return 1 / (1 + math.exp(-sum(weights.get(name, 0.0) * value for name, value in values.items())))


def features(candidate: Candidate, end: int, snapshot: Snapshot) -> dict[str, float] | None:
    """Return what the regression sees of a candidate's beginning; None where there are no log-probabilities."""
    starts = (0, *(score.end for score in candidate.scores))
    scores = [score.log_probability for score, start in zip(candidate.scores, starts, strict=False) if start < end]
    if not scores:
        return None
    before = snapshot.line_before
    return {
        "bias": 1.0,
        "total": max(sum(scores), -30.0),
        "mean": sum(scores) / len(scores),
        "lowest": max(min(scores), -10.0),
        "log_length": math.log(max(end, 1)),
        "whole_line": float(end >= first_line_end(candidate.text)),
        "at_line_start": float(not before.strip()),
        "in_word": float(before[-1:].isalnum() or before[-1:] == "_"),
        "after_dot": float(before.rstrip().endswith((".", "->", "::"))),
        "in_comment": float(before.lstrip().startswith((snapshot.comment, "*"))),
    }


def first_line_end(text: str) -> int:
    """Return where the first line that says something ends.

    >>> first_line_end("\\n    return x\\n    y")
    13
    """
    filled = len(text) - len(text.lstrip())
    end = text.find("\n", filled)
    return len(text) if end < 0 else end


def cuts(candidate: Candidate) -> list[int]:
    """Return where a candidate may end: behind its first line, and behind each token there that ends no half word.

    The longest comes first; the whole text stands for its first line.
    """
    text = candidate.text
    last = first_line_end(text)
    ends = {score.end for score in candidate.scores if 0 < score.end < last and not _is_in_word(text, score.end)}
    return [len(text), *sorted(ends, reverse=True)]


def _is_in_word(text: str, place: int) -> bool:
    return all(character.isalnum() or character == "_" for character in text[place - 1 : place + 1])
