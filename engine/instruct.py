"""Has an instruct model answer one question, greedily, until it ends its turn."""

import math
import time
from collections.abc import Callable, Iterator

import torch

from engine.api import Chunk, Completion, CompletionRequest, FinishReason
from engine.chat import Chat
from engine.errors import PromptError
from engine.model.network import Network, TokenCache
from engine.model_folder import ServedModel

_PIECE = 64
"""Tokens read between two looks at the abort flag."""


def answer(
    model: ServedModel, request: CompletionRequest, cancelled: Callable[[], bool]
) -> Iterator[Chunk | Completion]:
    """Yield `Chunk`s and at last one `Completion`.

    Args:
        model: its folder must say how it is talked to.
        request: its `instruction` is the question; nothing else of it is read but the number of tokens.
        cancelled: asked before every token and every piece of the question.

    Raises:
        ModelFolderError: it is a base model.
        PromptError: the question does not fit.
    """
    began = time.perf_counter()
    chat = Chat.load(model.folder)
    ids = chat.prompt(request.instruction or "", model.tokenizer)
    room = model.prompt_settings.context_length - len(ids)
    if room < 1:
        raise PromptError(
            f"the question has {len(ids)} tokens and the model reads {model.prompt_settings.context_length}; "
            "choose fewer lines"
        )
    cache = model.network.new_cache(len(ids) + min(room, request.max_tokens))
    read = time.perf_counter()
    texts: list[str] = []
    log_probabilities: list[float] = []
    reason = FinishReason.MAX_TOKENS
    stream = model.tokenizer.stream()
    ends = chat.end_ids(model.tokenizer)
    pending = ids
    for _ in range(min(room, request.max_tokens)):
        chosen = _next(model.network, pending, cache, cancelled)
        if chosen is None:
            reason = FinishReason.CANCELLED
            break
        token, log_probability = chosen
        log_probabilities.append(log_probability)
        if token in ends:
            reason = FinishReason.END_MARK
            break
        pending = [token]
        if text := stream.push(token):
            texts.append(text)
            yield Chunk(text=text)
    yield Completion(
        text="".join(texts),
        finish_reason=reason,
        prompt_tokens=len(ids),
        new_tokens=len(log_probabilities),
        mean_log_probability=math.fsum(log_probabilities) / max(len(log_probabilities), 1),
        snippets_used=0,
        timings={"prompt": (read - began) * 1e3, "decode": (time.perf_counter() - read) * 1e3},
    )


@torch.inference_mode()
def _next(
    network: Network, ids: list[int], cache: TokenCache, cancelled: Callable[[], bool]
) -> tuple[int, float] | None:
    """Read ids; return the likeliest token after them and its log probability, or None when cancelled."""
    logits = None
    for start in range(0, len(ids), _PIECE):
        if cancelled():
            return None
        logits = network.next_logits(torch.tensor([ids[start : start + _PIECE]], device=network.device), cache)
    assert logits is not None
    scores = torch.log_softmax(logits[0].float(), dim=-1)
    token = int(scores.argmax())
    return token, float(scores[token])
