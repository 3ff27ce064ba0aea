"""Fits how a finished network is mixed with the n-gram models, on repositories it was not trained on."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from engine.cache_model import CacheModel, Mixture, MixtureSamples, fit_mixture
from engine.model_folder import ServedModel, read, write_reading
from engine.ngram import NgramCollection, NgramModel
from engine.prompt import PromptMode, PromptParts, build, end_ids
from train.data.collect import collect
from train.data.tally import Tally
from train.errors import CorpusError
from train.evaluate.repository_holes import HoleKind, RepositoryHole, draw_holes

_LONGEST_TRUTH = 48
"""Tokens; a longer line's end says nothing new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureReport:
    """Bits per token on the holes the mixture was fitted to."""

    mode: PromptMode
    tokens: int
    network: float
    cache: float
    both: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recorded:
    network: float
    collection: float
    file: float
    collection_match: int
    file_match: int


def fit(folder: Path, repositories: Sequence[Path], *, holes: int, seed: int) -> MixtureReport:
    """Measure on holes how a network is best read and mixed; write `prompt.json` and `mixture.json`.

    The network is read in each `PromptMode`, and the one in which it predicts better is kept: a network that has seen
    few tokens has not learned to look back over the suffix, and does better without it.

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
    readings = {mode: replace(model, prompt_settings=replace(model.prompt_settings, mode=mode)) for mode in PromptMode}
    recorded = {mode: _record(reading, repositories, holes=holes, seed=seed) for mode, reading in readings.items()}
    best = min(PromptMode, key=lambda mode: _bits(recorded[mode].network))
    mixture = fit_mixture(recorded[best])
    write_reading(folder, prompt_settings=readings[best].prompt_settings, mixture=mixture)
    return _report(recorded[best], mixture, best)


def _record(model: ServedModel, repositories: Sequence[Path], *, holes: int, seed: int) -> MixtureSamples:
    recorded = [
        token for repository in repositories for token in _record_repository(model, repository, holes=holes, seed=seed)
    ]
    if not recorded:
        raise CorpusError("no holes could be cut: give repositories with Python source")
    return MixtureSamples(
        network=np.array([token.network for token in recorded], np.float32),
        collection=np.array([token.collection for token in recorded], np.float32),
        file=np.array([token.file for token in recorded], np.float32),
        collection_match=np.array([token.collection_match for token in recorded], np.int64),
        file_match=np.array([token.file_match for token in recorded], np.int64),
    )


def _record_repository(model: ServedModel, repository: Path, *, holes: int, seed: int) -> Iterator[_Recorded]:
    documents = list(collect([repository], ["python"], Tally()))
    collection = NgramCollection(model.transformer.config.vocab_size)
    encoded = model.tokenizer.encode_batch([document.text for document in documents])
    collection.learn(dict(zip((document.path for document in documents), encoded, strict=True)))
    for kind in HoleKind:
        for hole in draw_holes(documents, kind, holes, seed):
            yield from _record_hole(model, collection, hole)


def _record_hole(model: ServedModel, collection: NgramCollection, hole: RepositoryHole) -> Iterator[_Recorded]:
    """Record each token of the rest of the line as completing meets it.

    The n-gram models see the tokens of the whole line, from the one that holds the cursor. The network has read the
    prefix as it is, so of that first token it predicts the piece behind the cursor (`Healing.translate`), unless it
    reads left to right.
    """
    tokenizer = model.tokenizer
    _, _, typed = hole.prefix.rpartition("\n")
    line = tokenizer.encode(typed + hole.truth)
    ends = list(accumulate(len(tokenizer.token_bytes(token)) for token in line))
    first = bisect_right(ends, len(typed.encode()))
    if first == len(line):
        return
    piece = tokenizer.token_bytes(line[first])[len(typed.encode()) - ends[first] :]
    pieces = [*tokenizer.encode(piece.decode("utf-8", errors="replace")), *line[first + 1 : first + _LONGEST_TRUTH]]
    behind = line[first : first + _LONGEST_TRUTH]
    if len(pieces) != len(behind):  # the first token's piece is no token of its own: leave it out
        return
    before = [*tokenizer.encode(hole.prefix[: len(hole.prefix) - len(typed)]), *line[:first]]
    cache = CacheModel(
        model.mixture,
        file=NgramModel.of_documents([before, tokenizer.encode(hole.suffix)], model.transformer.config.vocab_size),
        collection=collection.model(excluding=hole.path),
    )
    if model.prompt_settings.mode.ends_between_tokens:
        read = hole.prefix[: len(hole.prefix) - len(typed)] + tokenizer.decode(line[:first])
        network = _network_probabilities(model, hole, read, behind)
    else:
        network = _network_probabilities(model, hole, hole.prefix, pieces)
    for index, token in enumerate(behind):
        answers = cache.answers([*before, *behind[:index]])
        yield _Recorded(
            network=network[index],
            collection=0.0 if answers.collection is None else float(answers.collection[token]),
            file=float(answers.file[token]),
            collection_match=answers.collection_match,
            file_match=answers.file_match,
        )


@torch.no_grad()
def _network_probabilities(model: ServedModel, hole: RepositoryHole, prefix: str, truth: Sequence[int]) -> list[float]:
    """Return p(token) / (1 - p(end marks)) for each true token, all in one pass."""
    settings = model.prompt_settings
    parts = PromptParts(path=hole.path, comment=hole.comment, prefix=prefix, suffix=hole.suffix)
    prompt = build(parts, settings, model.tokenizer, budget=settings.context_length - len(truth)).ids
    logits = model.transformer(torch.tensor([[*prompt, *truth[:-1]]]))[0, len(prompt) - 1 :]
    probabilities = torch.softmax(logits, dim=-1)
    ending = probabilities[:, list(end_ids(settings.fim, model.tokenizer))].sum(dim=1)
    chosen = probabilities[torch.arange(len(truth)), torch.tensor(truth)]
    return [float(value) for value in chosen / (1 - ending).clamp_min(1e-6)]


def _report(samples: MixtureSamples, mixture: Mixture, mode: PromptMode) -> MixtureReport:
    both, alone = mixture.probabilities(samples)
    return MixtureReport(
        mode=mode,
        tokens=len(samples.network),
        network=_bits(samples.network),
        cache=_bits(alone),
        both=_bits(both),
    )


def _bits(probabilities: npt.NDArray[np.float32]) -> float:
    return float(-np.log2(np.maximum(probabilities, 1e-9)).mean())
