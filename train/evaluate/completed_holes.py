"""Fills holes as serving does: with the n-gram statistics of the repository and its snippets, greedily."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from engine.api import Completion, CompletionRequest, Snippet
from engine.completer import Completer
from engine.model_folder import ServedModel
from engine.ngram import NgramCollection
from train.data.cut_holes import Hole, SnippetFinder
from train.data.document import SourceDocument
from train.evaluate.repository_holes import HoleKind, RepositoryHole, draw_holes


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedHole:
    """A hole and the snippets that a completion of it gets."""

    hole: RepositoryHole
    snippets: Sequence[Snippet]


def ask_holes(
    documents: Sequence[SourceDocument],
    find: SnippetFinder,
    *,
    holes: int,
    seed: int,
    lines: Mapping[str, Collection[int]] | None = None,
) -> Iterator[AskedHole]:
    """Cut `holes` of each kind into documents of one repository, as `draw_holes` does, and find their snippets."""
    by_path = {document.path: document for document in documents}
    for kind in HoleKind:
        for hole in draw_holes(documents, kind, holes, seed, lines=lines):
            place = Hole(start=len(hole.prefix), end=len(hole.prefix) + len(hole.truth))
            yield AskedHole(hole=hole, snippets=find(by_path[hole.path], place))


def count_ngrams(documents: Iterable[SourceDocument], model: ServedModel) -> NgramCollection:
    """Return the n-gram statistics of one repository's documents, by path; completing leaves the edited one out."""
    texts = {document.path: document.text for document in documents}
    collection = NgramCollection(model.network.config.vocab_size)
    collection.learn(dict(zip(texts, model.tokenizer.encode_batch(list(texts.values())), strict=True)))
    return collection


def complete_hole(completer: Completer, hole: RepositoryHole, snippets: Sequence[Snippet]) -> Completion:
    """Return what `completer` writes into a hole, whatever collection it finds being the hole's own."""
    *_, completion = completer.complete(request_for(hole, snippets))
    assert isinstance(completion, Completion)
    return completion


def request_for(hole: RepositoryHole, snippets: Sequence[Snippet]) -> CompletionRequest:
    """Return what a language server would ask in a hole."""
    return CompletionRequest(
        document=f"{hole.path}:{len(hole.prefix)}",  # laid out anew, whatever hole came before
        path=hole.path,
        comment=hole.comment,
        prefix=hole.prefix,
        suffix=hole.suffix,
        snippets=snippets,
        collection="repository",
    )
