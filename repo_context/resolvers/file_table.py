"""The files of a repository as resolvers see them: by path, folder, file name, package and exported name.

This is the whole interface between the import graph and a language. A resolver is a class that takes a `FileTable`
and has the three methods of `resolver.Resolver`; `repo_context.resolvers` says which language it is for.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from posixpath import normpath
from typing import TypeVar

from repo_context.languages import language_of
from repo_context.name_uses import NameUses
from repo_context.syntax import Definition, Import, ImportedName

PACKAGE_FAMILIES: Mapping[str, str] = {
    "java": "jvm",
    "kotlin": "jvm",
    "scala": "jvm",
    "csharp": "csharp",
    "php": "php",
    "go": "go",
    "swift": "swift",
    "ruby": "ruby",
}
"""Languages that find names by package, not by file; those of one family use each other's packages."""

_NESTING = frozenset({"module", "package"})
"""Kinds of definitions whose members are as visible as they are themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedImport:
    """One file that an import statement, or a name that needs none, leads to."""

    target: str
    """Path of the imported file."""
    statement: Import
    """The statement, with those names only that come from `target`."""
    through: tuple[str, ...] = ()
    """Files that only pass the names on, from the one that the statement names to the last before `target`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """What resolvers need to know of one file."""

    path: str
    language: str
    imports: tuple[Import, ...] = ()
    packages: tuple[str, ...] = ()
    """Packages, namespaces or modules that the file says it belongs to."""
    names: frozenset[str] = frozenset()
    """Names that it gives to other files."""
    takes: frozenset[str] = frozenset()
    """Words that its import statements mention."""
    name_uses: NameUses = field(default_factory=NameUses)

    @property
    def family(self) -> str:
        """The family of languages whose packages it shares; empty when it finds names by file."""
        return PACKAGE_FAMILIES.get(self.language, "")

    @property
    def uses(self) -> list[str]:
        """The names that it uses, in alphabetical order."""
        return self.name_uses.used_in(self.path)


class FileTable:
    """The files of one repository; they come and go one by one."""

    def __init__(self, root_name: str = "") -> None:
        self.root_name = root_name
        self.files: dict[str, SourceFile] = {}
        self.by_name: dict[str, list[str]] = {}
        self.by_folder: dict[str, list[str]] = {}
        self.settings: Mapping[str, str] = {}
        """Path → text of the settings files."""
        self.version = 0
        """Changes whenever a path comes or goes."""
        self.looked_into: set[str] = set()
        """Files whose own imports decided where others lead, since whoever resolves has last emptied it."""
        self._exporters: dict[tuple[str, str], dict[str, list[str]]] = {}

    def put(self, file: SourceFile) -> None:
        """Add or replace a file."""
        previous = self.files.get(file.path)
        if previous is None:
            folder, _, name = file.path.rpartition("/")
            insort(self.by_name.setdefault(name, []), file.path)
            insort(self.by_folder.setdefault(folder, []), file.path)
            self.version += 1
        else:
            self._withdraw(previous)
        self.files[file.path] = file
        for names in self._export_maps(file):
            for exported in file.names:
                insort(names.setdefault(exported, []), file.path)

    def drop(self, path: str) -> bool:
        """Take a file out; False when it is not in."""
        file = self.files.pop(path, None)
        if file is None:
            return False
        self._withdraw(file)
        folder, _, name = path.rpartition("/")
        _remove(self.by_name, name, path)
        _remove(self.by_folder, folder, path)
        self.version += 1
        return True

    def exporters(self, family: str, package: str, name: str) -> Sequence[str]:
        """Return the files of a package that give a name to others, in order of path."""
        names = self._exporters.get((family, package))
        return names.get(name, ()) if names is not None else ()

    def has_package(self, family: str, package: str) -> bool:
        """Say whether any file belongs to a package and gives a name to others."""
        return bool(self._exporters.get((family, package)))

    def exported(self, family: str, package: str) -> Mapping[str, Sequence[str]]:
        """Return name → files for all names that a package gives to others."""
        return self._exporters.get((family, package), {})

    def ending_with(self, tail: str, near: str) -> str | None:
        """Return the file whose path is `tail` or ends with `/tail`; of several the one nearest to `near`."""
        named = self.by_name.get(tail.rpartition("/")[2])
        if named is None:
            return None
        return nearest([path for path in named if path == tail or path.endswith(f"/{tail}")], near)

    def first_of(self, candidates: Iterable[str | None]) -> str | None:
        """Return the first candidate that is a file."""
        return next((path for path in candidates if path is not None and path in self.files), None)

    def below(self, folders: Collection[str], *languages: str) -> list[str]:
        """Return the files of some languages below any of some folders (with a slash at the end, or empty)."""
        starts = tuple(folders)
        if not starts:
            return []
        return [path for path, file in self.files.items() if file.language in languages and path.startswith(starts)]

    def settings_named(self, *names: str) -> list[tuple[str, str]]:
        """Return (folder, text) of every settings file with one of the names, the shallowest folder first."""
        found = [(path.rpartition("/"), text) for path, text in self.settings.items()]
        chosen = [(folder, text) for (folder, _, name), text in found if name in names]
        return sorted(chosen, key=lambda item: (item[0].count("/") + bool(item[0]), item[0]))

    def _withdraw(self, file: SourceFile) -> None:
        for names in self._export_maps(file):
            for exported in file.names:
                _remove(names, exported, file.path)

    def _export_maps(self, file: SourceFile) -> list[dict[str, list[str]]]:
        family = PACKAGE_FAMILIES.get(file.language)
        if family is None:
            return []
        return [self._exporters.setdefault((family, package), {}) for package in packages_of(file)]


