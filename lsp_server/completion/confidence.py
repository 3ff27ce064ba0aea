"""How likely the first line of a suggestion is to be kept, and how likely it must be to be shown."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from lsp_server.completion.candidate import Candidate
from lsp_server.completion.snapshot import Snapshot
from lsp_server.settings import Assertiveness

_FEW_TOKENS: Final = 3


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


def confidence(candidate: Candidate, shown: str, snapshot: Snapshot) -> float | None:
    """Return the probability that the first line shown is kept; None where the engine says nothing of its own.

    What was typed since the engine was asked no longer counts: it came true.
    """
    values = features(candidate, shown, snapshot)
    if values is None:
        return None
    weights = calibration().weights
    return 1 / (1 + math.exp(-sum(weights.get(name, 0.0) * value for name, value in values.items())))


def features(candidate: Candidate, shown: str, snapshot: Snapshot) -> dict[str, float] | None:
    """Return what the regression sees of a candidate; None where there are no log-probabilities."""
    first_line = shown.split("\n", 1)[0]
    length = len(first_line) if first_line.strip() else len(shown.split("\n", 2)[1]) + 1 if "\n" in shown else 0
    starts = (0, *(score.end for score in candidate.scores))
    scores = [score.log_probability for score, start in zip(candidate.scores, starts, strict=False) if start < length]
    if not scores:
        return None
    before = snapshot.line_before
    return {
        "bias": 1.0,
        "total": max(sum(scores), -30.0),
        "mean": sum(scores) / len(scores),
        "lowest": max(min(scores), -10.0),
        "first": max(sum(scores[:_FEW_TOKENS]), -10.0),
        "log_length": math.log(max(length, 1)),
        "at_line_start": float(not before.strip()),
        "in_word": float(before[-1:].isalnum() or before[-1:] == "_"),
        "after_dot": float(before.rstrip().endswith((".", "->", "::"))),
        "in_comment": float(before.lstrip().startswith((snapshot.comment, "*"))),
        "unknown_names": float(len(candidate.unknown_names)),
    }
