"""The data steps in their order: collect, filter, drop copies, mix, cut holes, pack."""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from engine.prompt import PromptSettings
from engine.tokenizer import Tokenizer
from train.config import DataConfig
from train.data.collect import collect
from train.data.cut_holes import cut_holes
from train.data.deduplicate import drop_copies
from train.data.document import SourceDocument
from train.data.filter_rules import apply_rules
from train.data.pack import pack


def clean_documents(folders: Sequence[Path], config: DataConfig, dropped: Counter[str]) -> list[SourceDocument]:
    """Return the documents worth training on, in a random order that depends on the seed alone.

    Every document left out is counted in `dropped` by its reason.
    """
    documents = drop_copies(apply_rules(collect(folders, config.languages, dropped), dropped), dropped)
    kept = list(documents)
    random.Random(config.seed).shuffle(kept)
    return list(_cap_repositories(kept, config.largest_repository, dropped))


def training_rows(
    documents: Iterable[SourceDocument], config: DataConfig, settings: PromptSettings, tokenizer: Tokenizer
) -> Iterator[list[int]]:
    """Yield rows of `row_tokens` ids."""
    return pack(cut_holes(documents, config, settings, tokenizer), config.row_tokens)


def _cap_repositories(
    documents: Iterable[SourceDocument], largest: int, dropped: Counter[str]
) -> Iterator[SourceDocument]:
    taken: Counter[str] = Counter()
    for document in documents:
        if taken[document.repository] >= largest:
            dropped["beyond the repository's share"] += 1
            continue
        taken[document.repository] += len(document.text)
        yield document
