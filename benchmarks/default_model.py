"""What the default model is worth: holes in repositories it has not seen, infilling, CrossCodeEval, bits per byte.

    python -m benchmarks.default_model REPOSITORY ... [--holes 500] [--answers FILE] [--model default]
    python -m benchmarks.default_model --bench FOLDER [--checkouts FOLDER] [--limit N] [--answers FILE]

No REPOSITORY may be among the model's training data (its model card lists them). For each hole the completer gets the
edited file around the hole, the snippets that `repo_context` would send (or none), and the n-gram statistics of every
other file; the hole's own file is in neither, so its text cannot leak. A repository that `midfill train adapt` has
adapted the model to gets a row for that; its holes are then cut into the lines added since that model's practice.

--bench is a folder with `humaneval-infilling/` and `crosscodeeval/`, as their authors publish them; --checkouts holds
the repositories of CrossCodeEval in folders named as in the data. Everything is answered greedily and up to the end of
the line, as a language server asks. --answers FILE keeps every answer's score: started again, nothing is asked twice.
"""

import argparse
import json
import math
import random
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from itertools import groupby
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks.ledger import Ledger, Metrics
from engine import model_folder
from engine.adapted_models import adapted_folder
from engine.api import Snippet
from engine.completer import Completer, Source
from engine.model_folder import ServedModel
from engine.model_names import resolve
from engine.ngram import NgramCollection
from repo_context.repository import Repository
from repo_context.snippet import Cursor
from train.data.collect import collect
from train.data.document import SourceDocument
from train.data.recent_changes import added_since
from train.data.tally import Tally
from train.evaluate.completed_holes import complete_hole, count_ngrams
from train.evaluate.crosscodeeval import Context, CrossCodeEval, Direction
from train.evaluate.infilling import HumanEvalInfilling, Split
from train.evaluate.repository_holes import HoleKind, RepositoryHole, draw_holes, edit_similarity, is_exact
from train.evaluate.runner import spread
from train.evaluate.sandbox import Sandbox
from train.evaluate.suite import Infill, Suite, Task

SNIPPET_SHARE = 0.3
RESAMPLES = 2000
CACHE = "n-gram cache alone"
NETWORK_BARE = "network alone, no snippets"
NETWORK = "network alone, our snippets"
FILE = "both, the open file alone"
BOTH_BARE = "both, no snippets"
BOTH = "both, our snippets"
ADAPTED = "both, adapted, our snippets"
NETWORK_ALONE = "network alone"
TOGETHER = "both"
COMPARED = (
    ("the cache adds to the network", BOTH, NETWORK),
    ("the network adds to the cache", BOTH_BARE, CACHE),
    ("snippets add to the network", NETWORK, NETWORK_BARE),
    ("snippets add to both", BOTH, BOTH_BARE),
    ("all other files add", BOTH, FILE),
    ("adapting adds", ADAPTED, BOTH),
    ("the cache adds to the network", TOGETHER, NETWORK_ALONE),
    ("the network adds to the cache", TOGETHER, CACHE),
)
PUBLISHED = {
    "HumanEval-infilling": """
  published, other protocols: pass@1 FIM50 73.0, InCoder 6B 69.0 (arXiv 2207.14255, table 4; 100-200 samples, T 0.2),
  Mellum-4B 66.2 (arXiv 2510.05788). Exact match on SantaCoder's lines of HumanEval, Python, whole answer: SantaCoder
  1.1B 44.0, DeepSeek-Coder-Base 1.3B 57.4 (arXiv 2401.14196, table 6); first line: DeepSeek-Coder-Base 1.3B 74.1
  (arXiv 2406.11931, table 6). JetBrains' full-line model (100M, arXiv 2405.08704) has no score on a public set.""",
    "CrossCodeEval": """
  published, other protocol (all Python items, left to right, 2,048 tokens): exact match without and with the official
  context: StarCoderBase 7B 6.7 and 13.1, DeepSeek-Coder-Base 6.7B 9.5 and 16.1 (arXiv 2401.14196, table 7).""",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One way to complete."""

    label: str
    completer: Completer
    with_snippets: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One hole, and how an answer is judged."""

    key: str
    hole: RepositoryHole
    snippets: Callable[[], Sequence[Snippet]]
    judge: Callable[[str], Metrics]


ByLabel = dict[str, list[Metrics]]


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repositories", nargs="*", type=Path)
    parser.add_argument("--holes", type=int, default=500, help="of each kind, over all repositories")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="default")
    parser.add_argument("--language", default="python")
    parser.add_argument("--bench", type=Path, help="folder of published benchmarks")
    parser.add_argument("--limit", type=int, help="tasks of each suite, spread evenly")
    parser.add_argument("--checkouts", type=Path, help="CrossCodeEval's repositories, for our own retrieval")
    parser.add_argument("--answers", type=Path, help="file of scores, to go on with where it ends; one for each model")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = model_folder.read(resolve(arguments.model))
    ledger = Ledger(arguments.answers)
    print(f"model {arguments.model}: {model.transformer.parameter_count():,} parameters; one thread; greedy")
    if arguments.repositories:
        measure_repositories(model, ledger, arguments)
    if arguments.bench is not None:
        measure_infilling(model, ledger, arguments)
        measure_crosscodeeval(model, ledger, arguments)


