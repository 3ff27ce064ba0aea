"""Import statements to files of the same repository, and the graph that they make.

Every language's rule (`repo_context.resolvers`) works on paths, names and packages of the files, plus a few settings
files; nothing is executed and nothing outside the repository is looked at. An import that leads out of it resolves to
nothing.
"""

from collections.abc import Iterable, Mapping, Sequence

from repo_context.collection_pause import no_collection
from repo_context.languages import language_of
from repo_context.mirrored_files import mirrors_of
from repo_context.name_uses import NameUses
from repo_context.resolvers import RESOLVERS, FileTable, ResolvedImport, Resolver, SourceFile, exported_names
from repo_context.resolvers.reach import Reach, reach_of, words_taken
from repo_context.syntax import Definition, Import

__all__ = ["ImportGraph", "ResolvedImport", "depends_on"]


class ImportGraph:
    """Which file of a repository imports which; files come and go one by one."""

    def __init__(self, root_name: str = "", uses: NameUses | None = None) -> None:
        """Make an empty graph.

        `root_name`: the root folder's own name, for a root that is itself a Python package. `uses`: which names files
        use, told of a file before it is added here.
        """
        self._table = FileTable(root_name)
        self.uses = NameUses() if uses is None else uses
        self._resolvers: dict[type[Resolver], Resolver] = {}
        self._resolved: dict[str, tuple[ResolvedImport, ...]] = {}
        self._importers: dict[str, set[str]] = {}
        self._looked_into: dict[str, frozenset[str]] = {}
        self._lookers: dict[str, set[str]] = {}
        self._moved: list[SourceFile] = []
        self._unresolved: set[str] | None = None

    def add(
        self,
        path: str,
        statements: tuple[Import, ...],
        *,
        packages: tuple[str, ...] = (),
        definitions: Iterable[Definition] = (),
    ) -> None:
        """Add or replace one file: its imports, and what the names that it gives are found by."""
        language = language_of(path)
        previous = self._table.files.get(path)
        file = SourceFile(
            path=path,
            language=language.name if language else "",
            imports=statements,
            packages=packages,
            names=exported_names(definitions),
            takes=words_taken(statements, language.name if language else ""),
            name_uses=self.uses,
        )
        self._table.put(file)
        if previous is None:
            self._note_moved(file)
        else:
            self._note_edited(previous, file)

    def remove(self, path: str) -> None:
        """Take one file out; nothing happens when it is not in."""
        file = self._table.files.get(path)
        if file is not None:
            self._table.drop(path)
            self._note_moved(file)

    def set_settings(self, texts: Mapping[str, str]) -> None:
        """Give the text of every settings file by its path; replaces what was given before."""
        if dict(texts) != self._table.settings:
            self._table.settings = dict(texts)
            self._forget_all()

    def statements_of(self, path: str) -> tuple[Import, ...]:
        """Return a file's import statements in order of their lines, wherever they lead."""
        file = self._table.files.get(path)
        return file.imports if file is not None else ()

    def imports_of(self, path: str) -> tuple[ResolvedImport, ...]:
        """Return what a file imports from the repository in order of its statements, then what it sees without."""
        self._settle()
        if path not in self._resolved:
            file = self._table.files.get(path)
            if file is None:
                return ()
            self._keep(path, tuple(self.resolve(path, file.imports)))
        return self._resolved[path]

    def resolve(self, path: str, statements: Sequence[Import]) -> list[ResolvedImport]:
        """Resolve statements as if they stood in the file `path`; a file never imports itself.

        Names that an indexed file uses from its own package come last, one statement a file, at their first use.
        """
        self._settle()
        resolver = self._resolver_of(path)
        self._table.looked_into.clear()
        if resolver is None:
            return []
        found = [item for statement in statements for item in resolver.resolve(path, statement)]
        bound = {imported.alias for item in found for imported in item.statement.names}
        bound.update(imported.alias for statement in statements for imported in statement.names)
        return [item for item in (*found, *resolver.implied(path, bound)) if item.target != path]

    def importers_of(self, path: str) -> set[str]:
        """Return the files that import a file."""
        self._resolve_all()
        return self._importers.get(path, set())

    def files_beside(self, path: str) -> list[str]:
        """Return the files in the same folder, the file itself among them if it is in."""
        return self._table.by_folder.get(path.rpartition("/")[0], [])

    def mirrors_of(self, path: str) -> list[str]:
        """Return the files that a file tests, or that test it, by their names."""
        return mirrors_of(path, self._table.by_name)

    def depends_on(self) -> dict[str, list[str]]:
        """Return every file's imported files in order of path: the second argument of `order_files`."""
        self._resolve_all()
        return {path: sorted({item.target for item in self._resolved[path]}) for path in sorted(self._table.files)}

    def edges(self) -> int:
        """Return the number of pairs (file, imported file)."""
        self._resolve_all()
        return sum(len(importers) for importers in self._importers.values())

    def _resolver_of(self, path: str) -> Resolver | None:
        language = language_of(path)
        kind = RESOLVERS.get(language.name) if language else None
        if kind is None:
            return None
        if kind not in self._resolvers:
            self._resolvers[kind] = kind(self._table)
        return self._resolvers[kind]

    def _keep(self, path: str, found: tuple[ResolvedImport, ...]) -> None:
        """Keep what a file imports, and what must change for that to change."""
        self._resolved[path] = found
        for item in found:
            self._importers.setdefault(item.target, set()).add(path)
        if self._table.looked_into:
            self._looked_into[path] = frozenset(self._table.looked_into)
            for other in self._table.looked_into:
                self._lookers.setdefault(other, set()).add(path)

    def _resolve_all(self) -> None:
        self._settle()
        if self._unresolved is None:
            self._unresolved = {path for path in self._table.files if path not in self._resolved}
        if not self._unresolved:
            return
        with no_collection():
            for path in sorted(self._unresolved):
                self.imports_of(path)
        self._unresolved.clear()

    def _note_moved(self, *files: SourceFile) -> None:
        """Remember what came or went until someone asks: many files often do at once."""
        if self._resolvers:
            self._moved.extend(files)
        else:
            self._unresolved = None

    def _note_edited(self, previous: SourceFile, file: SourceFile) -> None:
        """Forget what was resolved by what has changed in a file: its imports, names or packages."""
        self._forget([file.path])
        if previous.packages != file.packages:
            self._note_moved(previous, file)
        changed = previous.names ^ file.names
        if changed:
            self._forget([*self._importers.get(file.path, ()), *self._affected_by_names(file, changed)])
        if changed or previous.imports != file.imports:
            self._forget(list(self._lookers.get(file.path, ())))

    def _affected_by_names(self, file: SourceFile, changed: frozenset[str]) -> set[str]:
        """Return the files that may find one of some names in a file by its package."""
        if not file.family:
            return set()
        reach = Reach(names={file.family: set(changed)})
        reach.mention(file.language, changed)
        return reach.affected(self._table, self.uses)

    def _settle(self) -> None:
        """Forget what the files that came or went since the last question may lead elsewhere."""
        if not self._moved:
            return
        moved, self._moved = self._moved, []
        reach = reach_of(moved, self._table)
        for resolver in self._resolvers.values():
            resolver.moved(moved, reach)
        affected = reach.affected(self._table, self.uses)
        for path in [file.path for file in moved]:
            affected.add(path)
            affected.update(self._importers.get(path, ()))
        for path in list(affected):
            affected.update(self._lookers.get(path, ()))
        self._forget(affected)

    def _forget(self, paths: Iterable[str]) -> None:
        for path in paths:
            if self._unresolved is not None:
                self._unresolved.add(path)
            for item in self._resolved.pop(path, ()):
                self._importers.get(item.target, set()).discard(path)
            for other in self._looked_into.pop(path, ()):
                self._lookers.get(other, set()).discard(path)

    def _forget_all(self) -> None:
        """Settings can change what any import leads to."""
        self._resolvers.clear()
        self._resolved.clear()
        self._importers.clear()
        self._looked_into.clear()
        self._lookers.clear()
        self._moved.clear()
        self._unresolved = None


def depends_on(imports: Mapping[str, tuple[Import, ...]]) -> dict[str, list[str]]:
    """Return each file's imported files from the imports of all files: path → `FileSyntax.imports`.

    >>> statement = Import(module="b", names=(), alias="", wildcard=False, line=0)
    >>> depends_on({"a.py": (statement,), "b.py": ()})
    {'a.py': ['b.py'], 'b.py': []}
    """
    graph = ImportGraph()
    for path, statements in imports.items():
        graph.add(path, statements)
    return graph.depends_on()
