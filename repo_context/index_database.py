"""The index's SQLite file: opened by one process for writing, by others for reading, checked, and made anew.

Pages and the format's fingerprint are checked when it is opened; one that fails is deleted.
"""

import fcntl
import hashlib
import marshal
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from repo_context.errors import CorruptIndexError
from repo_context.languages import PARSED_LANGUAGES, query_source

FORMAT = 5
"""Raise it when what is stored, or how chunks and terms are cut, changes."""
DATABASE = "index.sqlite"
LOCK = "writer.lock"

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE generation (number INTEGER NOT NULL);
-- AUTOINCREMENT: the id of a file that was replaced is never given to another, so that a base can name files by id.
CREATE TABLE files (
    id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL UNIQUE, mtime_ns INTEGER NOT NULL, size INTEGER NOT NULL,
    language TEXT NOT NULL, hash BLOB NOT NULL, unparsed TEXT NOT NULL, log_offset INTEGER NOT NULL,
    log_length INTEGER NOT NULL, checksum INTEGER NOT NULL, symbols INTEGER NOT NULL, syntax BLOB NOT NULL,
    names BLOB NOT NULL
);
CREATE TABLE terms (first INTEGER PRIMARY KEY, terms TEXT NOT NULL);
CREATE TABLE names (first INTEGER PRIMARY KEY, terms TEXT NOT NULL);
CREATE TABLE skipped (
    path TEXT PRIMARY KEY, reason TEXT NOT NULL, mtime_ns INTEGER NOT NULL, size INTEGER NOT NULL
) WITHOUT ROWID;
"""


def take_lock(folder: Path) -> int | None:
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


def open_for_writing(folder: Path, root: Path) -> sqlite3.Connection:
    """Open the database, or delete it and create a new one when it cannot be trusted."""
    database = folder / DATABASE
    try:
        if database.exists():
            return _checked(sqlite3.connect(database, isolation_level=None, check_same_thread=False), root)
    except CorruptIndexError:
        delete_index(folder)
    except sqlite3.Error as error:
        if not is_corruption(error):
            raise
        delete_index(folder)
    connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    try:
        database.chmod(0o600)
        connection.execute("PRAGMA journal_mode = WAL")
        return _create(_configured(connection), root)
    except (sqlite3.Error, OSError):
        connection.close()
        raise


def open_for_reading(folder: Path, root: Path) -> sqlite3.Connection:
    """Open a database that is not ours to write; when it cannot be read, an empty one in memory."""
    try:
        uri = f"{(folder / DATABASE).as_uri()}?mode=ro"
        return _checked(sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False), root)
    except (sqlite3.Error, CorruptIndexError):
        return empty(root)


def empty(root: Path) -> sqlite3.Connection:
    """Return a database in memory that holds nothing."""
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
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if "meta" not in tables or dict(connection.execute("SELECT key, value FROM meta").fetchall()) != _meta(root):
            raise CorruptIndexError("the index is of another format or repository")
    except (sqlite3.Error, CorruptIndexError):
        connection.close()
        raise
    return connection


def _create(connection: sqlite3.Connection, root: Path) -> sqlite3.Connection:
    connection.executescript(_SCHEMA)
    connection.executemany("INSERT INTO meta VALUES (?, ?)", _meta(root).items())
    connection.execute("INSERT INTO generation VALUES (0)")
    return connection


def _meta(root: Path) -> dict[str, str]:
    # Syntax is written with `marshal`, whose format may change from one Python to the next.
    form = f"{FORMAT} {marshal.version} {sys.version_info[:2]}"
    return {"format": form, "root": os.fsencode(root).hex(), "grammars": _grammar_fingerprint()}


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


def delete_index(folder: Path) -> None:
    """Delete the database and all postings."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        (folder / f"{DATABASE}{suffix}").unlink(missing_ok=True)
    delete_postings(folder)


def delete_postings(folder: Path, keep: Sequence[Path] = ()) -> None:
    """Delete postings but for those in `keep`."""
    for entry in folder.glob("postings-*"):
        if entry in keep:
            continue
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def is_corruption(error: sqlite3.Error) -> bool:
    """Tell damage from a full disk or a lock: those are `OperationalError`, a subclass."""
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)


@contextmanager
def corruption_reported() -> Iterator[None]:
    """Turn whatever a damaged database makes a reader raise into `CorruptIndexError`."""
    try:
        yield
    except (sqlite3.Error, ValueError, KeyError, TypeError, IndexError, AssertionError) as error:
        raise CorruptIndexError(f"the index cannot be read: {error}") from error
