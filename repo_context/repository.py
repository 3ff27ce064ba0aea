"""The door to repo_context: open a repository, tell it what changed, and ask what helps at a cursor."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from repo_context.collection_pause import no_collection
from repo_context.errors import RepositoryNotFoundError
from repo_context.file_record import (
    normal_lines,
    syntax_of_text,
)
from repo_context.languages import Language, language_of
from repo_context.live_index import LiveIndex, ProgressCallback
from repo_context.rank import Index, rank
from repo_context.recent_files import RecentFiles
from repo_context.snippet import Cursor, ImportEdge, IndexedFile, IndexSummary, Snippet
from repo_context.steady_selection import SteadySelection
from repo_context.store import Store, default_index_folder
from repo_context.syntax import Definition, Import


class Repository:
    """An indexed repository, for one caller at a time; open it in the process that asks it."""

    def __init__(self, root: Path, store: Store) -> None:
        """Use `Repository.open`."""
        self.root = root
        self._index = LiveIndex(root, store)
        self._recent = RecentFiles()
        self._steady = SteadySelection(self._index.texts.state_of)
        self._foreign: tuple[str, int, tuple[Import, ...]] | None = None
        self._seconds = 0.0

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        index_folder: Path | None = None,
        on_progress: ProgressCallback | None = None,
    ) -> Self:
        """Index a folder, or bring its index up to date: only files that changed since are parsed.

        The index lies in `index_folder`, by default below `MIDFILL_HOME` or the user's cache folder; a damaged one is
        rebuilt. `on_progress` is called after each parsed file.
        Errors: `RepositoryNotFoundError`, `IndexFolderError`.
        """
        started = time.perf_counter()
        root = Path(root).expanduser()
        if not root.is_dir():
            problem = "is not a folder" if root.exists() else "does not exist"
            raise RepositoryNotFoundError(f"{root} {problem}: give the folder of a repository")
        root = root.resolve()
        store = Store.open(index_folder or default_index_folder(root), root)
        try:
            repository = cls(root, store)
            with no_collection():
                repository._index.bring_up_to_date(on_progress)
        except BaseException:
            store.close()
            raise
        repository._seconds = time.perf_counter() - started
        return repository

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def warning(self) -> str:
        """One line that says why the index cannot be stored; empty when it is, or when another process does it."""
        return self._index.store.warning

    def close(self) -> None:
        """Let go of the index on disk; may be called twice."""
        self._index.store.close()

    def update(self, path: str | Path, text: str | None = None) -> None:
        """Index one file again: from `text`, the editor's unsaved version, or else from disk.

        A file that must not be indexed (ignored, secret, binary, too large, outside the root) is taken out; so is one
        that is gone from disk. Unsaved text is kept in memory only. `path` is relative to the root, or absolute.
        """
        relative = self._relative(path)
        if relative is not None:
            self._index.update(relative, text)

    def refresh(self) -> None:
        """Look at the whole folder again, with fresh ignore rules, and index what came, went, moved or changed.

        For when much may have changed at once: another branch, new ignore rules, a rename. Unsaved text stays.
        """
        self._index.refresh()

    def remove(self, path: str | Path) -> None:
        """Take a file out of the index; nothing happens when it is not in."""
        relative = self._relative(path)
        if relative is not None:
            self._index.take_out(relative)

    def snippets_for(self, cursor: Cursor, *, budget: int, count_tokens: Callable[[str], int]) -> tuple[Snippet, ...]:
        """Return what helps at a cursor, best first, within `budget` tokens as `count_tokens` counts them.

        While the cursor stays where it is the answer stays too, unless another is clearly better, so that a reader can
        keep what it has read. No snippet is from the cursor's own file. A file that changed on disk behind our back is
        left out this time and indexed again, so that text never disagrees with its line numbers.
        """
        path = self._relative(cursor.path) or cursor.path
        cursor = Cursor(path=path, prefix=normal_lines(cursor.prefix), suffix=normal_lines(cursor.suffix))
        imports = self._imports_at(cursor)
        self._index.texts.start_question()
        index = replace(self.ranking_index(), lines_of=self._index.texts.lines_in_question)
        found = rank(cursor, imports, index, budget=budget, count_tokens=count_tokens)
        if not self._index.texts.stale:
            found = self._steady.settle(cursor, budget, imports, found)
        for stale in sorted(self._index.texts.stale):
            self.update(stale)
        self._index.texts.stale.clear()
        return found

    def note_open(self, path: str | Path) -> None:
        """Tell that the user looks at a file: its text counts a little more, and it is made ready to be edited."""
        relative = self._relative(path)
        if relative is not None:
            self._recent.note_open(relative)
            self._index.make_ready(relative)

    def note_edit(self, path: str | Path) -> None:
        """Tell that the user has edited a file: its text counts more for the next ones that are edited."""
        self._note(path, self._recent.note_edit)

    def note_closed(self, path: str | Path) -> None:
        """Tell that the user has closed a file."""
        self._note(path, self._recent.forget)

    def _note(self, path: str | Path, note: Callable[[str], None]) -> None:
        relative = self._relative(path)
        if relative is not None:
            note(relative)

    def ranking_index(self) -> Index:
        """Return the indexes that ranking reads, live: for benchmarks that measure its parts."""
        return Index(
            symbols=self._index.facts.symbols,
            text=self._index.text,
            graph=self._index.facts.graph,
            recent=self._recent,
            lines_of=self._index.texts.lines_of,
            is_as_indexed=self._index.texts.is_as_indexed,
        )

    def files(self) -> tuple[IndexedFile, ...]:
        """Return the indexed files in order of their path."""
        return tuple(
            IndexedFile(path=path, absolute_path=self.root / path, language=held.language, size=held.size)
            for path, held in sorted(self._index.files.items())
        )

    def depends_on(self) -> dict[str, list[str]]:
        """Return path → imported paths of every file: the second argument of `order_files`."""
        return self._index.facts.graph.depends_on()

    def import_edges(self) -> tuple[ImportEdge, ...]:
        """Return every pair of a file and one that it imports, in order of their paths, with the names it takes."""
        names: dict[tuple[str, str], dict[str, None]] = {}
        graph = self._index.facts.graph
        for path in sorted(self._index.files):
            for item in graph.imports_of(path):
                taken = names.setdefault((path, item.target), {})
                taken.update((imported.name, None) for imported in item.statement.names)
                if item.statement.wildcard:
                    taken["*"] = None
        return tuple(ImportEdge(source=pair[0], target=pair[1], names=tuple(names[pair])) for pair in sorted(names))

    def definitions_in(self, path: str) -> tuple[Definition, ...]:
        """Return the definitions of one file, in order of their lines."""
        return self._index.facts.symbols.definitions_in(path)

    def imports_in(self, path: str) -> tuple[Import, ...]:
        """Return the import statements of one file, in order of their lines, wherever they lead."""
        return self._index.facts.graph.statements_of(path)

    def summary(self) -> IndexSummary:
        """Return counts of what is indexed and what was left out."""
        skipped = Counter(self._index.skipped)
        for held in self._index.files.values():
            if held.unparsed:
                skipped[f"searched as text only: {held.unparsed}"] += 1
        return IndexSummary(
            root=self.root,
            files=len(self._index.files),
            symbols=sum(held.symbols for held in self._index.files.values()),
            count_edges=self._edges,
            chunks=len(self._index.text),
            seconds=self._seconds,
            reparsed=self._index.reparsed,
            by_language=dict(Counter(held.language for held in self._index.files.values()).most_common()),
            skipped=dict(skipped.most_common()),
            index_folder=self._index.store.folder,
        )

    def _edges(self) -> int:
        return self._index.facts.graph.edges()

    # --- asking -----------------------------------------------------------------------------------------------

    def _imports_at(self, cursor: Cursor) -> tuple[Import, ...]:
        """Return the edited file's imports: as indexed, or read from its text when it is not in the index."""
        held = self._index.files.get(cursor.path)
        if held is not None:
            return self._index.facts.graph.statements_of(cursor.path)
        language = language_of(cursor.path)
        if language is None or language.grammar is None:
            return ()
        return self._imports_of_text(cursor, language)

    def _imports_of_text(self, cursor: Cursor, language: Language) -> tuple[Import, ...]:
        """Parse a file that is not indexed but for the cursor's line; remembered until another line changes."""
        text = cursor.prefix[: cursor.prefix.rfind("\n") + 1] + cursor.suffix.partition("\n")[2]
        key = (cursor.path, hash(text))
        if self._foreign is None or self._foreign[:2] != key:
            self._foreign = (*key, syntax_of_text(text, language).imports)
        return self._foreign[2]

    def _relative(self, path: str | Path) -> str | None:
        """Return a path relative to the root with forward slashes; None when it lies outside."""
        pure = Path(path)
        if pure.is_absolute():
            for candidate in (pure, pure.parent.resolve() / pure.name):
                if candidate.is_relative_to(self.root):
                    pure = candidate.relative_to(self.root)
                    break
            else:
                return None
        parts = pure.parts
        if not parts or ".." in parts:
            return None
        return "/".join(parts)
