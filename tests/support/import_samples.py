"""Small repositories of one language each, with the definitions, imports and edges that they must yield."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from repo_context import notebook, syntax
from repo_context.import_graph import ImportGraph
from repo_context.languages import language_of
from repo_context.name_uses import NameUses
from repo_context.resolvers import is_settings_file
from repo_context.syntax import FileSyntax
from tests.support.files import write_files

GRAPHS = Path(__file__).parents[1] / "golden" / "repo_context" / "graphs"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportSample:
    """One golden file."""

    language: str
    files: dict[str, str]
    definitions: dict[str, list[str]]
    edges: dict[str, list[str]]

    def write(self, folder: Path) -> None:
        """Put the files on disk, for a language's own tool to read."""
        write_files(folder, self.files)


def samples() -> list[ImportSample]:
    """Return all golden files in order of their name."""
    return [read(path) for path in sorted(GRAPHS.glob("*.toml"))]


def sample(language: str) -> ImportSample:
    """Return the golden file of a language."""
    return read(GRAPHS / f"{language}.toml")


def read(path: Path) -> ImportSample:
    """Read one golden file."""
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    return ImportSample(
        language=path.stem,
        files=content["files"],
        definitions=content.get("definitions", {}),
        edges=content.get("edges", {}),
    )


def parsed(path: str, text: str) -> FileSyntax | None:
    """Parse a file as the index does; None when its language is not parsed."""
    language = language_of(path)
    if language is None or language.grammar is None:
        return None
    source = notebook.code_of(text) if notebook.is_notebook(path) else text
    assert source is not None
    return syntax.parse(source, language.grammar)


def graph_of(files: dict[str, str]) -> ImportGraph:
    """Build the graph of a repository that is given as path → text."""
    uses = NameUses()
    graph = ImportGraph(uses=uses)
    for path, text in files.items():
        found = parsed(path, text)
        if found is not None:
            uses.note(path, found.references)
        if found is None:
            graph.add(path, ())
        else:
            graph.add(
                path,
                found.imports,
                packages=found.packages,
                definitions=found.definitions,
            )
    graph.set_settings({path: text for path, text in files.items() if is_settings_file(path)})
    return graph


def shown_edges(graph: ImportGraph, path: str) -> list[str]:
    """Return what a file imports as `target [names] < file that passed them on`."""
    shown = []
    for item in graph.imports_of(path):
        names = [
            name.name if name.name == name.alias else f"{name.name} as {name.alias}" for name in item.statement.names
        ]
        text = item.target + (f" [{', '.join(names)}]" if names else "") + (" *" if item.statement.wildcard else "")
        shown.append(" < ".join([text, *reversed(item.through)]))
    return shown


def shown_definitions(path: str, text: str) -> list[str]:
    """Return a file's definitions as `kind owner.name`."""
    found = parsed(path, text)
    definitions = found.definitions if found else ()
    return [
        f"{item.kind} {item.parent}.{item.name}" if item.parent else f"{item.kind} {item.name}" for item in definitions
    ]
