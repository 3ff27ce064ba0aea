"""Chooses how a network runs on this machine: precision by what fits, kernels or torch, and how many threads."""

import logging
import os
import threading
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path

import torch
from torch import Tensor

from engine.model.config import TransformerConfig
from engine.model.int8_decoder import Int8Cache, Int8Decoder
from engine.model.kernels import build
from engine.model.kernels.decoder import KernelCache, KernelDecoder, weight_bytes
from engine.model.network import Network, TokenCache
from engine.model.transformer import Transformer

log = logging.getLogger("midfill.engine")

_SHARE_OF_MEMORY = 0.6
"""Of what is free: the rest is for keys and values, n-gram statistics and the user's own programs."""
_WORTH_A_THREAD = 0.8
"""More threads are taken only if they bring a step to this part of its time: cores spent here are the editor's loss."""
_STEPS_MEASURED = 4


class Precision(Enum):
    """How weights are held on a CPU."""

    AUTO = "auto"
    """8 bits if they fit into memory, else 4."""
    FLOAT32 = "float32"
    """The reference: slow, and rounds nothing."""
    INT8 = "int8"
    INT4 = "int4"


def on_cpu(transformer: Transformer, *, precision: Precision, threads: int | None, kernels: Path) -> Network:
    """Return the fastest form of a network that this machine has.

    Where the kernels have yet to be compiled, torch serves until they are; that takes some ten seconds, once.

    Args:
        transformer: on the CPU, in any dtype; not needed afterwards.
        precision: 4 bits need the kernels; without them it is 8. Where there is no fast form it is 32.
        threads: None measures which number is fastest.
        kernels: the folder that compiled kernels lie in.
    """
    if precision is Precision.FLOAT32 or not has_fast_form(transformer.config):
        torch.set_num_threads(threads or cores_to_use())
        return transformer.float()
    bits = _bits(precision, transformer.config)
    try:
        plan = build.recipe(kernels)
        if plan.library.exists():
            return _with_kernels(transformer, plan, bits, threads)
    except build.KernelError as error:
        log.info("torch computes: %s", error)
        return _with_torch(transformer, threads)
    return WarmingDecoder(_with_torch(transformer, threads), lambda: _built(transformer, plan, bits, threads))


def has_fast_form(config: TransformerConfig) -> bool:
    """Whether more than the reference runs this shape; latent attention, experts and YaRN have no other form."""
    return config.latent_attention is None and config.experts is None and config.yarn is None


def describe(kernels: Path) -> str:
    """Say what would compute on the CPU, in one line for people."""
    try:
        plan = build.recipe(kernels)
    except build.KernelError as error:
        return f"torch int8 ({error})"
    if plan.library.exists():
        return f"C++ kernels, {build.level(build.load(plan))}"
    return f"C++ kernels, to be compiled by {plan.compiler} on first use"


