"""What the default model is worth: holes in repositories it has not seen, infilling, CrossCodeEval, bits per byte.

    python -m benchmarks.default_model REPOSITORY ... [--holes 500] [--bench FOLDER] [--model default]

No REPOSITORY may be among the model's training data (its model card lists them). For each hole the completer gets the
edited file around the hole, the snippets that `repo_context` would send (or none), and the n-gram statistics of every
other file; the hole's own file is in neither, so its text cannot leak. A repository that `midfill train adapt` has
adapted the model to gets a row for that; its holes are then cut into the lines added since that model's past.

--bench is a folder with `humaneval-infilling/` and `crosscodeeval/`, as their authors publish them.
"""

import argparse
import json
import math
import random
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from engine import model_folder
from engine.adapted_models import adapted_folder
from engine.completer import Completer, Source
from engine.model_folder import ServedModel
from engine.model_names import resolve
from engine.ngram import NgramCollection
from repo_context.repository import Repository
from repo_context.snippet import Cursor, Snippet
from train.data.collect import collect
from train.data.document import SourceDocument
from train.data.recent_changes import added_since
from train.data.tally import Tally
from train.evaluate.completed_holes import complete_hole, count_ngrams
from train.evaluate.language_model import EngineModel
from train.evaluate.report import as_text
from train.evaluate.repository_holes import HoleKind, RepositoryHole, draw_holes, edit_similarity, is_exact
from train.evaluate.runner import Sampling, measure
from train.evaluate.sandbox import Sandbox
from train.evaluate.suites import SuiteOptions, open_suite

SNIPPET_SHARE = 0.3
RESAMPLES = 2000
SUITES = (
    ("infilling-single", "humaneval-infilling"),
    ("crosscodeeval-infill-none", "crosscodeeval"),
    ("crosscodeeval-infill-official", "crosscodeeval"),
    ("crosscodeeval-infill-own", "crosscodeeval"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One completion against the truth."""

    exact: bool
    similarity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One way to complete."""

    label: str
    completer: Completer
    with_snippets: bool


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repositories", nargs="+", type=Path)
    parser.add_argument("--holes", type=int, default=500, help="of each kind, over all repositories")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="default")
    parser.add_argument("--language", default="python")
    parser.add_argument("--bench", type=Path, help="folder of published benchmarks")
    parser.add_argument("--limit", type=int, help="tasks of each suite, spread evenly")
    parser.add_argument("--checkouts", type=Path, help="CrossCodeEval's repositories, for our own retrieval")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = model_folder.read(resolve(arguments.model))
    print(f"model {arguments.model}: {model.transformer.parameter_count():,} parameters; one thread; greedy")
    print(f"bits per byte on these repositories: {bits_per_byte(model, arguments):.3f}\n")
    share = -(-arguments.holes // len(arguments.repositories))
    scores: dict[HoleKind, dict[str, list[Score]]] = {kind: {} for kind in HoleKind}
    for repository in arguments.repositories:
        for kind, label, score in complete_holes(repository, model, share, arguments):
            scores[kind].setdefault(label, []).append(score)
    for kind, by_label in scores.items():
        print_table(kind, by_label)
    if arguments.bench is not None:
        print_suites(arguments)


def complete_holes(
    repository: Path, model: ServedModel, count: int, arguments: argparse.Namespace
) -> Iterator[tuple[HoleKind, str, Score]]:
    """Yield each contestant's score on each hole of one repository, holes in the same order for all."""
    adapted = adapted_folder(repository.absolute(), arguments.model)
    with ExitStack() as stack:
        index = stack.enter_context(tempfile.TemporaryDirectory())
        repo = stack.enter_context(Repository.open(repository, index_folder=Path(index)))
        documents = read_documents(repo, arguments.language)
        collection = count_ngrams(documents, model)
        contestants = enter(model, collection)
        lines = None
        if (adapted / "config.json").exists():
            past = json.loads((adapted / "adapted.json").read_text(encoding="utf-8"))["past"]
            lines = added_since(repository, past)
            collection = count_ngrams(collect([f"{repository}@{past}"], [arguments.language], Tally()), model)
            contestants = enter(model, collection)
            tuned = model_folder.read(adapted)
            contestants.append(contestant("both, adapted, our snippets", tuned, collection, Source.BOTH))
        for kind in HoleKind:
            holes = draw_holes(documents, kind, count, arguments.seed, lines=lines)
            for hole in tqdm(holes, desc=f"{repository.name}, {kind.value}", disable=None):
                snippets = snippets_for(repo, hole, model)
                for entered in contestants:
                    yield kind, entered.label, score(entered, hole, snippets)


def enter(model: ServedModel, collection: NgramCollection) -> list[Contestant]:
    """Return the contestants that every repository sees."""
    return [
        contestant("n-gram cache alone", model, collection, Source.CACHE),
        contestant("network alone, no snippets", model, collection, Source.NETWORK, with_snippets=False),
        contestant("network alone, our snippets", model, collection, Source.NETWORK),
        contestant("both, no snippets", model, collection, Source.BOTH, with_snippets=False),
        contestant("both, our snippets", model, collection, Source.BOTH),
    ]


def contestant(
    label: str, model: ServedModel, collection: NgramCollection, source: Source, *, with_snippets: bool = True
) -> Contestant:
    """Put one together."""
    completer = Completer(model, source=source, find_collection=lambda _: collection)
    return Contestant(label=label, completer=completer, with_snippets=with_snippets)


def read_documents(repository: Repository, language: str) -> list[SourceDocument]:
    """Return the indexed files of one language."""
    return [
        SourceDocument(
            repository=repository.root.name,
            path=file.path,
            language=file.language,
            comment="#",
            text=file.absolute_path.read_text(encoding="utf-8"),
        )
        for file in repository.files()
        if file.language == language
    ]


def snippets_for(repository: Repository, hole: RepositoryHole, model: ServedModel) -> tuple[Snippet, ...]:
    """Ask the index as the server does."""
    cursor = Cursor(path=hole.path, prefix=hole.prefix, suffix=hole.suffix)
    budget = int(SNIPPET_SHARE * model.prompt_settings.context_length)
    return repository.snippets_for(cursor, budget=budget, count_tokens=lambda text: len(model.tokenizer.encode(text)))


def score(entered: Contestant, hole: RepositoryHole, snippets: Sequence[Snippet]) -> Score:
    """Complete one hole."""
    completion = complete_hole(entered.completer, hole, snippets if entered.with_snippets else ())
    return Score(
        exact=is_exact(completion.text, hole.truth),
        similarity=edit_similarity(completion.text, hole.truth),
    )


def print_table(kind: HoleKind, by_label: Mapping[str, Sequence[Score]]) -> None:
    """Print one kind of hole: ± is one standard error; differences are paired, with a 95 % bootstrap interval."""
    count = max(map(len, by_label.values()))
    print(f"\n{count} {kind.value} holes".ljust(32) + "exact match       edit similarity   against the row above")
    previous: Sequence[Score] = ()
    for label, scores in by_label.items():
        exact = statistics.fmean(score.exact for score in scores)
        similarity = statistics.fmean(score.similarity for score in scores)
        error = math.sqrt(exact * (1 - exact) / len(scores))
        line = f"  {label:<30}{100 * exact:5.1f} ± {100 * error:.1f} %      {100 * similarity:5.1f} %"
        if len(previous) == len(scores):
            line += "           {:+.1f} [{:+.1f}, {:+.1f}]".format(*paired_difference(scores, previous))
        print(line)
        previous = scores


def paired_difference(scores: Sequence[Score], others: Sequence[Score]) -> tuple[float, float, float]:
    """Return the difference in exact match and the bounds of its 95 % bootstrap interval, in points."""
    pairs = [100.0 * (one.exact - other.exact) for one, other in zip(scores, others, strict=True)]
    chance = random.Random(0)
    means = sorted(statistics.fmean(chance.choices(pairs, k=len(pairs))) for _ in range(RESAMPLES))
    return statistics.fmean(pairs), means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES)]


