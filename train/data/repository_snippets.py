"""Finds for a hole what serving would find: repo_context's own snippets, the repository without the hole's file."""

import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from repo_context.repository import Repository
from repo_context.snippet import Cursor, Snippet
from train.data.cut_holes import Hole
from train.data.document import SourceDocument

MOST_OPEN = 8
"""Repositories held in memory at once; the others wait on disk with their index."""


class RepositorySnippets:
    """The documents' repositories, laid out in a folder and indexed when they are first asked for.

    Each holds the documents that were kept and no others, so a benchmark or a copy that was dropped cannot come back
    as a snippet. A snippet is never from the file with the hole: `repo_context` leaves the cursor's own file out.
    """

    def __init__(
        self,
        folder: Path,
        documents: Iterable[SourceDocument],
        *,
        budget: int,
        count_tokens: Callable[[str], int],
    ) -> None:
        """Lay the repositories out.

        Args:
            folder: is emptied, filled, and emptied again at the end.
            documents: all of them, in any order.
            budget: tokens of snippets for one hole, as `count_tokens` counts them.
            count_tokens: the tokenizer's count.
        """
        self._folder = folder
        self._budget = budget
        self._count_tokens = count_tokens
        self._open: OrderedDict[str, Repository] = OrderedDict()
        shutil.rmtree(folder, ignore_errors=True)
        for document in documents:
            path = PurePosixPath(document.path)
            if path.is_absolute() or ".." in path.parts:
                continue
            file = self._root(document.repository) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(document.text, encoding="utf-8", errors="replace", newline="")

    def __call__(self, document: SourceDocument, hole: Hole) -> Sequence[Snippet]:
        """Return the snippets for a hole, best first."""
        cursor = Cursor(path=document.path, prefix=document.text[: hole.start], suffix=document.text[hole.end :])
        repository = self._repository(document.repository)
        return repository.snippets_for(cursor, budget=self._budget, count_tokens=self._count_tokens)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for repository in self._open.values():
            repository.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _repository(self, name: str) -> Repository:
        if name in self._open:
            self._open.move_to_end(name)
            return self._open[name]
        root = self._root(name)
        root.mkdir(parents=True, exist_ok=True)
        self._open[name] = repository = Repository.open(root, index_folder=root.with_name(f"{root.name}.index"))
        if len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)[1].close()
        return repository

    def _root(self, name: str) -> Path:
        """Return a folder for a repository; its last part is the repository's own, which may be a package's name."""
        short = name.rpartition("/")[2] or "repository"
        return self._folder / blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest() / short
