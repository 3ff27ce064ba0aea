"""The index on disk: one SQLite file in a private folder outside the repository.

A reader trusts nothing: pages, checksums, references between rows and the format's fingerprint are checked when the
index is opened, and an index that fails is deleted and built anew. One process at a time may write; others that
open the same index read it, and keep their changes in memory.
"""

import fcntl
import hashlib
import json
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from platformdirs import user_cache_dir

from repo_context.errors import CorruptIndexError, IndexFolderError
from repo_context.file_record import FileRecord, Skipped, SkipReason, Unchanged
from repo_context.languages import PARSED_LANGUAGES, query_source
from repo_context.syntax import Definition, Import, ImportedName
from repo_context.text_index import ChunkTable

FORMAT = 2
"""Raise it when what is stored, or how chunks and terms are cut, changes."""
DATABASE = "index.sqlite"
LOCK = "writer.lock"

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE files (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, language TEXT NOT NULL, mtime_ns INTEGER NOT NULL,
    size INTEGER NOT NULL, hash BLOB NOT NULL, unparsed TEXT NOT NULL, uses TEXT NOT NULL,
    packages TEXT NOT NULL, symbols INTEGER NOT NULL, imports INTEGER NOT NULL, checksum INTEGER NOT NULL
);
CREATE TABLE symbols (
    file INTEGER NOT NULL REFERENCES files ON DELETE CASCADE, number INTEGER NOT NULL, name TEXT NOT NULL,
    kind TEXT NOT NULL, start_line INTEGER NOT NULL, end_line INTEGER NOT NULL, signature TEXT NOT NULL,
    parent TEXT NOT NULL, PRIMARY KEY (file, number)
) WITHOUT ROWID;
CREATE TABLE imports (
    file INTEGER NOT NULL REFERENCES files ON DELETE CASCADE, number INTEGER NOT NULL, module TEXT NOT NULL,
    names TEXT NOT NULL, alias TEXT NOT NULL, wildcard INTEGER NOT NULL, line INTEGER NOT NULL,
    PRIMARY KEY (file, number)
) WITHOUT ROWID;
CREATE TABLE chunks (file INTEGER PRIMARY KEY REFERENCES files ON DELETE CASCADE, data BLOB NOT NULL);
CREATE TABLE terms (id INTEGER PRIMARY KEY, term TEXT NOT NULL);
CREATE TABLE skipped (
    path TEXT PRIMARY KEY, reason TEXT NOT NULL, mtime_ns INTEGER NOT NULL, size INTEGER NOT NULL
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What tells whether a file on disk is still the one that was indexed."""

    mtime_ns: int
    size: int
    language: str
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """One file as the store holds it."""

    path: str
    stamp: Stamp
    unparsed: str
    definitions: tuple[Definition, ...]
    references: Mapping[str, Sequence[int]]
    imports: tuple[Import, ...]
    packages: tuple[str, ...]
    table: ChunkTable


def default_index_folder(root: Path) -> Path:
    """Return where the index of a repository lies: below `MIDFILL_HOME`, else in the user's cache folder."""
    home = os.environ.get("MIDFILL_HOME")
    cache = Path(home) if home else Path(user_cache_dir("midfill"))
    digest = hashlib.blake2b(os.fsencode(root), digest_size=6).hexdigest()
    name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in root.name)[:60]
    return cache.absolute() / "index" / f"{name or 'root'}-{digest}"


