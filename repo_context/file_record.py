"""What the index keeps about one file, and how it is made from the file's text."""

import hashlib
import os
import stat
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from repo_context import syntax
from repo_context.chunks import LineRange, cut_lines
from repo_context.errors import GrammarMissingError, ParseAbandonedError
from repo_context.languages import Language, language_named
from repo_context.notebook import MAX_NOTEBOOK_BYTES, code_of, is_notebook
from repo_context.syntax import Definition, FileSyntax, Import
from repo_context.terms import terms_of_word, words_of

MAX_FILE_BYTES = 1_048_576
"""Larger files (1 MiB) are left out."""
MAX_LINE_CHARACTERS = 5_000
"""A file with a longer line is minified, generated or data."""
MAX_MEAN_LINE_CHARACTERS = 250
"""A file of more than `MINIFIED_FROM_CHARACTERS` whose lines are longer than this on average is minified."""
MINIFIED_FROM_CHARACTERS = 4_096


class SkipReason(Enum):
    """Why a file is not in the index; the value is what a person reads in the summary."""

    ALWAYS_SKIPPED_FOLDER = "folder that is never indexed (.git, node_modules, virtual environments, caches)"
    IGNORED = "ignored by .gitignore, .midfillignore or .git/info/exclude"
    SECRET = "may hold secrets (.env, keys, credentials)"  # noqa: S105 -- a reason, not a password
    UNKNOWN_LANGUAGE = "no known language"
    NOT_A_NOTEBOOK = "notebook that cannot be read"
    GENERATED = "generated lock file"
    TOO_LARGE = "larger than 1 MiB"
    BINARY = "binary"
    NOT_UTF8 = "not UTF-8"
    LONG_LINES = "minified or very long lines"
    SYMLINK = "symbolic link inside the repository"
    SYMLINK_OUT = "symbolic link that leaves the repository"
    NOT_A_FILE = "not a regular file (socket, pipe, device)"
    ODD_NAME = "file name is not UTF-8"
    UNREADABLE = "cannot be read"
    VANISHED = "deleted while indexing"
    CRASHED = "its parser crashed"
    TOO_MANY = "beyond the limit of 100,000 files"


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A file that is left out, with what is needed to know it again without reading it."""

    path: str
    reason: SkipReason
    mtime_ns: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkTerms:
    """The chunks of one file and the terms in them, as arrays.

    Chunk i covers lines `starts[i]:ends[i]` and holds the postings `pointers[i]:pointers[i + 1]`; a posting is
    the place of a term in `terms` and how often it occurs.
    """

    terms: list[str]
    """Distinct terms of the file."""
    starts: "array[int]"
    ends: "array[int]"
    pointers: "array[int]"
    """One longer than `starts`."""
    places: "array[int]"
    counts: "array[int]"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """All that the index keeps about one file."""

    path: str
    language: str
    mtime_ns: int
    size: int
    digest: bytes
    """BLAKE2b of the content, 16 bytes."""
    definitions: tuple[Definition, ...]
    references: Mapping[str, Sequence[int]]
    imports: tuple[Import, ...]
    chunks: ChunkTerms
    packages: tuple[str, ...] = ()
    """`FileSyntax.packages`."""
    unparsed: str = ""
    """Why the file is indexed as plain text although its language is parsed; empty otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """A file whose time stamp is new and whose content is not."""

    path: str
    mtime_ns: int
    size: int


def record_file(
    path: str, absolute: Path, language: Language, known_digest: bytes | None = None
) -> FileRecord | Skipped | Unchanged:
    """Read and parse one file; `known_digest` is that of the copy which the index already holds, if any."""
    try:
        content, mtime_ns = _read(absolute, max_bytes(path))
    except FileNotFoundError:
        return Skipped(path=path, reason=SkipReason.VANISHED)
    except OSError:
        return Skipped(path=path, reason=SkipReason.UNREADABLE)
    if content is None:
        return Skipped(path=path, reason=SkipReason.NOT_A_FILE)
    size = len(content)
    digest = hashlib.blake2b(content, digest_size=16).digest()
    if digest == known_digest:
        return Unchanged(path=path, mtime_ns=mtime_ns, size=size)
    text = source_text(path, content)
    reason = text if isinstance(text, SkipReason) else reject_text(text)
    if reason is not None or isinstance(text, SkipReason):
        assert reason is not None
        return Skipped(path=path, reason=reason, mtime_ns=mtime_ns, size=size)
    return record_text(path, text, language, mtime_ns=mtime_ns, size=size, digest=digest)


def max_bytes(path: str) -> int:
    """Return how large a file may be; of a notebook only the code counts, and its outputs are most of it."""
    return MAX_NOTEBOOK_BYTES if is_notebook(path) else MAX_FILE_BYTES


