"""Opens a repository's index for a verb, with a progress bar where a person is looking."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lsp_server.verbs.bars import waiting_bar
from repo_context.repository import Repository
from repo_context.snippet import IndexProgress


@contextmanager
def opened(root: Path) -> Iterator[Repository]:
    """Open the index of a repository, made or brought up to date first.

    Raises:
        RepoContextError: the folder cannot be indexed.
    """
    bar = waiting_bar(f"indexing {root.name}")

    def show(progress: IndexProgress) -> None:
        bar.total = progress.total
        bar.update(progress.done - bar.n)

    try:
        repository = Repository.open(root, on_progress=show)
    finally:
        bar.close()
    if repository.warning:
        print(f"midfill: warning: {repository.warning}", file=sys.stderr)
    try:
        yield repository
    finally:
        repository.close()
