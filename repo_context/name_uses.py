"""Which names each file of a repository uses, as numbers: a tenth of what the names themselves would take."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from repo_context.chunk_terms import Ints


class NameUses:
    """The names that files use; files come and go one by one. `names` gives each name its number."""

    def __init__(self, names: dict[str, int] | None = None) -> None:
        self.names: dict[str, int] = {} if names is None else names
        self._used: dict[str, Ints] = {}
        self._listed: list[str] = []
        self._files_using: NDArray[np.int64] | None = None

    def put(self, path: str, used: Ints) -> None:
        """Add or replace one file, with the numbers of the names that it uses, each once."""
        self.drop(path)
        self._used[path] = used
        self._count(used, 1)

    def note(self, path: str, used: Iterable[str]) -> None:
        """Add or replace one file, with the names that it uses."""
        names = self.names
        self.put(path, np.array([names.setdefault(name, len(names)) for name in dict.fromkeys(used)], np.int32))

    def drop(self, path: str) -> None:
        """Take one file out; nothing happens when it is not in."""
        used = self._used.pop(path, None)
        if used is not None:
            self._count(used, -1)

    def used_in(self, path: str) -> list[str]:
        """Return the names that a file uses, in alphabetical order: numbers depend on what was indexed first."""
        if len(self._listed) < len(self.names):
            self._listed = list(self.names)
        listed = self._listed
        return sorted([listed[number] for number in self._used.get(path, np.zeros(0, np.int32)).tolist()])

    def among(self, path: str, words: Iterable[str]) -> list[str]:
        """Return those of some words that a file uses as names, in their order."""
        used = set(self._used.get(path, np.zeros(0, np.int32)).tolist())
        return [word for word in words if self.names.get(word) in used]

    def files_using(self, name: str) -> int:
        """Return how many files use a name."""
        if self._files_using is None:
            # Counted when first asked for: opening a large repository need not wait for it.
            self._files_using = np.bincount(self._all(), minlength=len(self.names))
        number = self.names.get(name)
        return int(self._files_using[number]) if number is not None and number < len(self._files_using) else 0

    def files_using_each(self, names: Sequence[str]) -> list[int]:
        """Return how many files use each of some names."""
        if self._files_using is None:
            self.files_using("")
        assert self._files_using is not None
        # One look-up in the array for all: a single number costs as much to take out of it as a dozen.
        numbers = np.array([self.names.get(name, -1) for name in names], np.int64)
        known = (numbers >= 0) & (numbers < len(self._files_using))
        counts = np.zeros(len(names), np.int64)
        counts[known] = self._files_using[numbers[known]]
        found: list[int] = counts.tolist()
        return found

    def paths_using(self, names: Iterable[str]) -> list[str]:
        """Return the files that use any of some names."""
        wanted = np.zeros(len(self.names), np.bool_)
        wanted[[number for name in names if (number := self.names.get(name)) is not None]] = True
        ends = np.cumsum([len(used) for used in self._used.values()])
        files = np.unique(np.searchsorted(ends, np.flatnonzero(wanted[self._all()]), side="right"))
        paths = list(self._used)
        return [paths[number] for number in files.tolist()]

    def _all(self) -> Ints:
        return np.concatenate(list(self._used.values())) if self._used else np.zeros(0, np.int32)

    def _count(self, used: Ints, sign: int) -> None:
        if self._files_using is None:
            return
        missing = len(self.names) - len(self._files_using)
        if missing > 0:
            # Room for a tenth more: an edit that brings one new name must not copy the counts of all.
            room = np.zeros(missing + len(self.names) // 10, np.int64)
            self._files_using = np.concatenate([self._files_using, room])
        self._files_using[used] += sign