def source_text(path: str, content: bytes) -> str | SkipReason:
    """Return the text of a file that is indexed, or say why there is none: of a notebook, the code of its cells."""
    text = decode(content, max_bytes(path))
    return text if isinstance(text, SkipReason) else source_of(path, text)


def source_of(path: str, text: str) -> str | SkipReason:
    """Return what is indexed of a file's text: all of it, or of a notebook the code of its cells."""
    if not is_notebook(path):
        return text
    code = code_of(text)
    return SkipReason.NOT_A_NOTEBOOK if code is None else code


def decode(content: bytes, limit: int = MAX_FILE_BYTES) -> str | SkipReason:
    """Decode a file as UTF-8, with or without a byte order mark, or say why it is no text."""
    if len(content) > limit:
        return SkipReason.TOO_LARGE
    if b"\0" in content[:8192]:
        return SkipReason.BINARY
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return SkipReason.NOT_UTF8


def reject_text(text: str) -> SkipReason | None:
    """Say why a text must not be indexed whatever its name; None when it may."""
    if len(text) > MAX_FILE_BYTES:
        return SkipReason.TOO_LARGE
    if "\0" in text[:8192]:
        return SkipReason.BINARY
    if "-----BEGIN " in text and "PRIVATE KEY-----" in text:
        return SkipReason.SECRET
    lines = text.count("\n") + 1
    if len(text) > MINIFIED_FROM_CHARACTERS and len(text) / lines > MAX_MEAN_LINE_CHARACTERS:
        return SkipReason.LONG_LINES
    if len(text) > MAX_LINE_CHARACTERS and max(map(len, text.split("\n"))) > MAX_LINE_CHARACTERS:
        return SkipReason.LONG_LINES
    return None


def normal_lines(text: str) -> str:
    """Return the text with all line ends as line feeds, so that rows agree with an editor's.

    >>> normal_lines("a\\r\\nb\\rc\\n")
    'a\\nb\\nc\\n'
    """
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def record_text(
    path: str, text: str, language: Language, *, mtime_ns: int = 0, size: int = 0, digest: bytes = b""
) -> FileRecord:
    """Parse a text that was accepted by `reject_text`."""
    text = normal_lines(text)
    lines = text.split("\n")
    found, unparsed = _parse(text, lines, language)
    return FileRecord(
        path=path,
        language=language.name,
        mtime_ns=mtime_ns,
        size=size,
        digest=digest,
        definitions=found.definitions,
        references=found.references,
        imports=found.imports,
        chunks=count_terms(lines, found.chunks),
        packages=found.packages,
        unparsed=unparsed,
    )


def count_terms(lines: Sequence[str], ranges: Sequence[LineRange]) -> ChunkTerms:
    """Count the terms of each chunk."""
    place_of: dict[str, int] = {}
    places_of: dict[str, tuple[int, ...]] = {}
    pointers, places, counts = array("i", [0]), array("i"), array("i")
    for start, end in ranges:
        in_chunk: dict[int, int] = {}
        for word, count in Counter(words_of("\n".join(lines[start:end]))).items():
            word_places = places_of.get(word)
            if word_places is None:
                word_places = tuple(place_of.setdefault(term, len(place_of)) for term in terms_of_word(word))
                places_of[word] = word_places
            for place in word_places:
                in_chunk[place] = in_chunk.get(place, 0) + count
        places.extend(in_chunk)
        counts.extend(in_chunk.values())
        pointers.append(len(places))
    return ChunkTerms(
        terms=list(place_of),
        starts=array("i", (start for start, _ in ranges)),
        ends=array("i", (end for _, end in ranges)),
        pointers=pointers,
        places=places,
        counts=counts,
    )


def record_named(
    path: str, absolute: str, language: str, known_digest: bytes | None
) -> FileRecord | Skipped | Unchanged:
    """Call `record_file` with plain values, as they come through a pipe."""
    return record_file(path, Path(absolute), language_named(language), known_digest)


def _parse(text: str, lines: Sequence[str], language: Language) -> tuple[FileSyntax, str]:
    """Parse where there is a grammar; say why when there should be a tree and is none."""
    unparsed = ""
    if language.grammar is not None:
        try:
            return syntax.parse(text, language.grammar), ""
        except (GrammarMissingError, ParseAbandonedError) as error:
            unparsed = str(error)
    plain = FileSyntax(definitions=(), references={}, imports=(), chunks=tuple(cut_lines(lines)))
    return plain, unparsed


def _read(absolute: Path, limit: int) -> tuple[bytes | None, int]:
    """Read a regular file without following a link; (None, 0) when it is something else."""
    # Not blocking: between the scan and now, the name may have become a pipe that nobody writes to.
    descriptor = os.open(absolute, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            return None, 0
        return stream.read(limit + 1), status.st_mtime_ns
