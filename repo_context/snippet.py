"""The frozen values that pass through repo_context's door."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """A place in a file, with the text on both sides of it as the editor holds it now."""

    path: str
    """Relative to the repository's root, with forward slashes."""
    prefix: str
    suffix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """A piece of another file that helps at a cursor, and why it was chosen."""

    path: str
    """Relative to the repository's root, with forward slashes."""
    comment: str
    """Line-comment marker of the file's language."""
    text: str
    start_line: int
    """First line, 0-based."""
    end_line: int
    """One past the last line, 0-based."""
    score: float
    """Comparable within one reason only."""
    reason: str
    """One phrase for a person: `definition of load_config`, `similar text (BM25)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedFile:
    """One file that the index holds."""

    path: str
    absolute_path: Path
    language: str
    size: int
    """Bytes on disk when it was indexed."""

    @property
    def is_read_as_stored(self) -> bool:
        """Whether the indexed text is what the file on disk says; of a notebook it is the code cells alone."""
        return self.language != "jupyter"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportEdge:
    """One file that imports another."""

    source: str
    """Path of the importing file."""
    target: str
    names: tuple[str, ...]
    """What it takes from there, as the target calls it; empty when it imports the file as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexProgress:
    """How far indexing has come."""

    done: int
    total: int
    path: str
    """The file just finished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSummary:
    """What an index holds and what it left out."""

    root: Path
    files: int
    symbols: int
    count_edges: Callable[[], int] = field(repr=False, compare=False)
    """Returns `edges`; which imports lead where is found out when it is called, or a question asks, not before."""
    chunks: int
    seconds: float
    """Wall time of the last open (scan, parse, store)."""
    reparsed: int
    """Files parsed by the last open; the others came from the index on disk."""
    by_language: dict[str, int]
    skipped: dict[str, int]
    """Reason → number of files left out."""
    index_folder: Path

    @property
    def edges(self) -> int:
        """Import edges between files of the repository, as it is when this is read."""
        return self.count_edges()
