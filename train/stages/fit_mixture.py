"""Fits how a finished network is read and mixed, and how whole lines are chosen, on repositories it has not seen."""

import tempfile
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from engine.api import Snippet
from engine.cache_model import CacheModel, Mixture, MixtureSamples, fit_mixture
from engine.completer import Completer
from engine.model_folder import ServedModel, read, write_reading
from engine.ngram import NgramCollection, NgramModel
from engine.prompt import PromptMode, PromptParts, build, end_ids
from engine.tokenizer import Tokenizer
from train.data.collect import collect
from train.data.repository_snippets import RepositorySnippets
from train.data.tally import Tally
from train.errors import CorpusError
from train.evaluate.completed_holes import AskedHole, ask_holes, count_ngrams
from train.evaluate.repository_holes import RepositoryHole
from train.stages.fit_lines import Comparison, compare_lines, fit_line_weights

_LONGEST_TRUTH = 48
"""Tokens; a longer line's end says nothing new."""
_PROPOSED_LINES = 8
"""Six give 0.3 points of exact match less, twelve 0.1 more (960 holes in trio, hypothesis and mitmproxy)."""
_WORTH_A_SUFFIX = 0.98
"""A mode that reads the suffix is taken if it needs less than this part of the bits that reading left to right does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureReport:
    """Bits per token on the holes the mixture was fitted to."""

    mode: PromptMode
    tokens: int
    network: float
    cache: float
    both: float
    comparisons: int
    """Holes where the true line was among several; the choice among lines was fitted to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedRepository:
    """Holes of one repository, and its n-gram statistics."""

    collection: NgramCollection
    holes: Sequence[AskedHole]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refitted:
    """What a fit brought."""

    model: ServedModel
    report: MixtureReport


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recorded:
    network: Mapping[PromptMode, float]
    collection: float
    file: float
    collection_match: int
    file_match: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """The rest of a hole's line in tokens, as completing meets it."""

    before: list[int]
    """All tokens before those that are asked for."""
    behind: list[int]
    """From the token that holds the cursor on: what the n-gram models and a healed prompt go on with."""
    pieces: list[int]
    """The same from the cursor itself on: what a network goes on with that has read the prefix as it is."""
    healed: str
    """The prefix without the token that holds the cursor."""


def fit(folder: Path, repositories: Sequence[Path], *, holes: int, seed: int) -> MixtureReport:
    """Measure on holes how a network is best read and mixed; write `prompt.json` and `mixture.json`.

    The network is read in each `PromptMode`, behind the snippets that serving would send, and the mode in which it and
    the n-gram models together predict best is kept: a network that has seen few tokens has not learned to look back
    over the suffix. Then the choice among whole lines is fitted to the lines that the new mixture proposes.

    Args:
        folder: a model folder; its mode and its mixture are replaced.
        repositories: none of them in the network's training data, or the network looks better than it is.
        holes: of each kind in each repository.
        seed: of the choice of holes.

    Raises:
        CorpusError: the repositories hold no source.
        ModelFolderError: the model cannot be read or written.
    """
    model = read(folder)
    asked = [_ask(model, repository, holes=holes, seed=seed) for repository in repositories]
    refitted = refit(model, asked, tuple(PromptMode), prior=Mixture.default())
    write_reading(folder, prompt_settings=refitted.model.prompt_settings, mixture=refitted.model.mixture)
    return refitted.report


def refit(
    model: ServedModel, asked: Sequence[AskedRepository], modes: Sequence[PromptMode], *, prior: Mixture
) -> Refitted:
    """Return a model as it is best read and mixed in some holes, and its report; nothing is written.

    Args:
        model: stays as it is.
        asked: the holes.
        modes: the model is read in the one of these in which network and n-gram models together predict best.
        prior: what few samples leave as it is.

    Raises:
        CorpusError: there are no holes.
    """
    recorded = [token for repository in asked for token in _record(model, repository, modes)]
    if not recorded:
        raise CorpusError("no holes could be cut: give repositories with Python source")
    by_mode = {mode: _samples(recorded, mode) for mode in modes}
    mixtures = {mode: fit_mixture(samples, prior) for mode, samples in by_mode.items()}
    mode = _best({mode: _bits(mixtures[mode].probabilities(by_mode[mode])[0]) for mode in modes})
    # Lines can be compared only where network and n-gram models read the same tokens.
    lines = _PROPOSED_LINES if mode.ends_between_tokens else 0
    mixture = replace(mixtures[mode], proposed_lines=lines)
    mixed = replace(model, prompt_settings=replace(model.prompt_settings, mode=mode), mixture=mixture)
    comparisons = [comparison for repository in asked for comparison in _compare(mixed, repository)]
    weighed = replace(mixture, line_weights=fit_line_weights(comparisons, prior.line_weights))
    report = _report(by_mode[mode], mixture, mode, len(comparisons))
    return Refitted(model=replace(mixed, mixture=weighed), report=report)


def _best(bits: Mapping[PromptMode, float]) -> PromptMode:
    """Choose by bits per token; what reads the suffix anew wherever it changes must be worth it."""
    best = min(bits, key=bits.__getitem__)
    plain = bits.get(PromptMode.LEFT_TO_RIGHT, float("inf"))
    return PromptMode.LEFT_TO_RIGHT if plain * _WORTH_A_SUFFIX <= bits[best] else best


