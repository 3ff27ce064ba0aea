"""One request, text to text: prompt, network, n-gram cache, healing and stopping put together.

Works without the daemon, which wraps it; benchmarks and training call it in-process. Not for several threads at once.
"""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.api import Chunk, Completion, CompletionRequest, FinishReason, Length
from engine.cache_model import CacheModel
from engine.decoding.draft import AcceptanceRates, Drafter
from engine.decoding.generate import MOST_CHECKED_AT_ONCE, KeptTokens, prefill_slices
from engine.decoding.healing import Healing, Rewriting
from engine.decoding.line_choice import JudgedLine, LineChoice
from engine.decoding.predictor import NetworkReading, Predictor
from engine.decoding.prefix_cache import PrefixCache
from engine.decoding.sampling import with_temperature
from engine.decoding.steps import Step, write
from engine.decoding.stopping import stop_for
from engine.instruct import answer
from engine.model_folder import ServedModel
from engine.ngram import NgramCollection, NgramModel
from engine.prompt import Prompt, PromptParts, end_ids
from engine.prompt_memory import PromptMemory

_FILE_CHARACTERS = 60_000
"""Characters of the open file counted on each side of the cursor: about 20 thousand tokens."""
_LINES_PER_BLOCK = 24
_CONTEXT_CHARACTERS = 600
"""Characters before the cursor that surely hold the n-gram models' longest context."""


class Source(Enum):
    """Where next-token probabilities come from."""

    NETWORK = "network"
    CACHE = "cache"
    """The n-gram models of file and collection; the network does not run."""
    BOTH = "both"


class Drafting(Enum):
    """Whether several tokens are guessed and checked at a time; what is written is the same."""

    ON = "on"
    OFF = "off"


