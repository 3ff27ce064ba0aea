"""The door to repo_context: open a repository, tell it what changed, and ask what helps at a cursor."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from repo_context.chunk_terms import ChunkTable, TermCounter
from repo_context.collection_pause import no_collection
from repo_context.errors import CorruptIndexError, RepositoryNotFoundError
from repo_context.file_facts import FileFacts
from repo_context.file_record import (
    FileRecord,
    Job,
    Skipped,
    SkipReason,
    Unchanged,
    normal_lines,
    record_files,
    record_text,
    reject_text,
    source_of,
    syntax_of_text,
)
from repo_context.file_texts import FileTexts, Held
from repo_context.kept_trees import KeptTrees
from repo_context.languages import Language, language_of
from repo_context.parse_pool import parse_files
from repo_context.rank import Index, rank
from repo_context.recent_files import RecentFiles
from repo_context.resolvers import build_settings, is_settings_file
from repo_context.scan import IGNORE_FILES, Scan, ScannedFile, Scanner
from repo_context.snippet import Cursor, ImportEdge, IndexedFile, IndexProgress, IndexSummary, Snippet
from repo_context.steady_selection import SteadySelection
from repo_context.store import Stamp, Store, StoredFile, default_index_folder
from repo_context.syntax import Definition, Import
from repo_context.text_index import TextIndex

WRITE_EVERY = 512
"""Files that one transaction stores: an interrupted indexing loses no more than these."""
LOOSE_SHARE = 0.1
"""Share of the index that may lie outside of the base on disk."""
LOOSE_CHUNKS = 2_000
"""So many chunks may in any case while the index is in use: a small one is put in order when it is opened."""
READ_TRIES = 5
"""How often an index that another process replaces is read again."""

ProgressCallback = Callable[[IndexProgress], None]


class Repository:
    """An indexed repository, for one caller at a time; open it in the process that asks it."""

    def __init__(self, root: Path, store: Store) -> None:
        """Use `Repository.open`."""
        self.root = root
        self._root_text = str(root).rstrip("/")
        self._store = store
        self._scanner = Scanner(root)
        self._files: dict[str, Held] = {}
        self._texts = FileTexts(root, self._files)
        self._facts = FileFacts(root.name)
        self._text = TextIndex()
        self._counter = TermCounter(self._text.vocabulary, self._facts.names)
        self._recent = RecentFiles()
        self._trees = KeptTrees()
        self._steady = SteadySelection(self._texts.state_of)
        self._skipped: Counter[str] = Counter()
        self._foreign: tuple[str, int, tuple[Import, ...]] | None = None
        self._seconds = 0.0
        self._reparsed = 0

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
                repository._bring_up_to_date(on_progress)
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
        return self._store.warning

    def close(self) -> None:
        """Let go of the index on disk; may be called twice."""
        self._store.close()

    def update(self, path: str | Path, text: str | None = None) -> None:
        """Index one file again: from `text`, the editor's unsaved version, or else from disk.

        A file that must not be indexed (ignored, secret, binary, too large, outside the root) is taken out; so is one
        that is gone from disk. Unsaved text is kept in memory only. `path` is relative to the root, or absolute.
        """
        relative = self._relative(path)
        if relative is None:
            return
        if PurePosixPath(relative).name in IGNORE_FILES:
            self.refresh()
        judged = self._scanner.judge_file(relative)
        if isinstance(judged, SkipReason):
            self._take_out(relative)
        elif text is None:
            self._update_from_disk(judged)
        else:
            self._update_from_text(judged, text)
        if is_settings_file(relative):
            self._read_settings()

    def refresh(self) -> None:
        """Look at the whole folder again, with fresh ignore rules, and index what came, went, moved or changed.

        For when much may have changed at once: another branch, new ignore rules, a rename. Unsaved text stays.
        """
        scan = self._scanner.scan()
        present = {file.path: file for file in scan.files}
        for path in [path for path in self._files if path not in present]:
            if self._files[path].text is None or isinstance(self._scanner.judge_file(path), SkipReason):
                self._take_out(path)
        self._skipped = Counter()
        self._parse(self._changed(scan), None)
        self._compact_in_use()
        self._read_settings()

    def remove(self, path: str | Path) -> None:
        """Take a file out of the index; nothing happens when it is not in."""
        relative = self._relative(path)
        if relative is not None:
            self._take_out(relative)

    def snippets_for(self, cursor: Cursor, *, budget: int, count_tokens: Callable[[str], int]) -> tuple[Snippet, ...]:
        """Return what helps at a cursor, best first, within `budget` tokens as `count_tokens` counts them.

        While the cursor stays where it is the answer stays too, unless another is clearly better, so that a reader can
        keep what it has read. No snippet is from the cursor's own file. A file that changed on disk behind our back is
        left out this time and indexed again, so that text never disagrees with its line numbers.
        """
        path = self._relative(cursor.path) or cursor.path
        cursor = Cursor(path=path, prefix=normal_lines(cursor.prefix), suffix=normal_lines(cursor.suffix))
        imports = self._imports_at(cursor)
        self._texts.start_question()
        index = replace(self.ranking_index(), lines_of=self._texts.lines_in_question)
        found = rank(cursor, imports, index, budget=budget, count_tokens=count_tokens)
        if not self._texts.stale:
            found = self._steady.settle(cursor, budget, imports, found)
        for stale in sorted(self._texts.stale):
            self.update(stale)
        self._texts.stale.clear()
        return found

    def note_open(self, path: str | Path) -> None:
        """Tell that the user looks at a file: its text counts a little more, and it is made ready to be edited."""
        relative = self._relative(path)
        if relative is not None:
            self._recent.note_open(relative)
            self._make_ready(relative)

    def note_edit(self, path: str | Path) -> None:
        """Tell that the user has edited a file: its text counts more for the next ones that are edited."""
        self._note(path, self._recent.note_edit)

    def note_closed(self, path: str | Path) -> None:
        """Tell that the user has closed a file."""
        self._note(path, self._recent.forget)

    def _make_ready(self, path: str) -> None:
        """Read an indexed file as an edit would, so that its first one finds a tree, and its words' terms, like any."""
        language = language_of(path)
        text = self._texts.read(path) if language and path in self._files and path not in self._trees else None
        if language is not None and text is not None and reject_text(text) is None:
            record_text(path, text, language, self._counter, self._trees)

    def _note(self, path: str | Path, note: Callable[[str], None]) -> None:
        relative = self._relative(path)
        if relative is not None:
            note(relative)

    def ranking_index(self) -> Index:
        """Return the indexes that ranking reads, live: for benchmarks that measure its parts."""
        return Index(
            symbols=self._facts.symbols,
            text=self._text,
            graph=self._facts.graph,
            recent=self._recent,
            lines_of=self._texts.lines_of,
            is_as_indexed=self._texts.is_as_indexed,
        )

    def files(self) -> tuple[IndexedFile, ...]:
        """Return the indexed files in order of their path."""
        return tuple(
            IndexedFile(path=path, absolute_path=self.root / path, language=held.language, size=held.size)
            for path, held in sorted(self._files.items())
        )

    def depends_on(self) -> dict[str, list[str]]:
        """Return path → imported paths of every file: the second argument of `order_files`."""
        return self._facts.graph.depends_on()

    def import_edges(self) -> tuple[ImportEdge, ...]:
        """Return every pair of a file and one that it imports, in order of their paths, with the names it takes."""
        names: dict[tuple[str, str], dict[str, None]] = {}
        graph = self._facts.graph
        for path in sorted(self._files):
            for item in graph.imports_of(path):
                taken = names.setdefault((path, item.target), {})
                taken.update((imported.name, None) for imported in item.statement.names)
                if item.statement.wildcard:
                    taken["*"] = None
        return tuple(ImportEdge(source=pair[0], target=pair[1], names=tuple(names[pair])) for pair in sorted(names))

    def definitions_in(self, path: str) -> tuple[Definition, ...]:
        """Return the definitions of one file, in order of their lines."""
        return self._facts.symbols.definitions_in(path)

    def imports_in(self, path: str) -> tuple[Import, ...]:
        """Return the import statements of one file, in order of their lines, wherever they lead."""
        return self._facts.graph.statements_of(path)

    def summary(self) -> IndexSummary:
        """Return counts of what is indexed and what was left out."""
        skipped = Counter(self._skipped)
        for held in self._files.values():
            if held.unparsed:
                skipped[f"searched as text only: {held.unparsed}"] += 1
        return IndexSummary(
            root=self.root,
            files=len(self._files),
            symbols=sum(held.symbols for held in self._files.values()),
            count_edges=self._edges,
            chunks=len(self._text),
            seconds=self._seconds,
            reparsed=self._reparsed,
            by_language=dict(Counter(held.language for held in self._files.values()).most_common()),
            skipped=dict(skipped.most_common()),
            index_folder=self._store.folder,
        )

    def _edges(self) -> int:
        return self._facts.graph.edges()

    # --- opening ----------------------------------------------------------------------------------------------

    def _bring_up_to_date(self, on_progress: ProgressCallback | None) -> None:
        scan = self._scanner.scan()
        try:
            self._load(scan.files)
        except CorruptIndexError:
            self._store.start_over(self.root)
            self._forget_all()
        self._parse(self._changed(scan), on_progress)
        self._compact()
        self._read_settings()

    def _forget_all(self) -> None:
        self._start_with(TextIndex(), {})

    def _start_with(self, text: TextIndex, names: dict[str, int]) -> None:
        self._files.clear()
        self._text, self._facts = text, FileFacts(self.root.name, names)
        self._counter = TermCounter(text.vocabulary, names)

    def _changed(self, scan: Scan) -> list[ScannedFile]:
        """Return the files that are not in the index as they are now, and count those that are known to be left out."""
        known_skips = self._store.skipped()
        for reason, count in scan.skipped.items():
            self._skipped[reason.value] += count
        changed = []
        for file in scan.files:
            held, skip = self._files.get(file.path), known_skips.get(file.path)
            if skip is not None and (skip.mtime_ns, skip.size) == (file.mtime_ns, file.size):
                self._skipped[skip.reason.value] += 1
            elif held is None or (held.text is None and not _is_same(held, file)):
                changed.append(file)
        return changed

    def _load(self, files: Sequence[ScannedFile]) -> None:
        """Take over from disk what is still true there; forget files that are gone."""
        present = {file.path: file for file in files}
        for _ in range(READ_TRIES):
            try:
                gone = self._load_once(present)
                break
            except FileNotFoundError:
                self._forget_all()
        else:
            raise CorruptIndexError("another process replaces the index faster than it can be read")
        self._store.note(removed=[*gone, *(path for path in self._store.skipped() if path not in present)])

    def _load_once(self, present: Mapping[str, ScannedFile]) -> list[str]:
        """Fill the empty indexes with what is stored of files that are unchanged; returns the paths of those gone."""
        gone = []
        in_base: dict[int, str] = {}
        loose: dict[str, ChunkTable] = {}
        with self._store.reading():
            vocabulary = self._store.vocabulary()
            self._start_with(TextIndex(vocabulary), self._store.names())
            base = self._store.base()
            for stored in self._store.files(base):
                file = present.get(stored.path)
                if file is None:
                    gone.append(stored.path)
                elif _is_same(stored.stamp, file):
                    self._hold_stored(stored)
                    if stored.table is None:
                        in_base[stored.id] = stored.path
                    else:
                        loose[stored.path] = stored.table
        if base is not None:
            numbered = {number: in_base[file] for number, file in enumerate(base.file_ids.tolist()) if file in in_base}
            self._text = TextIndex.over(base, vocabulary, numbered)
        self._text.add(loose)
        return gone

    def _parse(self, files: Sequence[ScannedFile], on_progress: ProgressCallback | None) -> None:
        """Read and parse files, several at a time, and store them in batches."""
        stamps = self._store.stamps()
        jobs = [self._job(file, stamps.get(file.path)) for file in files]
        batch: list[FileRecord] = []
        skipped: list[Skipped] = []
        touched: list[Unchanged] = []
        with closing(parse_files(jobs, self._counter)) as results:
            for done, result in enumerate(results, start=1):
                if isinstance(result, FileRecord):
                    batch.append(result)
                elif isinstance(result, Skipped):
                    skipped.append(result)
                    self._skipped[result.reason.value] += 1
                else:
                    touched.append(result)
                if len(batch) >= WRITE_EVERY:
                    self._take_in(batch)
                    batch = []
                if on_progress is not None:
                    on_progress(IndexProgress(done=done, total=len(jobs), path=result.path))
        self._take_in(batch)
        for path in [item.path for item in skipped if item.path in self._files]:
            self._take_out(path)
        self._store.note(
            removed=[item.path for item in skipped],
            skipped=[item for item in skipped if item.mtime_ns],
            unchanged=touched,
        )
        if touched and self._store.writable:
            self._load_touched({item.path for item in touched})
        elif touched:
            # What is stored of them could not be told that it is still true.
            paths = {item.path for item in touched}
            self._parse([file for file in files if file.path in paths], None)

    def _load_touched(self, paths: set[str]) -> None:
        """Take over files whose time stamp alone had changed."""
        with self._store.reading():
            base = self._store.base()
            tables = {}
            for stored in self._store.files(base):
                if stored.path not in paths:
                    continue
                self._hold_stored(stored)
                if stored.table is not None:
                    tables[stored.path] = stored.table
                elif base is not None:
                    tables[stored.path] = base.table(stored.id)
        self._text.add(tables)

    def _compact(self) -> None:
        """Put all postings into the base when too many lie outside of it."""
        if not self._store.writable or self._text.loose <= LOOSE_SHARE:
            return
        base, paths = self._text.compact()
        mapped = self._store.write_base(base, paths)
        if mapped is not None:
            self._text.rest_on(mapped)

    def _compact_in_use(self) -> None:
        """Put a long session's changes into the base, when no question waits; never text that is not on disk yet."""
        if self._text.loose_chunks > LOOSE_CHUNKS and all(held.text is None for held in self._files.values()):
            self._compact()

    def _job(self, file: ScannedFile, stamp: Stamp | None) -> Job:
        digest = stamp.digest if stamp and stamp.language == file.language.name and self._store.writable else None
        return Job(file.path, f"{self._root_text}/{file.path}", file.language.name, digest, file.size)

    # --- keeping ----------------------------------------------------------------------------------------------

    def _take_in(self, records: Sequence[FileRecord]) -> None:
        """Add parsed files to memory and disk."""
        if not records:
            return
        self._text.add({record.path: record.chunks for record in records})
        for record in records:
            self._hold(record, text=None)
        self._reparsed += len(records)
        self._write(records)

    def _write(self, records: Sequence[FileRecord]) -> None:
        """Store files; an index that turns out to be damaged is emptied, and filled when it is next opened."""
        try:
            self._store.write(records, self._text.vocabulary, self._facts.names)
        except CorruptIndexError:
            self._store.start_over(self.root)
            self._store.write(records, self._text.vocabulary, self._facts.names)

    def _hold(self, record: FileRecord, *, text: str | None) -> None:
        self._files[record.path] = Held(
            language=record.language,
            mtime_ns=record.mtime_ns,
            size=record.size,
            symbols=record.symbols,
            unparsed=record.unparsed,
            text=text,
        )
        self._texts.forget(record.path)
        self._facts.put(record.path, record.packed, record.names)

    def _hold_stored(self, stored: StoredFile) -> None:
        self._files[stored.path] = Held(
            language=stored.stamp.language,
            mtime_ns=stored.stamp.mtime_ns,
            size=stored.stamp.size,
            symbols=stored.symbols,
            unparsed=stored.unparsed,
            text=None,
        )
        self._facts.put(stored.path, stored.packed, stored.names)

    def _take_out(self, path: str) -> None:
        if self._files.pop(path, None) is None:
            return
        self._texts.forget(path)
        self._trees.drop(path)
        self._facts.drop(path)
        self._text.remove([path])
        self._store.note(removed=[path])

    def _update_from_disk(self, file: ScannedFile) -> None:
        (result,) = record_files([self._job(file, None)], self._counter)
        if isinstance(result, FileRecord):
            self._take_in([result])
            self._compact_in_use()
        else:
            self._take_out(file.path)

    def _update_from_text(self, file: ScannedFile, text: str) -> None:
        source = source_of(file.path, text)
        if isinstance(source, SkipReason) or reject_text(source) is not None:
            self._take_out(file.path)
            return
        record = record_text(
            file.path,
            source,
            file.language,
            self._counter,
            self._trees,
            mtime_ns=file.mtime_ns,
            size=len(text.encode("utf-8", "surrogatepass")),
        )
        self._text.add({record.path: record.chunks})
        self._hold(record, text=source)

    def _read_settings(self) -> None:
        """Give the import graph the texts of the files that module resolution depends on."""
        indexed = {path: text for path in self._settings_paths() if (text := self._texts.read(path))}
        self._facts.set_settings({**build_settings(self.root), **indexed})

    def _settings_paths(self) -> Iterable[str]:
        return [path for path in self._files if is_settings_file(path)]

    # --- asking -----------------------------------------------------------------------------------------------

    def _imports_at(self, cursor: Cursor) -> tuple[Import, ...]:
        """Return the edited file's imports: as indexed, or read from its text when it is not in the index."""
        held = self._files.get(cursor.path)
        if held is not None:
            return self._facts.graph.statements_of(cursor.path)
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


def _is_same(stamp: Stamp | Held, file: ScannedFile) -> bool:
    return (stamp.mtime_ns, stamp.size, stamp.language) == (file.mtime_ns, file.size, file.language.name)
