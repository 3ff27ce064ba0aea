"""Counts of what became of suggestions, in a small SQLite file of this user's: numbers, never source text."""

import logging
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from lsp_server.completion.acceptance import KEPT_AFTER_SECONDS

log = logging.getLogger("midfill.stats")

HOPS: Final = ("total", "snippets", "queue", "prompt", "prefill", "decode")
"""Parts of an answer's time that are kept apart."""
_KEPT_DAYS: Final = 400
_LOCKED_SECONDS: Final = 2.0
_KEPT_COLUMNS: Final = ", ".join(f"kept_{after} integer" for after in KEPT_AFTER_SECONDS)
_HOP_COLUMNS: Final = ", ".join(f"{hop}_ms real" for hop in HOPS)
_SCHEMA: Final = f"""
create table if not exists requests (
    at real, language text, client text, source text, reason text, {_HOP_COLUMNS}
);
create table if not exists suggestions (
    id text primary key, at real, language text, client text, outcome text, characters integer, lines integer,
    taken integer, visible_ms real, confidence real, {_KEPT_COLUMNS}
);
create index if not exists requests_at on requests (at);
create index if not exists suggestions_at on suggestions (at);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """One answered request."""

    at: float
    """Seconds since 1970."""
    language: str
    client: str
    source: str
    reason: str
    total_ms: float
    snippets_ms: float | None = None
    queue_ms: float | None = None
    prompt_ms: float | None = None
    prefill_ms: float | None = None
    decode_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestionRow:
    """One suggestion that was on the screen."""

    id: str
    at: float
    language: str
    client: str
    outcome: str
    """`accepted`, `typed`, `partial`, `rejected` or `ignored`."""
    characters: int
    lines: int
    taken: int
    visible_ms: float
    confidence: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRow:
    """What is left of an accepted suggestion after a while."""

    id: str
    after: int
    """Seconds, one of `KEPT_AFTER_SECONDS`."""
    characters: int


Row = RequestRow | SuggestionRow | KeptRow


def path_in(state_folder: Path) -> Path:
    """Return the file in a state folder."""
    return state_folder / "stats.sqlite3"


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write rows; a file that is gone is made anew, and one that cannot be written costs nothing but the rows.

    It is opened for each batch: whoever deletes it in between deletes the statistics and breaks nothing.
    """
    try:
        with closing(_open(path)) as connection, connection:
            for row in rows:
                connection.execute(*_statement(row))
            connection.execute("delete from requests where at < ?", (time.time() - _KEPT_DAYS * 86400,))
            connection.execute("delete from suggestions where at < ?", (time.time() - _KEPT_DAYS * 86400,))
    except sqlite3.DatabaseError as error:
        log.warning("the statistics could not be written: %s", error)
        if "malformed" in str(error) or "not a database" in str(error):
            path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("the statistics could not be written: %s", error.strerror)


def read(path: Path, table: str, *, since: float) -> list[dict[str, Any]]:
    """Return the rows of `requests` or `suggestions` from a time on, oldest first; none where there is no file."""
    assert table in ("requests", "suggestions")
    if not path.is_file():
        return []
    try:
        with closing(_open(path)) as connection:
            connection.row_factory = sqlite3.Row
            found = connection.execute(f"select * from {table} where at >= ? order by at", (since,))  # noqa: S608
            return [dict(row) for row in found]
    except sqlite3.DatabaseError as error:
        log.warning("the statistics cannot be read: %s", error)
        return []


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_LOCKED_SECONDS)
    try:
        path.chmod(0o600)
        connection.execute("pragma journal_mode = wal")
        # A power cut may lose the last counts; nobody waits for a disk because of them.
        connection.execute("pragma synchronous = off")
        connection.executescript(_SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection


def _statement(row: Row) -> tuple[str, tuple[Any, ...]]:
    if isinstance(row, KeptRow):
        assert row.after in KEPT_AFTER_SECONDS
        return f"update suggestions set kept_{row.after} = ? where id = ?", (row.characters, row.id)  # noqa: S608
    table = "requests" if isinstance(row, RequestRow) else "suggestions"
    names = [field.name for field in fields(row)]
    marks = ", ".join("?" for _ in names)
    values = tuple(getattr(row, name) for name in names)
    return f"insert or replace into {table} ({', '.join(names)}) values ({marks})", values  # noqa: S608
