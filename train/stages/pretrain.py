"""Pretraining: rows in, weights out, resumable to the step with equal results."""

import json
import math
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from engine.model.config import TransformerConfig
from engine.model.transformer import Transformer
from train.checkpoint import Checkpoint, load, save
from train.config import PretrainConfig
from train.data.shards import Shard
from train.errors import RunError
from train.schedule import learning_rate

CHECKPOINT = "checkpoint.pt"
METRICS = "metrics.jsonl"

_BETAS = (0.9, 0.95)
"""DeepSeek-Coder, section 3.4."""
_EVALUATE_EVERY = 0.05
"""Of all steps: how often the held-out loss is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What is known after one step."""

    step: int
    steps: int
    loss: float
    """Mean over the step's tokens, in nats per token."""
    learning_rate: float
    tokens: int
    """Seen so far, the batch included."""
    tokens_per_second: float
    held_out_loss: float | None


def pretrain(
    config: TransformerConfig,
    recipe: PretrainConfig,
    shard: Shard,
    folder: Path,
    *,
    seed: int,
    on_step: Callable[[Metric], None],
) -> Transformer:
    """Train from scratch, or from the checkpoint in `folder`, to the end of the shard.

    The last `held_out_rows` rows are never trained on. SIGTERM and SIGINT save a checkpoint and end the process.

    Raises:
        RunError: the shard is too small, the checkpoint is broken or of another network, or the loss is not finite.
    """
    training, held_out = _split(shard, recipe)
    steps = len(training) // recipe.batch_rows
    network = Transformer(config)
    network.initialise(torch.Generator().manual_seed(seed))
    master = [parameter.detach().clone().float() for parameter in network.parameters()]
    optimizer = _optimizer(master, recipe)
    start = _restore(folder / CHECKPOINT, master, optimizer)
    network.to(torch.bfloat16 if recipe.precision == "bfloat16" else torch.float32)
    _copy(master, network)
    loss_of = _loss_function(network, recipe)
    order = np.random.default_rng(seed).permutation(len(training))[: steps * recipe.batch_rows]

    with (folder / METRICS).open("a", encoding="utf-8", buffering=1) as metrics, _deferred_signals() as stop:
        saved = began = time.monotonic()
        for step in range(start, steps):
            rows = training[np.sort(order[step * recipe.batch_rows : (step + 1) * recipe.batch_rows])]
            rate = learning_rate(step, steps, recipe)
            loss = _step(network, master, optimizer, loss_of, _tensor(rows), rate, recipe)
            done = step + 1
            measured = _mean_loss(loss_of, held_out, recipe) if _evaluates(done, steps) else None
            speed = (done - start) * rows.size / (time.monotonic() - began)
            metric = Metric(step=done, steps=steps, loss=loss, learning_rate=rate, tokens=done * rows.size,
                            tokens_per_second=speed, held_out_loss=measured)  # fmt: skip
            metrics.write(json.dumps(_plain(metric)) + "\n")
            on_step(metric)
            if stop() or done == steps or time.monotonic() - saved > 60 * recipe.checkpoint_minutes:
                save(folder / CHECKPOINT, Checkpoint(step=done, weights=master, optimizer=optimizer.state_dict()))
                saved = time.monotonic()
            if (signal_number := stop()) and done < steps:
                raise SystemExit(128 + signal_number)
    network.float()
    _copy(master, network)
    return network.requires_grad_(requires_grad=False).eval()


def loss_per_token(network: Transformer, rows: Tensor) -> Tensor:
    """Return the mean next-token loss in nats over rows of ids [B, T + 1]: every section counts (FIM paper, 4.1)."""
    states = network.hidden_states(rows[:, :-1])
    return F.linear_cross_entropy(states.flatten(0, 1), network.lm_head.weight, rows[:, 1:].flatten())


def _step(
    network: Transformer,
    master: list[Tensor],
    optimizer: torch.optim.Optimizer,
    loss_of: Callable[[Tensor], Tensor],
    rows: Tensor,
    rate: float,
    recipe: PretrainConfig,
) -> float:
    network.train()
    loss = loss_of(rows)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise RunError("the loss is not a finite number; lower pretrain.learning_rate or use precision=float32")
    loss.backward()  # type: ignore[no-untyped-call]
    for weight, parameter in zip(master, network.parameters(), strict=True):
        weight.grad = None if parameter.grad is None else parameter.grad.float()
        parameter.grad = None
    torch.nn.utils.clip_grad_norm_(master, recipe.clip_norm)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    _copy(master, network)
    return value


def _split(shard: Shard, recipe: PretrainConfig) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    count = len(shard.rows) - recipe.held_out_rows
    if count < recipe.batch_rows:
        raise RunError(
            f"{len(shard.rows)} rows are too few for batches of {recipe.batch_rows} beside {recipe.held_out_rows} "
            "held-out ones; give more source or a smaller recipe"
        )
    return shard.rows[:count], shard.rows[count:]


def _optimizer(master: list[Tensor], recipe: PretrainConfig) -> torch.optim.AdamW:
    groups = [
        {"params": [weight for weight in master if weight.dim() >= 2], "weight_decay": recipe.weight_decay},
        {"params": [weight for weight in master if weight.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=_BETAS, fused=True)


def _restore(path: Path, master: list[Tensor], optimizer: torch.optim.Optimizer) -> int:
    checkpoint = load(path)
    if checkpoint is None:
        return 0
    if [weight.shape for weight in checkpoint.weights] != [weight.shape for weight in master]:
        raise RunError(f"{path} holds another network than the recipe asks for; choose another output folder")
    for weight, stored in zip(master, checkpoint.weights, strict=True):
        weight.copy_(stored)
    optimizer.load_state_dict(checkpoint.optimizer)
    return checkpoint.step


@torch.no_grad()
def _copy(master: list[Tensor], network: Transformer) -> None:
    for weight, parameter in zip(master, network.parameters(), strict=True):
        parameter.copy_(weight)


def _loss_function(network: Transformer, recipe: PretrainConfig) -> Callable[[Tensor], Tensor]:
    def loss_of(rows: Tensor) -> Tensor:
        return loss_per_token(network, rows)

    if recipe.compile and shutil.which(os.environ.get("CXX", "g++")):
        return torch.compile(loss_of)
    return loss_of


@torch.no_grad()
def _mean_loss(loss_of: Callable[[Tensor], Tensor], rows: NDArray[np.integer], recipe: PretrainConfig) -> float | None:
    batches = [rows[start : start + recipe.batch_rows] for start in range(0, len(rows), recipe.batch_rows)]
    full = [batch for batch in batches if len(batch) == recipe.batch_rows] or batches
    return sum(float(loss_of(_tensor(batch))) for batch in full) / len(full) if full else None


def _evaluates(done: int, steps: int) -> bool:
    return done == steps or done % max(1, round(steps * _EVALUATE_EVERY)) == 0


def _tensor(rows: NDArray[np.integer]) -> Tensor:
    return torch.from_numpy(rows.astype(np.int64))


def _plain(metric: Metric) -> dict[str, float | int | None]:
    return {name: getattr(metric, name) for name in Metric.__slots__}


@contextmanager
def _deferred_signals() -> Iterator[Callable[[], int]]:
    """Note SIGTERM and SIGINT instead of obeying at once; the value says which came (0: none)."""
    received = 0

    def note(number: int, _frame: FrameType | None) -> None:
        nonlocal received
        received = number

    previous = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