@torch.no_grad()
def bits_per_byte(model: ServedModel, arguments: argparse.Namespace, windows: int = 200) -> float:
    """Return the network's bits per byte on random windows of the repositories, read as plain text."""
    chance = random.Random(arguments.seed)
    documents = [
        document.text for document in collect(arguments.repositories, [arguments.language], Tally()) if document.text
    ]
    length = model.prompt_settings.context_length
    bits, size = 0.0, 0
    for text in chance.choices(documents, k=windows):
        ids = model.tokenizer.encode(text)
        start = chance.randrange(max(1, len(ids) - length))
        window = torch.tensor([ids[start : start + length]])
        if window.shape[1] < 2:
            continue
        scores = torch.log_softmax(model.transformer(window)[0, :-1], dim=-1)
        bits -= float(scores.gather(1, window[0, 1:, None]).sum()) / math.log(2)
        size += sum(len(model.tokenizer.token_bytes(token)) for token in window[0, 1:].tolist())
    return bits / size


def print_suites(arguments: argparse.Namespace) -> None:
    """Print the published benchmarks, with published scores beside ours."""
    model = EngineModel.load(resolve(arguments.model), name=arguments.model, source=Source.BOTH)
    results = []
    for name, folder in SUITES:
        if name.endswith("-own") and arguments.checkouts is None:
            continue
        options = SuiteOptions(data=arguments.bench / folder, sandbox=Sandbox(), repositories=arguments.checkouts)
        suite = open_suite(name, options)
        results.append(measure(suite, model, sampling=Sampling(), limit=arguments.limit))
    print()
    print(as_text(results))


if __name__ == "__main__":
    main()
