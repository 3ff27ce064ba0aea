"""What the index keeps about one file, and how it is made from the file's text."""

import hashlib
import marshal
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import starmap
from typing import NamedTuple, TypeAlias

from repo_context import syntax
from repo_context.chunk_terms import ChunkTable, Ints, TermCounter
from repo_context.chunks import cut_lines
from repo_context.errors import GrammarMissingError, ParseAbandonedError
from repo_context.kept_trees import KeptTrees
from repo_context.languages import Grammar, Language, language_named
from repo_context.notebook import MAX_NOTEBOOK_BYTES, code_of, is_notebook
from repo_context.syntax import Definition, FileSyntax, Import, ImportedName

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
    IGNORED = "ignored by .gitignore, .midfillignore, .git/info/exclude or your global excludes"
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
class FileRecord:
    """All that the index keeps about one file."""

    path: str
    language: str
    mtime_ns: int
    size: int
    digest: bytes
    """BLAKE2b of the content, 16 bytes."""
    packed: bytes
    """Definitions, imports and packages, as `pack_syntax` writes them: most are taken apart much later, if ever."""
    symbols: int
    """How many definitions there are."""
    chunks: ChunkTable
    names: Ints
    """Numbers of the names that it uses, each once."""
    unparsed: str = ""
    """Why the file is indexed as plain text although its language is parsed; empty otherwise."""

    @property
    def syntax(self) -> FileSyntax:
        """Definitions, imports and packages, taken apart at each call."""
        return unpack_syntax(self.packed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """A file whose time stamp is new and whose content is not."""

    path: str
    mtime_ns: int
    size: int


Result: TypeAlias = FileRecord | Skipped | Unchanged
_Parse: TypeAlias = Callable[[str, Grammar, Sequence[str]], FileSyntax]


class Job(NamedTuple):
    """One file to read and parse."""

    path: str
    absolute: str
    language: str
    known_digest: bytes | None
    """Digest of the copy that the index already holds, if any."""
    size: int


class _Parsed(NamedTuple):
    """A file that is read and parsed, and whose terms are not counted yet."""

    path: str
    language: str
    mtime_ns: int
    size: int
    digest: bytes
    lines: Sequence[str]
    found: FileSyntax
    unparsed: str


def record_files(jobs: Iterable[Job], counter: TermCounter) -> list[Result]:
    """Read and parse files; one result a job, in order. Terms are counted for all of them at once."""
    return _count(list(map(_read_and_parse, jobs)), counter)


def record_text(
    path: str,
    text: str,
    language: Language,
    counter: TermCounter,
    trees: KeptTrees,
    *,
    mtime_ns: int = 0,
    size: int = 0,
    digest: bytes = b"",
) -> FileRecord:
    """Parse a text that was accepted by `reject_text`, from the tree of the last time if there is one in `trees`."""
    parse = partial(trees.parse, path)
    (record,) = _count([_parse_text(path, text, language, mtime_ns, size, digest, parse)], counter)
    assert isinstance(record, FileRecord)
    return record


def syntax_of_text(text: str, language: Language) -> FileSyntax:
    """Parse a text without counting its terms."""
    text = normal_lines(text)
    return _parse(text, text.split("\n"), language)[0]


def pack_syntax(found: FileSyntax) -> bytes:
    """Put a file's definitions, imports and packages into bytes; `unpack_syntax` undoes it."""
    imports = [(item.module, list(map(tuple, item.names)), *item[2:]) for item in found.imports]
    return marshal.dumps((list(map(tuple, found.definitions)), imports, found.packages))


def unpack_syntax(packed: bytes) -> FileSyntax:
    """Return what `pack_syntax` has written, no references and no chunks; the bytes must be known to be its own."""
    definitions, imports, packages = marshal.loads(packed)  # noqa: S302 -- from our own process, or checksummed
    return FileSyntax(
        definitions=tuple(starmap(Definition, definitions)),
        references=frozenset(),
        imports=tuple(Import(module, tuple(starmap(ImportedName, names)), *rest) for module, names, *rest in imports),
        chunks=(),
        packages=packages,
    )


def _read_and_parse(job: Job) -> _Parsed | Skipped | Unchanged:
    path = job.path
    try:
        content, mtime_ns = _read(job.absolute, max_bytes(path))
    except FileNotFoundError:
        return Skipped(path=path, reason=SkipReason.VANISHED)
    except OSError:
        return Skipped(path=path, reason=SkipReason.UNREADABLE)
    if content is None:
        return Skipped(path=path, reason=SkipReason.NOT_A_FILE)
    size = len(content)
    digest = hashlib.blake2b(content, digest_size=16).digest()
    if digest == job.known_digest:
        return Unchanged(path=path, mtime_ns=mtime_ns, size=size)
    text = source_text(path, content)
    reason = text if isinstance(text, SkipReason) else reject_text(text)
    if reason is not None or isinstance(text, SkipReason):
        assert reason is not None
        return Skipped(path=path, reason=reason, mtime_ns=mtime_ns, size=size)
    return _parse_text(path, text, language_named(job.language), mtime_ns, size, digest)


def _parse_text(
    path: str,
    text: str,
    language: Language,
    mtime_ns: int,
    size: int,
    digest: bytes,
    parse: _Parse = syntax.parse,
) -> _Parsed:
    text = normal_lines(text)
    lines = text.split("\n")
    found, unparsed = _parse(text, lines, language, parse)
    return _Parsed(path, language.name, mtime_ns, size, digest, lines, found, unparsed)


def _count(files: Sequence[_Parsed | Skipped | Unchanged], counter: TermCounter) -> list[Result]:
    tables = counter.count([(file.lines, file.found.chunks) for file in files if isinstance(file, _Parsed)])
    return [_record(file, next(tables), counter) if isinstance(file, _Parsed) else file for file in files]


def _record(file: _Parsed, table: ChunkTable, counter: TermCounter) -> FileRecord:
    return FileRecord(
        path=file.path,
        language=file.language,
        mtime_ns=file.mtime_ns,
        size=file.size,
        digest=file.digest,
        packed=pack_syntax(file.found),
        symbols=len(file.found.definitions),
        chunks=table,
        names=counter.number(file.found.references),
        unparsed=file.unparsed,
    )


def max_bytes(path: str) -> int:
    """Return the size above which a file is left out."""
    return MAX_NOTEBOOK_BYTES if is_notebook(path) else MAX_FILE_BYTES


def source_text(path: str, content: bytes) -> str | SkipReason:
    """Return what is indexed of a file: its text, or a notebook's code; or say why there is none."""
    if len(content) > max_bytes(path):
        return SkipReason.TOO_LARGE
    text = decode(content)
    return text if isinstance(text, SkipReason) else source_of(path, text)


def source_of(path: str, text: str) -> str | SkipReason:
    """Return what is indexed of a text: all of it, or a notebook's code."""
    if not is_notebook(path):
        return text
    code = code_of(text)
    return SkipReason.NOT_A_NOTEBOOK if code is None else code


def decode(content: bytes) -> str | SkipReason:
    """Decode a file as UTF-8, with or without a byte order mark, or say why it is no text."""
    if len(content) > MAX_NOTEBOOK_BYTES:
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
    return SkipReason.LONG_LINES if _has_long_line(text) else None


def _has_long_line(text: str) -> bool:
    """Look at every few thousandth character instead of every line."""
    start = 0
    while len(text) - start > MAX_LINE_CHARACTERS:
        end = text.rfind("\n", start, start + MAX_LINE_CHARACTERS + 1)
        if end < 0:
            return True
        start = end + 1
    return False


def normal_lines(text: str) -> str:
    """Return the text with all line ends as line feeds, so that rows agree with an editor's.

    >>> normal_lines("a\\r\\nb\\rc\\n")
    'a\\nb\\nc\\n'
    """
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _parse(text: str, lines: Sequence[str], language: Language, parse: _Parse = syntax.parse) -> tuple[FileSyntax, str]:
    """Parse where there is a grammar; say why when there should be a tree and is none."""
    unparsed = ""
    if language.grammar is not None:
        try:
            return parse(text, language.grammar, lines), ""
        except (GrammarMissingError, ParseAbandonedError) as error:
            unparsed = str(error)
    plain = FileSyntax(definitions=(), references=frozenset(), imports=(), chunks=tuple(cut_lines(lines)))
    return plain, unparsed


def _read(absolute: str, limit: int) -> tuple[bytes | None, int]:
    """Read a regular file without following a link; (None, 0) when it is something else."""
    # Not blocking: between the scan and now, the name may have become a pipe that nobody writes to.
    descriptor = os.open(absolute, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None, 0
        # One call reads all, unless the file has grown; a file object would make room for as much as may ever be read.
        content = os.read(descriptor, min(status.st_size, limit) + 1)
        if status.st_size < len(content) <= limit:
            content += os.read(descriptor, limit + 1 - len(content))
        return content, status.st_mtime_ns
    finally:
        os.close(descriptor)
