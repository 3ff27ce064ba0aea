"""Pretraining: rows of next-token text and fill-in-the-middle samples in, weights out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from engine.model.config import TransformerConfig
from engine.model.transformer import Transformer
from train.config import MachineConfig, PretrainConfig
from train.data.shards import Shard
from train.errors import RunError
from train.loop import Batch, LoopSettings, shuffled, train
from train.metrics import Metric
from train.objective import IGNORED
from train.optimizer import OptimizerSettings
from train.schedule import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class RowBatches:
    """Rows of a shard in random order, each once in every pass; the last `held_out_rows` are never trained on."""

    shard: Shard
    batch_rows: int
    held_out_rows: int
    steps: int
    seed: int
    document_end: int | None = None
    """The id that ends a sample: samples of one row do not see each other. None: they do."""

    @property
    def tokens_per_step(self) -> int:
        """See `Batches`."""
        return self.batch_rows * int(self.shard.rows.shape[1])

    def batch(self, step: int) -> Batch:
        """See `Batches`."""
        positions = np.arange(step * self.batch_rows, (step + 1) * self.batch_rows)
        chosen = np.array([self._row(int(position)) for position in positions])
        return self._next_tokens(self.shard.rows[np.sort(chosen)])

    def held_out(self) -> Sequence[Batch]:
        """See `Batches`; whole batches only, where there is one."""
        rows = self.shard.rows[self._training_rows :]
        whole = len(rows) - len(rows) % self.batch_rows
        return [self._next_tokens(rows[start : start + self.batch_rows]) for start in range(0, whole, self.batch_rows)]

    def _next_tokens(self, rows: NDArray[np.integer]) -> Batch:
        batch = next_token_batch(rows)
        return batch if self.document_end is None else apart(batch, self.document_end)

    def _row(self, position: int) -> int:
        one_pass, place = divmod(position, self._pass_rows)
        seed = (self.seed, one_pass) if one_pass else (self.seed,)
        return int(shuffled(self._training_rows, *seed)[place])

    @property
    def _training_rows(self) -> int:
        return len(self.shard.rows) - self.held_out_rows

    @property
    def _pass_rows(self) -> int:
        """Rows of one pass: whole batches, so that no batch mixes two orders."""
        return self._training_rows // self.batch_rows * self.batch_rows


def pretrain(
    network: Transformer,
    recipe: PretrainConfig,
    machine: MachineConfig,
    shard: Shard,
    folder: Path,
    *,
    seed: int,
    document_end: int | None = None,
    on_step: Callable[[Metric], None],
) -> Transformer:
    """Train `network`, or go on from the newest checkpoint in `folder`, until `recipe.tokens` are read.

    Raises:
        RunError: the shard is too small; and whatever `train.loop.train` raises.
    """
    batches = row_batches(shard, recipe, seed=seed, document_end=document_end)
    settings = LoopSettings(
        schedule=pretrain_schedule(recipe, batches.steps),
        optimizer=OptimizerSettings(
            name=recipe.optimizer, weight_decay=recipe.weight_decay, clip_norm=recipe.clip_norm
        ),
        machine=machine,
        spike_sigmas=recipe.spike_sigmas,
        balance=recipe.balance,
    )
    return train(network, batches, settings, folder, on_step=on_step)


def untrained(config: TransformerConfig, *, seed: int) -> Transformer:
    """Return a network with random weights."""
    network = Transformer(config)
    network.initialise(torch.Generator().manual_seed(seed))
    return network


def trainable_copy(network: Transformer, config: TransformerConfig | None = None) -> Transformer:
    """Return a copy whose weights take gradients: those read from a folder lie in its file.

    Args:
        network: stays as it is.
        config: another shape with the same weights; None keeps the shape.
    """
    copy = Transformer(config or network.config)
    copy.load_state_dict(network.state_dict())
    return copy


def pretrain_schedule(recipe: PretrainConfig, steps: int) -> Schedule:
    """Return the recipe's schedule over `steps`."""
    return Schedule(
        shape=recipe.schedule,
        peak=recipe.learning_rate,
        steps=steps,
        warmup_steps=recipe.warmup_steps,
        cooldown_share=recipe.cooldown_share,
    )


def pretrain_steps(recipe: PretrainConfig, *, rows: int, row_tokens: int) -> int:
    """Return how many steps `recipe` takes on a shard of `rows`, those held out included.

    Raises:
        RunError: they do not fill one batch.
    """
    count = rows - recipe.held_out_rows
    if count < recipe.batch_rows:
        raise RunError(
            f"{rows} rows are too few for batches of {recipe.batch_rows} beside {recipe.held_out_rows} held-out ones; "
            "give more source or a smaller recipe"
        )
    return round(recipe.tokens / (recipe.batch_rows * row_tokens)) if recipe.tokens else count // recipe.batch_rows


def row_batches(shard: Shard, recipe: PretrainConfig, *, seed: int, document_end: int | None = None) -> RowBatches:
    """Return the batches of a pretraining stage.

    Raises:
        RunError: the shard is too small.
    """
    rows, row_tokens = shard.rows.shape
    return RowBatches(
        shard=shard,
        batch_rows=recipe.batch_rows,
        held_out_rows=recipe.held_out_rows,
        steps=pretrain_steps(recipe, rows=rows, row_tokens=row_tokens),
        seed=seed,
        document_end=document_end,
    )


def next_token_batch(rows: NDArray[np.integer]) -> Batch:
    """Turn rows of ids [B, T + 1] into inputs and targets; every section of a sample counts (FIM paper, 4.1)."""
    ids = rows.astype(np.int64)
    return Batch(ids=ids[:, :-1], targets=ids[:, 1:])


def apart(batch: Batch, document_end: int) -> Batch:
    """Number the samples of each row, so that none sees another, and ask none for the next one's first token.

    A row that begins inside a sample begins with number 0. Positions go on through the row: rotary attention knows
    distances alone.
    """
    ends = batch.ids == document_end
    segments = np.cumsum(ends, axis=1) - ends  # the end mark belongs to what it ends
    return replace(batch, targets=np.where(ends, IGNORED, batch.targets), columns=(segments,))
