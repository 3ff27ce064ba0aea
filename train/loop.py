"""The one training loop that every stage runs: batches in, weights out, resumable to the step with equal results."""

import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.model.balance import BalanceSettings
from engine.model.transformer import Transformer
from train import checkpoint
from train.checkpoint import Progress
from train.config import MachineConfig
from train.dispatch import Dispatch
from train.errors import RunError
from train.metrics import Metric, MetricsLog, flops_per_token, peak_flops
from train.objective import IGNORED, Objective
from train.optimizer import OptimizerSettings
from train.parallel import Placement, place
from train.processes import Processes, processes
from train.schedule import Schedule

CHECKPOINTS = "checkpoints"

_EVALUATE_EVERY = 0.05
"""Of all steps: how often the held-out loss is measured."""
_MOST_SKIPPED = 20
"""Steps in a row that may be skipped before training gives up."""
_GUARD_MEMORY = 0.98
"""Weight of the past in the guard's running mean and variance: about the last 50 steps."""
_GUARD_PATIENCE = 50
"""Steps before the guard knows what a usual loss is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows of ids and, at each position, the id that should follow."""

    ids: NDArray[np.int64]
    """Shape [B, T]."""
    targets: NDArray[np.int64]
    """Shape [B, T]; `IGNORED` where no loss is taken."""
    columns: tuple[NDArray[np.float32] | NDArray[np.int64], ...] = ()
    """What else the objective reads at each position, each [B, T]."""
    figures: dict[str, float] = field(default_factory=dict)
    """What else `metrics.jsonl` says of the step, by name."""


