"""Python: packages, relative imports, names that a package passes on, src layouts, namespace packages, stubs."""

import re
import sys
from bisect import insort
from collections.abc import Callable, Collection, Iterable

from repo_context.resolvers.file_table import FileTable, ResolvedImport, SourceFile, grouped, join, nearest, whole
from repo_context.resolvers.reach import Reach, word_of
from repo_context.resolvers.reexports import Reexports
from repo_context.syntax import Import, ImportedName

_PACKAGE = re.compile(r"(^|/)__init__\.pyi?$")
_ROOTS = frozenset({"src", "lib", "python"})
"""Folders that hold packages without being one: a namespace package has no `__init__.py` that would say so."""


class PythonResolver:
    """Finds modules as the interpreter would with every plausible source root on its path."""

    def __init__(self, table: FileTable) -> None:
        self._table = table
        self._modules = _Modules(table)
        self._reexports = Reexports(table, self._plain)

    def resolve(self, path: str, statement: Import) -> list[ResolvedImport]:
        """Resolve `import a.b` to its module, and each name of `from a import b` to where it is defined."""
        if not statement.names:
            return self._plain(path, statement)
        find, module = self._finder(path, statement)
        owner = find(module)
        return self._reexports.follow(
            statement,
            # A package that imports its own submodule asks nobody else for it.
            None if owner == path else owner,
            lambda imported: find(f"{module}.{imported.name}" if module else imported.name),
        )

    def implied(self, _path: str, _bound: Collection[str]) -> list[ResolvedImport]:
        """Every name that a Python file uses is its own, imported, or built in."""
        return []

    def moved(self, files: Collection[SourceFile], reach: Reach) -> None:
        """A package that comes or goes renames all modules below it."""
        reach.mention("python", [word_of(name.rpartition(".")[2]) for name in self._modules.look_again(files)])

    def _plain(self, path: str, statement: Import) -> list[ResolvedImport]:
        """Resolve one statement by paths alone: a name to the module of that name or else to its package."""
        find, module = self._finder(path, statement)
        owner = find(module)
        if not statement.names:
            return whole(statement, owner)

        def target_of(imported: ImportedName) -> str | None:
            return find(f"{module}.{imported.name}" if module else imported.name) or owner

        return grouped(statement, [(imported, target_of(imported)) for imported in statement.names])

    def _finder(self, path: str, statement: Import) -> tuple[Callable[[str], str | None], str]:
        level = len(statement.module) - len(statement.module.lstrip("."))
        module = statement.module[level:]
        if not level:
            return lambda name: self._absolute(path, name), module
        base = join(path.rpartition("/")[0], "../" * (level - 1) + ".")
        return lambda name: None if base is None else self._file(join(base, name.replace(".", "/") or ".")), module

    def _absolute(self, path: str, name: str) -> str | None:
        if not name:
            return None
        folder = path.rpartition("/")[0]
        known = self._modules.named(name)
        standard = name.partition(".")[0] in sys.stdlib_module_names
        if standard:
            # `import json` means another file only where that one stands in a source root, not deep in a package.
            known = [other for other in known if _stands_in_root(other, name)]
        if known:
            return nearest(known, path)
        # A script's own folder is on its path.
        return (
            None if standard and _is_package(self._table, folder) else self._file(join(folder, name.replace(".", "/")))
        )

    def _file(self, stem: str | None) -> str | None:
        if stem is None:
            return None
        package = f"{stem}/" if stem else ""
        return self._table.first_of((f"{package}__init__.py", f"{package}__init__.pyi", f"{stem}.py", f"{stem}.pyi"))


class _Modules:
    """Dotted names → files that they may mean, from every folder that can be a source root.

    A file is known by its name from the repository's root, from the folder above its outermost package, and from
    `src`, `lib` or `python` folders. When the root is itself a package, its files also go by the root folder's name.
    A stub stands for its module only where the module itself is missing.
    """

    def __init__(self, table: FileTable) -> None:
        self._table = table
        self._files: dict[str, list[str]] = {}
        self._names: dict[str, tuple[str, ...]] = {}
        self._put(table.files)

    def named(self, name: str) -> list[str]:
        """Return the files that a dotted name may mean, in order of path."""
        return self._files.get(name, [])

    def look_again(self, moved: Iterable[SourceFile]) -> set[str]:
        """Name files anew of which some came or went, and those whose names depend on them; returns changed names."""
        paths = {file.path for file in moved}
        paths.update([f"{path}i" for path in paths if path.endswith(".py")])
        packages = {path.rpartition("/")[0] for path in paths if _PACKAGE.search(path)}
        paths.update(self._table.below([f"{folder}/" if folder else "" for folder in packages], "python"))
        before = {path: self._names.pop(path, ()) for path in paths}
        for path, names in before.items():
            for name in names:
                _forget(self._files, name, path)
        self._put(paths)
        return {name for path in paths for name in set(before[path]).symmetric_difference(self._names.get(path, ()))}

    def _put(self, paths: Iterable[str]) -> None:
        files = self._table.files
        is_package = "__init__.py" in files or "__init__.pyi" in files
        root_package = self._table.root_name if is_package else ""
        for path in paths:
            if (
                not path.endswith((".py", ".pyi"))
                or path not in files
                or (path.endswith(".pyi") and path[:-1] in files)
            ):
                continue
            self._names[path] = _names_of(path, self._table, root_package)
            for name in self._names[path]:
                insort(self._files.setdefault(name, []), path)


def _names_of(path: str, table: FileTable, root_package: str) -> tuple[str, ...]:
    parts = path.rpartition(".")[0].split("/")
    folders = parts[:-1]
    if parts[-1] == "__init__":
        parts = folders
    depth = len(folders)
    while depth and _is_package(table, "/".join(folders[:depth])):
        depth -= 1
    starts = {0, depth, *(place + 1 for place, part in enumerate(parts[:-1]) if part in _ROOTS)}
    names = {".".join(_without_stub_suffix(parts[start:])) for start in starts}
    if root_package:
        names.add(".".join([root_package, *parts]))
    return tuple(names - {""})


def _is_package(table: FileTable, folder: str) -> bool:
    return f"{folder}/__init__.py" in table.files or f"{folder}/__init__.pyi" in table.files


def _stands_in_root(path: str, name: str) -> bool:
    """Say whether a module is found by its name from the repository's root, or from a folder such as `src`."""
    stem = path.rpartition(".")[0].removesuffix("/__init__")
    root = stem.removesuffix(name.replace(".", "/")).rstrip("/")
    return not root or root.rpartition("/")[2] in _ROOTS


def _forget(files: dict[str, list[str]], name: str, path: str) -> None:
    """Take a file from those that a name may mean."""
    known = files[name]
    known.remove(path)
    if not known:
        del files[name]


def _without_stub_suffix(parts: list[str]) -> list[str]:
    """Return a module's parts; the stubs of package `x` lie in a folder `x-stubs` (PEP 561)."""
    if parts and parts[0].endswith("-stubs"):
        return [parts[0].removesuffix("-stubs"), *parts[1:]]
    return parts