def cores_to_use() -> int:
    """Return how many threads may compute: all cores, but one for the editor where there are more than two."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores - 1 if cores > 2 else cores


def memory_for_weights() -> float:
    """Return the bytes that weights may take on this machine now."""
    return _free_memory() * _SHARE_OF_MEMORY


class WarmingDecoder:
    """Runs on one network until a faster form of it is ready, then on that; what was read is taken over."""

    def __init__(self, first: Int8Decoder, prepare: Callable[[], KernelDecoder | None]) -> None:
        """Start `prepare` on a thread of its own; it returns None where there is nothing faster after all."""
        self._network: Int8Decoder | KernelDecoder = first
        self._prepare: Callable[[], KernelDecoder | None] | None = prepare
        self._faster: KernelDecoder | None = None
        self._thread = threading.Thread(target=self._warm, name="kernels", daemon=True)
        self._thread.start()

    @property
    def config(self) -> TransformerConfig:
        """The shape."""
        return self._network.config

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return self._network.device

    @property
    def precision(self) -> str:
        """Of the form that runs now."""
        return self._network.precision

    @property
    def path(self) -> str:
        """What runs it now."""
        return self._network.path if self._prepare is None else f"{self._network.path}, until the kernels are compiled"

    @property
    def threads(self) -> int:
        """Threads that compute."""
        return self._network.threads

    def wait(self) -> None:
        """Return when the faster form is ready, or there is none."""
        self._thread.join()

    def parameter_count(self) -> int:
        """Return the number of parameters; tied embeddings count once."""
        return self._network.parameter_count()

    def new_cache(self, capacity: int) -> "MovingCache":
        """Return an empty cache for up to `capacity` tokens."""
        return MovingCache(self._current().new_cache(capacity))

    def cache_bytes(self, capacity: int) -> int:
        """Return the bytes that `new_cache(capacity)` would allocate."""
        return self._network.cache_bytes(capacity)

    def logits(self, ids: Tensor, cache: TokenCache) -> Tensor:
        """Read ids [1, T]; return the logits [T, vocab_size] after each of them."""
        assert isinstance(cache, MovingCache)
        return self._current().logits(ids, self._moved(cache))

    def next_logits(self, ids: Tensor, cache: TokenCache) -> Tensor:
        """Read ids [1, T]; return the logits [1, vocab_size] after the last."""
        assert isinstance(cache, MovingCache)
        return self._current().next_logits(ids, self._moved(cache))

    def _current(self) -> Int8Decoder | KernelDecoder:
        if self._faster is not None:
            self._network, self._faster = self._faster, None
        return self._network

    def _moved(self, cache: "MovingCache") -> TokenCache:
        if isinstance(self._network, KernelDecoder) and isinstance(cache.held, Int8Cache):
            cache.held = KernelCache.of(self.config, cache.held)
        return cache.held

    def _warm(self) -> None:
        assert self._prepare is not None
        try:
            self._faster = self._prepare()
        finally:
            self._prepare = None  # it holds the original weights


class MovingCache:
    """A cache that is handed on to the network that takes over."""

    def __init__(self, held: Int8Cache | KernelCache) -> None:
        self.held = held

    @property
    def capacity(self) -> int:
        """Tokens that fit."""
        return self.held.capacity

    @property
    def length(self) -> int:
        """Tokens held."""
        return self.held.length

    @property
    def memory_bytes(self) -> int:
        """Bytes allocated."""
        return self.held.memory_bytes

    def truncate(self, length: int) -> None:
        """Forget every token from position `length` on; raises ValueError like the caches themselves."""
        self.held.truncate(length)


def fastest_threads(seconds_of_a_step: Callable[[int], float]) -> int:
    """Return the number of threads to use, given a measurement of one step with a number of threads."""
    most = cores_to_use()
    best, best_seconds = 1, seconds_of_a_step(1)
    for threads in sorted({min(most, 1 << power) for power in range(1, 7)} - {1}):
        seconds = seconds_of_a_step(threads)
        if seconds > best_seconds * _WORTH_A_THREAD:
            break
        best, best_seconds = threads, seconds
    return best


def _bits(precision: Precision, config: TransformerConfig) -> int:
    if precision is Precision.AUTO:
        return 8 if weight_bytes(config, bits=8) <= memory_for_weights() else 4
    return 4 if precision is Precision.INT4 else 8


def _free_memory() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):  # not Linux: half of all memory is a cautious guess at what is free
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _with_torch(transformer: Transformer, threads: int | None) -> Int8Decoder:
    decoder = Int8Decoder(transformer)

    def measure(count: int) -> float:
        torch.set_num_threads(count)
        return _seconds_of_a_step(decoder)

    torch.set_num_threads(threads or fastest_threads(measure))
    return decoder


def _with_kernels(transformer: Transformer, plan: build.Recipe, bits: int, threads: int | None) -> KernelDecoder:
    decoder = KernelDecoder(build.load(plan), transformer, bits=bits, threads=threads or 1)

    def measure(count: int) -> float:
        decoder.use_threads(count)
        return _seconds_of_a_step(decoder)

    if threads is None:
        decoder.use_threads(fastest_threads(measure))
    return decoder


def _built(transformer: Transformer, plan: build.Recipe, bits: int, threads: int | None) -> KernelDecoder | None:
    try:
        build.build(plan)
        decoder = _with_kernels(transformer, plan, bits, threads)
    except build.KernelError as error:
        log.info("torch computes: %s", error)
        return None
    log.info("from now on: %s", decoder.path)
    return decoder


def _seconds_of_a_step(network: Network) -> float:
    cache = network.new_cache(_STEPS_MEASURED + 1)
    ids = torch.zeros((1, 1), dtype=torch.long)
    network.next_logits(ids, cache)
    seconds = []
    for _ in range(min(_STEPS_MEASURED, network.config.max_position_embeddings - 1)):
        began = time.perf_counter()
        network.next_logits(ids, cache)
        seconds.append(time.perf_counter() - began)
    return min(seconds)
