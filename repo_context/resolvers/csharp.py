"""C#: types by the namespace that they are declared in."""

from collections.abc import Collection, Iterator

from repo_context.resolvers.file_table import FileTable, ResolvedImport, SourceFile, grouped, nearest, used_names, whole
from repo_context.resolvers.reach import Reach
from repo_context.syntax import Import, ImportedName

_GLOBAL_USINGS = ("GlobalUsings.cs", "GlobalUsing.cs", "Usings.cs", "Globals.cs")


class CSharpResolver:
    """Finds types by `using`, by `global using` of the same project, and by the namespaces around a file's own."""

    def __init__(self, table: FileTable) -> None:
        self._table = table

    def resolve(self, path: str, statement: Import) -> list[ResolvedImport]:
        """Resolve `using N` to the files of N whose types are used; `using static` and aliases to their type's file."""
        module = statement.module.removeprefix("global::")
        last = module.rpartition(".")[2]
        if statement.alias or not self._table.has_package("csharp", module):
            target = self._type(module, path)
            if target is None:
                return []
            if statement.alias:
                return grouped(statement, [(ImportedName(last, statement.alias), target)])
            return whole(statement, target)
        file = self._table.files.get(path)
        exported = self._table.exported("csharp", module)
        names = [name for name in (file.uses if file else ()) if name in exported]
        found = grouped(statement, [(ImportedName(name, name), nearest(exported[name], path)) for name in names])
        return [item for item in found if item.target != path]

    def implied(self, path: str, bound: Collection[str]) -> list[ResolvedImport]:
        """Resolve names of the file's own namespaces, of those around them, and of the project's global usings."""
        file = self._table.files.get(path)
        if file is None:
            return []
        visible = list(dict.fromkeys([*_enclosing(file.packages), *self._global_usings(path)]))

        def find(name: str) -> str | None:
            if name in bound:
                return None
            for namespace in visible:
                paths = self._table.exporters("csharp", namespace, name)
                if paths:
                    return path if path in paths else nearest(paths, path)
            return None

        return used_names(file, find, visible[0] if visible else "")

    def moved(self, files: Collection[SourceFile], reach: Reach) -> None:
        """Global usings open namespaces for all files below their folder."""
        folders = [
            folder for folder, _, name in (file.path.rpartition("/") for file in files) if name in _GLOBAL_USINGS
        ]
        reach.paths.update(self._table.below([f"{folder}/" if folder else "" for folder in folders], "csharp"))

    def _type(self, module: str, near: str) -> str | None:
        """Return the file of a type, or of the type around it when it is nested."""
        parts = module.split(".")
        for length in range(len(parts) - 1, -1, -1):
            found = nearest(self._table.exporters("csharp", ".".join(parts[:length]), parts[length]), near)
            if found is not None:
                return found
        return None

    def _global_usings(self, path: str) -> Iterator[str]:
        """Yield namespaces that a file named like GlobalUsings.cs opens for every file below its folder."""
        for name in _GLOBAL_USINGS:
            for holder in self._table.by_name.get(name, ()):
                folder = holder.rpartition("/")[0]
                if path.startswith(f"{folder}/" if folder else ""):
                    self._table.looked_into.add(holder)
                    yield from (item.module for item in self._table.files[holder].imports if not item.alias)


def _enclosing(namespaces: Collection[str]) -> Iterator[str]:
    """Yield each namespace and those around it, the innermost first, the global one last."""
    for namespace in namespaces:
        parts = namespace.split(".")
        yield from (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    yield ""
