"""What other tools would retrieve at a cursor, each as its source or paper describes it, on the same files.

Every method ranks pieces; the caller fills the budget. No method sees the file that the cursor is in.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rank_bm25 import BM25Okapi

from benchmarks.masked_lines import MaskedLine, Sources

CHUNK_LINES = 10
QUERY_LINES = 10
MAX_CHUNKS = 1000
WINDOW_LINES = 60
WINDOW_STEP = 10
NEIGHBOURS = 20

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some text of one file."""

    path: str
    text: str


def crosscodeeval_bm25(sources: Sources, item: MaskedLine) -> list[Piece]:
    """Rank chunks as `augment_with_cfc.py` of CrossCodeEval does, and return the chunks that were hit.

    Chunks of 10 non-blank lines from the files nearest by path, at most 1,000; the query is the last 10 non-blank lines
    before the cursor; `\\w+` stands for nltk's words, which the script cuts at the same places but for contractions.
    """
    return [chunks[place] for chunks, place in _ranked_chunks(sources, item)]


def crosscodeeval_next_chunk(sources: Sources, item: MaskedLine) -> list[Piece]:
    """Return the chunk after each hit, where there is one: the official `rg1` setting."""
    pieces = []
    for chunks, place in _ranked_chunks(sources, item):
        follower = chunks[place + 1] if place + 1 < len(chunks) else None
        pieces.append(follower if follower and follower.path == chunks[place].path else chunks[place])
    return pieces


def jaccard_windows(sources: Sources, item: MaskedLine) -> list[Piece]:
    """Rank windows of 60 lines by Jaccard similarity with the 60 lines before the cursor, the best one of each file.

    Copilot reads up to 20 neighbouring tabs; here those are the files that the file imports, then the nearest ones.
    """
    query = set(_WORD.findall("\n".join(item.prefix.split("\n")[-WINDOW_LINES:])))
    neighbours = list(dict.fromkeys([*sources.imports[item.path], *_nearest(sources, item.path)]))[:NEIGHBOURS]
    scored = []
    for path in neighbours:
        lines = sources.texts[path].split("\n")
        windows = ["\n".join(lines[at : at + WINDOW_LINES]) for at in range(0, len(lines), WINDOW_STEP)]
        best = max(windows, key=lambda window: _jaccard(query, set(_WORD.findall(window))))
        scored.append((_jaccard(query, set(_WORD.findall(best))), Piece(path=path, text=best)))
    return [piece for _, piece in sorted(scored, key=lambda pair: -pair[0])]


def imported_files(sources: Sources, item: MaskedLine) -> list[Piece]:
    """Return the imported files whole, in the order of the import statements."""
    return [Piece(path=path, text=sources.texts[path]) for path in sources.imports[item.path]]


PEERS: Mapping[str, Callable[[Sources, MaskedLine], list[Piece]]] = {
    "BM25 as CrossCodeEval": crosscodeeval_bm25,
    "the same, next chunk (rg1)": crosscodeeval_next_chunk,
    "Jaccard windows as Copilot": jaccard_windows,
    "imported files whole": imported_files,
}


def fill(pieces: Sequence[Piece], budget: int, cost: Callable[[str], int]) -> list[Piece]:
    """Take pieces until the budget is spent; the last one is cut after a line that still fits."""
    taken: list[Piece] = []
    for piece in pieces:
        header = cost(f"# {piece.path}\n")
        room = budget - header
        kept = []
        for line in piece.text.split("\n"):
            room -= cost(line + "\n")
            if room < 0:
                break
            kept.append(line)
        if kept:
            taken.append(Piece(path=piece.path, text="\n".join(kept)))
        budget = room
        if budget <= 0:
            break
    return taken


@lru_cache(maxsize=1)
def _ranked_chunks(sources: Sources, item: MaskedLine) -> list[tuple[list[Piece], int]]:
    chunks: list[Piece] = []
    for path in _nearest(sources, item.path):
        lines = [line for line in sources.texts[path].split("\n") if line.strip()]
        starts = range(0, len(lines), CHUNK_LINES)
        chunks += [Piece(path=path, text="\n".join(lines[at : at + CHUNK_LINES])) for at in starts]
        if len(chunks) >= MAX_CHUNKS:
            break
    chunks = chunks[:MAX_CHUNKS]
    if not chunks:
        return []
    query = _WORD.findall("\n".join([line for line in item.prefix.split("\n") if line.strip()][-QUERY_LINES:]))
    scores = BM25Okapi([_WORD.findall(chunk.text) or [""] for chunk in chunks]).get_scores(query)
    order = sorted(range(len(chunks)), key=lambda place: -scores[place])
    return [(chunks, place) for place in order[:200]]


@lru_cache(maxsize=1)
def _nearest(sources: Sources, path: str) -> list[str]:
    """Return the other files, those whose folders are the fewest steps away first."""
    own = path.split("/")[:-1]

    def steps(other: str) -> int:
        folders = other.split("/")[:-1]
        shared = 0
        while shared < min(len(own), len(folders)) and own[shared] == folders[shared]:
            shared += 1
        return len(own) + len(folders) - 2 * shared

    return sorted((other for other in sources.texts if other != path), key=lambda other: (steps(other), other))


def _jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / max(len(one | other), 1)
