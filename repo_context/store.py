"""The index on disk: a SQLite file and postings beside it, in a private folder outside the repository.

SQLite holds what is known of each file, and which generation of postings is current. Postings of most files lie in the
base, arrays that are mapped as they are; those of files that came later are appended to a log until there is a new
base. Whatever is not named by a committed row was never written: a process may be killed at any moment. A reader
trusts nothing: pages, checksums, references and the format's fingerprint are checked when the index is opened, and an
index that fails is deleted and built anew. One process at a time may write; others that open the same index read it,
and keep their changes in memory. So does one that cannot write, because the disk is full or the folder read-only.
"""

import hashlib
import os
import shutil
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from repo_context.cache_folder import cache_folder
from repo_context.chunk_terms import ChunkTable, Ints
from repo_context.errors import CorruptIndexError, IndexFolderError
from repo_context.file_record import FileRecord, Skipped, SkipReason, Unchanged
from repo_context.index_database import (
    corruption_reported,
    delete_index,
    delete_postings,
    empty,
    is_corruption,
    open_for_reading,
    open_for_writing,
    take_lock,
)
from repo_context.postings import Base, pack_table, unpack_table


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

    id: int
    path: str
    stamp: Stamp
    unparsed: str
    symbols: int
    """How many definitions there are in `packed`."""
    packed: bytes
    """Definitions, imports and packages, as `file_record.pack_syntax` writes them."""
    names: Ints
    """Numbers of the names that it uses."""
    table: ChunkTable | None
    """None for a file whose postings are in the base."""


def default_index_folder(root: Path) -> Path:
    """Return where the index of a repository lies: below `MIDFILL_HOME`, else in the user's cache folder."""
    digest = hashlib.blake2b(os.fsencode(root), digest_size=6).hexdigest()
    name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in root.name)[:60]
    return cache_folder() / "index" / f"{name or 'root'}-{digest}"


