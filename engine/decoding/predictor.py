"""The probabilities of each next token after a prompt: from the network, from the n-gram cache, or from both."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.cache_model import CacheModel
from engine.decoding.generate import KeptTokens, decode, prefill
from engine.decoding.sampling import Floats
from engine.model.transformer import Transformer
from engine.ngram import MAX_CONTEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkReading:
    """A network and the prompt it has to read."""

    transformer: Transformer
    prompt_ids: Sequence[int]
    kept: KeptTokens
    """With room for the prompt and for what will be generated."""


class Predictor:
    """Predicts one token after another; at least one of network and cache must be given."""

    def __init__(
        self,
        *,
        network: NetworkReading | None,
        cache: CacheModel | None,
        context: Sequence[int],
        end_ids: Sequence[int],
        cancelled: Callable[[], bool],
    ) -> None:
        """Take the sources.

        Args:
            network: read first.
            cache: the n-gram models.
            context: the tokens before the cursor, as the n-gram models see them.
            end_ids: the end marks, about which the network alone decides.
            cancelled: asked between pieces of the prompt.
        """
        self._network = network
        self._cache = cache
        self._context = list(context[-MAX_CONTEXT:])
        self._end_ids = end_ids
        self._cancelled = cancelled
        self._unread: int | None = None
        self.prefill_seconds = 0.0

    def probabilities(self) -> Floats | None:
        """Return the next token's probabilities, float32 [vocabulary_size], or None when cancelled in the prompt."""
        if self._network is None:
            assert self._cache is not None
            return self._cache.mix_alone(self._context)
        logits = self._logits(self._network)
        if logits is None:
            return None
        network: Floats = torch.softmax(logits.float(), dim=-1).cpu().numpy()
        if self._cache is None:
            return network
        return self._cache.mix(self._context, network, end_ids=self._end_ids)

    def append(self, token: int) -> None:
        """Say which token was chosen; it is read when the next one is asked for."""
        self._context = [*self._context, token][-MAX_CONTEXT:]
        self._unread = token

    def _logits(self, network: NetworkReading) -> Tensor | None:
        if self._unread is not None:
            return decode(network.transformer, network.kept, self._unread)
        began = time.perf_counter()
        logits = prefill(network.transformer, network.kept, network.prompt_ids, self._cancelled)
        self.prefill_seconds = time.perf_counter() - began
        return logits
