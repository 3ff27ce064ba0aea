"""Ruby: `require_relative`, `require` and `autoload` by load roots, and constants by their file's name."""

import re
from collections.abc import Collection

from repo_context.resolvers.file_table import FileTable, ResolvedImport, SourceFile, join, nearest, used_names, whole
from repo_context.resolvers.reach import Reach
from repo_context.syntax import Import

_LOAD_ROOTS = ("lib", "app", "test", "spec", "")
_WORD_START = re.compile(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_AUTOLOADED = re.compile(r"(^|/)(app/[^/]+|lib)/")


class RubyResolver:
    """Finds files as the load path of a gem or a Rails application would."""

    def __init__(self, table: FileTable) -> None:
        self._table = table

    def resolve(self, path: str, statement: Import) -> list[ResolvedImport]:
        """Resolve a path from the file's folder when it is relative, else from the load roots."""
        name = statement.module if statement.module.endswith(".rb") else f"{statement.module}.rb"
        if name.startswith("."):
            target = join(path.rpartition("/")[0], name)
            return whole(statement, target if target in self._table.files else None)
        found = (self._table.ending_with(f"{root}/{name}" if root else name, path) for root in _LOAD_ROOTS)
        return whole(statement, next((target for target in found if target is not None), None))

    def implied(self, path: str, bound: Collection[str]) -> list[ResolvedImport]:
        """Resolve constants to the file that is named after them and defines them, as Zeitwerk loads them."""

        def find(name: str) -> str | None:
            if not name[:1].isupper() or name in bound:
                return None
            paths = self._table.exporters("ruby", "", name)
            if not paths or path in paths:
                return None
            file_name = _file_named_after(name)
            named = [other for other in paths if other.rpartition("/")[2] == file_name and _AUTOLOADED.search(other)]
            return nearest(named, path)

        return used_names(self._table.files.get(path), find, "")

    def moved(self, files: Collection[SourceFile], reach: Reach) -> None:
        """A constant is found without an import only in a file that is named after it."""
        for file in files:
            named = {name for name in file.names if file.path.endswith(_file_named_after(name))}
            if file.language == "ruby" and named:
                reach.names.setdefault("ruby", set()).update(named)


def _file_named_after(constant: str) -> str:
    return f"{_WORD_START.sub('_', constant).lower()}.rb"
