"""Opens a repository's index for a verb, with a progress bar where a person is looking."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from repo_context.repository import Repository
from repo_context.snippet import IndexProgress


@contextmanager
def opened(root: Path) -> Iterator[Repository]:
    """Open the index of a repository, made or brought up to date first.

    Raises:
        RepoContextError: the folder cannot be indexed.
    """
    from tqdm import tqdm

    bar = tqdm(unit="file", desc=f"indexing {root.name}", leave=False, disable=not sys.stderr.isatty(), delay=0.3)

    def show(progress: IndexProgress) -> None:
        bar.total = progress.total
        bar.update(progress.done - bar.n)

    try:
        repository = Repository.open(root, on_progress=show)
    finally:
        bar.close()
    try:
        yield repository
    finally:
        repository.close()
