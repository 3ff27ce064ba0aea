"""Java, Kotlin and Scala: packages, which the three share within one repository."""

from collections.abc import Collection

from repo_context.resolvers.file_table import (
    FileTable,
    ResolvedImport,
    SourceFile,
    grouped,
    nearest,
    used_names,
    whole,
)
from repo_context.resolvers.reach import Reach, word_of
from repo_context.syntax import Import, ImportedName

_ENDINGS = (".java", ".kt", ".scala")


class JvmResolver:
    """Finds classes, functions and values by the package that their file says it belongs to."""

    def __init__(self, table: FileTable) -> None:
        self._table = table

    def resolve(self, path: str, statement: Import) -> list[ResolvedImport]:
        """Resolve an import of a name, of a nested or static one, or of a whole package or class."""
        if statement.wildcard and not statement.names:
            return self._wildcard(path, statement)
        if not statement.names:
            module, _, last = statement.module.rpartition(".")
            alone = ImportedName(last, statement.alias or last)
            return grouped(statement, [(alone, self._named(path, module, last))])
        return grouped(statement, [(name, self._named(path, statement.module, name.name)) for name in statement.names])

    def implied(self, path: str, bound: Collection[str]) -> list[ResolvedImport]:
        """Resolve names of the file's own package, and in Scala of the packages around it."""
        file = self._table.files.get(path)
        if file is None:
            return []
        packages = self._own_packages(file)

        def find(name: str) -> str | None:
            if name in bound:
                return None
            for package in packages:
                paths = self._table.exporters("jvm", package, name)
                if paths:
                    return path if path in paths else nearest(paths, path)
            return None

        return used_names(file, find, packages[0])

    def moved(self, files: Collection[SourceFile], reach: Reach) -> None:
        """Java sees the functions of `x.kt` in a class `XKt`."""
        reach.mention("kotlin", [f"{word_of(file.path)}Kt" for file in files if file.language == "kotlin"])

    def _own_packages(self, file: SourceFile) -> list[str]:
        own = list(file.packages or ("",))
        if file.language == "scala" and own[0]:
            # `package a` above `package b` sees the names of a; which of the two forms was written is not kept.
            parts = own[0].split(".")
            own += [".".join(parts[:length]) for length in range(len(parts) - 1, 0, -1)]
        return own

    def _named(self, path: str, module: str, name: str) -> str | None:
        """Return the file that gives `name` in `module`: a package, a class in one, or a Kotlin file's class."""
        owners = module.split(".") if module else []
        # A constant of a type in a type in a class stands three names behind its package.
        for length in range(len(owners), max(len(owners) - 4, -1), -1):
            package = ".".join(owners[:length])
            wanted = owners[length] if length < len(owners) else name
            paths = self._table.exporters("jvm", package, wanted)
            if paths:
                return nearest(paths, path)
            found = self._kotlin_file(package, wanted.removesuffix("Kt"), path) if wanted.endswith("Kt") else None
            if found is not None:
                return found
        return self._by_path([*owners, name], path)

    def _kotlin_file(self, package: str, stem: str, near: str) -> str | None:
        """Return the file whose functions Java sees in a class that is named after it."""
        return self._table.ending_with("/".join([*package.split("."), f"{stem}.kt"]).lstrip("/"), near)

    def _by_path(self, parts: list[str], near: str) -> str | None:
        """Return the file whose path ends like the name: for files whose package could not be read."""
        named = self._table.by_name
        for length in range(len(parts), max(len(parts) - 2, 1), -1):
            for ending in _ENDINGS:
                if parts[length - 1] + ending not in named:
                    # Most imports lead out of the repository, and no path has to be put together to see that.
                    continue
                found = self._table.ending_with("/".join(parts[:length]) + ending, near)
                if found is not None and not self._table.files[found].packages:
                    return found
        return None

    def _wildcard(self, path: str, statement: Import) -> list[ResolvedImport]:
        """Resolve `a.b.*` to the files of package a.b whose names are used, or to the file of the class a.b."""
        module = statement.module
        if self._table.has_package("jvm", module):
            file = self._table.files.get(path)
            uses = file.uses if file else []
            exported = self._table.exported("jvm", module)
            names = [name for name in uses if name in exported]
            found = grouped(statement, [(ImportedName(name, name), nearest(exported[name], path)) for name in names])
            return [item for item in found if item.target != path]
        package, _, owner = module.rpartition(".")
        return whole(statement, self._named(path, package, owner))
