"""What a repository says of names: which exist nowhere, and how a file imports one; asked in the index's process."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from posixpath import relpath
from typing import Final

from repo_context.languages import family_of
from repo_context.rank import Index
from repo_context.repository import Repository
from repo_context.symbol_index import Located
from repo_context.syntax import Import

IMPORTING_FAMILIES: Final = ("python", "script")
"""Families of languages whose imports midfill writes."""
_SCRIPT_ENDINGS: Final = (".ts", ".tsx", ".js", ".jsx", ".mts", ".mjs", ".vue", ".svelte")


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedImport:
    """How a file should import a name."""

    module: str
    """As it is written in that file."""
    name: str
    is_default: bool = False
    """An ECMAScript default import."""


def unknown_names(repository: Repository, names: Iterable[str]) -> list[str]:
    """Return the names that no file of a repository defines or uses."""
    symbols = repository.ranking_index().symbols
    return [name for name in names if not symbols.files_defining(name) and not symbols.files_using(name)]


def import_of(repository: Repository, path: str, name: str) -> WantedImport | None:
    """Return how `path` should import `name`: as most other files do, or from the one file that offers it.

    None where the repository does not say so clearly.
    """
    family = family_of(path)
    if family not in IMPORTING_FAMILIES:
        return None
    index = repository.ranking_index()
    return _as_others_do(repository, index, path, name) or _from_its_definition(index, path, name, family)


def _as_others_do(repository: Repository, index: Index, path: str, name: str) -> WantedImport | None:
    votes: Counter[WantedImport] = Counter()
    for file in repository.files():
        if file.path == path or family_of(file.path) != family_of(path):
            continue
        for statement in repository.imports_in(file.path):
            for imported in statement.names:
                if imported.alias == name:
                    votes[_rewritten(index, file.path, statement, imported.name, path)] += 1
    if not votes:
        return None
    (best, most), *others = votes.most_common(2)
    return best if not others or most > others[0][1] else None


def _rewritten(index: Index, other: str, statement: Import, name: str, path: str) -> WantedImport:
    """Write another file's import as this file must: a relative one leads elsewhere from here."""
    module = statement.module
    if module.startswith("."):
        targets = [item.target for item in index.graph.imports_of(other) if item.statement == statement]
        if targets:
            module = _relative_module(targets[0], path, keep_ending=module.endswith(_SCRIPT_ENDINGS))
    return WantedImport(module=module, name=name, is_default=name == "default")


def _from_its_definition(index: Index, path: str, name: str, family: str) -> WantedImport | None:
    found = [
        place
        for place in index.symbols.definitions_of(name)
        if not place.definition.parent and family_of(place.path) == family and place.path != path
    ]
    if len({place.path for place in found}) != 1:
        return None
    return WantedImport(module=_module_of(index, found[0], path), name=name)


def _module_of(index: Index, place: Located, path: str) -> str:
    """Write the module that a file is: as its other importers do, or by its path."""
    modules = Counter(
        item.statement.module
        for importer in index.graph.importers_of(place.path)
        for item in index.graph.imports_of(importer)
        if item.target == place.path and not item.statement.module.startswith(".") and item.statement.names
    )
    if modules:
        return modules.most_common(1)[0][0]
    return _relative_module(place.path, path, keep_ending=False)


def _relative_module(target: str, path: str, *, keep_ending: bool) -> str:
    """Return the relative module specifier of `target` in `path`.

    >>> _relative_module("src/lib/a.ts", "src/app/b.ts", keep_ending=False)
    '../lib/a'
    >>> _relative_module("pkg/sub/a.py", "pkg/b.py", keep_ending=False)
    '.sub.a'
    """
    folder = str(PurePosixPath(path).parent)
    if target.endswith((".py", ".pyi")):
        parts = relpath(target.rsplit(".", 1)[0], folder).removesuffix("/__init__").split("/")
        ups = parts.count("..")
        return "." * (ups + 1) + ".".join(part for part in parts if part not in ("..", ".", "__init__"))
    module = relpath(target, folder)
    if not keep_ending:
        stem = str(PurePosixPath(module).with_suffix(""))
        module = stem.removesuffix("/index") if stem.endswith("/index") else stem
    return module if module.startswith(".") else f"./{module}"
