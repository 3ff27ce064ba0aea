"""Python: packages, relative imports, names that a package passes on, src layouts, namespace packages, stubs."""

import re
from collections.abc import Callable, Collection

from repo_context.resolvers.file_table import FileTable, ResolvedImport, grouped, join, nearest, whole
from repo_context.resolvers.reexports import Reexports
from repo_context.syntax import Import, ImportedName

_PACKAGE = re.compile(r"(^|/)__init__\.pyi?$")
_ROOTS = frozenset({"src", "lib", "python"})
"""Folders that hold packages without being one: a namespace package has no `__init__.py` that would say so."""


class PythonResolver:
    """Finds modules as the interpreter would with every plausible source root on its path."""

    def __init__(self, table: FileTable) -> None:
        self._table = table
        self._modules: dict[str, list[str]] = {}
        self._version = -1
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
        if self._version != self._table.version:
            self._modules = _modules(self._table)
            self._version = self._table.version
        known = self._modules.get(name)
        if known:
            return nearest(known, path)
        # A script's own folder is on its path.
        return self._file(join(path.rpartition("/")[0], name.replace(".", "/")))

    def _file(self, stem: str | None) -> str | None:
        if stem is None:
            return None
        package = f"{stem}/" if stem else ""
        return self._table.first_of((f"{package}__init__.py", f"{package}__init__.pyi", f"{stem}.py", f"{stem}.pyi"))


def _modules(table: FileTable) -> dict[str, list[str]]:
    """Return dotted name → files that it may mean, from every folder that can be a source root.

    A file is known by its name from the repository's root, from the folder above its outermost package, and from
    `src`, `lib` or `python` folders. When the root is itself a package, its files also go by the root folder's name.
    A stub stands for its module only where the module itself is missing.
    """
    modules: dict[str, list[str]] = {}
    packages = {path.rpartition("/")[0] for path in table.files if _PACKAGE.search(path)}
    root_package = table.root_name if "" in packages else ""
    for path in sorted(table.files):
        if not path.endswith((".py", ".pyi")) or (path.endswith(".pyi") and path[:-1] in table.files):
            continue
        for name in _names_of(path, packages, root_package):
            modules.setdefault(name, []).append(path)
    return modules


def _names_of(path: str, packages: set[str], root_package: str) -> list[str]:
    parts = path.rpartition(".")[0].split("/")
    folders = parts[:-1]
    if parts[-1] == "__init__":
        parts = folders
    depth = len(folders)
    while depth and "/".join(folders[:depth]) in packages:
        depth -= 1
    starts = {0, depth, *(place + 1 for place, part in enumerate(parts[:-1]) if part in _ROOTS)}
    names = {".".join(_without_stub_suffix(parts[start:])) for start in starts}
    if root_package:
        names.add(".".join([root_package, *parts]))
    return sorted(names - {""})


def _without_stub_suffix(parts: list[str]) -> list[str]:
    """Return a module's parts; the stubs of package `x` lie in a folder `x-stubs` (PEP 561)."""
    if parts and parts[0].endswith("-stubs"):
        return [parts[0].removesuffix("-stubs"), *parts[1:]]
    return parts
