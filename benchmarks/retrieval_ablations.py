"""midfill's own retrieval with one part taken out at a time, on the same index."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np

from benchmarks.masked_lines import MaskedLine, Sources
from benchmarks.retrieval_peers import Piece
from repo_context.chunk_terms import ChunkTable
from repo_context.chunks import cut_lines
from repo_context.languages import language_of
from repo_context.rank import DEFAULT_SETTINGS, RankSettings, rank
from repo_context.repository import Repository
from repo_context.snippet import Cursor
from repo_context.syntax import FileSyntax, Import, parse
from repo_context.terms import terms_of, words_of
from repo_context.text_index import TextIndex


def whole_words(text: str) -> list[str]:
    """Return the words of a text in lower case, without their parts."""
    return [word.lower() for word in words_of(text)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """One way of taking a part out."""

    settings: RankSettings = DEFAULT_SETTINGS
    plain_chunks: bool = False
    """Cut chunks by lines alone."""
    plain_words: bool = False
    """Index words without their parts."""


ABLATIONS: Final[Mapping[str, Ablation]] = {
    "  without definitions": Ablation(settings=RankSettings(definition_share=0.0, imported_share=0.0, hinting_hits=0)),
    "  without hints of similar code": Ablation(settings=RankSettings(hinting_hits=0)),
    "  without suffix lines": Ablation(settings=RankSettings(suffix_lines=0)),
    "  without boosts": Ablation(settings=RankSettings(linked_boost=1.0, second_hand_boost=1.0)),
    "  without sub-tokens": Ablation(settings=RankSettings(terms=whole_words), plain_words=True),
    "  without syntax chunks": Ablation(plain_chunks=True),
}


def ablated(
    sources: Sources, repository: Repository, ablation: Ablation, cost: Callable[[str], int]
) -> Callable[[MaskedLine, int], list[Piece]]:
    """Return a retrieval without one part; the text index is built anew where the part is in it."""
    changed = _text_index(sources, ablation, repository) if ablation.plain_chunks or ablation.plain_words else None

    def retrieve(item: MaskedLine, budget: int) -> list[Piece]:
        cursor = Cursor(path=item.path, prefix=item.prefix, suffix=item.suffix)
        index = repository.ranking_index()
        index = replace(index, text=changed) if changed is not None else index
        found = rank(cursor, imports_of(item), index, budget=budget, count_tokens=cost, settings=ablation.settings)
        return [Piece(path=snippet.path, text=snippet.text) for snippet in found]

    return retrieve


@lru_cache(maxsize=2)
def imports_of(item: MaskedLine) -> tuple[Import, ...]:
    """Return the imports of a masked file."""
    return _parsed(item.path, item.prefix + item.suffix).imports


def _parsed(path: str, text: str) -> FileSyntax:
    language = language_of(path)
    assert language is not None
    assert language.grammar is not None
    return parse(text, language.grammar)


def _text_index(sources: Sources, ablation: Ablation, repository: Repository) -> TextIndex:
    """Index the text of all files again, with the chunks and terms that the ablation wants."""
    vocabulary: dict[str, int] = {}
    lines_of = repository.ranking_index().lines_of
    terms = whole_words if ablation.plain_words else terms_of
    tables = {}
    for path, text in sources.texts.items():
        lines = lines_of(path)
        if lines is None:
            continue
        ranges = cut_lines(lines) if ablation.plain_chunks else _parsed(path, text).chunks
        counted = []
        for start, end in ranges:
            counts = Counter(terms("\n".join(lines[start:end])))
            counted.append(
                sorted((vocabulary.setdefault(term, len(vocabulary)), times) for term, times in counts.items())
            )
        tables[path] = ChunkTable(
            starts=np.array([start for start, _ in ranges], np.int32),
            ends=np.array([end for _, end in ranges], np.int32),
            pointers=np.cumsum([0, *map(len, counted)]).astype(np.int32),
            term_ids=np.array([term for postings in counted for term, _ in postings], np.int32),
            counts=np.array([times for postings in counted for _, times in postings], np.int32),
        )
    text_index = TextIndex(vocabulary)
    text_index.add(tables)
    return text_index
