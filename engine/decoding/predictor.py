"""The probabilities of each next token after a prompt: from the network, from the n-gram cache, or from both."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.cache_model import CacheModel
from engine.decoding.generate import KeptTokens, decode, prefill
from engine.decoding.healing import Healing
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
        healing: Healing | None,
        cancelled: Callable[[], bool],
    ) -> None:
        """Take the sources.

        Args:
            network: read first.
            cache: the n-gram models.
            context: the tokens before the cursor as the n-gram models see them: without what healing took back.
            end_ids: the end marks, about which the network alone decides.
            healing: given when the network's prompt ends at the cursor: translates between the two. None when the
                network reads the same tokens as the n-gram models.
            cancelled: asked between pieces of the prompt.
        """
        self._network = network
        self._cache = cache
        self._context = list(context[-MAX_CONTEXT:])
        self._end_ids = end_ids
        self._healing = healing
        self._cancelled = cancelled
        self._logits: Tensor | None = None
        self._unread: list[int] = []
        self.prefill_seconds = 0.0

    def probabilities(self, remaining: bytes) -> Floats | None:
        """Return the next token's probabilities, float32 [vocabulary_size], or None when cancelled in the prompt.

        Args:
            remaining: bytes before the cursor that the next tokens have to write again.
        """
        if self._network is None:
            assert self._cache is not None
            return self._cache.mix_alone(self._context)
        logits = self._read(self._network)
        if logits is None:
            return None
        network: Floats = torch.softmax(logits.float(), dim=-1).cpu().numpy()
        if remaining and self._healing is not None:
            network = self._healing.translate(network, remaining)
        if self._cache is None:
            return network
        return self._cache.mix(self._context, network, end_ids=self._end_ids)

    def append(self, token: int, beyond: bytes) -> None:
        """Say which token was chosen, and what it writes behind the cursor; read when the next one is asked for."""
        self._context = [*self._context, token][-MAX_CONTEXT:]
        self._unread += [token] if self._healing is None else self._healing.spell(beyond)

    def _read(self, network: NetworkReading) -> Tensor | None:
        if self._logits is None:
            began = time.perf_counter()
            self._logits = prefill(network.transformer, network.kept, network.prompt_ids, self._cancelled)
            self.prefill_seconds = time.perf_counter() - began
        elif self._unread:
            self._logits = decode(network.transformer, network.kept, self._unread)
            self._unread = []
        return self._logits
