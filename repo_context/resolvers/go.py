"""Go: packages are folders, found by the module paths of go.mod files and their `replace` lines."""

import re
from collections.abc import Collection

from repo_context.resolvers.file_table import FileTable, ResolvedImport, SourceFile, join, used_names
from repo_context.resolvers.reach import Reach
from repo_context.syntax import Import, ImportedName

_MODULE = re.compile(r'^\s*module\s+"?([^\s"]+)"?', re.MULTILINE)
_REPLACE = re.compile(r"^\s*(?:replace\s+)?(\S+)(?:\s+v\S+)?\s+=>\s+(\.{1,2}(?:/\S*)?)", re.MULTILINE)


class GoResolver:
    """Finds the files of a package that define the names which the importing file uses."""

    def __init__(self, table: FileTable) -> None:
        self._table = table
        self._modules = _modules(table)

    def resolve(self, path: str, statement: Import) -> list[ResolvedImport]:
        """Resolve a package path to all files of its folder but tests, each with those of its names that are used."""
        folder = self._folder(statement.module)
        if folder is None:
            return []
        file = self._table.files.get(path)
        package = self._table.exported("go", folder)
        names = [name for name in (file.uses if file else ()) if name[:1].isupper() and name in package]
        by_file: dict[str, list[ImportedName]] = {}
        for name in names:
            by_file.setdefault(self._source(package[name]) or "", []).append(ImportedName(name, name))
        # What the statement binds is the package; its names are used behind that.
        bound = statement._replace(alias=statement.alias or statement.module.rpartition("/")[2])
        return [
            ResolvedImport(target=target, statement=bound._replace(names=tuple(by_file.get(target, ()))))
            for target in self._sources(folder)
        ]

    def implied(self, path: str, bound: Collection[str]) -> list[ResolvedImport]:
        """Resolve names of the other files of the file's own package."""
        folder, _, own = path.rpartition("/")
        package = self._table.exported("go", folder)

        def find(name: str) -> str | None:
            paths = package.get(name, ())
            if name in bound or path in paths:
                return None
            return self._source(paths) or (paths[0] if paths and own.endswith("_test.go") else None)

        return used_names(self._table.files.get(path), find, folder)

    def moved(self, files: Collection[SourceFile], reach: Reach) -> None:
        """A file concerns its own package, and whoever imports that."""
        for folder in {file.path.rpartition("/")[0] for file in files if file.language == "go"}:
            reach.paths.update(self._table.by_folder.get(folder, ()))
            for module, root in self._modules:
                below = f"{root}/" if root else ""
                if f"{folder}/".startswith(below):
                    reach.modules.add(f"{module}/{folder[len(below) :]}".rstrip("/") if folder != root else module)

    def _folder(self, package: str) -> str | None:
        """Return the folder of a package; the longest module path that fits decides."""
        for module, folder in self._modules:
            if package == module or package.startswith(f"{module}/"):
                return join(folder, package[len(module) + 1 :] or ".")
        return None

    def _sources(self, folder: str) -> list[str]:
        return [path for path in self._table.by_folder.get(folder, ()) if _is_source(path)]

    def _source(self, paths: Collection[str]) -> str | None:
        """Return the first file that is no test; of several for different systems that is one, not the right one."""
        return next((path for path in paths if _is_source(path)), None)


def _is_source(path: str) -> bool:
    return path.endswith(".go") and not path.endswith("_test.go")


def _modules(table: FileTable) -> list[tuple[str, str]]:
    """Return (module path, folder) of every go.mod and every local `replace`, the longest path first."""
    modules: dict[str, str] = {}
    for folder, text in table.settings_named("go.mod"):
        match = _MODULE.search(text)
        if match:
            modules.setdefault(match.group(1), folder)
    for folder, text in table.settings_named("go.mod", "go.work"):
        for module, place in _REPLACE.findall(text):
            target = join(folder, place)
            if target is not None:
                modules.setdefault(module, target)
    return sorted(modules.items(), key=lambda item: (-len(item[0]), item[0]))
