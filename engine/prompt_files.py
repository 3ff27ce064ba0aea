"""How the files of one repository are introduced in a prompt: under comments, or as a model family was trained to."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.api import Snippet
from engine.fim_formats import FimFormat, OwnPath, RepositoryLayout
from engine.tokenizer import Vocabulary


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduction:
    """The ids that stand around the texts of a prompt's files, none of them cut."""

    opening: tuple[int, ...]
    """The repository's mark and name, before every file."""
    blocks: tuple[tuple[int, ...], ...]
    """One for each snippet: its path and its text."""
    own: tuple[int, ...]
    """The path of the edited file."""
    own_mark: tuple[int, ...] = ()
    """The file mark of the edited file, where its path stands elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """Where the introduced files stand."""

    outside: tuple[int, ...]
    """In front of the first mark of the hole."""
    context: tuple[int, ...]
    """Other files, inside of the prefix."""
    own: tuple[int, ...]
    """The edited file's path, right before its text."""


def introduce(
    snippets: Sequence[Snippet], fim: FimFormat, tokenizer: Vocabulary, *, repository: str, path: str, comment: str
) -> Introduction:
    """Return how a prompt of these snippets and the file at `path` introduces each.

    A family with a layout of its own names files only where there are several: alone, a file is what its training on
    single files looks like.
    """
    layout = fim.repository
    if layout is None:
        return Introduction(
            opening=(),
            blocks=tuple(_commented(snippet, tokenizer) for snippet in snippets),
            own=tuple(tokenizer.encode(path_header(path, comment))),
        )
    if not snippets:
        return Introduction(opening=(), blocks=(), own=())
    opening: tuple[int, ...] = ()
    if repository and (mark := _ids(layout.repository_mark, tokenizer)):
        opening = (*mark, *tokenizer.encode(repository + layout.after_repository))
    return Introduction(
        opening=opening,
        blocks=tuple(_named(snippet, layout, tokenizer) for snippet in snippets),
        own=tuple(tokenizer.encode(f"{layout.path_lead}{path}\n")),
        own_mark=_ids(layout.file_mark, tokenizer),
    )


def arrange(introduction: Introduction, fim: FimFormat, order: Sequence[int]) -> Arrangement:
    """Return where the chosen blocks stand, in that order."""
    blocks = tuple(token for index in order for token in introduction.blocks[index])
    layout = fim.repository
    if layout is None or layout.file_mark is None:
        return Arrangement(outside=(), context=introduction.opening + blocks, own=introduction.own)
    before = introduction.opening + blocks + introduction.own_mark
    if layout.own_path is OwnPath.IN_THE_PREFIX:
        return Arrangement(outside=before, context=(), own=introduction.own)
    return Arrangement(outside=before + introduction.own, context=(), own=())


def path_header(path: str, comment: str) -> str:
    """Return the comment line that stands above a file's text.

    >>> path_header("src/model.py", "#")
    '#src/model.py\\n'
    """
    return f"{comment}{path}\n"


def _commented(snippet: Snippet, tokenizer: Vocabulary) -> tuple[int, ...]:
    return tuple(tokenizer.encode(f"{path_header(snippet.path, snippet.comment)}{_stripped(snippet)}\n\n"))


def _named(snippet: Snippet, layout: RepositoryLayout, tokenizer: Vocabulary) -> tuple[int, ...]:
    text = f"{layout.path_lead}{snippet.path}\n{_stripped(snippet)}{layout.after_file}"
    return (*_ids(layout.file_mark, tokenizer), *tokenizer.encode(text))


def _stripped(snippet: Snippet) -> str:
    return snippet.text.rstrip("\n")


def _ids(mark: str | None, tokenizer: Vocabulary) -> tuple[int, ...]:
    token = tokenizer.control_id(mark) if mark else None
    return () if token is None else (token,)
