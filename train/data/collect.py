"""Reads source from folders, git repositories at a commit, archives, and tables of files as The Stack has them.

Whatever the source, the same files are let through as `repo_context` would index: no secrets, no lock files, nothing
binary, oversized or minified, no virtual environments or caches; a folder's ignore files hold too. Line ends become
line feeds. Licence files are read to say under which licence each file is, and are no documents themselves unless
their language is asked for.
"""

import gzip
import json
import re
import subprocess
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fnmatch import translate
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from repo_context.errors import RepositoryNotFoundError
from repo_context.file_record import SkipReason, max_bytes, normal_lines, reject_text, source_text
from repo_context.languages import language_of
from repo_context.scan import LOCK_FILES, NEVER_INDEXED_FOLDERS, SECRET_NAMES, Scanner
from train.data.document import SourceDocument
from train.data.licences import identify, is_licence_file, nearest_licence
from train.data.programs import git_command, git_environment, run_git
from train.data.tally import Tally
from train.errors import CorpusError

STEP = "collect"

_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
_TABLES = (".jsonl", ".jsonl.gz", ".parquet")
_REPOSITORY_FIELDS = ("max_stars_repo_name", "repo_name", "repository_name", "repository", "repo")
_PATH_FIELDS = ("max_stars_repo_path", "path", "file_path", "filepath", "relative_path")
_TEXT_FIELDS = ("content", "text", "code")


@dataclass(frozen=True, slots=True)
class _File:
    """A file whose path is acceptable; its content is read when it is wanted."""

    path: str
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class _Wanted:
    languages: frozenset[str]
    also: Callable[[str], bool]

    def __contains__(self, path: object) -> bool:
        language = language_of(str(path))
        if language is None:
            return False
        return not self.languages or language.name in self.languages or self.also(str(path))


def _nothing(_path: str) -> bool:
    return False


def collect(
    sources: Sequence[Path | str],
    languages: Sequence[str],
    tally: Tally,
    *,
    also: Callable[[str], bool] = _nothing,
) -> Iterator[SourceDocument]:
    """Yield the files in one of `languages` of every source; all languages when none is named.

    A source is a folder (one repository), a git repository at a commit (`PATH@COMMIT`, bare ones too), a tar or zip
    archive (one repository), or a JSONL or Parquet table of files with fields for repository, path and text.
    Files whose path `also` says yes to come along whatever their language, if `repo_context` knows it.

    Raises:
        CorpusError: a source cannot be read or is of no known kind.
    """
    yield from collect_named(name_sources(sources), languages, tally, also=also)


def collect_named(
    sources: Iterable[tuple[str, str]],
    languages: Sequence[str],
    tally: Tally,
    *,
    also: Callable[[str], bool] = _nothing,
) -> Iterator[SourceDocument]:
    """Do as `collect` does for sources that `name_sources` has named."""
    for name, source in sources:
        yield from _documents_of(name, source, _Wanted(frozenset(languages), also), tally)


def name_sources(sources: Sequence[Path | str]) -> list[tuple[str, str]]:
    """Return (name, source) for every source, a number appended where a name comes again.

    >>> name_sources(["a/src", "b/src", "c.tar.gz"])
    [('src', 'a/src'), ('src-2', 'b/src'), ('c', 'c.tar.gz')]
    """
    times: Counter[str] = Counter()
    named = []
    for source in map(str, sources):
        name = _repository_name(source.rpartition("@")[0] if _is_commit(source) else source)
        times[name] += 1
        named.append((f"{name}-{times[name]}" if times[name] > 1 else name, source))
    return named


def _documents_of(name: str, source: str, wanted: _Wanted, tally: Tally) -> Iterator[SourceDocument]:
    path, _, commit = source.rpartition("@") if _is_commit(source) else (source, "", "")
    ending = path.lower()
    if commit or _is_bare(Path(path)):
        with closing(_BlobReader(Path(path))) as reader:
            files = _git_files(Path(path), commit or "HEAD", reader, tally)
            yield from _repository(name, files, wanted, tally)
    elif Path(path).is_dir() or not Path(path).exists():
        yield from _repository(name, _folder_files(Path(path), tally), wanted, tally)
    elif ending.endswith(_ARCHIVES):
        yield from _archive(name, Path(path), wanted, tally)
    elif ending.endswith(_TABLES):
        yield from _table(name, Path(path), wanted, tally)
    else:
        known = ", ".join((*_ARCHIVES, *_TABLES))
        raise CorpusError(f"{path} is no source: give a folder, PATH@COMMIT, or a file that ends with {known}")


# --- one repository --------------------------------------------------------------------------------------------------


