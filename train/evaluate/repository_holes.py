"""Holes cut into the files of a repository, and how close a completion comes to what stood there."""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from rapidfuzz import fuzz

from train.data.document import SourceDocument

_SHORTEST = 3
"""Characters; a shorter rest of a line is a bracket or two and says little about a model."""


class HoleKind(Enum):
    """Where the cursor stands."""

    NEXT_LINE = "next line"
    """On a fresh line, behind the indentation an editor would put there; the whole line is missing."""
    MID_LINE = "mid-line"
    """Anywhere inside a line, inside words too; the rest of the line is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryHole:
    """One cursor in one file, and what stood behind it."""

    kind: HoleKind
    path: str
    comment: str
    prefix: str
    truth: str
    """The rest of the cursor's line, without its end."""
    suffix: str
    """Starts with the line's end."""


def draw_holes(
    documents: Sequence[SourceDocument],
    kind: HoleKind,
    count: int,
    seed: int,
    *,
    lines: Mapping[str, Collection[int]] | None = None,
) -> list[RepositoryHole]:
    """Draw holes uniformly over all lines of all documents that hold a letter and enough text.

    Returns fewer than `count` only when there are fewer lines.

    Args:
        documents: of one repository, where `lines` is given.
        kind: where the cursor stands.
        count: how many.
        seed: of the draw.
        lines: path → the lines (0-based) that may be drawn; None allows all.
    """
    chance = random.Random(f"{kind.value} {seed}")
    places = [
        (number, start)
        for number, document in enumerate(documents)
        for line, start in enumerate(_line_starts(document.text))
        if lines is None or line in lines.get(document.path, ())
    ]
    chance.shuffle(places)
    holes: list[RepositoryHole] = []
    for number, start in places:
        if len(holes) == count:
            break
        hole = _cut(documents[number], start, kind, chance)
        if hole is not None:
            holes.append(hole)
    return holes


def is_exact(written: str, truth: str) -> bool:
    """Say whether a completion is right to the letter, white space at both ends aside."""
    return written.strip() == truth.strip()


def edit_similarity(written: str, truth: str) -> float:
    """Return the similarity of two texts, 0 to 1: 1 - edit distance (insertions, deletions) / total length."""
    return float(fuzz.ratio(written.strip(), truth.strip())) / 100


def _line_starts(text: str) -> list[int]:
    starts, position = [0], text.find("\n") + 1
    while position:
        starts.append(position)
        position = text.find("\n", position) + 1
    return starts


def _cut(document: SourceDocument, start: int, kind: HoleKind, chance: random.Random) -> RepositoryHole | None:
    text = document.text
    end = text.find("\n", start)
    end = len(text) if end < 0 else end
    line = text[start:end].rstrip("\r")
    end = start + len(line)
    cursor = start + len(line) - len(line.lstrip())
    if end - cursor < _SHORTEST or not any(map(str.isalpha, line)):
        return None
    if kind is HoleKind.MID_LINE:
        if end - cursor < _SHORTEST + 1:
            return None
        cursor = chance.randint(cursor + 1, end - _SHORTEST)
    truth = text[cursor:end]
    if not truth.strip():
        return None
    return RepositoryHole(
        kind=kind,
        path=document.path,
        comment=document.comment,
        prefix=text[:cursor],
        truth=truth,
        suffix=text[end:],
    )