def _compare(model: ServedModel, asked: AskedRepository) -> Iterator[Comparison]:
    return compare_lines(Completer(model, find_collection=lambda _: asked.collection), asked.holes)


def _samples(recorded: Sequence[_Recorded], mode: PromptMode) -> MixtureSamples:
    return MixtureSamples(
        network=np.array([token.network[mode] for token in recorded], np.float32),
        collection=np.array([token.collection for token in recorded], np.float32),
        file=np.array([token.file for token in recorded], np.float32),
        collection_match=np.array([token.collection_match for token in recorded], np.int64),
        file_match=np.array([token.file_match for token in recorded], np.int64),
    )


def _ask(model: ServedModel, repository: Path, *, holes: int, seed: int) -> AskedRepository:
    documents = list(collect([repository], ["python"], Tally()))
    settings = model.prompt_settings
    with (
        tempfile.TemporaryDirectory(prefix="midfill-mixture-") as trees,
        RepositorySnippets(
            Path(trees),
            documents,
            budget=int(settings.context_length * settings.snippet_share),
            count_tokens=lambda text: len(model.tokenizer.encode(text)),
        ) as find_snippets,
    ):
        asked = list(ask_holes(documents, find_snippets, holes=holes, seed=seed))
    return AskedRepository(collection=count_ngrams(documents, model), holes=asked)


def _record(model: ServedModel, asked: AskedRepository, modes: Sequence[PromptMode]) -> Iterator[_Recorded]:
    for hole in asked.holes:
        yield from _record_hole(model, asked.collection, hole, modes)


def _record_hole(
    model: ServedModel, collection: NgramCollection, asked: AskedHole, modes: Sequence[PromptMode]
) -> Iterator[_Recorded]:
    """Record each token of the rest of the line: the n-gram models once, the network in each mode."""
    hole = asked.hole
    line = _line(hole, model.tokenizer)
    if line is None:
        return
    cache = CacheModel(
        model.mixture,
        file=NgramModel.of_documents(
            [line.before, model.tokenizer.encode(hole.suffix)], model.transformer.config.vocab_size
        ),
        collection=collection.model(excluding=hole.path),
    )
    network = {mode: _network_probabilities(model, mode, hole, line, asked.snippets) for mode in modes}
    for index, token in enumerate(line.behind):
        answers = cache.answers([*line.before, *line.behind[:index]])
        yield _Recorded(
            network={mode: probabilities[index] for mode, probabilities in network.items()},
            collection=0.0 if answers.collection is None else float(answers.collection[token]),
            file=float(answers.file[token]),
            collection_match=answers.collection_match,
            file_match=answers.file_match,
        )


def _line(hole: RepositoryHole, tokenizer: Tokenizer) -> _Line | None:
    """Cut the line at the cursor; None where the first token's piece behind the cursor is no token of its own."""
    _, _, typed = hole.prefix.rpartition("\n")
    line = tokenizer.encode(typed + hole.truth)
    ends = list(accumulate(len(tokenizer.token_bytes(token)) for token in line))
    first = bisect_right(ends, len(typed.encode()))
    if first == len(line):
        return None
    piece = tokenizer.token_bytes(line[first])[len(typed.encode()) - ends[first] :]
    pieces = [*tokenizer.encode(piece.decode("utf-8", errors="replace")), *line[first + 1 : first + _LONGEST_TRUTH]]
    behind = line[first : first + _LONGEST_TRUTH]
    if len(pieces) != len(behind):
        return None
    earlier = hole.prefix[: len(hole.prefix) - len(typed)]
    return _Line(
        before=[*tokenizer.encode(earlier), *line[:first]],
        behind=behind,
        pieces=pieces,
        healed=earlier + tokenizer.decode(line[:first]),
    )


@torch.no_grad()
def _network_probabilities(
    model: ServedModel, mode: PromptMode, hole: RepositoryHole, line: _Line, snippets: Sequence[Snippet]
) -> list[float]:
    """Return p(token) / (1 - p(end marks)) for each true token, all in one pass."""
    settings = replace(model.prompt_settings, mode=mode)
    prefix, truth = (line.healed, line.behind) if mode.ends_between_tokens else (hole.prefix, line.pieces)
    parts = PromptParts(path=hole.path, comment=hole.comment, prefix=prefix, suffix=hole.suffix, snippets=snippets)
    prompt = build(parts, settings, model.tokenizer, budget=settings.context_length - len(truth)).ids
    logits = model.transformer(torch.tensor([[*prompt, *truth[:-1]]]))[0, len(prompt) - 1 :]
    probabilities = torch.softmax(logits, dim=-1)
    ending = probabilities[:, list(end_ids(settings.fim, model.tokenizer))].sum(dim=1)
    chosen = probabilities[torch.arange(len(truth)), torch.tensor(truth)]
    return [float(value) for value in chosen / (1 - ending).clamp_min(1e-6)]


def _report(samples: MixtureSamples, mixture: Mixture, mode: PromptMode, comparisons: int) -> MixtureReport:
    both, alone = mixture.probabilities(samples)
    return MixtureReport(
        mode=mode,
        tokens=len(samples.network),
        network=_bits(samples.network),
        cache=_bits(alone),
        both=_bits(both),
        comparisons=comparisons,
    )


def _bits(probabilities: npt.NDArray[np.float32]) -> float:
    return float(-np.log2(np.maximum(probabilities, 1e-9)).mean())
