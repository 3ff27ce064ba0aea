"""Packs samples into rows of equal length: holes whole, next-token text around them, no token lost, no padding."""

from collections import deque
from collections.abc import Iterable, Iterator

from train.data.cut_holes import Sample

LONGEST_QUEUE = 256
"""Samples that may wait for text to fill their rows up."""


def pack(samples: Iterable[Sample], row_tokens: int) -> Iterator[list[int]]:
    """Yield rows of exactly `row_tokens` ids; only what is less than a row at the very end is left over.

    A row takes whole fill-in-the-middle samples while they fit, and next-token text, cut wherever the row ends, fills
    the rest; the cut text goes on in the next filling. Where text runs short (a `fim_rate` near 1, or the end), the
    sample that has waited longest is cut like text: the broken samples of document-level FIM.
    """
    packer = _Packer(row_tokens)
    for sample in samples:
        if sample.divisible:
            packer.text.extend(sample.ids)
        else:
            packer.waiting.append(sample.ids)
        if len(packer.waiting) > LONGEST_QUEUE:
            packer.text.extend(packer.waiting.popleft())
        yield from packer.full_rows()
    while packer.waiting:
        packer.text.extend(packer.waiting.popleft())
        yield from packer.full_rows()
    yield from packer.last_row()
    yield from packer.full_rows()


class _Packer:
    def __init__(self, row_tokens: int) -> None:
        self.waiting: deque[list[int]] = deque()
        self.text: deque[int] = deque()
        self._row_tokens = row_tokens
        self._row: list[int] = []

    def full_rows(self) -> Iterator[list[int]]:
        """Place what fits; yield each row as it fills up."""
        while True:
            room = self._row_tokens - len(self._row)
            if self.waiting and len(self.waiting[0]) <= room:
                self._row += self.waiting.popleft()
            elif len(self.text) >= room and (self.waiting or not self._row):
                self._row += [self.text.popleft() for _ in range(room)]
            else:
                return
            if len(self._row) == self._row_tokens:
                yield self._row
                self._row = []

    def last_row(self) -> Iterator[list[int]]:
        """Yield the row begun, if text can still fill it."""
        room = self._row_tokens - len(self._row)
        if self._row and len(self.text) >= room:
            yield self._row + [self.text.popleft() for _ in range(room)]
            self._row = []