class Batches(Protocol):
    """A stage's data as a function of the step, so that the position in it is the step alone."""

    @property
    def steps(self) -> int:
        """Steps in the whole stage."""

    @property
    def tokens_per_step(self) -> int:
        """Tokens that one step reads, over all processes."""

    def batch(self, step: int) -> Batch:
        """Return the rows of `step`, of all processes together, counted from 0."""

    def held_out(self) -> Sequence[Batch]:
        """Return batches that are never trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """How a stage takes its steps."""

    schedule: Schedule
    optimizer: OptimizerSettings
    machine: MachineConfig
    spike_sigmas: float = 0.0
    """A step whose loss lies this many standard deviations above the recent mean is skipped; 0: never."""
    balance: BalanceSettings | None = None
    """What pulls experts towards equal work, where the network has any."""


class LossGuard:
    """Decides which steps reach the weights: not those with a spike in the loss, nor with one that is no number."""

    def __init__(self, sigmas: float) -> None:
        self._sigmas = sigmas
        self._seen, self._mean, self._variance, self._skipped = 0.0, 0.0, 0.0, 0.0

    def admits(self, loss: float) -> bool:
        """Take note of a step's loss; say whether it may reach the weights.

        Raises:
            RunError: too many steps in a row did not.
        """
        spiked = self._seen >= _GUARD_PATIENCE and loss > self._mean + self._sigmas * math.sqrt(self._variance)
        if not math.isfinite(loss) or (self._sigmas and spiked):
            self.skip()
            return False
        self._skipped = 0.0
        weight = max(1 - _GUARD_MEMORY, 1 / (self._seen + 1))
        distance = loss - self._mean
        self._mean += weight * distance
        self._variance = (1 - weight) * (self._variance + weight * distance**2)
        self._seen += 1
        return True

    def skip(self) -> None:
        """Count a step that did not reach the weights.

        Raises:
            RunError: too many in a row.
        """
        self._skipped += 1
        if self._skipped >= _MOST_SKIPPED:
            raise RunError(
                f"{_MOST_SKIPPED} steps in a row had a loss that spiked or was no finite number; lower the learning "
                "rate or use machine.precision=float32, and run again: it goes on from the last checkpoint"
            )

    def state(self) -> dict[str, float]:
        """Return what `restore` takes."""
        return {"seen": self._seen, "mean": self._mean, "variance": self._variance, "skipped": self._skipped}

    def restore(self, state: dict[str, float]) -> None:
        """Go on from `state`."""
        self._seen, self._mean = state["seen"], state["mean"]
        self._variance, self._skipped = state["variance"], state["skipped"]


@lru_cache(maxsize=32)
def shuffled(count: int, *seed: int) -> NDArray[np.int64]:
    """Return a random order of `count` things that depends on `seed` alone."""
    return np.random.default_rng(seed).permutation(count)


def train(
    network: Transformer,
    batches: Batches,
    settings: LoopSettings,
    folder: Path,
    *,
    on_step: Callable[[Metric], None],
    objective: Callable[[Transformer], Objective] | None = None,
) -> Transformer:
    """Train `network` from where `folder` stands to the end of `batches`; return the result in fp32.

    SIGTERM and SIGINT save a checkpoint and end the process. `on_step` is called on the main process alone.

    Args:
        network: equal on every process; its memory is given up.
        batches: equal on every process.
        settings: of this stage.
        folder: gets `metrics.jsonl` and `checkpoints/`.
        on_step: told of every step.
        objective: gives the network its loss; None is that of the next token.

    Raises:
        RunError: a checkpoint is broken or of another network, a batch cannot be shared by the processes, or the loss
            was not finite too often.
    """
    return _Loop(network, batches, settings, folder, objective).run(on_step)


class _Loop:
    def __init__(
        self,
        network: Transformer,
        batches: Batches,
        settings: LoopSettings,
        folder: Path,
        objective: Callable[[Transformer], Objective] | None,
    ) -> None:
        self._batches, self._settings, self._folder = batches, settings, folder
        self._group = processes()
        self._config, self._parameters = network.config, network.active_parameter_count()
        has_experts = network.config.experts is not None
        self._dispatch = Dispatch(settings.balance or BalanceSettings()) if has_experts else None
        self._placed: Placement = place(network, settings.machine, settings.optimizer, objective, self._dispatch)
        self._guard = LossGuard(settings.spike_sigmas)

    def run(self, on_step: Callable[[Metric], None]) -> Transformer:
        start = self._restore()
        steps = self._batches.steps
        if start < steps:
            with ExitStack() as stack:
                log = stack.enter_context(MetricsLog(self._folder, after=start)) if self._group.is_main else None
                stop = stack.enter_context(_deferred_signals())
                self._take_steps(start, steps, stop, log, on_step)
        return self._placed.network()

    def _take_steps(
        self,
        start: int,
        steps: int,
        stop: Callable[[], int],
        log: MetricsLog | None,
        on_step: Callable[[Metric], None],
    ) -> None:
        saved = began = time.monotonic()
        peak = self._peak(start)
        for step in range(start, steps):
            due = time.monotonic() - saved > 60 * self._settings.machine.checkpoint_minutes
            batch = self._batches.batch(step)
            loss, norm, signal_number, due = self._step(step, batch, stop(), due)
            done = step + 1
            held_out = self._held_out_loss() if _evaluates(done, steps) else None
            speed = (done - start) * self._batches.tokens_per_step / (time.monotonic() - began)
            metric = Metric(
                step=done,
                steps=steps,
                loss=loss,
                learning_rate=self._settings.schedule.rate(step),
                gradient_norm=norm or 0.0,
                tokens=done * self._batches.tokens_per_step,
                tokens_per_second=speed,
                utilization=None if peak is None else speed / peak,
                skipped=norm is None,
                held_out_loss=held_out,
                figures=batch.figures | self._routing(),
            )
            if log is not None:
                log.write(metric)
                on_step(metric)
            if due or signal_number or done == steps:
                self._save(done)
                saved = time.monotonic()
            if signal_number and done < steps:
                raise SystemExit(128 + signal_number)

    def _step(
        self,
        step: int,
        batch: Batch,
        signal_number: int,
        due: bool,  # noqa: FBT001
    ) -> tuple[float, float | None, int, bool]:
        """Take one step; return loss, gradient norm (None: skipped), signal and whether to save, equal everywhere."""
        counted = max(1, int((batch.targets != IGNORED).sum()))
        total = torch.zeros((), device=self._group.device)
        pieces = list(_micro_batches(batch, self._group, self._settings.machine))
        for number, piece in enumerate(pieces, start=1):
            is_last = number == len(pieces)
            total += self._placed.backward(*piece, targets_in_step=counted, is_last=is_last)
        # One exchange a step: the loss, and what a single process may know (a signal; the main one's clock).
        news = torch.tensor([0.0, signal_number, due and self._group.is_main], device=self._group.device)
        news[0] = total
        shared = self._group.add(news).tolist()
        loss = shared[0] / counted
        norm = self._update(step, loss)
        heard = min(int(shared[1]), signal.SIGTERM) if shared[1] else 0
        return loss, norm, heard, bool(shared[2])

    def _update(self, step: int, loss: float) -> float | None:
        if not self._guard.admits(loss):
            self._placed.discard()
            return None
        norm = self._placed.update(self._settings.schedule.rate(step))
        if not math.isfinite(norm):
            self._guard.skip()
            return None
        return norm

    def _held_out_loss(self) -> float | None:
        total, counted = torch.zeros((), device=self._group.device), 0
        for batch in self._batches.held_out():
            counted += int((batch.targets != IGNORED).sum())
            for piece in _micro_batches(batch, self._group, self._settings.machine):
                total += self._placed.loss(*piece)
        return float(self._group.add(total)) / counted if counted else None

    def _restore(self) -> int:
        folder = self._folder / CHECKPOINTS
        if not checkpoint.newest_step(folder):
            return 0
        progress = checkpoint.load(folder, self._placed.tensors(), self._placed.load_own)
        assert progress is not None
        self._placed.publish()
        self._guard.restore(progress.guard)
        return progress.step

    def _save(self, done: int) -> None:
        checkpoint.save(
            self._folder / CHECKPOINTS,
            self._placed.tensors(),
            Progress(step=done, guard=self._guard.state()),
            keep=self._settings.machine.keep_checkpoints,
            save_own=self._placed.save_own,
        )

    def _routing(self) -> dict[str, Any]:
        return {} if self._dispatch is None else self._dispatch.figures(self._group.add)

    def _peak(self, start: int) -> float | None:
        """Return the tokens per second that all devices could train on at their peak."""
        flops = peak_flops(self._group.device, self._settings.machine.precision)
        row_tokens = self._batches.batch(start).ids.shape[1]
        per_token = flops_per_token(self._config, self._parameters, row_tokens)
        return None if flops is None else flops * self._group.count / per_token


def _micro_batches(batch: Batch, group: Processes, machine: MachineConfig) -> Iterator[tuple[Tensor, ...]]:
    """Yield this process's rows in equal pieces of at most so many tokens as the machine takes (0: in one piece)."""
    rows, length = batch.ids.shape
    readers, reader = group.count // machine.tensor_parallel, group.rank // machine.tensor_parallel
    if rows % readers:
        raise RunError(f"a batch of {rows} rows cannot be shared by {readers} processes; change batch_rows")
    share = rows // readers
    fitting = max(1, machine.micro_batch_tokens // length) if machine.micro_batch_tokens else share
    size = next(size for size in range(min(fitting, share), 0, -1) if share % size == 0)
    for start in range(reader * share, (reader + 1) * share, size):
        part = slice(start, start + size)
        columns = (_tensor(column[part], group.device) for column in batch.columns)
        yield _tensor(batch.ids[part], group.device), _tensor(batch.targets[part], group.device), *columns


def _tensor(rows: NDArray[np.int64] | NDArray[np.float32], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(rows)).to(device, non_blocking=True)


def _evaluates(done: int, steps: int) -> bool:
    return done == steps or done % max(1, round(steps * _EVALUATE_EVERY)) == 0


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
