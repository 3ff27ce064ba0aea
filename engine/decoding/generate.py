"""Runs the network: prefill reads a prompt slice by slice, decode reads what was chosen; both extend what is kept."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.model.network import Network, TokenCache

_SLICE_ON_CPU = 64
"""Tokens read between two looks at the abort flag: some tens of milliseconds on a CPU."""
_SLICE_ON_GPU = 2048
MOST_CHECKED_AT_ONCE = 16
"""Tokens of a prompt that `check` is given at most: the head runs on each of them."""


@dataclass(slots=True, kw_only=True)
class KeptTokens:
    """Keys and values, and the tokens they belong to."""

    ids: list[int]
    """As many as `cache.length`."""
    cache: TokenCache

    def common_prefix(self, ids: Sequence[int]) -> int:
        """Return how many of the first tokens are those of `ids`."""
        if self.ids == ids[: len(self.ids)]:
            return len(self.ids)
        return next(
            (index for index, (kept, wanted) in enumerate(zip(self.ids, ids, strict=False)) if kept != wanted),
            min(len(self.ids), len(ids)),
        )

    def keep_common_prefix(self, ids: Sequence[int]) -> int:
        """Forget what differs from `ids`, and at least their last token; return how many tokens are left.

        The last token is always read anew, because only reading it gives the logits of what follows.
        """
        common = min(self.common_prefix(ids), max(0, len(ids) - 1))
        self.truncate(common)
        return common

    def truncate(self, length: int) -> None:
        """Forget every token from position `length` on."""
        self.cache.truncate(length)
        del self.ids[length:]


def prefill_slices(network: Network, kept: KeptTokens, ids: Sequence[int], *, leave: int) -> Iterator[int]:
    """Read what `kept` lacks of `ids`, but for at most `leave` tokens at its end.

    Yields before every slice how many tokens have been read; whoever stops there leaves a shorter, valid `kept`.
    `kept.cache` must have room for all of `ids`, which must not be empty.
    """
    done = kept.keep_common_prefix(ids)
    size = _SLICE_ON_CPU if network.device.type == "cpu" else _SLICE_ON_GPU
    end = len(ids) - leave
    for start in range(done, end, size):
        yield start
        _next_logits(network, kept, ids[start : min(end, start + size)])


def prefill(network: Network, kept: KeptTokens, ids: Sequence[int], cancelled: Callable[[], bool]) -> Tensor | None:
    """Read what `kept` lacks of `ids`; return the logits [vocab_size] after the last, or None when cancelled."""
    for _ in prefill_slices(network, kept, ids, leave=MOST_CHECKED_AT_ONCE):
        if cancelled():
            return None
    return None if cancelled() else _next_logits(network, kept, ids[len(kept.ids) :])


def decode(network: Network, kept: KeptTokens, tokens: Sequence[int]) -> Tensor:
    """Read what was just chosen, mostly one token; return the logits [vocab_size] of the next."""
    return _next_logits(network, kept, tokens)


def check(network: Network, kept: KeptTokens, tokens: Sequence[int]) -> Tensor:
    """Read a few tokens; return the logits [len(tokens), vocab_size] after each of them."""
    if len(tokens) == 1:
        return _next_logits(network, kept, tokens)[None]
    with torch.inference_mode():
        logits = network.logits(_batch(network, tokens), kept.cache)
    kept.ids.extend(tokens)
    return logits


def _next_logits(network: Network, kept: KeptTokens, ids: Sequence[int]) -> Tensor:
    # inference_mode must not be held across a generator's yields: others run in between.
    with torch.inference_mode():
        logits = network.next_logits(_batch(network, ids), kept.cache)
    kept.ids.extend(ids)
    return logits[0]


def _batch(network: Network, ids: Sequence[int]) -> Tensor:
    return torch.tensor([list(ids)], device=network.device)
