"""One request, text to text: prompt, network, n-gram cache, healing and stopping put together.

Works without the daemon, which wraps it; benchmarks and training call it in-process. Not for several threads at once.
"""

import time
from collections.abc import Callable, Iterator
from enum import Enum
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.api import Chunk, Completion, CompletionRequest, FinishReason
from engine.cache_model import CacheModel
from engine.decoding.healing import Healing, Rewriting
from engine.decoding.predictor import NetworkReading, Predictor
from engine.decoding.prefix_cache import PrefixCache
from engine.decoding.sampling import with_temperature
from engine.decoding.steps import write
from engine.decoding.stopping import stop_for
from engine.instruct import answer
from engine.model_folder import ServedModel
from engine.ngram import NgramCollection, NgramModel
from engine.prompt import Prompt, PromptParts, build, end_ids

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


class Completer:
    """Answers completion requests with one model."""

    def __init__(
        self,
        model: ServedModel,
        *,
        source: Source = Source.BOTH,
        find_collection: Callable[[str], NgramCollection | None] | None = None,
        prompt_tokens: int | None = None,
    ) -> None:
        """Serve `model`.

        Args:
            model: read by `engine.model_folder.read`.
            source: which probabilities are used.
            find_collection: finds the n-gram statistics of a collection by name.
            prompt_tokens: longest prompt; None is as long as the model's context allows.
        """
        self._model = model
        self._source = source
        self._find_collection = find_collection or dict[str, NgramCollection]().get
        self._context_length = model.prompt_settings.context_length
        self._prompt_tokens = min(prompt_tokens or self._context_length, self._context_length)
        self._end_ids = end_ids(model.prompt_settings.fim, model.tokenizer)
        self._healing = Healing(model.tokenizer)
        self._reads_to_the_cursor = not model.prompt_settings.mode.ends_between_tokens
        weight = model.transformer.embed_tokens.weight
        self._prefixes = PrefixCache(model.transformer.config, dtype=weight.dtype, device=weight.device)
        self._encode_block = lru_cache(4096)(model.tokenizer.encode)

    def complete(
        self, request: CompletionRequest, cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[Chunk | Completion]:
        """Yield `Chunk`s and at last one `Completion`.

        Args:
            request: any text; lone surrogates are replaced.
            cancelled: asked before every token and every piece of the prompt; once it says yes, the completion ends
                with what it has and `FinishReason.CANCELLED`.

        Raises:
            PromptError: the model's context is too short for any prompt.
        """
        if request.instruction is not None:
            yield from answer(self._model, request, cancelled)
            return
        began = time.perf_counter()
        prefix, suffix = _valid(request.prefix), _valid(request.suffix)
        healed = self._healing.heal(prefix)
        max_tokens = max(0, min(request.max_tokens, self._context_length // 4))
        reserve = max_tokens + self._healing.longest_token  # at worst the first piece is spelled byte by byte
        prompt = self._build_prompt(
            request, prefix if self._reads_to_the_cursor else healed.prefix, suffix, reserve=reserve
        )
        predictor = self._predictor(request, prompt, healed.prefix, suffix, reserve=reserve, cancelled=cancelled)
        built = time.perf_counter()

        finish_reason: FinishReason | None = None
        texts: list[str] = []
        scores: list[tuple[int, float]] = []
        length = 0
        for step in write(
            predictor,
            rewriting=Rewriting(healed.removed, self._healing, self._model.tokenizer, self._end_ids),
            stop=stop_for(request.length, prefix=prefix, suffix=suffix),
            choose=with_temperature(request.temperature, seed=request.seed),
            end_ids=self._end_ids,
            max_tokens=max_tokens,
            cancelled=cancelled,
        ):
            finish_reason = step.finish_reason
            length += len(step.text)
            if step.log_probability is not None:
                scores.append((length, step.log_probability))
            if step.text:
                texts.append(step.text)
                yield Chunk(text=step.text)
        assert finish_reason is not None
        ended = time.perf_counter()
        yield Completion(
            text="".join(texts),
            finish_reason=finish_reason,
            prompt_tokens=len(prompt.ids),
            new_tokens=len(scores),
            mean_log_probability=float(np.mean([score for _, score in scores])) if scores else 0.0,
            snippets_used=prompt.snippets_used,
            token_scores=tuple(scores),
            timings=_milliseconds(
                prompt=built - began,
                prefill=predictor.prefill_seconds,
                decode=ended - built - predictor.prefill_seconds,
            ),
        )

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
        return build(parts, self._model.prompt_settings, self._model.tokenizer, budget=budget)

    def _predictor(
        self,
        request: CompletionRequest,
        prompt: Prompt,
        prefix: str,
        suffix: str,
        *,
        reserve: int,
        cancelled: Callable[[], bool],
    ) -> Predictor:
        network = None
        if self._source is not Source.CACHE:
            kept = self._prefixes.take(request.document, capacity=len(prompt.ids) + reserve)
            network = NetworkReading(transformer=self._model.transformer, prompt_ids=prompt.ids, kept=kept)
        cache = None
        if self._source is not Source.NETWORK:
            cache = self._cache_model(request, prefix, suffix)
        return Predictor(
            network=network,
            cache=cache,
            context=self._model.tokenizer.encode(prefix[-_CONTEXT_CHARACTERS:]),
            end_ids=self._end_ids,
            healing=self._healing if self._reads_to_the_cursor else None,
            cancelled=cancelled,
        )

    def _cache_model(self, request: CompletionRequest, prefix: str, suffix: str) -> CacheModel:
        vocabulary_size = self._model.transformer.config.vocab_size
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
