"""Turns documents into samples: next-token text, or prefix-suffix-middle with a hole (DeepSeek-Coder, section 3.1)."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from engine.prompt import PromptParts, PromptSettings, end_ids, path_header, training_ids
from engine.tokenizer import Tokenizer
from train.data.config import DataConfig
from train.data.document import SourceDocument


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """A stretch of a document, in characters: `text[start:end]` is the middle."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Ids that belong together: a fill-in-the-middle sample is never cut, next-token text may be."""

    ids: list[int]
    divisible: bool


def cut_holes(
    documents: Iterable[SourceDocument], config: DataConfig, settings: PromptSettings, tokenizer: Tokenizer
) -> Iterator[Sample]:
    """Yield samples; a document is fill-in-the-middle as a whole or not at all, with probability `fim_rate`.

    A fill-in-the-middle document gives as many samples, each with a hole of its own and fitted to a row by
    `engine.prompt` exactly as the server fits a prompt, as its text would fill rows.
    """
    chance = random.Random(config.seed)
    end = end_ids(settings.fim, tokenizer)[0]
    for document in documents:
        plain = tokenizer.encode(path_header(document.path, document.comment) + document.text)
        if chance.random() >= config.fim_rate:
            yield Sample(ids=[*plain, end], divisible=True)
            continue
        for _ in range(-(-len(plain) // config.row_tokens)):
            hole = choose_hole(document.text, config, chance)
            ids = training_ids(_parts(document, hole), document.text[hole.start : hole.end], settings, tokenizer,
                               budget=config.row_tokens)  # fmt: skip
            if ids is not None:
                yield Sample(ids=ids, divisible=False)


def choose_hole(text: str, config: DataConfig, chance: random.Random) -> Hole:
    """Choose the rest of a line with probability `line_middles`, else a character-level span (Bavarian et al. 2022)."""
    if chance.random() < config.line_middles:
        return _rest_of_line(text, chance)
    start, end = sorted(chance.randrange(len(text) + 1) for _ in range(2))
    return Hole(start=start, end=min(end, start + chance.randint(1, config.longest_middle)))


def _rest_of_line(text: str, chance: random.Random) -> Hole:
    """Choose a line by a uniform character, so long lines are likelier, and a start anywhere from its first letter."""
    anchor = chance.randrange(len(text))
    first = text.rfind("\n", 0, anchor) + 1
    end = text.find("\n", anchor)
    end = len(text) if end < 0 else end
    indented = first + len(text[first:end]) - len(text[first:end].lstrip())
    # Half of the holes are the whole line behind its indentation: a cursor on a fresh line is the common case.
    start = indented if chance.random() < 0.5 else chance.randint(indented, end)
    return Hole(start=start, end=end)


def _parts(document: SourceDocument, hole: Hole) -> PromptParts:
    return PromptParts(
        path=document.path,
        comment=document.comment,
        prefix=document.text[: hole.start],
        suffix=document.text[hole.end :],
    )
