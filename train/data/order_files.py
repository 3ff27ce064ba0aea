"""Orders each repository's files after what they depend on: the samples of DeepSeek-Coder's section 2.2.

The graph is `repo_context`'s own, from syntax trees and per-language import rules; the paper matched regular
expressions. What serving knows about a repository is so what training was ordered by. Files that hang together make
one sample: they get one number, and stand in the order in which Algorithm 1 takes them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from engine.prompt import path_header
from repo_context import syntax
from repo_context.dependency_order import order_files as algorithm_1
from repo_context.errors import GrammarMissingError, ParseAbandonedError
from repo_context.import_graph import ImportGraph
from repo_context.languages import language_named
from train.data.document import SourceDocument


def order_repository(documents: Sequence[SourceDocument], settings: Mapping[str, str]) -> list[SourceDocument]:
    """Return one repository's documents in training order, numbered by sample from 1.

    `settings`: path → text of the files that imports are resolved by (`repo_context.resolvers.is_settings_file`).
    """
    by_path = {document.path: document for document in documents}
    graph = ImportGraph(documents[0].repository.rpartition("/")[2] if documents else "")
    for path in sorted(by_path):
        _add(graph, by_path[path])
    graph.set_settings(settings)
    groups = algorithm_1(sorted(by_path), graph.depends_on())
    return [replace(by_path[path], sample=number) for number, group in enumerate(groups, start=1) for path in group]


def _add(graph: ImportGraph, document: SourceDocument) -> None:
    """Add a file with what its syntax tree says; with nothing where there is no tree."""
    grammar = language_named(document.language).grammar
    try:
        found = syntax.parse(document.text, grammar) if grammar else None
    except (GrammarMissingError, ParseAbandonedError):
        found = None
    if found is None:
        graph.add(document.path, ())
        return
    graph.add(
        document.path,
        found.imports,
        packages=found.packages,
        definitions=found.definitions,
    )


def samples_of(documents: Iterable[SourceDocument]) -> Iterator[list[SourceDocument]]:
    """Group documents that stand together: one list a sample, its files in training order."""
    # Files that were not put into order all bear the number 0; each is a sample of its own.
    for _, group in groupby(
        documents, key=lambda item: (item.repository, item.sample, "" if item.sample else item.path)
    ):
        yield list(group)


def concatenation(documents: Iterable[SourceDocument]) -> str:
    """Return files as one text, each under a comment with its path (section 2.2)."""
    return "".join(path_header(document.path, document.comment) + document.text for document in documents)