def _repository(name: str, files: Iterable[_File], wanted: _Wanted, tally: Tally) -> Iterator[SourceDocument]:
    """Yield a repository's documents in order of path, each with the licence of the nearest licence file."""
    chosen: list[_File] = []
    licences: dict[str, list[str]] = {}
    for file in files:
        if is_licence_file(file.path):
            folder = file.path.rpartition("/")[0]
            licences.setdefault(folder, []).append(identify(file.read()[:200_000].decode("utf-8", "replace")))
        if file.path in wanted:
            chosen.append(file)
    for file in sorted(chosen, key=lambda file: file.path):
        try:
            content = file.read()
        except OSError:
            tally.drop_unread(STEP, "unreadable")
            continue
        document = document_of(name, file.path, content, nearest_licence(file.path, licences), tally)
        if document is not None:
            yield document


def document_of(repository: str, path: str, content: bytes, licence: str, tally: Tally) -> SourceDocument | None:
    """Return the document that a file's bytes make; count it as dropped when they are no text fit for an index."""
    decoded = source_text(path, content)
    reason = decoded if isinstance(decoded, SkipReason) else reject_text(decoded)
    language = language_of(path)
    if isinstance(decoded, SkipReason) or reason is not None or language is None:
        tally.drop_unread(STEP, (reason or SkipReason.UNKNOWN_LANGUAGE).value)
        return None
    document = SourceDocument(
        repository=repository,
        path=path,
        language=language.name,
        comment=language.comment,
        text=normal_lines(decoded),
        licence=licence,
    )
    tally.keep(STEP, document)
    return document


_SECRET = re.compile("|".join(translate(pattern) for pattern in SECRET_NAMES))


def _rejected(path: str, size: int) -> str | None:
    """Judge a path outside any folder as `repo_context.scan` judges one inside."""
    parts = PurePosixPath(path).parts
    name = parts[-1].lower()
    if ".." in parts or path.startswith("/") or not NEVER_INDEXED_FOLDERS.isdisjoint(parts[:-1]):
        return SkipReason.ALWAYS_SKIPPED_FOLDER.value
    if _SECRET.match(name):
        return SkipReason.SECRET.value
    if name in LOCK_FILES:
        return SkipReason.GENERATED.value
    return SkipReason.TOO_LARGE.value if size > max_bytes(path) else None


# --- folders ---------------------------------------------------------------------------------------------------------


def _folder_files(folder: Path, tally: Tally) -> Iterator[_File]:
    root = folder.resolve()
    try:
        scan = Scanner(root).scan()
    except RepositoryNotFoundError as error:
        raise CorpusError(str(error)) from error
    for reason, count in scan.skipped.items():
        tally.drop_unread(STEP, reason.value, count)
    scanned = {file.path for file in scan.files}
    for path in scanned:
        yield _File(path, (root / path).read_bytes)
    # Licence files mostly have no extension, so no language: the scan passes them over.
    folders = {parent for path in scanned for parent in PurePosixPath(path).parents}
    for parent in sorted(folders | {PurePosixPath(".")}):
        for entry in sorted((root / parent).iterdir()):
            path = entry.relative_to(root).as_posix()
            if is_licence_file(path) and path not in scanned and entry.is_file() and not entry.is_symlink():
                yield _File(path, entry.read_bytes)


# --- git -------------------------------------------------------------------------------------------------------------


def _is_commit(source: str) -> bool:
    path, at, commit = source.rpartition("@")
    return bool(at and path and re.fullmatch(r"[\w./~^-]+", commit)) and not Path(source).exists()


def _is_bare(path: Path) -> bool:
    return (path / "HEAD").is_file() and (path / "objects").is_dir()


def _repository_name(path: str) -> str:
    resolved = Path(path).resolve()
    name = resolved.parent.name if resolved.name in (".git", "repo", "git") else resolved.name
    for ending in (*_ARCHIVES, *_TABLES, ".git"):
        name = name.removesuffix(ending)
    return name


def _git_files(repository: Path, commit: str, reader: "_BlobReader", tally: Tally) -> Iterator[_File]:
    if not repository.is_dir():
        raise CorpusError(f"{repository} is no folder: give PATH@COMMIT of a git repository")
    listing = run_git(repository, "ls-tree", "-r", "-z", "--long", "--full-tree", commit)
    for line in listing.split(b"\0"):
        about, _, raw_path = line.partition(b"\t")
        fields = about.split()
        if len(fields) != 4 or fields[1] != b"blob":
            continue
        try:
            path = raw_path.decode()
        except UnicodeDecodeError:
            tally.drop_unread(STEP, SkipReason.ODD_NAME.value)
            continue
        if fields[0] == b"120000":
            reason: str | None = SkipReason.SYMLINK.value
        elif not fields[3].isdigit():  # a partial clone lists objects that it does not hold
            reason = "missing from the git repository"
        else:
            reason = _rejected(path, int(fields[3]))
        if reason is not None:
            tally.drop_unread(STEP, reason)
        else:
            yield _File(path, partial(reader.read, fields[2]))


