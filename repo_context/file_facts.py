"""What is known of the syntax of each file: definitions, imports and names used, taken apart when first asked for."""

from collections.abc import Mapping

from repo_context.chunk_terms import Ints
from repo_context.collection_pause import no_collection
from repo_context.file_record import unpack_syntax
from repo_context.import_graph import ImportGraph
from repo_context.name_uses import NameUses
from repo_context.symbol_index import SymbolIndex


class FileFacts:
    """Symbols and imports of a repository's files; files come and go one by one.

    Opening a repository pays nothing for what no question has asked yet: a file waits, packed, until one does.
    """

    def __init__(self, root_name: str, names: dict[str, int] | None = None) -> None:
        """`names` gives each name that files use its number; it may grow from outside."""
        self.names: dict[str, int] = {} if names is None else names
        self._uses = NameUses(self.names)
        self._symbols = SymbolIndex(self._uses)
        self._graph = ImportGraph(root_name, self._uses)
        self._waiting: dict[str, tuple[bytes, Ints]] = {}

    def put(self, path: str, packed: bytes, names: Ints) -> None:
        """Add or replace one file: its packed syntax, and the numbers of the names that it uses."""
        self._waiting[path] = packed, names

    def drop(self, path: str) -> None:
        """Take one file out; nothing happens when it is not in."""
        self._waiting.pop(path, None)
        self._uses.drop(path)
        self._symbols.remove(path)
        self._graph.remove(path)

    def set_settings(self, texts: Mapping[str, str]) -> None:
        """Give the text of every settings file by its path; replaces what was given before."""
        self._graph.set_settings(texts)

    @property
    def symbols(self) -> SymbolIndex:
        """The definitions of all files."""
        self._take_apart()
        return self._symbols

    @property
    def graph(self) -> ImportGraph:
        """The imports of all files."""
        self._take_apart()
        return self._graph

    def _take_apart(self) -> None:
        if not self._waiting:
            return
        with no_collection():
            while self._waiting:
                path, (packed, names) = self._waiting.popitem()
                found = unpack_syntax(packed)
                self._uses.put(path, names)
                self._symbols.add(path, found.definitions)
                self._graph.add(path, found.imports, packages=found.packages, definitions=found.definitions)
