"""The probabilities of each next token after a prompt: from the network, from the n-gram cache, or from both."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.cache_model import CacheModel
from engine.decoding.draft import NO_DRAFT, Draft, Drafter, PromptIndex
from engine.decoding.generate import MOST_CHECKED_AT_ONCE, KeptTokens, check, prefill_slices
from engine.decoding.healing import Healing
from engine.decoding.sampling import Floats
from engine.model.network import Network
from engine.ngram import MAX_CONTEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkReading:
    """A network and the prompt it has to read."""

    network: Network
    prompt_ids: Sequence[int]
    kept: KeptTokens
    """With room for the prompt and for what will be generated."""
    drafter: Drafter | None
    """None reads one token at a time."""


class Predictor:
    """Predicts one token after another; at least one of network and cache must be given."""

    def __init__(
        self,
        *,
        reading: NetworkReading | None,
        cache: CacheModel | None,
        context: Sequence[int],
        end_ids: Sequence[int],
        healing: Healing,
        reads_to_the_cursor: bool,
    ) -> None:
        """Take the sources.

        Args:
            reading: the network and its prompt.
            cache: the n-gram models.
            context: the tokens before the cursor as the n-gram models see them: without what healing took back.
            end_ids: the end marks, about which the network alone decides.
            healing: translates between the n-gram models' tokens and the network's.
            reads_to_the_cursor: whether the network's prompt ends at the cursor; if not, it reads the same tokens as
                the n-gram models.
        """
        self._source = None if reading is None else _NetworkSource(reading)
        self._cache = cache
        self._start = list(context[-MAX_CONTEXT:])
        self._context = self._start
        self._end_ids = end_ids
        self._healing = healing
        self._reads_to_the_cursor = reads_to_the_cursor

    @property
    def prefill_seconds(self) -> float:
        """Time spent reading the prompt."""
        return 0.0 if self._source is None else self._source.prefill_seconds

    @property
    def tokens_read(self) -> int:
        """Tokens of the prompt that were not kept from before."""
        return 0 if self._source is None else self._source.tokens_read

    def read_prompt(self) -> Iterator[None]:
        """Read the prompt slice by slice, but for its end; yields before every slice."""
        if self._source is not None:
            yield from self._source.read_prompt()

    def probabilities(self, remaining: bytes, *, room: int) -> Floats:
        """Return the next token's probabilities, float32 [vocabulary_size].

        Args:
            remaining: bytes before the cursor that the next tokens have to write again.
            room: how many tokens will be asked for at most, this one included.
        """
        logits = None
        if self._source is not None:
            logits = self._source.logits(self._draft_room(remaining, room), self._context, remaining)
        return self._mixed(self._context, logits, remaining)

    def append(self, token: int, beyond: bytes) -> None:
        """Say which token was chosen, and what it writes behind the cursor; read when the next one is asked for."""
        self._context = [*self._context, token][-MAX_CONTEXT:]
        if self._source is not None:
            self._source.append(self._healing.spell(beyond) if self._reads_to_the_cursor else [token])

    def by_the_cache(self, tokens: Sequence[int]) -> Floats:
        """Return what the n-gram models alone expect behind the cursor and some more tokens; there must be models."""
        return self._mixed([*self._start, *tokens][-MAX_CONTEXT:], None)

    def along(self, tokens: Sequence[int]) -> Iterator[Floats]:
        """Yield the probabilities before each of some tokens, written from the cursor on in place of what was appended.

        Only where network and n-gram models read the same tokens, and when no other token will be asked for.
        """
        logits = [None] * len(tokens) if self._source is None else self._source.logits_from_the_prompt(tokens)
        for index, row in enumerate(logits):
            yield self._mixed([*self._start, *tokens[:index]][-MAX_CONTEXT:], row)

    def _mixed(self, context: Sequence[int], logits: Tensor | None, remaining: bytes = b"") -> Floats:
        """Return probabilities by both sources, or by the n-gram models alone where there are no logits."""
        if logits is None:
            assert self._cache is not None
            return self._cache.mix_alone(context)
        network: Floats = torch.softmax(logits.float(), dim=-1).cpu().numpy()
        if remaining and self._reads_to_the_cursor:
            network = self._healing.translate(network, remaining)
        return network if self._cache is None else self._cache.mix(context, network, end_ids=self._end_ids)

    def _draft_room(self, remaining: bytes, room: int) -> int:
        # While bytes before the cursor are written again, such a network and the n-gram models read different tokens.
        return 0 if remaining and self._reads_to_the_cursor else room - 1


class _NetworkSource:
    """Reads what was chosen, together with a draft of what may be chosen next."""

    def __init__(self, reading: NetworkReading) -> None:
        self._network = reading.network
        self._kept = reading.kept
        self._prompt_ids = list(reading.prompt_ids)
        self._drafter = reading.drafter
        self._index = PromptIndex(self._prompt_ids if reading.drafter else ())
        self._unread: list[int] = []
        self._draft = NO_DRAFT
        self._ahead: deque[tuple[int, Tensor]] = deque()
        """Drafted tokens that were read already, each with the logits behind it."""
        self._logits: Tensor | None = None
        self.prefill_seconds = 0.0
        self.tokens_read = 0

    def read_prompt(self) -> Iterator[None]:
        began = time.perf_counter()
        slices = prefill_slices(self._network, self._kept, self._prompt_ids, leave=MOST_CHECKED_AT_ONCE)
        self.tokens_read = len(self._prompt_ids) - self._kept.keep_common_prefix(self._prompt_ids)
        for _ in slices:
            self.prefill_seconds += time.perf_counter() - began
            yield
            began = time.perf_counter()
        self._unread = self._prompt_ids[len(self._kept.ids) :]
        self.prefill_seconds += time.perf_counter() - began

    def logits(self, room: int, context: Sequence[int], remaining: bytes) -> Tensor:
        if self._unread:
            is_prompt, began = self._logits is None, time.perf_counter()
            self._draft = self._propose(room, context, remaining)
            rows = check(self._network, self._kept, [*self._unread, *self._draft.tokens])[len(self._unread) - 1 :]
            self._logits, self._ahead = rows[0], deque(zip(self._draft.tokens, rows[1:], strict=True))
            self._unread = []
            if is_prompt:
                self.prefill_seconds += time.perf_counter() - began
        assert self._logits is not None
        return self._logits

    def logits_from_the_prompt(self, tokens: Sequence[int]) -> Sequence[Tensor]:
        """Return the logits before each of some tokens that stand behind the prompt in place of what was read there."""
        self._kept.truncate(len(self._prompt_ids) - 1)
        self._ahead.clear()
        return list(check(self._network, self._kept, [self._prompt_ids[-1], *tokens[:-1]]))

    def append(self, tokens: Sequence[int]) -> None:
        if self._drafter:
            self._index.extend(tokens)
        for token in tokens:
            if self._ahead and self._ahead[0][0] == token:
                _, self._logits = self._ahead.popleft()
                if not self._ahead:
                    self._end_draft()
            else:
                self._end_draft()
                self._unread.append(token)

    def _end_draft(self) -> None:
        """Forget the drafted tokens that were not chosen."""
        if self._drafter and self._draft.tokens:
            self._drafter.learn(self._draft, len(self._draft.tokens) - len(self._ahead))
        self._kept.truncate(len(self._kept.ids) - len(self._ahead))
        self._ahead.clear()
        self._draft = NO_DRAFT

    def _propose(self, room: int, context: Sequence[int], remaining: bytes) -> Draft:
        free = self._kept.cache.capacity - len(self._kept.ids) - len(self._unread)
        room = min(room, free, self._network.config.max_position_embeddings - len(self._kept.ids) - len(self._unread))
        if self._drafter is None or room <= 0:
            return NO_DRAFT
        return self._drafter.propose(context, self._index, room=room, remaining=remaining)
