"""Longer context: the published angles, the rate that pretraining ended with, and weights that learn on long rows."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.model.config import TransformerConfig
from engine.model.rotary import inverse_frequencies
from engine.model.transformer import Transformer
from tests.support.tiny_network import TINY
from train.config import load
from train.data.shards import Shard
from train.metrics import Metric
from train.stages.extend_context import extend_context, extended

PUBLISHED = {0: 0.25, 1: 0.20884063674, 16: 0.01405853313, 32: 7.905694150e-4, 63: 2.992712576e-6}
"""Radians that one position turns pair i by, at base 100,000 and factor 4 (DeepSeek-Coder, section 3.6)."""


@pytest.mark.parametrize("name", ["1.3b", "6.7b", "33b"])
def test_the_recipes_extend_to_the_published_angles(name: str) -> None:
    recipe = load(name)
    assert recipe.extend_context is not None
    shape = TransformerConfig(
        vocab_size=8,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=recipe.model.head_dim,
        max_position_embeddings=recipe.model.context_length,
        rope_theta=recipe.model.rope_theta,
    )
    longer = extended(shape, recipe.extend_context)
    angles = inverse_frequencies(longer)
    for pair, angle in PUBLISHED.items():
        assert angles[pair].item() == pytest.approx(angle, rel=1e-5)
    assert longer.max_position_embeddings == 16_384
    assert (recipe.extend_context.steps, recipe.extend_context.batch_rows) == (1000, 512)


def test_long_rows_are_learned_at_the_final_rate(tmp_path: Path) -> None:
    shape = dataclasses.replace(TINY, max_position_embeddings=32)
    network = Transformer(shape)
    network.initialise(torch.Generator().manual_seed(1))
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    overrides = ["extend_context.steps=30", "extend_context.row_tokens=128", "pretrain.learning_rate=0.1"]
    config = load("tiny_cpu", overrides)
    assert config.extend_context is not None
    starts = np.random.default_rng(0).integers(0, 64, size=(40, 1))
    shard = Shard(rows=((starts + np.arange(128)) % 64).astype(np.uint16), index={})
    seen: list[Metric] = []
    longer = extend_context(network, config.extend_context, config.pretrain, config.machine, shard, tmp_path,
                            seed=1, on_step=seen.append)  # fmt: skip
    assert len(seen) == 30
    assert all(metric.learning_rate == pytest.approx(0.01) for metric in seen)
    assert seen[-1].loss < seen[0].loss - 1
    assert (longer.config.rope_factor, longer.config.max_position_embeddings) == (4.0, 128)
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())