class Store:
    """The index of one repository on disk; for one caller at a time, from whichever thread."""

    def __init__(self, folder: Path, connection: sqlite3.Connection, lock: int | None) -> None:
        self.folder = folder
        self._connection = connection
        self._lock = lock
        self._terms_stored = 0

    @classmethod
    def open(cls, folder: Path, root: Path) -> "Store":
        """Open or create the index of `root` in `folder`.

        Errors: `IndexFolderError` when the folder lies in the repository or cannot be written.
        """
        if folder.resolve().is_relative_to(root):
            raise IndexFolderError(
                f"the index folder {folder} lies inside the repository {root}: set MIDFILL_HOME to a folder outside it"
            )
        try:
            lock = _take_lock(folder)
        except OSError as error:
            raise IndexFolderError(
                f"cannot write the index folder {folder}: {error.strerror}; set MIDFILL_HOME to a writable folder"
            ) from error
        connection = _open_for_writing(folder, root) if lock is not None else _open_for_reading(folder, root)
        return cls(folder, connection, lock)

    @property
    def writable(self) -> bool:
        """False when another process holds the index; changes are then not stored."""
        return self._lock is not None

    def start_over(self, root: Path) -> None:
        """Throw away all that is stored."""
        self._connection.close()
        self._terms_stored = 0
        if self.writable:
            _delete_database(self.folder)
            self._connection = _open_for_writing(self.folder, root)
        else:
            self._connection = _create(sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False), root)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Let all reads inside see one state of the index, whatever another process writes meanwhile."""
        with _corruption_reported():
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.rollback()

    def stamps(self) -> dict[str, Stamp]:
        """Return path → stamp of every file stored."""
        with _corruption_reported():
            rows = self._connection.execute("SELECT path, mtime_ns, size, language, hash FROM files")
            return {
                path: Stamp(mtime_ns=mtime_ns, size=size, language=language, digest=digest)
                for path, mtime_ns, size, language, digest in rows
            }

    def skipped(self) -> dict[str, Skipped]:
        """Return path → why it was left out, for files whose content was looked at."""
        with _corruption_reported():
            rows = self._connection.execute("SELECT path, reason, mtime_ns, size FROM skipped")
            return {
                path: Skipped(path=path, reason=SkipReason[reason], mtime_ns=mtime_ns, size=size)
                for path, reason, mtime_ns, size in rows
            }

    def vocabulary(self) -> dict[str, int]:
        """Return term → id."""
        with _corruption_reported():
            rows = self._connection.execute("SELECT id, term FROM terms ORDER BY id").fetchall()
        terms = {term: number for number, term in rows}
        if [number for number, _ in rows] != list(range(len(terms))):
            raise CorruptIndexError("the index's vocabulary has holes")
        self._terms_stored = len(terms)
        return terms

    def files(self) -> Iterator[StoredFile]:
        """Yield every file stored; `CorruptIndexError` when one cannot be trusted."""
        with _corruption_reported():
            symbols = _grouped(
                self._connection.execute(
                    "SELECT file, name, kind, start_line, end_line, signature, parent FROM symbols"
                    " ORDER BY file, number"
                )
            )
            imports = _grouped(
                self._connection.execute(
                    "SELECT file, module, names, alias, wildcard, line FROM imports ORDER BY file, number"
                )
            )
            rows = self._connection.execute(
                "SELECT id, path, language, mtime_ns, size, hash, unparsed, uses, packages, symbols, imports, checksum,"
                " data FROM files LEFT JOIN chunks ON chunks.file = files.id ORDER BY id"
            )
            for row in rows:
                yield self._stored_file(row, symbols.get(row[0], []), imports.get(row[0], []))

    def write(self, records: Sequence[tuple[FileRecord, ChunkTable]], vocabulary: Mapping[str, int]) -> None:
        """Add or replace files, all or none, with the terms that they brought."""
        with self._transaction() as connection:
            if connection is None:
                return
            terms = list(vocabulary)
            new_terms = enumerate(terms[self._terms_stored :], start=self._terms_stored)
            connection.executemany("INSERT INTO terms VALUES (?, ?)", new_terms)
            self._terms_stored = len(terms)
            connection.executemany("DELETE FROM skipped WHERE path = ?", [(record.path,) for record, _ in records])
            for record, table in records:
                _write_file(connection, record, table)

    def note(
        self,
        *,
        removed: Iterable[str] = (),
        skipped: Iterable[Skipped] = (),
        unchanged: Iterable[Unchanged] = (),
    ) -> None:
        """Record files that went, files that were left out, and time stamps that moved."""
        with self._transaction() as connection:
            if connection is None:
                return
            gone = [(path,) for path in removed]
            connection.executemany("DELETE FROM files WHERE path = ?", gone)
            connection.executemany("DELETE FROM skipped WHERE path = ?", gone)
            connection.executemany(
                "INSERT OR REPLACE INTO skipped VALUES (?, ?, ?, ?)",
                [(item.path, item.reason.name, item.mtime_ns, item.size) for item in skipped],
            )
            connection.executemany(
                "UPDATE files SET mtime_ns = ?, size = ? WHERE path = ?",
                [(item.mtime_ns, item.size, item.path) for item in unchanged],
            )

    def close(self) -> None:
        """Close the database and let another process write; may be called twice."""
        self._connection.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection | None]:
        """Give a connection whose changes are kept all or none; None when another process writes."""
        if not self.writable:
            yield None
            return
        stored_before = self._terms_stored
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
        except sqlite3.Error as error:
            self._terms_stored = stored_before
            if _is_corruption(error):
                raise CorruptIndexError(f"the index is damaged: {error}") from error
            raise IndexFolderError(
                f"cannot write the index in {self.folder}: {error}; free some space or set MIDFILL_HOME"
            ) from error

    def _stored_file(
        self, row: Sequence[object], symbols: list[Sequence[object]], imports: list[Sequence[object]]
    ) -> StoredFile:
        _, path, language, mtime_ns, size, digest, unparsed, uses, packages, n_symbols, n_imports, checksum, data = row
        if len(symbols) != n_symbols or len(imports) != n_imports or not isinstance(data, bytes):
            raise CorruptIndexError(f"the index misses rows of {path}")
        assert isinstance(uses, str)
        if zlib.crc32(uses.encode("utf-8", "surrogatepass"), zlib.crc32(data)) != checksum:
            raise CorruptIndexError(f"the index's copy of {path} fails its checksum")
        return StoredFile(
            path=str(path),
            stamp=Stamp(mtime_ns=mtime_ns, size=size, language=str(language), digest=digest),  # type: ignore[arg-type]
            unparsed=str(unparsed),
            definitions=tuple(Definition(*symbol[1:]) for symbol in symbols),  # type: ignore[arg-type]
            references=json.loads(uses),
            imports=tuple(_import(item) for item in imports),
            packages=tuple(str(packages).split("\n")) if packages else (),
            table=_unpack(data, self._terms_stored),
        )


def _take_lock(folder: Path) -> int | None:
    """Make the folder private and lock it; None when another process holds the lock."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _open_for_writing(folder: Path, root: Path) -> sqlite3.Connection:
    """Open the database, or delete it and create a new one when it cannot be trusted."""
    database = folder / DATABASE
    try:
        if database.exists():
            return _checked(sqlite3.connect(database, isolation_level=None, check_same_thread=False), root)
    except (sqlite3.Error, CorruptIndexError):
        _delete_database(folder)
    try:
        connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
        database.chmod(0o600)
        connection.execute("PRAGMA journal_mode = WAL")
        return _create(_configured(connection), root)
    except (sqlite3.Error, OSError) as error:
        raise IndexFolderError(
            f"cannot create the index in {folder}: {error}; set MIDFILL_HOME to a writable folder"
        ) from error


