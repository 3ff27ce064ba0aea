"""Turns documents into samples: next-token text, or fill-in-the-middle with a hole (DeepSeek-Coder, section 3.1).

Every sample with a hole goes through `engine.prompt`, so training reads what serving sends.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice

from tree_sitter import Parser

from engine.api import Snippet
from engine.prompt import PromptMode, PromptParts, PromptSettings, end_ids, path_header, training_ids
from engine.tokenizer import Tokenizer
from repo_context.errors import GrammarMissingError
from repo_context.languages import Grammar, language_named, load_grammar
from train.data.config import DataConfig
from train.data.document import SourceDocument
from train.data.order_files import samples_of


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


SnippetFinder = Callable[[SourceDocument, Hole], Sequence[Snippet]]
"""What serving would put in front of a hole; see `train.data.repository_snippets`."""


WINDOW = 4096
"""Samples that wait for their snippets together: each repository is opened once for all of them."""


def no_snippets(_document: SourceDocument, _hole: Hole) -> Sequence[Snippet]:
    """Find nothing: fill-in-the-middle within the file alone."""
    return ()


def cut_holes(
    documents: Iterable[SourceDocument],
    config: DataConfig,
    settings: PromptSettings,
    tokenizer: Tokenizer,
    find_snippets: SnippetFinder = no_snippets,
) -> Iterator[Sample]:
    """Yield samples; a document (or, at context level, a piece of one) has a hole with probability `fim_rate`.

    Files of one sample that get no hole follow each other as one text, in training order, each under its path, with
    the end mark behind the last (section 2.2). A document with holes gives as many samples as its text would fill
    rows, each with a hole of its own and fitted to a row exactly as the server fits a prompt.
    """
    cutter = _Cutter(config, settings, tokenizer)
    cut = (
        piece
        for sample in samples_of(documents)
        for piece in (cutter.pieces(sample) if config.fim_level == "context" else cutter.whole(sample))
    )
    # Nothing is looked up without snippets, so nothing needs to wait.
    window = 1 if find_snippets is no_snippets else WINDOW
    while pieces := list(islice(cut, window)):
        yield from _filled(pieces, cutter, find_snippets)


def _filled(pieces: Sequence["Sample | _Cut"], cutter: "_Cutter", find_snippets: SnippetFinder) -> Iterator[Sample]:
    """Lay out the samples with holes, in their order; their snippets are found one repository after the other."""
    cuts = [(place, piece) for place, piece in enumerate(pieces) if isinstance(piece, _Cut)]
    found: dict[int, Sequence[Snippet]] = {}
    for place, cut in sorted(cuts, key=lambda item: item[1].document.repository):
        found[place] = find_snippets(cut.document, cut.hole)
    for place, piece in enumerate(pieces):
        sample = cutter.lay_out(piece, found.pop(place)) if isinstance(piece, _Cut) else piece
        if sample is not None:
            yield sample


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    """A hole that waits for its snippets."""

    document: SourceDocument
    hole: Hole
    mode: PromptMode
    budget: int
    otherwise: Sample | None
    """What stands in its place if it does not fit into a row."""


class _Cutter:
    def __init__(self, config: DataConfig, settings: PromptSettings, tokenizer: Tokenizer) -> None:
        self._config = config
        self._settings = settings
        self._tokenizer = tokenizer
        self._chance = random.Random(config.seed)
        self._end = end_ids(settings.fim, tokenizer)[0]
        self._room = config.row_tokens

    def whole(self, documents: Sequence[SourceDocument]) -> Iterator[Sample | _Cut]:
        """Decide document by document, before packing (section 3.1.2)."""
        text: list[int] = []
        for document in documents:
            plain = self._encode(document)
            if self._chance.random() >= self._config.fim_rate:
                text += plain
                continue
            for _ in range(-(-len(plain) // self._config.row_tokens)):
                yield self._cut(document, self._config.row_tokens, None)
        if text:
            yield Sample(ids=[*text, self._end], divisible=True)

    def pieces(self, documents: Sequence[SourceDocument]) -> Iterator[Sample | _Cut]:
        """Decide piece by piece of what packing alone would make: context-level FIM (Bavarian et al., section 3.1).

        A piece with a hole is a sample of its own, and packing places it whole, so nothing is trimmed as there.
        """
        for number, document in enumerate(documents):
            ids = self._encode(document)
            if number == len(documents) - 1:
                ids.append(self._end)
            while ids:
                piece, ids = ids[: self._room], ids[self._room :]
                self._room = self._room - len(piece) or self._config.row_tokens
                yield self._piece(document, piece) or Sample(ids=piece, divisible=True)

    def _piece(self, document: SourceDocument, piece: list[int]) -> _Cut | None:
        if self._chance.random() >= self._config.fim_rate:
            return None
        text = b"".join(map(self._tokenizer.token_bytes, piece)).decode("utf-8", errors="replace")
        text = text.removeprefix(path_header(document.path, document.comment))
        # A piece may begin or end inside a character; text that cannot be told exactly gets no hole.
        if not text or "\ufffd" in text:
            return None
        changed = SourceDocument(
            repository=document.repository,
            path=document.path,
            language=document.language,
            comment=document.comment,
            text=text,
        )
        return self._cut(changed, self._config.row_tokens * 2, Sample(ids=piece, divisible=True))

    def _cut(self, document: SourceDocument, budget: int, otherwise: Sample | None) -> _Cut:
        hole = choose_hole(document, self._config, self._chance)
        return _Cut(document=document, hole=hole, mode=self._mode(), budget=budget, otherwise=otherwise)

    def lay_out(self, cut: _Cut, snippets: Sequence[Snippet]) -> Sample | None:
        """Return the sample; `cut.otherwise` when its middle leaves too little of the row for what is around it."""
        document, hole = cut.document, cut.hole
        parts = PromptParts(
            path=document.path,
            comment=document.comment,
            prefix=document.text[: hole.start],
            suffix=document.text[hole.end :],
            snippets=snippets,
        )
        settings = replace(self._settings, mode=cut.mode)
        middle = document.text[hole.start : hole.end]
        ids = training_ids(parts, middle, settings, self._tokenizer, budget=cut.budget)
        if ids is None or len(ids) > self._config.row_tokens:
            return cut.otherwise
        return Sample(ids=ids, divisible=False)

    def _mode(self) -> PromptMode:
        if self._config.fim_order == "joint":
            return self._chance.choice((PromptMode.FILL_IN_THE_MIDDLE, PromptMode.SUFFIX_FIRST))
        return served_mode(self._config)

    def _encode(self, document: SourceDocument) -> list[int]:
        return self._tokenizer.encode(path_header(document.path, document.comment) + document.text)


def served_mode(config: DataConfig) -> PromptMode:
    """Return how a network that was trained on such samples is to be read."""
    return PromptMode.SUFFIX_FIRST if config.fim_order == "spm" else PromptMode.FILL_IN_THE_MIDDLE


def choose_hole(document: SourceDocument, config: DataConfig, chance: random.Random) -> Hole:
    """Choose the rest of a line with probability `line_middles`, else a span of characters or a node of the tree."""
    text = document.text
    if not text:
        return Hole(start=0, end=0)
    if config.middles != "characters" and chance.random() < config.line_middles:
        return _rest_of_line(text, chance)
    node = _syntax_node(document, config.longest_middle, chance) if config.middles == "syntax" else None
    return node or _characters(text, config.longest_middle, chance)


def _characters(text: str, longest: int, chance: random.Random) -> Hole:
    """Choose two cuts uniformly over characters (Bavarian et al. 2022), the second no further off than is allowed."""
    start, end = sorted(chance.randrange(len(text) + 1) for _ in range(2))
    return Hole(start=start, end=min(end, start + chance.randint(1, longest)))


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


def _syntax_node(document: SourceDocument, longest: int, chance: random.Random) -> Hole | None:
    """Choose the smallest node around a uniform byte, then one of those around it that are short enough."""
    grammar = language_named(document.language).grammar
    if grammar is None:
        return None
    encoded = document.text.encode("utf-8", "surrogatepass")
    try:
        root = _parser(grammar).parse(encoded).root_node
    except (GrammarMissingError, ValueError):
        return None
    place = chance.randrange(len(encoded))
    node = root.named_descendant_for_byte_range(place, place)
    around = []
    while node is not None and node.end_byte - node.start_byte <= longest:
        if node.end_byte > node.start_byte and node != root:
            around.append((node.start_byte, node.end_byte))
        node = node.parent
    if not around:
        return None
    start, end = chance.choice(sorted(set(around)))
    first = len(encoded[:start].decode("utf-8", "surrogatepass"))
    return Hole(start=first, end=first + len(encoded[start:end].decode("utf-8", "surrogatepass")))


@cache
def _parser(grammar: Grammar) -> Parser:
    return Parser(load_grammar(grammar))
