"""Exact match and edit similarity on holes of a real repository: n-gram cache alone, network alone, both.

    python benchmarks/first_light.py PATH [--holes 200] [--seed 1] [--model default]

PATH must not be among the model's training data (its model card lists them). For each hole the completer gets the
edited file around the hole, the snippets that `repo_context` would send, and the n-gram statistics of every other
file; the hole's own file is excluded from both, so its text cannot leak.
"""

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from engine import model_folder
from engine.api import Completion, CompletionRequest
from engine.completer import Completer, Source
from engine.model_names import resolve
from engine.ngram import NgramCollection
from repo_context.repository import Repository
from repo_context.snippet import Cursor, Snippet
from train.data.document import SourceDocument
from train.evaluate.repository_holes import HoleKind, RepositoryHole, draw_holes, edit_similarity, is_exact

COLLECTION = "repository"
SNIPPET_BUDGET = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One completion against the truth."""

    exact: bool
    similarity: float
    milliseconds: float


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--holes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="default")
    parser.add_argument("--language", default="python")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = model_folder.read(resolve(arguments.model))
    with (
        tempfile.TemporaryDirectory() as index,
        Repository.open(arguments.repository, index_folder=Path(index)) as repo,
    ):
        documents = read_documents(repo, arguments.language)
        collection = learn(documents, model)
        print(f"{arguments.repository}: {len(documents)} {arguments.language} files, {collection.tokens:,} tokens;")
        print(f"model {arguments.model}: {model.transformer.parameter_count():,} parameters; one thread; greedy")
        for kind in HoleKind:
            holes = draw_holes(documents, kind, arguments.holes, arguments.seed)
            snippets = [snippets_for(repo, hole, model) for hole in tqdm(holes, desc="snippets", disable=None)]
            print(f"\n{len(holes)} {kind.value} holes      exact match      edit similarity   p50 ms   p95 ms")
            for source in (Source.CACHE, Source.NETWORK, Source.BOTH):
                completer = Completer(model, source=source, find_collection={COLLECTION: collection}.get)
                pairs = zip(holes, snippets, strict=True)
                bar = tqdm(pairs, total=len(holes), desc=source.value, disable=None)
                print(row(LABELS[source], [score(completer, hole, found) for hole, found in bar]), flush=True)


LABELS = {
    Source.CACHE: "n-gram cache alone",
    Source.NETWORK: "network alone",
    Source.BOTH: "network and n-gram cache",
}


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


def learn(documents: Sequence[SourceDocument], model: model_folder.ServedModel) -> NgramCollection:
    """Count the n-grams of all files; the completer leaves the edited one out."""
    collection = NgramCollection(model.transformer.config.vocab_size)
    encoded = model.tokenizer.encode_batch([document.text for document in documents])
    collection.learn(dict(zip((document.path for document in documents), encoded, strict=True)))
    return collection


def snippets_for(repository: Repository, hole: RepositoryHole, model: model_folder.ServedModel) -> tuple[Snippet, ...]:
    """Ask the index as the server does."""
    cursor = Cursor(path=hole.path, prefix=hole.prefix, suffix=hole.suffix)
    return repository.snippets_for(
        cursor, budget=SNIPPET_BUDGET, count_tokens=lambda text: len(model.tokenizer.encode(text))
    )


def score(completer: Completer, hole: RepositoryHole, snippets: Sequence[Snippet]) -> Score:
    """Complete one hole from a cold cache of keys and values."""
    request = CompletionRequest(
        document=f"{hole.path}:{len(hole.prefix)}",
        path=hole.path,
        comment=hole.comment,
        prefix=hole.prefix,
        suffix=hole.suffix,
        snippets=snippets,
        collection=COLLECTION,
    )
    began = time.perf_counter()
    *_, completion = completer.complete(request)
    elapsed = 1e3 * (time.perf_counter() - began)
    assert isinstance(completion, Completion)
    return Score(
        exact=is_exact(completion.text, hole.truth),
        similarity=edit_similarity(completion.text, hole.truth),
        milliseconds=elapsed,
    )


def row(label: str, scores: Sequence[Score]) -> str:
    """Return one line of the table; ± is one standard error."""
    exact = statistics.fmean(score.exact for score in scores)
    similarity = statistics.fmean(score.similarity for score in scores)
    error = math.sqrt(exact * (1 - exact) / len(scores))
    times = sorted(score.milliseconds for score in scores)
    return (
        f"  {label:<26}{100 * exact:5.1f} ± {100 * error:.1f} %      {100 * similarity:5.1f} %        "
        f"{times[len(times) // 2]:6.1f}   {times[int(len(times) * 0.95)]:6.1f}"
    )


if __name__ == "__main__":
    main()