def _open_for_reading(folder: Path, root: Path) -> sqlite3.Connection:
    """Open the database that another process writes; when it cannot be read, an empty one in memory."""
    try:
        uri = f"{(folder / DATABASE).as_uri()}?mode=ro"
        return _checked(sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False), root)
    except (sqlite3.Error, CorruptIndexError):
        return _create(sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False), root)


def _configured(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _checked(connection: sqlite3.Connection, root: Path) -> sqlite3.Connection:
    """Check pages and fingerprint; closes the connection when it raises."""
    try:
        _configured(connection)
        answer = connection.execute("PRAGMA quick_check(1)").fetchone()
        if answer != ("ok",):
            raise CorruptIndexError(f"the index is damaged: {answer}")
        rows = dict(connection.execute("SELECT key, value FROM meta").fetchall())
        if rows != _meta(root):
            raise CorruptIndexError("the index is of another format or repository")
    except (sqlite3.Error, CorruptIndexError):
        connection.close()
        raise
    return connection


def _create(connection: sqlite3.Connection, root: Path) -> sqlite3.Connection:
    connection.executescript(_SCHEMA)
    connection.executemany("INSERT INTO meta VALUES (?, ?)", _meta(root).items())
    return connection


def _meta(root: Path) -> dict[str, str]:
    return {"format": str(FORMAT), "root": os.fsencode(root).hex(), "grammars": _grammar_fingerprint()}


def _grammar_fingerprint() -> str:
    """Return a digest of everything that parsing depends on: an index made by other grammars is parsed anew."""
    digest = hashlib.blake2b(digest_size=16)
    for language in PARSED_LANGUAGES:
        if language.grammar is None:
            continue
        try:
            package = version(language.grammar.module.replace("_", "-"))
        except PackageNotFoundError:
            package = "missing"
        digest.update(f"{language.name} {package} {query_source(language.grammar)}".encode())
    return digest.hexdigest()


def _delete_database(folder: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        (folder / f"{DATABASE}{suffix}").unlink(missing_ok=True)


def _is_corruption(error: sqlite3.Error) -> bool:
    """Tell damage from a full disk or a lock: those are `OperationalError`, a subclass."""
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)


@contextmanager
def _corruption_reported() -> Iterator[None]:
    """Turn whatever a damaged database makes a reader raise into `CorruptIndexError`."""
    try:
        yield
    except (sqlite3.Error, ValueError, KeyError, TypeError, IndexError, AssertionError) as error:
        raise CorruptIndexError(f"the index cannot be read: {error}") from error


def _grouped(rows: Iterable[Sequence[object]]) -> dict[object, list[Sequence[object]]]:
    """Group rows by their first column."""
    groups: dict[object, list[Sequence[object]]] = {}
    for row in rows:
        groups.setdefault(row[0], []).append(row)
    return groups


def _import(row: Sequence[object]) -> Import:
    _, module, names, alias, wildcard, line = row
    assert isinstance(names, str)
    assert isinstance(line, int)
    return Import(
        module=str(module),
        names=tuple(ImportedName(*line.split("\t")) for line in names.split("\n")) if names else (),
        alias=str(alias),
        wildcard=bool(wildcard),
        line=line,
    )


def _write_file(connection: sqlite3.Connection, record: FileRecord, table: ChunkTable) -> None:
    data = _pack(table)
    uses = json.dumps(record.references, separators=(",", ":"))
    connection.execute("DELETE FROM files WHERE path = ?", (record.path,))
    file = connection.execute(
        "INSERT INTO files (path, language, mtime_ns, size, hash, unparsed, uses, packages, symbols, imports,"
        " checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            record.path,
            record.language,
            record.mtime_ns,
            record.size,
            record.digest,
            record.unparsed,
            uses,
            "\n".join(record.packages),
            len(record.definitions),
            len(record.imports),
            zlib.crc32(uses.encode("utf-8", "surrogatepass"), zlib.crc32(data)),
        ),
    ).lastrowid
    connection.executemany(
        "INSERT INTO symbols VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [(file, number, *definition) for number, definition in enumerate(record.definitions)],
    )
    connection.executemany(
        "INSERT INTO imports VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (file, number, item.module, _joined(item.names), item.alias, item.wildcard, item.line)
            for number, item in enumerate(record.imports)
        ],
    )
    connection.execute("INSERT INTO chunks VALUES (?, ?)", (file, data))


