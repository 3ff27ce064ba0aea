"""Packs samples into rows of equal length: holes whole, next-token text around them, no token lost, no padding."""

from collections import deque
from collections.abc import Iterable, Iterator

from train.data.cut_holes import Sample

_LONGEST_QUEUE = 256
"""Samples that may wait for text to fill their rows up."""


def pack(samples: Iterable[Sample], row_tokens: int) -> Iterator[list[int]]:
    """Yield rows of exactly `row_tokens` ids.

    A row takes whole fill-in-the-middle samples while they fit, and next-token text, cut wherever the row ends, fills
    the rest; the cut text continues at the start of the next filling. What waits when the samples end, less than a
    row of text and the samples it would have filled up, is left over. Where next-token text runs short (a `fim_rate`
    near 1), the sample that has waited longest is cut like text: the broken samples of document-level FIM.
    """
    row: list[int] = []
    waiting: deque[list[int]] = deque()
    text: deque[int] = deque()
    for sample in samples:
        if sample.divisible:
            text.extend(sample.ids)
        else:
            waiting.append(sample.ids)
        if len(waiting) > _LONGEST_QUEUE:
            text.extend(waiting.popleft())
        while True:
            if waiting and len(row) + len(waiting[0]) <= row_tokens:
                row += waiting.popleft()
            elif len(row) + len(text) >= row_tokens and (waiting or not row):
                row += [text.popleft() for _ in range(row_tokens - len(row))]
            else:
                break
            if len(row) == row_tokens:
                yield row
                row = []