class _BlobReader:
    """One `git cat-file --batch`, started when it is first asked."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, blob: bytes) -> bytes:
        """Return a blob's bytes; OSError when the repository lacks it."""
        if self._process is None:
            self._process = subprocess.Popen(
                git_command(self._repository, "cat-file", "--batch"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=git_environment(),
            )
        asked, answered = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answered is not None
        asked.write(blob + b"\n")
        asked.flush()
        header = answered.readline().split()
        if len(header) != 3:
            raise OSError(f"git has no object {blob.decode()}")
        content = answered.read(int(header[2]))
        answered.read(1)
        return content

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.communicate()


# --- archives --------------------------------------------------------------------------------------------------------


def _archive(name: str, path: Path, wanted: _Wanted, tally: Tally) -> Iterator[SourceDocument]:
    """Read an archive as one repository; a single folder around everything, as forges add one, is taken off."""
    try:
        members = dict(_zip_members(path, tally) if path.suffix.lower() == ".zip" else _tar_members(path, tally))
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        reason = str(error).partition("\n")[0].rstrip(":")
        raise CorpusError(f"cannot read the archive {path}: {reason}") from error
    tops = {member.partition("/")[0] for member in members}
    cut = len(tops.pop()) + 1 if len(tops) == 1 and all("/" in member for member in members) else 0
    files = (_File(member[cut:], partial(bytes, content)) for member, content in members.items())
    yield from _repository(name, files, wanted, tally)


def _tar_members(path: Path, tally: Tally) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path) as archive:
        for member in archive:
            if not member.isfile():
                continue
            stream = archive.extractfile(member)
            if stream is not None and _is_accepted(member.name, member.size, tally):
                yield member.name, stream.read(max_bytes(member.name) + 1)


def _zip_members(path: Path, tally: Tally) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            # What a zip says about sizes may be a lie: no more is unpacked than a file may have.
            if not member.is_dir() and _is_accepted(member.filename, member.file_size, tally):
                with archive.open(member) as stream:
                    yield member.filename, stream.read(max_bytes(member.filename) + 1)


def _is_accepted(path: str, size: int, tally: Tally) -> bool:
    reason = _rejected(path, size)
    if reason is not None:
        tally.drop_unread(STEP, reason)
        return False
    return language_of(path) is not None or is_licence_file(path)


# --- tables ----------------------------------------------------------------------------------------------------------


def _table(name: str, path: Path, wanted: _Wanted, tally: Tally) -> Iterator[SourceDocument]:
    """Read a table of files; repositories may come in any order. It holds no licence files, so no licence is known."""
    rows = _parquet_rows(path) if path.suffix.lower() == ".parquet" else _json_rows(path)
    for number, row in enumerate(rows, start=1):
        file, text = _field(row, _PATH_FIELDS, path, number), _field(row, _TEXT_FIELDS, path, number)
        repository = next((str(row[field]) for field in _REPOSITORY_FIELDS if row.get(field)), name)
        reason = _rejected(file, len(text))
        if reason is not None:
            tally.drop_unread(STEP, reason)
        elif file in wanted:
            document = document_of(repository, file, text.encode("utf-8", "surrogatepass"), "", tally)
            if document is not None:
                yield document


def _field(row: dict[str, Any], names: Sequence[str], path: Path, number: int) -> str:
    for name in names:
        if isinstance(row.get(name), str):
            return str(row[name])
    raise CorpusError(f"row {number} of {path} has none of the text fields {', '.join(names)}")


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(_lines(path), start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise CorpusError(f"line {number} of {path} is no JSON: {error}") from error
        if not isinstance(row, dict):
            raise CorpusError(f"line {number} of {path} is no JSON object")
        yield row


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield from filter(bytes.strip, file)
    except (OSError, EOFError, zlib.error) as error:
        raise CorpusError(f"cannot read {path}: {error}") from error


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise CorpusError(f"{path} needs pyarrow: run `pip install 'midfill[parquet]'`") from error
    try:
        with parquet.ParquetFile(path) as file:
            known = {*_REPOSITORY_FIELDS, *_PATH_FIELDS, *_TEXT_FIELDS}
            columns = [name for name in file.schema_arrow.names if name in known]
            for batch in file.iter_batches(batch_size=256, columns=columns):
                yield from batch.to_pylist()
    except (ArrowException, OSError) as error:
        raise CorpusError(f"cannot read {path}: {error}") from error