def packages_of(file: SourceFile) -> tuple[str, ...]:
    """Return the packages under which a file's names are found."""
    if file.language == "go":
        return (file.path.rpartition("/")[0],)
    if file.language in ("swift", "ruby"):
        # Their modules are folders that a settings file names, or none at all: all names lie in one table.
        return ("",)
    return file.packages or ("",)


def exported_names(definitions: Iterable[Definition]) -> frozenset[str]:
    """Return the names of a file's definitions at the top, or directly in one of its namespaces and modules."""
    names: set[str] = set()
    nesting: set[str] = {""}
    for definition in definitions:
        if definition.parent in nesting:
            names.add(definition.name)
            if definition.kind in _NESTING:
                nesting.add(definition.name)
    return frozenset(names)


def whole(statement: Import, target: str | None) -> list[ResolvedImport]:
    """Return a statement that leads to one file, or to none."""
    return [] if target is None else [ResolvedImport(target=target, statement=statement)]


def grouped(statement: Import, targets: Iterable[tuple[ImportedName, str | None]]) -> list[ResolvedImport]:
    """Return one resolved import a file, with the names that come from it; names without a file are left out."""
    by_target: dict[str, list[ImportedName]] = {}
    for name, target in targets:
        if target is not None:
            by_target.setdefault(target, []).append(name)
    return [
        ResolvedImport(target=target, statement=statement._replace(names=tuple(names)))
        for target, names in by_target.items()
    ]


def used_names(file: SourceFile | None, find: Callable[[str], str | None], package: str) -> list[ResolvedImport]:
    """Resolve what a file uses without an import, by `find`; one import a file, on the line -1: there is none."""
    if file is None:
        return []
    by_target: dict[str, list[ImportedName]] = {}
    for name in file.uses:
        target = find(name)
        if target is not None and target != file.path:
            by_target.setdefault(target, []).append(ImportedName(name, name))
    return [
        ResolvedImport(target=target, statement=Import(package, tuple(by_target[target]), "", False, -1))
        for target in sorted(by_target)
    ]


def nearest(candidates: Iterable[str], near: str) -> str | None:
    """Return the candidate that shares most folders with `near`; then the shortest, then the first path."""
    chosen = candidates if isinstance(candidates, (list, tuple)) else list(candidates)
    if len(chosen) < 2:
        return chosen[0] if chosen else None
    return min(chosen, key=lambda path: (-_shared(path, near), path.count("/"), path))


def join(folder: str, relative: str) -> str | None:
    """Join and normalise; None when the result leaves the repository."""
    path = normpath(f"{folder}/{relative}" if folder else relative)
    if path.startswith(("..", "/")):
        return None
    return "" if path == "." else path


def is_language(path: str, *names: str) -> bool:
    """Say whether a path is written in one of some languages."""
    language = language_of(path)
    return language is not None and language.name in names


def _shared(one: str, other: str) -> int:
    """Return how many leading folders two paths share."""
    count = 0
    for left, right in zip(one.split("/")[:-1], other.split("/")[:-1], strict=False):
        if left != right:
            break
        count += 1
    return count


_Key = TypeVar("_Key")


def _remove(index: dict[_Key, list[str]], key: _Key, path: str) -> None:
    """Take a path out of a sorted list, and the list out of its index when nothing is left."""
    paths = index.get(key, [])
    place = bisect_left(paths, path)
    if place < len(paths) and paths[place] == path:
        del paths[place]
    if not paths:
        index.pop(key, None)
