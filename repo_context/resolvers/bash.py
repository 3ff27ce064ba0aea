"""Bash: scripts that are sourced by a literal path, or by one below a folder that a variable holds."""

import re
from collections.abc import Collection

from repo_context.resolvers.file_table import FileTable, ResolvedImport, SourceFile, join, whole
from repo_context.resolvers.reach import Reach
from repo_context.syntax import Import


class BashResolver:
    """Finds sourced scripts; a shell's working directory is not known, so several places are tried."""

    def __init__(self, table: FileTable) -> None:
        self._table = table

    def resolve(self, path: str, statement: Import) -> list[ResolvedImport]:
        """Resolve a path from the script's own folder, from the repository's root, then by its end."""
        found = self._table.first_of((join(path.rpartition("/")[0], statement.module), join("", statement.module)))
        if found is not None:
            return whole(statement, found)
        tail = join("", re.sub(r"^(\.\.?/)+", "", statement.module))
        return whole(statement, self._table.ending_with(tail, path) if tail else None)

    def implied(self, _path: str, _bound: Collection[str]) -> list[ResolvedImport]:
        """Functions of other scripts are visible only once those are sourced."""
        return []

    def moved(self, _files: Collection[SourceFile], _reach: Reach) -> None:
        """A script is sourced by its name."""
