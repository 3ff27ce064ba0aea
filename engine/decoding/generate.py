"""Runs the network: prefill reads a prompt, decode reads one token more; both extend keys and values that are kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.model.key_value_cache import KeyValueCache
from engine.model.transformer import Transformer

_PIECE_ON_CPU = 64
"""Tokens read between two looks at the abort flag: some tens of milliseconds on a CPU."""
_PIECE_ON_GPU = 2048


@dataclass(slots=True, kw_only=True)
class KeptTokens:
    """Keys and values, and the tokens they belong to."""

    ids: list[int]
    """As many as `cache.length`."""
    cache: KeyValueCache

    def keep_common_prefix(self, ids: Sequence[int]) -> int:
        """Forget what differs from `ids`, and at least their last token; return how many tokens are left.

        The last token is always read anew, because only reading it gives the logits of what follows.
        """
        common = 0
        for kept, wanted in zip(self.ids, ids[:-1], strict=False):
            if kept != wanted:
                break
            common += 1
        self.cache.truncate(common)
        del self.ids[common:]
        return common


@torch.inference_mode()
def prefill(
    transformer: Transformer, kept: KeptTokens, ids: Sequence[int], cancelled: Callable[[], bool]
) -> Tensor | None:
    """Read what `kept` lacks of `ids`; return the logits [vocab_size] after the last, or None when cancelled.

    A cancelled prefill leaves a shorter, valid `kept`. `kept.cache` must have room for all of `ids`, which must not be
    empty.
    """
    done = kept.keep_common_prefix(ids)
    device = transformer.embed_tokens.weight.device
    piece = _PIECE_ON_CPU if device.type == "cpu" else _PIECE_ON_GPU
    logits = None
    for start in range(done, len(ids), piece):
        if cancelled():
            return None
        logits = _read(transformer, kept, ids[start : start + piece], device)
    return logits


@torch.inference_mode()
def decode(transformer: Transformer, kept: KeptTokens, tokens: Sequence[int]) -> Tensor:
    """Read what was just chosen, mostly one token; return the logits [vocab_size] of the next."""
    return _read(transformer, kept, tokens, transformer.embed_tokens.weight.device)


def _read(transformer: Transformer, kept: KeptTokens, ids: Sequence[int], device: torch.device) -> Tensor:
    logits = transformer.next_logits(torch.tensor([list(ids)], device=device), kept.cache)
    kept.ids.extend(ids)
    return logits[0]
