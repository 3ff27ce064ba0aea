"""Continued pretraining of any Llama-shaped model on a weighted mix of sources, next-token only (section 5, v1.5)."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.model.transformer import Transformer
from engine.tokenizer import Tokenizer
from train.config import ContinueConfig, MachineConfig
from train.data.shards import Shard
from train.errors import CorpusError, RunError
from train.loop import Batch, LoopSettings, shuffled, train
from train.metrics import Metric
from train.optimizer import OptimizerSettings
from train.schedule import Schedule
from train.stages.pretrain import next_token_batch, trainable_copy

_BLOCK = 1000
"""Rows in which the mix is exact."""


@dataclass(frozen=True)
class MixedBatches:
    """Rows of several shards: each 1,000 rows on end hold every source's share to the row."""

    shards: Mapping[str, Shard]
    weights: Mapping[str, float]
    batch_rows: int
    steps: int
    seed: int

    @property
    def tokens_per_step(self) -> int:
        """See `Batches`."""
        return self.batch_rows * int(next(iter(self.shards.values())).rows.shape[1])

    def batch(self, step: int) -> Batch:
        """See `Batches`."""
        first = step * self.batch_rows
        rows = [self._row(position) for position in range(first, first + self.batch_rows)]
        return next_token_batch(np.stack(rows))

    def held_out(self) -> Sequence[Batch]:
        """See `Batches`: none; what a mix is worth is measured by evaluating."""
        return []

    def source(self, position: int) -> str:
        """Return where the row at `position` of the whole stage comes from."""
        block, place = divmod(position, _BLOCK)
        return self._names[int(self._block(block)[place])]

    def _row(self, position: int) -> NDArray[np.integer]:
        block, place = divmod(position, _BLOCK)
        sources = self._block(block)
        source = int(sources[place])
        taken = block * self._shares[source] + int((sources[:place] == source).sum())
        rows = self.shards[self._names[source]].rows
        one_pass, number = divmod(taken, len(rows))
        row: NDArray[np.integer] = rows[int(shuffled(len(rows), self.seed, source, one_pass)[number])]
        return row

    def _block(self, block: int) -> NDArray[np.int64]:
        sources = np.repeat(np.arange(len(self._names)), self._shares)
        return sources[shuffled(_BLOCK, self.seed, block)]

    @cached_property
    def _names(self) -> list[str]:
        return sorted(self.weights)

    @cached_property
    def _shares(self) -> list[int]:
        """Rows of each source in a block, by largest remainder."""
        total = sum(self.weights.values())
        exact = [_BLOCK * self.weights[name] / total for name in self._names]
        shares = [int(value) for value in exact]
        by_remainder = sorted(range(len(exact)), key=lambda index: shares[index] - exact[index])
        for index in by_remainder[: _BLOCK - sum(shares)]:
            shares[index] += 1
        return shares


def read_texts(path: Path) -> Iterator[str]:
    """Yield texts: the `text` (or `content`) of each JSON line of a `.jsonl`, or every UTF-8 file below a folder.

    Raises:
        CorpusError: there is nothing at `path`, or a line has neither field.
    """
    if path.is_dir():
        for file in sorted(file for file in path.rglob("*") if file.is_file() and ".git" not in file.parts):
            try:
                yield file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue  # not text
        return
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                yield _text(line, path, number)
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"cannot read {path}: {error}") from error


def next_token_rows(texts: Iterable[str], tokenizer: Tokenizer, *, end: int, row_tokens: int) -> Iterator[list[int]]:
    """Yield rows of exactly `row_tokens` ids: texts one after another, each closed by `end`; the last is left over."""
    row: list[int] = []
    for text in texts:
        row += [*tokenizer.encode(text), end]
        while len(row) >= row_tokens:
            yield row[:row_tokens]
            row = row[row_tokens:]


def continue_pretraining(
    network: Transformer,
    shards: Mapping[str, Shard],
    recipe: ContinueConfig,
    machine: MachineConfig,
    folder: Path,
    *,
    seed: int,
    on_step: Callable[[Metric], None],
) -> Transformer:
    """Train `network` on the mix that `recipe.mixture` asks for.

    Raises:
        RunError: a source of the mixture has no rows, or rows are longer than the network reads; and whatever
            `train.loop.train` raises.
    """
    for name in recipe.mixture:
        if name not in shards or not len(shards[name].rows):
            raise RunError(f"the mixture asks for {name!r}, but no row of {recipe.row_tokens} tokens comes from it")
    if recipe.row_tokens > network.config.max_position_embeddings:
        raise RunError(
            f"rows of {recipe.row_tokens} tokens are longer than the model's {network.config.max_position_embeddings}"
        )
    batches = MixedBatches(
        shards=shards,
        weights=recipe.mixture,
        batch_rows=recipe.batch_rows,
        steps=recipe.tokens // (recipe.batch_rows * recipe.row_tokens),
        seed=seed,
    )
    settings = LoopSettings(
        schedule=Schedule(
            shape=recipe.schedule, peak=recipe.learning_rate, steps=batches.steps, warmup_steps=recipe.warmup_steps
        ),
        optimizer=OptimizerSettings(weight_decay=recipe.weight_decay, clip_norm=recipe.clip_norm),
        machine=machine,
        spike_sigmas=recipe.spike_sigmas,
    )
    trainable = trainable_copy(network)
    return train(trainable, batches, settings, folder, on_step=on_step)


def _text(line: str, path: Path, number: int) -> str:
    try:
        raw = json.loads(line)
        text = raw.get("text", raw.get("content"))
    except (ValueError, AttributeError) as error:
        raise CorpusError(f"{path}:{number} is no JSON object ({error})") from error
    if not isinstance(text, str):
        raise CorpusError(f"{path}:{number} has neither text nor content")
    return text