def _joined(names: Iterable[ImportedName]) -> str:
    """Write names one a line, name and alias apart by a tab; neither holds white space of its own."""
    return "\n".join("\t".join(name) for name in names)


def _pack(table: ChunkTable) -> bytes:
    """Put a table into bytes: two counts, the arrays in order, numbers little-endian, `counts` in two bytes each."""
    header = np.array([len(table), len(table.term_ids)], "<i4")
    parts = (header, table.starts, table.ends, table.pointers, table.term_ids)
    return b"".join(part.astype("<i4").tobytes() for part in parts) + table.counts.astype("<u2").tobytes()


def _unpack(data: bytes, vocabulary: int) -> ChunkTable:
    """Undo `_pack`; `CorruptIndexError` when lengths or term ids do not fit."""
    chunks, postings = (int(number) for number in np.frombuffer(data, "<i4", 2))
    sizes = (chunks, chunks, chunks + 1, postings)
    if len(data) != 4 * (2 + sum(sizes)) + 2 * postings:
        raise CorruptIndexError("the index holds a chunk table of the wrong length")
    arrays = []
    offset = 8
    for size in sizes:
        arrays.append(np.frombuffer(data, "<i4", size, offset).astype(np.int32, copy=False))
        offset += 4 * size
    starts, ends, pointers, term_ids = arrays
    if postings and (int(term_ids.max()) >= vocabulary or int(term_ids.min()) < 0):
        raise CorruptIndexError("the index refers to terms that it does not hold")
    counts = np.frombuffer(data, "<u2", postings, offset).astype(np.int32)
    return ChunkTable(starts=starts, ends=ends, pointers=pointers, term_ids=term_ids, counts=counts)
