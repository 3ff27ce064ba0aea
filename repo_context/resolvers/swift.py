"""Swift: modules are the targets of Package.swift; all files of one see each other."""

import re
from collections.abc import Collection

from repo_context.resolvers.file_table import FileTable, ResolvedImport, SourceFile, grouped, join, nearest, used_names
from repo_context.resolvers.reach import Reach
from repo_context.syntax import Import, ImportedName

_TARGET = re.compile(
    r"\.(?:target|executableTarget|testTarget|macro|plugin)\s*\(\s*name:\s*\"([^\"]+)\"(.*?)"
    r"(?=\.(?:target|executableTarget|testTarget|macro|plugin)\s*\(\s*name:|\Z)",
    re.DOTALL,
)
_PATH = re.compile(r"\bpath:\s*\"([^\"]*)\"")
_FOLDERS = re.compile(r"^(?:(.*)/)?(?:Sources|Source|src|srcs|Tests)/([^/]+)/")


class SwiftResolver:
    """Finds names by module; a file of no known module shares one with all others of that kind."""

    def __init__(self, table: FileTable) -> None:
        self._table = table
        self._targets = _targets(table)

    def resolve(self, path: str, statement: Import) -> list[ResolvedImport]:
        """Resolve `import M` to the files of M whose names are used; `import struct M.Name` to that name's file."""
        module, _, name = statement.module.partition(".")
        file = self._table.files.get(path)
        wanted = [name.rpartition(".")[2]] if name else list(file.uses if file else ())
        return grouped(statement, [(ImportedName(one, one), self._in_module(module, one, path)) for one in wanted])

    def implied(self, path: str, bound: Collection[str]) -> list[ResolvedImport]:
        """Resolve names of the file's own module."""
        module = self._module_of(path)

        def find(name: str) -> str | None:
            return None if name in bound else self._in_module(module, name, path)

        return used_names(self._table.files.get(path), find, module)

    def moved(self, _files: Collection[SourceFile], _reach: Reach) -> None:
        """Names are found by themselves; which module a file belongs to its path says."""

    def _in_module(self, module: str, name: str, near: str) -> str | None:
        paths = [path for path in self._table.exporters("swift", "", name) if self._module_of(path) == module]
        return near if near in paths else nearest(paths, near)

    def _module_of(self, path: str) -> str:
        for folder, module in self._targets:
            if path.startswith(folder):
                return module
        match = _FOLDERS.match(path)
        return match.group(2) if match else ""


def _targets(table: FileTable) -> list[tuple[str, str]]:
    """Return (folder with a slash at its end, module) of targets with a path of their own, the deepest first."""
    found = []
    for folder, text in table.settings_named("Package.swift"):
        for name, rest in _TARGET.findall(text):
            path = _PATH.search(rest)
            place = join(folder, path.group(1)) if path else None
            if place is not None:
                found.append((f"{place}/" if place else "", name))
    return sorted(found, key=lambda item: (-item[0].count("/"), item))
