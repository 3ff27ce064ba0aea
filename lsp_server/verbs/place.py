"""`FILE:LINE:COL` on the command line: the file read, the place checked, the repository found."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from lsp_server.completion.snapshot import Snapshot, Trigger
from lsp_server.document import Document, Position
from lsp_server.places import uri_of
from lsp_server.positions import PositionEncoding
from lsp_server.verbs.complaints import BadInputError
from repo_context.languages import comment_marker

_REPOSITORY_MARKS: Final = (".git", ".hg", ".jj", ".svn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A cursor in a file on disk."""

    file: Path
    """Absolute."""
    line: int
    """From 1."""
    column: int
    """From 1, in characters."""
    root: Path | None
    """The repository that holds the file."""
    document: Document

    @property
    def name(self) -> str:
        """The file as a prompt shows it: relative to the repository, or its bare name."""
        return self.file.relative_to(self.root).as_posix() if self.root is not None else self.file.name

    def snapshot(self) -> Snapshot:
        """Return what an editor with its cursor here would ask about."""
        prefix, suffix = self.document.split_at(Position(line=self.line - 1, column=self.column - 1))
        return Snapshot(
            uri=self.document.uri,
            version=0,
            language_id="",
            path=self.name,
            root=str(self.root) if self.root is not None else None,
            comment=comment_marker(self.name),
            prefix=prefix,
            suffix=suffix,
            trigger=Trigger.INVOKED,
        )


def read_place(text: str) -> Place:
    """Read the file that `FILE:LINE:COL` names.

    Raises:
        BadInputError: it is no such thing, or the file or the place in it does not exist.
    """
    name, line, column = _split(text)
    file = Path(name).expanduser().absolute()
    document = Document.from_text(
        read_source(file), uri=uri_of(file), language_id="", version=0, encoding=PositionEncoding.UTF32
    )
    if not 1 <= line <= len(document.lines):
        raise BadInputError(f"{name} has {_count(len(document.lines), 'line')}; there is no line {line}")
    length = len(document.lines[line - 1].rstrip("\r\n"))
    if not 1 <= column <= length + 1:
        raise BadInputError(
            f"line {line} of {name} has {_count(length, 'character')}; its columns are 1 to {length + 1}, not {column}"
        )
    return Place(file=file, line=line, column=column, root=find_root(file), document=document)


def without_line_rest(snapshot: Snapshot) -> Snapshot:
    """Forget what stands between the cursor and the end of its line."""
    return replace(snapshot, suffix=snapshot.lines_below)


def read_source(file: Path) -> str:
    """Read a source file.

    Raises:
        BadInputError: there is no such file, or it is no UTF-8 text.
    """
    try:
        data = file.read_bytes()
        text = data.decode("utf-8")
    except FileNotFoundError as error:
        raise BadInputError(f"there is no file {file}") from error
    except IsADirectoryError as error:
        raise BadInputError(f"{file} is a folder; give a file in it") from error
    except OSError as error:
        raise BadInputError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadInputError(
            f"{file} is not UTF-8 (byte 0x{data[error.start]:02x} at offset {error.start}); convert it first"
        ) from error
    if "\0" in text:
        raise BadInputError(f"{file} is a binary file; completions are for text")
    return text.removeprefix("\ufeff")


def find_root(file: Path) -> Path | None:
    """Return the innermost repository that holds a file."""
    return next(
        (folder for folder in file.parents if any((folder / mark).exists() for mark in _REPOSITORY_MARKS)), None
    )


def _split(text: str) -> tuple[str, int, int]:
    name, *numbers = text.rsplit(":", 2)
    try:
        line, column = map(int, numbers)
    except ValueError:
        raise BadInputError(f"{text!r} is no FILE:LINE:COL; give, for example, src/app.py:12:5") from None
    return name, line, column


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
