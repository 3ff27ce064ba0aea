"""Extends the context: slower rotary positions, then a short training on long rows (DeepSeek-Coder, section 3.6)."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from engine.model.config import TransformerConfig
from engine.model.transformer import Transformer
from train.config import ExtendContextConfig, MachineConfig, PretrainConfig
from train.data.shards import Shard
from train.loop import LoopSettings, train
from train.metrics import Metric
from train.optimizer import OptimizerSettings
from train.schedule import Schedule
from train.stages.pretrain import RowBatches, pretrain_schedule, trainable_copy


def extended(config: TransformerConfig, recipe: ExtendContextConfig) -> TransformerConfig:
    """Return the shape that reads `recipe.row_tokens` tokens: same weights, other angles."""
    if recipe.yarn is not None:
        return dataclasses.replace(config, yarn=recipe.yarn, max_position_embeddings=recipe.row_tokens)
    return dataclasses.replace(
        config,
        rope_theta=recipe.rope_theta,
        rope_factor=recipe.rope_factor,
        max_position_embeddings=recipe.row_tokens,
    )


def extend_context(
    network: Transformer,
    recipe: ExtendContextConfig,
    pretraining: PretrainConfig,
    machine: MachineConfig,
    shard: Shard,
    folder: Path,
    *,
    seed: int,
    document_end: int | None = None,
    on_step: Callable[[Metric], None],
) -> Transformer:
    """Train on rows of the new length, at the rate that pretraining ended with.

    Args:
        network: pretrained; its weights are moved into the extended shape.
        recipe: of this stage.
        pretraining: whose final rate, decay and clipping go on.
        machine: as for pretraining.
        shard: rows of `recipe.row_tokens` tokens.
        folder: gets metrics and checkpoints.
        seed: of the order of rows.
        document_end: see `RowBatches`.
        on_step: told of every step.

    Raises:
        RunError: whatever `train.loop.train` raises.
    """
    batches = RowBatches(
        shard=shard,
        batch_rows=recipe.batch_rows,
        held_out_rows=recipe.held_out_rows,
        steps=recipe.steps,
        seed=seed,
        document_end=document_end,
    )
    settings = LoopSettings(
        schedule=Schedule(
            shape="constant", peak=pretrain_schedule(pretraining, steps=1000).final_rate, steps=recipe.steps
        ),
        optimizer=OptimizerSettings(
            name=pretraining.optimizer, weight_decay=pretraining.weight_decay, clip_norm=pretraining.clip_norm
        ),
        machine=machine,
        spike_sigmas=pretraining.spike_sigmas,
        balance=pretraining.balance,
    )
    changed = trainable_copy(network, extended(network.config, recipe))
    return train(changed, batches, settings, folder, on_step=on_step)