class Completer:
    """Answers completion requests with one model."""

    def __init__(
        self,
        model: ServedModel,
        *,
        source: Source = Source.BOTH,
        find_collection: Callable[[str], NgramCollection | None] | None = None,
        prompt_tokens: int | None = None,
        cache_bytes: int = 1 << 30,
        drafting: Drafting = Drafting.ON,
    ) -> None:
        """Serve `model`.

        Args:
            model: read by `engine.model_folder.read`.
            source: which probabilities are used.
            find_collection: finds the n-gram statistics of a collection by name.
            prompt_tokens: longest prompt; None is as long as the model's context allows.
            cache_bytes: most memory for keys and values, but for those of the prompts being read.
            drafting: whether to guess ahead.
        """
        self._model = model
        self._source = source
        self._find_collection = find_collection or dict[str, NgramCollection]().get
        self._context_length = model.prompt_settings.context_length
        self._prompt_tokens = min(prompt_tokens or self._context_length, self._context_length)
        self._end_ids = end_ids(model.prompt_settings.fim, model.tokenizer)
        self._healing = Healing(model.tokenizer)
        self._reads_to_the_cursor = not model.prompt_settings.mode.ends_between_tokens
        self._prefixes = PrefixCache(model.network, memory_bytes=cache_bytes)
        self._prompts = PromptMemory(model.prompt_settings, model.tokenizer)
        self._drafting = drafting
        self._rates = AcceptanceRates()
        self._encode_block = lru_cache(4096)(model.tokenizer.encode)

    @property
    def cache_bytes(self) -> int:
        """Bytes that keys and values take now."""
        return self._prefixes.memory_bytes

    def complete(
        self, request: CompletionRequest, cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[Chunk | Completion]:
        """Yield `Chunk`s and one `Completion`, then one more `Completion` for each alternative.

        Args:
            request: any text; lone surrogates are replaced.
            cancelled: asked before every token and every piece of the prompt; once it says yes, the completion ends
                with what it has and `FinishReason.CANCELLED`.

        Raises:
            PromptError: the model's context is too short for any prompt.
        """
        return (answer for answer in self.work(request, cancelled) if answer is not None)

    def work(
        self, request: CompletionRequest, cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[Chunk | Completion | None]:
        """Like `complete`, but also yield None after every slice of work that brought nothing to show.

        Several of these may be taken turns with, on one thread. An iterator that is given up must be closed.
        """
        if request.instruction is not None:
            yield from answer(self._model, request, cancelled)
            return
        texts = set()
        for rank in range(max(1, request.alternatives)):
            completion = yield from self._write(request, rank, cancelled)
            if rank == 0 or (completion.text and completion.text not in texts):
                yield completion
            texts.add(completion.text)
            if completion.finish_reason is FinishReason.CANCELLED:
                return

    def judged_lines(self, request: CompletionRequest) -> list[JudgedLine]:
        """Return the lines that a request chooses among, with their features; none where it has no choice.

        What is written token by token comes first. `midfill train mixture` learns from these.
        """
        if not self._chooses_lines(request, rank=0):
            return []
        cursor = self._cursor(request)
        with self._kept(request, cursor) as kept:
            predictor = self._predictor(request, cursor, kept)
            choice = self._line_choice(predictor, cursor)
            written = list(self._token_by_token(predictor, request, cursor, 0, lambda: False))
            return list(choice.judge(choice.lines(written)))

    def prepare(self, request: CompletionRequest, cancelled: Callable[[], bool]) -> Iterator[None]:
        """Read the prompt of a request that is likely to come, a slice at a time; nothing is written."""
        if self._source is Source.CACHE or request.instruction is not None:
            return
        cursor = self._cursor(request)
        with self._kept(request, cursor) as kept:
            assert kept is not None
            for _ in prefill_slices(self._model.network, kept, cursor.prompt.ids, leave=MOST_CHECKED_AT_ONCE):
                yield
                if cancelled():
                    return

    def _write(
        self, request: CompletionRequest, rank: int, cancelled: Callable[[], bool]
    ) -> Generator[Chunk | None, None, Completion]:
        """Write one text, streamed if it is the first of its request."""
        began = time.perf_counter()
        cursor = self._cursor(request)
        finish_reason: FinishReason | None = None
        texts: list[str] = []
        scores: list[tuple[int, float]] = []
        length = 0
        with self._kept(request, cursor) as kept:
            predictor = self._predictor(request, cursor, kept)
            built = time.perf_counter()
            waited = 0.0
            steps = self._token_by_token(predictor, request, cursor, rank, cancelled)
            if self._chooses_lines(request, rank):
                steps = self._line_choice(predictor, cursor).choose(steps, cancelled)
            for step in steps:
                finish_reason = step.finish_reason
                length += len(step.text)
                if step.log_probability is not None:
                    scores.append((length, step.log_probability))
                texts.append(step.text)
                paused = time.perf_counter()
                yield Chunk(text=step.text) if step.text and rank == 0 else None
                waited += time.perf_counter() - paused
        assert finish_reason is not None
        decode = time.perf_counter() - built - predictor.prefill_seconds - waited
        return Completion(
            text="".join(texts),
            finish_reason=finish_reason,
            prompt_tokens=len(cursor.prompt.ids),
            new_tokens=len(scores),
            mean_log_probability=float(np.mean([score for _, score in scores])) if scores else 0.0,
            snippets_used=cursor.prompt.snippets_used,
            token_scores=tuple(scores),
            prompt_tokens_read=predictor.tokens_read,
            timings=_milliseconds(prompt=built - began, prefill=predictor.prefill_seconds, decode=decode),
        )

    def _token_by_token(
        self,
        predictor: Predictor,
        request: CompletionRequest,
        cursor: "_Cursor",
        rank: int,
        cancelled: Callable[[], bool],
    ) -> Iterator[Step]:
        return write(
            predictor,
            rewriting=Rewriting(cursor.removed, self._healing, self._model.tokenizer, self._end_ids),
            stop=stop_for(request.length, prefix=cursor.prefix, suffix=cursor.suffix, blank_lines=request.blank_lines),
            choose=with_temperature(request.temperature, seed=request.seed + rank),
            end_ids=self._end_ids,
            max_tokens=cursor.max_tokens,
            cancelled=cancelled,
            rank=rank if request.temperature <= 0 else 0,
        )

    def _chooses_lines(self, request: CompletionRequest, rank: int) -> bool:
        lines = self._model.mixture.proposed_lines > 0 and self._source is not Source.NETWORK
        same_tokens = self._source is Source.CACHE or not self._reads_to_the_cursor
        return lines and same_tokens and request.length is Length.LINE and request.temperature <= 0 and rank == 0

    def _line_choice(self, predictor: Predictor, cursor: "_Cursor") -> LineChoice:
        return LineChoice(
            predictor=predictor,
            width=self._model.mixture.proposed_lines,
            room=cursor.reserve,
            removed=cursor.removed,
            prefix=cursor.prefix,
            suffix=cursor.suffix,
            weights=self._model.mixture.line_weights,
            healing=self._healing,
            tokenizer=self._model.tokenizer,
            end_ids=self._end_ids,
        )

    def _cursor(self, request: CompletionRequest) -> "_Cursor":
        prefix, suffix = _valid(request.prefix), _valid(request.suffix)
        healed = self._healing.heal(prefix)
        max_tokens = max(0, min(request.max_tokens, self._context_length // 4))
        reserve = max_tokens + self._healing.longest_token  # at worst the first piece is spelled byte by byte
        read = prefix if self._reads_to_the_cursor else healed.prefix
        return _Cursor(
            prefix=prefix,
            healed=healed.prefix,
            removed=healed.removed,
            suffix=suffix,
            max_tokens=max_tokens,
            reserve=reserve,
            prompt=self._build_prompt(request, read, suffix, reserve=reserve),
        )

    @contextmanager
    def _kept(self, request: CompletionRequest, cursor: "_Cursor") -> Iterator[KeptTokens | None]:
        """Lend the keys and values that a request reads on from."""
        if self._source is Source.CACHE:
            yield None
            return
        capacity = len(cursor.prompt.ids) + cursor.reserve
        kept = self._prefixes.take(request.document, cursor.prompt.ids, capacity=capacity)
        try:
            yield kept
        finally:
            self._prefixes.give_back(kept)

    def _build_prompt(self, request: CompletionRequest, prefix: str, suffix: str, *, reserve: int) -> Prompt:
        parts = PromptParts(
            path=_valid(request.path),
            comment=_valid(request.comment),
            prefix=prefix,
            suffix=suffix,
            snippets=request.snippets,
            repository=Path(request.collection).name if request.collection else "",
        )
        budget = min(self._prompt_tokens, self._context_length - reserve)
        return self._prompts.build(request.document, parts, budget=budget)

    def _predictor(self, request: CompletionRequest, cursor: "_Cursor", kept: KeptTokens | None) -> Predictor:
        cache = None
        if self._source is not Source.NETWORK:
            cache = self._cache_model(request, cursor.healed, cursor.suffix)
        reading = None
        if kept is not None:
            reading = NetworkReading(
                network=self._model.network,
                prompt_ids=cursor.prompt.ids,
                kept=kept,
                drafter=self._drafter(request, cache),
            )
        return Predictor(
            reading=reading,
            cache=cache,
            context=self._model.tokenizer.encode(cursor.healed[-_CONTEXT_CHARACTERS:]),
            end_ids=self._end_ids,
            healing=self._healing,
            reads_to_the_cursor=self._reads_to_the_cursor,
        )

    def _drafter(self, request: CompletionRequest, cache: CacheModel | None) -> Drafter | None:
        if self._drafting is Drafting.OFF:
            return None
        ends_line = self._ends_line if request.length is Length.LINE else None
        return Drafter(
            models=cache.models if cache else (), rates=self._rates, healing=self._healing, is_last=ends_line
        )

    def _ends_line(self, token: int) -> bool:
        return b"\n" in self._model.tokenizer.token_bytes(token)

    def _cache_model(self, request: CompletionRequest, prefix: str, suffix: str) -> CacheModel:
        vocabulary_size = self._model.network.config.vocab_size
        before = self._encode_by_blocks(_last_lines(prefix))
        after = self._encode_by_blocks(suffix[:_FILE_CHARACTERS])
        collection = None if request.collection is None else self._find_collection(request.collection)
        return CacheModel(
            self._model.mixture,
            file=NgramModel.of_documents([before, after], vocabulary_size),
            collection=None if collection is None else collection.model(excluding=request.path),
        )

    def _encode_by_blocks(self, text: str) -> npt.NDArray[np.int32]:
        """Encode text block by block, so that a keystroke encodes one block and not the file.

        A token that would span two blocks is lost, one in 24 lines: the counts hardly notice.
        """
        lines = text.splitlines(keepends=True)
        blocks = ["".join(lines[start : start + _LINES_PER_BLOCK]) for start in range(0, len(lines), _LINES_PER_BLOCK)]
        ids = [np.array(self._encode_block(block), np.int32) for block in blocks]
        return np.concatenate(ids) if ids else np.zeros(0, np.int32)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cursor:
    """A request as the network and the n-gram models read it."""

    prefix: str
    healed: str
    """The prefix without what healing took back."""
    removed: str
    suffix: str
    max_tokens: int
    reserve: int
    """Tokens of room behind the prompt."""
    prompt: Prompt


def _last_lines(prefix: str) -> str:
    """The end of the prefix, cut at a multiple of 16 kB: if it began elsewhere at every keystroke, all blocks would."""
    if len(prefix) <= _FILE_CHARACTERS:
        return prefix
    return prefix[(len(prefix) - _FILE_CHARACTERS) >> 14 << 14 :]


def _valid(text: str) -> str:
    """Replace lone surrogates, which editors can send and UTF-8 cannot spell."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _milliseconds(**seconds: float) -> dict[str, float]:
    return {hop: value * 1e3 for hop, value in seconds.items()}
