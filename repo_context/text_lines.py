"""The lines of a text, cut out when they are asked for: of most files that a question looks into it needs a few."""

from collections.abc import Sequence
from typing import overload

import numpy as np

_ENCODING = ("utf-8", "surrogatepass")


class TextLines(Sequence[str]):
    """What `text.split("\\n")` holds."""

    def __init__(self, text: str) -> None:
        self._data = text.encode(*_ENCODING)
        self._ends = np.flatnonzero(np.frombuffer(self._data, np.uint8) == ord("\n"))

    def __len__(self) -> int:
        return len(self._ends) + 1

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, int):
            return self._cut(range(len(self))[place], 1)[0]
        start, stop, step = place.indices(len(self))
        return self._cut(start, stop - start)[::step] if step > 0 else [self[row] for row in range(start, stop, step)]

    def _cut(self, first: int, count: int) -> list[str]:
        if count <= 0:
            return []
        last = first + count - 1
        start = int(self._ends[first - 1]) + 1 if first else 0
        end = int(self._ends[last]) if last < len(self._ends) else len(self._data)
        return self._data[start:end].decode(*_ENCODING).split("\n")