def measure_repositories(model: ServedModel, ledger: Ledger, arguments: argparse.Namespace) -> None:
    """Print bits per byte, and a table for each kind of hole over all repositories."""
    names = " ".join(repository.name for repository in arguments.repositories)
    bits = ledger.metrics(f"{names}/{arguments.seed}", lambda: {"bits per byte": bits_per_byte(model, arguments)})
    print(f"bits per byte on these repositories: {bits['bits per byte']:.3f}")
    share = -(-arguments.holes // len(arguments.repositories))
    scores: dict[HoleKind, ByLabel] = {kind: {} for kind in HoleKind}
    for repository in arguments.repositories:
        for kind, by_label in complete_holes(repository, model, share, ledger, arguments):
            for label, metrics in by_label.items():
                scores[kind].setdefault(label, []).extend(metrics)
    for kind, by_label in scores.items():
        print_table(f"{kind.value} holes", by_label)


def complete_holes(
    repository: Path, model: ServedModel, count: int, ledger: Ledger, arguments: argparse.Namespace
) -> Iterator[tuple[HoleKind, ByLabel]]:
    """Yield the contestants' scores on one repository's holes of each kind, holes in the same order for all."""
    adapted = adapted_folder(repository.absolute(), arguments.model)
    with ExitStack() as stack:
        index = stack.enter_context(tempfile.TemporaryDirectory())
        repo = stack.enter_context(Repository.open(repository, index_folder=Path(index)))
        documents = read_documents(repo, arguments.language)
        contestants, lines = enter(model, count_ngrams(documents, model)), None
        if (adapted / "config.json").exists():
            past = json.loads((adapted / "adapted.json").read_text(encoding="utf-8"))["exam"]
            lines = added_since(repository, past)
            old = count_ngrams(collect([f"{repository}@{past}"], [arguments.language], Tally()), model)
            tuned = model_folder.read(adapted)
            contestants = [*enter(model, old), contestant(ADAPTED, tuned, old, Source.BOTH)]
        for kind in HoleKind:
            holes = draw_holes(documents, kind, count, arguments.seed, lines=lines)
            part = "added lines, " if lines is not None else ""
            questions = [
                Question(
                    key=f"{repository.name}/{part}{kind.value}/{arguments.seed}/{number}",
                    hole=hole,
                    snippets=cache(partial(snippets_for, repo, hole, model)),
                    judge=partial(compare, truth=hole.truth),
                )
                for number, hole in enumerate(holes)
            ]
            yield kind, compete(questions, contestants, ledger, f"{repository.name}, {kind.value}")


def measure_infilling(model: ServedModel, ledger: Ledger, arguments: argparse.Namespace) -> None:
    """Print what fills single lines of HumanEval's solutions: each is a file of its own, without a repository."""
    suite = HumanEvalInfilling(Split.SINGLE, arguments.bench / "humaneval-infilling", Sandbox())
    contestants = enter_suite(model, None)
    questions = [question_of(suite, task) for task in spread(suite.tasks(), arguments.limit)]
    print_table("HumanEval-infilling", compete(questions, contestants, ledger, suite.name))
    print(PUBLISHED["HumanEval-infilling"])


def measure_crosscodeeval(model: ServedModel, ledger: Ledger, arguments: argparse.Namespace) -> None:
    """Print a table for each context: none, the official one, and ours with the repository's n-gram statistics."""
    for context in Context:
        if context is Context.OWN and arguments.checkouts is None:
            continue
        suite = CrossCodeEval(
            arguments.bench / "crosscodeeval",
            context=context,
            direction=Direction.INFILL,
            repositories=arguments.checkouts,
        )
        tasks = sorted(spread(suite.tasks(), arguments.limit), key=repository_of)
        by_label: ByLabel = {}
        for name, of_repository in groupby(tasks, key=repository_of):
            collection = None
            if context is Context.OWN:
                documents = collect([arguments.checkouts / name], [arguments.language], Tally())
                collection = count_ngrams(documents, model)
            questions = [question_of(suite, task) for task in of_repository]
            contestants = enter_suite(model, collection)
            for label, metrics in compete(questions, contestants, ledger, name).items():
                by_label.setdefault(label, []).extend(metrics)
        print_table(f"CrossCodeEval, context: {context.value}", by_label)
    print(PUBLISHED["CrossCodeEval"])


def repository_of(task: Task) -> str:
    """Return the name of the repository that a task of CrossCodeEval was cut from."""
    return str(task.row["metadata"]["repository"])


def question_of(suite: Suite, task: Task) -> Question:
    """Turn a task of a published suite into a hole, judged as the suite judges."""
    asked = task.question
    assert isinstance(asked, Infill)
    hole = RepositoryHole(
        kind=HoleKind.NEXT_LINE,
        path=asked.path,
        comment=asked.comment,
        prefix=asked.prefix,
        truth=task.truth or "",
        suffix=asked.suffix,
    )
    return Question(
        key=f"{suite.name}/{task.task_id}",
        hole=hole,
        snippets=lambda: asked.snippets,
        judge=lambda text: suite.judge(task, suite.cut(task, text)).metrics,
    )


def enter(model: ServedModel, collection: NgramCollection) -> list[Contestant]:
    """Return the contestants that every repository sees."""
    return [
        contestant(CACHE, model, collection, Source.CACHE),
        contestant(NETWORK_BARE, model, collection, Source.NETWORK, with_snippets=False),
        contestant(NETWORK, model, collection, Source.NETWORK),
        contestant(FILE, model, None, Source.BOTH, with_snippets=False),
        contestant(BOTH_BARE, model, collection, Source.BOTH, with_snippets=False),
        contestant(BOTH, model, collection, Source.BOTH),
    ]


def enter_suite(model: ServedModel, collection: NgramCollection | None) -> list[Contestant]:
    """Return the contestants that the tasks of a published suite see, each with the snippets that the suite gives."""
    labels = {CACHE: Source.CACHE, NETWORK_ALONE: Source.NETWORK, TOGETHER: Source.BOTH}
    return [contestant(label, model, collection, source) for label, source in labels.items()]


def contestant(
    label: str, model: ServedModel, collection: NgramCollection | None, source: Source, *, with_snippets: bool = True
) -> Contestant:
    """Put one together."""
    completer = Completer(model, source=source, find_collection=lambda _: collection)
    return Contestant(label=label, completer=completer, with_snippets=with_snippets)


def compete(questions: Iterable[Question], contestants: Sequence[Contestant], ledger: Ledger, title: str) -> ByLabel:
    """Return each contestant's metrics on each question, questions in the same order for all."""
    by_label: ByLabel = {entered.label: [] for entered in contestants}
    for question in tqdm(questions, desc=title, disable=None):
        for entered in contestants:
            key = f"{question.key}/{entered.label}"
            by_label[entered.label].append(ledger.metrics(key, partial(answer, entered, question)))
    return by_label


def answer(entered: Contestant, question: Question) -> Metrics:
    """Complete one hole and judge what was written."""
    snippets = question.snippets() if entered.with_snippets else ()
    return question.judge(complete_hole(entered.completer, question.hole, snippets).text)


def compare(written: str, truth: str) -> Metrics:
    """Judge one completion by what stood there."""
    return {"exact match": float(is_exact(written, truth)), "edit similarity": edit_similarity(written, truth)}


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


def snippets_for(repository: Repository, hole: RepositoryHole, model: ServedModel) -> Sequence[Snippet]:
    """Ask the index as the server does."""
    cursor = Cursor(path=hole.path, prefix=hole.prefix, suffix=hole.suffix)
    budget = int(SNIPPET_SHARE * model.prompt_settings.context_length)
    return repository.snippets_for(cursor, budget=budget, count_tokens=lambda text: len(model.tokenizer.encode(text)))


def print_table(title: str, by_label: Mapping[str, Sequence[Metrics]]) -> None:
    """Print scores in percent, ± one standard error, then paired differences with their 95 % bootstrap intervals."""
    count = max(map(len, by_label.values()), default=0)
    if not count:
        return
    names = list(next(iter(by_label.values()))[0])
    print(f"\n{count} {title}".ljust(51) + "".join(f"{name:>18}" for name in names))
    for label, scores in by_label.items():
        print(f"  {label:<48}" + "".join(f"{share(scores, name):>18}" for name in names))
    for meaning, one, other in COMPARED:
        if one in by_label and other in by_label and len(by_label[one]) == len(by_label[other]):
            difference, low, high = paired_difference(by_label[one], by_label[other])
            print(f"    {meaning:<46}{difference:+.1f} [{low:+.1f}, {high:+.1f}] points of exact match", flush=True)


def share(scores: Sequence[Metrics], name: str) -> str:
    """Return a mean in percent, with its standard error."""
    values = [metrics[name] for metrics in scores]
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return f"{100 * statistics.fmean(values):.1f} ± {100 * error:.1f}"


def paired_difference(scores: Sequence[Metrics], others: Sequence[Metrics]) -> tuple[float, float, float]:
    """Return the difference in exact match and the bounds of its 95 % bootstrap interval, in points."""
    name = "exact match"
    pairs = [100.0 * (one[name] - other[name]) for one, other in zip(scores, others, strict=True)]
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


if __name__ == "__main__":
    main()