class Store:
    """The index of one repository on disk; for one caller at a time, from whichever thread."""

    def __init__(self, folder: Path, connection: sqlite3.Connection, lock: int | None, warning: str = "") -> None:
        self.folder = folder
        self.warning = warning
        """Why changes are not stored although no other process holds the index; empty while they are."""
        self._connection = connection
        self._lock = lock
        self._stored = {"terms": 0, "names": 0}
        self._generation = 0
        self._log_length = 0

    @classmethod
    def open(cls, folder: Path, root: Path) -> "Store":
        """Open or create the index of `root` in `folder`.

        Where the folder cannot be written, what is in it is read, and changes are kept in memory: `warning` says so.
        Errors: `IndexFolderError` when the folder lies in the repository.
        """
        if folder.resolve().is_relative_to(root):
            raise IndexFolderError(
                f"the index folder {folder} lies inside the repository {root}: set MIDFILL_HOME to a folder outside it"
            )
        lock = None
        try:
            lock = take_lock(folder)
            connection = open_for_writing(folder, root) if lock is not None else open_for_reading(folder, root)
            store = cls(folder, connection, lock)
        except (OSError, sqlite3.Error) as error:
            if lock is not None:
                os.close(lock)
            store = cls(folder, open_for_reading(folder, root), None, _cannot_write(folder, error))
        if store.writable:
            store._sweep()
            store._log_length = store._log().stat().st_size if store._log().exists() else 0
        return store

    @property
    def writable(self) -> bool:
        """False when another process holds the index; changes are then not stored."""
        return self._lock is not None

    def start_over(self, root: Path) -> None:
        """Throw away all that is stored."""
        self._connection.close()
        self._stored = {"terms": 0, "names": 0}
        self._log_length = self._generation = 0
        if self.writable:
            try:
                delete_index(self.folder)
                self._connection = open_for_writing(self.folder, root)
            except (OSError, sqlite3.Error) as error:
                self._give_up_writing(error)
        if not self.writable:
            self._connection = empty(root)

    def _give_up_writing(self, error: Exception) -> None:
        """Leave what was committed to later processes, and keep what comes now in memory alone."""
        self.warning = _cannot_write(self.folder, error)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Let all reads inside see one state of the index, whatever another process writes meanwhile."""
        with corruption_reported():
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.rollback()

    def base(self) -> Base | None:
        """Map the postings of the current generation; None while there is none.

        Errors: `CorruptIndexError`; `FileNotFoundError` when another process has just replaced them: read again.
        """
        with corruption_reported():
            (self._generation,) = self._connection.execute("SELECT number FROM generation").fetchone()
        if not self._generation:
            return None
        try:
            return Base.load(self._base_folder(self._generation))
        except FileNotFoundError as error:
            if self.writable:
                raise CorruptIndexError("the index's postings are gone") from error
            raise

    def stamps(self) -> dict[str, Stamp]:
        """Return path → stamp of every file stored."""
        with corruption_reported():
            rows = self._connection.execute("SELECT path, mtime_ns, size, language, hash FROM files")
            return {
                path: Stamp(mtime_ns=mtime_ns, size=size, language=language, digest=digest)
                for path, mtime_ns, size, language, digest in rows
            }

    def skipped(self) -> dict[str, Skipped]:
        """Return path → why it was left out, for files whose content was looked at."""
        with corruption_reported():
            rows = self._connection.execute("SELECT path, reason, mtime_ns, size FROM skipped")
            return {
                path: Skipped(path=path, reason=SkipReason[reason], mtime_ns=mtime_ns, size=size)
                for path, reason, mtime_ns, size in rows
            }

    def vocabulary(self) -> dict[str, int]:
        """Return term → id."""
        return self._words("terms")

    def names(self) -> dict[str, int]:
        """Return name → id, of the names that files use."""
        return self._words("names")

    def files(self, base: Base | None) -> Iterator[StoredFile]:
        """Yield every file stored; `CorruptIndexError` when one cannot be trusted. `base` is what `base()` returned."""
        based = frozenset(base.file_ids.tolist()) if base is not None else frozenset()
        with corruption_reported():
            log = self._read_log()
            rows = self._connection.execute(
                "SELECT id, path, mtime_ns, size, language, hash, unparsed, log_offset, log_length, checksum, symbols,"
                " syntax, names FROM files ORDER BY id"
            )
            for (
                number,
                path,
                mtime_ns,
                size,
                language,
                digest,
                unparsed,
                offset,
                length,
                checksum,
                symbols,
                packed,
                used,
            ) in rows:
                if zlib.crc32(used, zlib.crc32(packed)) != checksum:
                    raise CorruptIndexError(f"the index's copy of {path} fails its checksum")
                names = np.frombuffer(used, "<i4")
                if len(names) and int(names.max()) >= self._stored["names"]:
                    raise CorruptIndexError(f"the index's copy of {path} uses names that it does not hold")
                own_table = log[offset : offset + length]
                yield StoredFile(
                    id=number,
                    path=path,
                    stamp=Stamp(mtime_ns=mtime_ns, size=size, language=language, digest=digest),
                    unparsed=unparsed,
                    symbols=symbols,
                    packed=packed,
                    names=names,
                    table=None if number in based else unpack_table(own_table, self._stored["terms"]),
                )

    def write(self, records: Sequence[FileRecord], vocabulary: Mapping[str, int], names: Mapping[str, int]) -> None:
        """Add or replace files, all or none, with the terms and names that they brought."""
        if not self.writable:
            return
        tables = [pack_table(record.chunks) for record in records]
        with self._transaction() as connection:
            if connection is None:
                return
            offset = self._append_to_log(tables)
            self._write_words(connection, "terms", vocabulary)
            self._write_words(connection, "names", names)
            rows = []
            for record, table in zip(records, tables, strict=True):
                rows.append(_row(record, offset, len(table)))
                offset += len(table)
            connection.executemany("DELETE FROM skipped WHERE path = ?", [(record.path,) for record in records])
            connection.executemany(_INSERT, rows)
            self._log_length = offset

    def write_base(self, base: Base, paths: Sequence[str]) -> Base | None:
        """Make `base` the postings of all files stored, and return it mapped from disk; None when that cannot be.

        `paths` are its files in its order. It must hold what the store holds, no more and no less.
        """
        if not self.writable:
            return None
        ids = dict(self._connection.execute("SELECT path, id FROM files").fetchall())
        if ids.keys() != set(paths):
            return None
        new = self._generation + 1
        folder = self._base_folder(new)
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
            base.save(folder, np.array([ids[path] for path in paths], np.int64))
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            self._give_up_writing(error)
            return None
        with self._transaction() as connection:
            assert connection is not None
            connection.execute("UPDATE generation SET number = ?", (new,))
        return self._now_at(new)

    def _now_at(self, generation: int) -> Base | None:
        """Map the base that was written, if a row could be committed that names it, and delete the one before."""
        if not self.writable:
            return None
        self._generation, self._log_length = generation, 0
        self._sweep()
        return Base.load(self._base_folder(generation))

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
        """Give a connection whose changes are kept all or none; None when nothing is stored.

        When they cannot be written, nothing is stored from then on.
        """
        if not self.writable:
            yield None
            return
        stored_before = dict(self._stored)
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
        except (sqlite3.Error, OSError) as error:
            self._stored = stored_before
            if isinstance(error, sqlite3.Error) and is_corruption(error):
                raise CorruptIndexError(f"the index is damaged: {error}") from error
            self._give_up_writing(error)

    def _words(self, table: str) -> dict[str, int]:
        with corruption_reported():
            rows = self._connection.execute(f"SELECT first, terms FROM {table} ORDER BY first").fetchall()  # noqa: S608
            words: list[str] = []
            for first, text in rows:
                if first != len(words):
                    raise CorruptIndexError("the index's vocabulary has holes")
                words.extend(text.split("\n"))
        numbers = dict(zip(words, range(len(words)), strict=True))
        if len(numbers) != len(words):
            raise CorruptIndexError("the index's vocabulary repeats itself")
        self._stored[table] = len(words)
        return numbers

    def _write_words(self, connection: sqlite3.Connection, table: str, words: Mapping[str, int]) -> None:
        stored = self._stored[table]
        new = list(islice(words, stored, None))
        if new:
            connection.execute(f"INSERT INTO {table} VALUES (?, ?)", (stored, "\n".join(new)))  # noqa: S608
            self._stored[table] += len(new)

    def _append_to_log(self, tables: Sequence[bytes]) -> int:
        """Append tables and return where the first lies; what an earlier process left behind is overwritten."""
        with open(self._log(), "ab") as log:  # noqa: PTH123 -- the fast way, a hundred times an indexing
            log.truncate(self._log_length)
            log.write(b"".join(tables))
        return self._log_length

    def _read_log(self) -> bytes:
        """Return the log of the current generation."""
        try:
            content = self._log().read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            content = b""
        self._log_length = len(content)
        return content

    def _base_folder(self, generation: int) -> Path:
        return self.folder / f"postings-{generation}"

    def _log(self) -> Path:
        return self.folder / f"postings-{self._generation}.log"

    def _sweep(self) -> None:
        """Delete postings of other generations than the current one: earlier ones, and one that was never finished."""
        try:
            (self._generation,) = self._connection.execute("SELECT number FROM generation").fetchone()
        except (sqlite3.Error, TypeError):
            # Whoever reads next finds that out too, and has the index rebuilt.
            return
        delete_postings(self.folder, keep=(self._base_folder(self._generation), self._log()))


_INSERT = (
    "INSERT OR REPLACE INTO files (path, mtime_ns, size, language, hash, unparsed, log_offset, log_length, checksum,"
    " symbols, syntax, names) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def _row(record: FileRecord, offset: int, length: int) -> tuple[object, ...]:
    names = record.names.astype("<i4", copy=False).tobytes()
    return (
        record.path,
        record.mtime_ns,
        record.size,
        record.language,
        record.digest,
        record.unparsed,
        offset,
        length,
        zlib.crc32(names, zlib.crc32(record.packed)),
        record.symbols,
        record.packed,
        names,
    )


def _cannot_write(folder: Path, error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) else error
    return (
        f"cannot write the index in {folder}: {reason}; it is kept in memory and made anew at each start until there is"
        " space, or MIDFILL_HOME is set to a writable folder"
    )
