"""Reads folders of source as `repo_context` sees them: ignored, secret, binary and oversized files never appear."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from repo_context.errors import RepositoryNotFoundError
from repo_context.scan import Scanner
from train.data.document import SourceDocument
from train.errors import CorpusError


def collect(folders: Sequence[Path], languages: Sequence[str], dropped: Counter[str]) -> Iterator[SourceDocument]:
    """Yield the files of each folder, a repository each, that are written in one of `languages`.

    Files that are not UTF-8 or vanish while reading are counted in `dropped`.

    Raises:
        CorpusError: a folder cannot be opened.
    """
    for folder in folders:
        root = folder.resolve()
        try:
            files = Scanner(root).scan().files
        except RepositoryNotFoundError as error:
            raise CorpusError(str(error)) from error
        for file in files:
            if file.language.name not in languages:
                continue
            try:
                text = (root / file.path).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                dropped["unreadable or not UTF-8"] += 1
                continue
            yield SourceDocument(
                repository=root.name,
                path=file.path,
                language=file.language.name,
                comment=file.language.comment,
                text=text,
            )
