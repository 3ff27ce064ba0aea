"""Lua: `require "a.b"`, as `package.path` with the usual roots would find it."""

from collections.abc import Collection

from repo_context.resolvers.file_table import FileTable, ResolvedImport, SourceFile, join, whole
from repo_context.resolvers.reach import Reach
from repo_context.syntax import Import

_ROOTS = ("", "lua", "src", "lib", "scripts")


class LuaResolver:
    """Finds modules from the repository's root and its source folders, then by the end of their path."""

    def __init__(self, table: FileTable) -> None:
        self._table = table

    def resolve(self, path: str, statement: Import) -> list[ResolvedImport]:
        """Resolve a module name to `a/b.lua` or `a/b/init.lua`; `dofile` paths as they are written."""
        if statement.module.endswith(".lua"):
            tails = [statement.module.removeprefix("./")]
        else:
            stem = statement.module.replace(".", "/")
            tails = [f"{stem}.lua", f"{stem}/init.lua"]
        places = [join(root, tail) for root in _ROOTS for tail in tails]
        beside = [join(path.rpartition("/")[0], tail) for tail in tails]
        found = self._table.first_of([*places, *beside])
        return whole(statement, found or self._by_end(tails, path))

    def implied(self, _path: str, _bound: Collection[str]) -> list[ResolvedImport]:
        """Globals of other scripts depend on the order in which they run."""
        return []

    def moved(self, _files: Collection[SourceFile], _reach: Reach) -> None:
        """A module is required by its name, or by its folder's."""

    def _by_end(self, tails: list[str], near: str) -> str | None:
        found = (self._table.ending_with(tail, near) for tail in tails)
        return next((target for target in found if target is not None), None)
