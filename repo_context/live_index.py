"""A repository's files in memory, kept in step with the folder, the index on disk and the editor's unsaved texts."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path, PurePosixPath

from repo_context.chunk_terms import ChunkTable, TermCounter
from repo_context.errors import CorruptIndexError
from repo_context.file_facts import FileFacts
from repo_context.file_record import (
    FileRecord,
    Job,
    Skipped,
    SkipReason,
    Unchanged,
    record_files,
    record_text,
    reject_text,
    source_of,
)
from repo_context.file_texts import FileTexts, Held
from repo_context.kept_trees import KeptTrees
from repo_context.languages import language_of
from repo_context.parse_pool import parse_files
from repo_context.resolvers import build_settings, is_settings_file
from repo_context.scan import IGNORE_FILES, Scan, ScannedFile, Scanner
from repo_context.snippet import IndexProgress
from repo_context.store import Stamp, Store, StoredFile
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


class LiveIndex:
    """What is known of each file; paths are relative to the root."""

    def __init__(self, root: Path, store: Store) -> None:
        self.store = store
        self.files: dict[str, Held] = {}
        self.texts = FileTexts(root, self.files)
        self.facts = FileFacts(root.name)
        self.text = TextIndex()
        self.skipped: Counter[str] = Counter()
        """Reason → number of files that the last look at the folder left out."""
        self.reparsed = 0
        """Files parsed since this was made."""
        self.trees = KeptTrees()
        self._root = root
        self._root_text = str(root).rstrip("/")
        self._scanner = Scanner(root)
        self._counter = TermCounter(self.text.vocabulary, self.facts.names)

    def bring_up_to_date(self, on_progress: ProgressCallback | None) -> None:
        """Take over what is stored and still true, and index the rest; `on_progress` is called after each file."""
        scan = self._scanner.scan()
        try:
            self._load(scan.files)
        except CorruptIndexError:
            self.store.start_over(self._root)
            self._forget_all()
        self._parse(self._changed(scan), on_progress)
        self._compact()
        self._read_settings()

    def update(self, path: str, text: str | None) -> None:
        """Index one file again: from `text`, the editor's unsaved version, or else from disk."""
        if PurePosixPath(path).name in IGNORE_FILES:
            self.refresh()
        judged = self._scanner.judge_file(path)
        if isinstance(judged, SkipReason):
            self.take_out(path)
        elif text is None:
            self._update_from_disk(judged)
        else:
            self._update_from_text(judged, text)
        if is_settings_file(path):
            self._read_settings()

    def refresh(self) -> None:
        """Look at the whole folder again, with fresh ignore rules; unsaved text stays."""
        scan = self._scanner.scan()
        present = {file.path: file for file in scan.files}
        for path in [path for path in self.files if path not in present]:
            if self.files[path].text is None or isinstance(self._scanner.judge_file(path), SkipReason):
                self.take_out(path)
        self.skipped = Counter()
        self._parse(self._changed(scan), None)
        self._compact_in_use()
        self._read_settings()

    def make_ready(self, path: str) -> None:
        """Read an indexed file as an edit would, so that its first one finds a tree, and its words' terms, like any."""
        language = language_of(path)
        text = self.texts.read(path) if language and path in self.files and path not in self.trees else None
        if language is not None and text is not None and reject_text(text) is None:
            record_text(path, text, language, self._counter, self.trees)

    def take_out(self, path: str) -> None:
        """Forget one file; nothing happens when it is not in."""
        if self.files.pop(path, None) is None:
            return
        self.texts.forget(path)
        self.trees.drop(path)
        self.facts.drop(path)
        self.text.remove([path])
        self.store.note(removed=[path])

    def _forget_all(self) -> None:
        self._start_with(TextIndex(), {})

    def _start_with(self, text: TextIndex, names: dict[str, int]) -> None:
        self.files.clear()
        self.text, self.facts = text, FileFacts(self._root.name, names)
        self._counter = TermCounter(text.vocabulary, names)

    def _changed(self, scan: Scan) -> list[ScannedFile]:
        """Return the files that are not in the index as they are now, and count those that are known to be left out."""
        known_skips = self.store.skipped()
        for reason, count in scan.skipped.items():
            self.skipped[reason.value] += count
        changed = []
        for file in scan.files:
            held, skip = self.files.get(file.path), known_skips.get(file.path)
            if skip is not None and (skip.mtime_ns, skip.size) == (file.mtime_ns, file.size):
                self.skipped[skip.reason.value] += 1
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
        self.store.note(removed=[*gone, *(path for path in self.store.skipped() if path not in present)])

    def _load_once(self, present: Mapping[str, ScannedFile]) -> list[str]:
        """Fill the empty indexes with what is stored of files that are unchanged; returns the paths of those gone."""
        gone = []
        in_base: dict[int, str] = {}
        loose: dict[str, ChunkTable] = {}
        with self.store.reading():
            vocabulary = self.store.vocabulary()
            self._start_with(TextIndex(vocabulary), self.store.names())
            base = self.store.base()
            for stored in self.store.files(base):
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
            self.text = TextIndex.over(base, vocabulary, numbered)
        self.text.add(loose)
        return gone

    def _parse(self, files: Sequence[ScannedFile], on_progress: ProgressCallback | None) -> None:
        """Read and parse files, several at a time, and store them in batches."""
        stamps = self.store.stamps()
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
                    self.skipped[result.reason.value] += 1
                else:
                    touched.append(result)
                if len(batch) >= WRITE_EVERY:
                    self._take_in(batch)
                    batch = []
                if on_progress is not None:
                    on_progress(IndexProgress(done=done, total=len(jobs), path=result.path))
        self._take_in(batch)
        for path in [item.path for item in skipped if item.path in self.files]:
            self.take_out(path)
        self.store.note(
            removed=[item.path for item in skipped],
            skipped=[item for item in skipped if item.mtime_ns],
            unchanged=touched,
        )
        if touched and self.store.writable:
            self._load_touched({item.path for item in touched})
        elif touched:
            # What is stored of them could not be told that it is still true.
            paths = {item.path for item in touched}
            self._parse([file for file in files if file.path in paths], None)

    def _load_touched(self, paths: set[str]) -> None:
        """Take over files whose time stamp alone had changed."""
        with self.store.reading():
            base = self.store.base()
            tables = {}
            for stored in self.store.files(base):
                if stored.path not in paths:
                    continue
                self._hold_stored(stored)
                if stored.table is not None:
                    tables[stored.path] = stored.table
                elif base is not None:
                    tables[stored.path] = base.table(stored.id)
        self.text.add(tables)

    def _compact(self) -> None:
        """Put all postings into the base when too many lie outside of it."""
        if not self.store.writable or self.text.loose <= LOOSE_SHARE:
            return
        base, paths = self.text.compact()
        mapped = self.store.write_base(base, paths)
        if mapped is not None:
            self.text.rest_on(mapped)

    def _compact_in_use(self) -> None:
        """Put a long session's changes into the base, when no question waits; never text that is not on disk yet."""
        if self.text.loose_chunks > LOOSE_CHUNKS and all(held.text is None for held in self.files.values()):
            self._compact()

    def _job(self, file: ScannedFile, stamp: Stamp | None) -> Job:
        digest = stamp.digest if stamp and stamp.language == file.language.name and self.store.writable else None
        return Job(file.path, f"{self._root_text}/{file.path}", file.language.name, digest, file.size)

    def _take_in(self, records: Sequence[FileRecord]) -> None:
        """Add parsed files to memory and disk."""
        if not records:
            return
        self.text.add({record.path: record.chunks for record in records})
        for record in records:
            self._hold(record, text=None)
        self.reparsed += len(records)
        self._write(records)

    def _write(self, records: Sequence[FileRecord]) -> None:
        """Store files; an index that turns out to be damaged is emptied, and filled when it is next opened."""
        try:
            self.store.write(records, self.text.vocabulary, self.facts.names)
        except CorruptIndexError:
            self.store.start_over(self._root)
            self.store.write(records, self.text.vocabulary, self.facts.names)

    def _hold(self, record: FileRecord, *, text: str | None) -> None:
        self.files[record.path] = Held(
            language=record.language,
            mtime_ns=record.mtime_ns,
            size=record.size,
            symbols=record.symbols,
            unparsed=record.unparsed,
            text=text,
        )
        self.texts.forget(record.path)
        self.facts.put(record.path, record.packed, record.names)

    def _hold_stored(self, stored: StoredFile) -> None:
        self.files[stored.path] = Held(
            language=stored.stamp.language,
            mtime_ns=stored.stamp.mtime_ns,
            size=stored.stamp.size,
            symbols=stored.symbols,
            unparsed=stored.unparsed,
            text=None,
        )
        self.facts.put(stored.path, stored.packed, stored.names)

    def _update_from_disk(self, file: ScannedFile) -> None:
        (result,) = record_files([self._job(file, None)], self._counter)
        if isinstance(result, FileRecord):
            self._take_in([result])
            self._compact_in_use()
        else:
            self.take_out(file.path)

    def _update_from_text(self, file: ScannedFile, text: str) -> None:
        source = source_of(file.path, text)
        if isinstance(source, SkipReason) or reject_text(source) is not None:
            self.take_out(file.path)
            return
        record = record_text(
            file.path,
            source,
            file.language,
            self._counter,
            self.trees,
            mtime_ns=file.mtime_ns,
            size=len(text.encode("utf-8", "surrogatepass")),
        )
        self.text.add({record.path: record.chunks})
        self._hold(record, text=source)

    def _read_settings(self) -> None:
        """Give the import graph the texts of the files that module resolution depends on."""
        indexed = {path: text for path in self._settings_paths() if (text := self.texts.read(path))}
        self.facts.set_settings({**build_settings(self._root), **indexed})

    def _settings_paths(self) -> Iterable[str]:
        return [path for path in self.files if is_settings_file(path)]


def _is_same(stamp: Stamp | Held, file: ScannedFile) -> bool:
    return (stamp.mtime_ns, stamp.size, stamp.language) == (file.mtime_ns, file.size, file.language.name)
