"""Draws answers from a network while it learns: midfill's own network with its cache, or vLLM on a cluster."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from engine.model.key_value_cache import KeyValueCache
from engine.model.transformer import Transformer
from train.errors import RunError


class Sampler(Protocol):
    """Draws answers from the network as it is now, at temperature 1: from the policy whose gradient is taken."""

    def sample(self, prompt: Sequence[int], *, count: int, seed: int) -> list[list[int]]:
        """Return `count` answers to one prompt; each ends with its end mark unless it became too long."""


class EngineSampler:
    """Reads the prompt once and decodes all answers side by side from copies of its cache."""

    def __init__(self, network: Transformer, *, ends: Sequence[int], vocab_size: int, max_tokens: int) -> None:
        """Choose what to draw from.

        Args:
            network: read at each call, so that it may learn in between.
            ends: tokens that end an answer.
            vocab_size: of the tokenizer; the network's output may have more rows, which mean nothing.
            max_tokens: of an answer.
        """
        self._network, self._vocab_size, self._max_tokens = network, vocab_size, max_tokens
        self._ends = torch.tensor(list(ends), device=network.device)

    @torch.no_grad()
    def sample(self, prompt: Sequence[int], *, count: int, seed: int) -> list[list[int]]:
        """See `Sampler`; equal weights and seeds give equal answers."""
        device = self._network.device
        chance = torch.Generator(device).manual_seed(seed)
        length = min(self._max_tokens, self._network.config.max_position_embeddings - len(prompt))
        read = self._network.new_cache(len(prompt))
        logits = self._network.next_logits(torch.tensor([list(prompt)], device=device), read).expand(count, -1)
        cache = self._copies(read, count, len(prompt) + length)
        chosen: list[Tensor] = []
        ended = torch.zeros(count, dtype=torch.bool, device=device)
        for _ in range(length):
            probabilities = logits[:, : self._vocab_size].float().softmax(-1)
            tokens = torch.multinomial(probabilities, 1, generator=chance)
            chosen.append(tokens)
            ended |= torch.isin(tokens[:, 0], self._ends)
            if ended.all():
                break
            logits = self._network.next_logits(tokens, cache)
        ends = set(self._ends.tolist())
        return [_until(row, ends) for row in torch.cat(chosen, 1).tolist()] if chosen else [[] for _ in range(count)]

    def _copies(self, read: KeyValueCache, count: int, capacity: int) -> KeyValueCache:
        """Return a cache of `count` sequences that all begin with what `read` holds."""
        keys, values = read.held()
        config = self._network.config
        cache = KeyValueCache(config, capacity=capacity, batch=count, dtype=keys.dtype, device=keys.device)
        for copies, one in zip(cache.storage(), (keys, values), strict=True):
            copies[:, :, :, : read.length].copy_(one)
        cache.advance(read.length)
        return cache


class VllmSampler:
    """vLLM on the GPUs of this process, given the network's weights anew whenever they have changed.

    No test runs it: it needs vLLM and a GPU.
    """

    def __init__(self, model: str, network: Transformer, *, ends: Sequence[int], max_tokens: int) -> None:
        """Start vLLM.

        Args:
            model: folder of the network's shape and tokenizer.
            network: whose weights are drawn from.
            ends: tokens that end an answer.
            max_tokens: of an answer.

        Raises:
            RunError: vLLM is not installed.
        """
        try:
            import vllm
        except ImportError as error:
            raise RunError("align.sampler=vllm needs vLLM: pip install vllm, or use align.sampler=engine") from error
        self._network, self._ends, self._max_tokens = network, list(ends), max_tokens
        self._vllm = vllm
        self._engine: Any = vllm.LLM(model=model, gpu_memory_utilization=0.4, enable_prefix_caching=True)
        self._version = -1

    def sample(self, prompt: Sequence[int], *, count: int, seed: int) -> list[list[int]]:
        """See `Sampler`."""
        self._send_weights()
        settings = self._vllm.SamplingParams(
            n=count, temperature=1.0, max_tokens=self._max_tokens, stop_token_ids=self._ends, seed=seed
        )
        (found,) = self._engine.generate([{"prompt_token_ids": list(prompt)}], settings, use_tqdm=False)
        return [list(output.token_ids) for output in found.outputs]

    def _send_weights(self) -> None:
        version = next(self._network.parameters())._version
        if version == self._version:
            return
        weights = [(_checkpoint_name(name), tensor.detach()) for name, tensor in self._network.named_parameters()]
        self._engine.apply_model(lambda model: model.load_weights(weights))
        self._engine.reset_prefix_cache()
        self._version = version


def _checkpoint_name(name: str) -> str:
    return name if name.startswith("lm_head") else f"model.{name}"


def _until(row: list[int], ends: set[int]) -> list[int]:
    end = next((place for place, token in enumerate(row) if token in ends), len(row) - 1)
    return row[: end + 1]
