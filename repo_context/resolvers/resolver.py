"""What each language has: one class that takes the files of a repository and says where imports lead."""

from collections.abc import Collection
from typing import Protocol

from repo_context.resolvers.file_table import FileTable, ResolvedImport, SourceFile
from repo_context.resolvers.reach import Reach
from repo_context.syntax import Import


class Resolver(Protocol):
    """One language family's rules; made anew when the settings files change."""

    def __init__(self, table: FileTable) -> None: ...

    def resolve(self, path: str, statement: Import, /) -> list[ResolvedImport]:
        """Return the files that one statement leads to when it stands in the file `path`."""
        ...

    def implied(self, path: str, bound: Collection[str], /) -> list[ResolvedImport]:
        """Return the files whose names `path` uses without an import; `bound` are names that its imports bind."""
        ...

    def moved(self, files: Collection[SourceFile], reach: Reach, /) -> None:
        """Take note of files that came or went, and add what they concern but for what mentions their names."""
        ...
