"""The recipes of the published sizes build the published networks, at Table 2's batches and rates."""

import math
from dataclasses import replace

import pytest
import torch

from engine.model.rotary import softmax_scale
from engine.model.transformer import Transformer
from train.config import continued_recipe_names, load, load_continued, recipe_names
from train.metrics import flops_per_token

TABLE_2 = {
    # parameters (the released checkpoints' 32,256 rows of embedding), batch, peak rate
    "1.3b": (1_346_471_936, 1024, 5.3e-4),
    "6.7b": (6_740_512_768, 2304, 4.2e-4),
    "33b": (33_342_991_360, 3840, 3.5e-4),
}


@pytest.mark.parametrize("name", TABLE_2)
def test_the_published_sizes_are_exact(name: str) -> None:
    parameters, batch, rate = TABLE_2[name]
    with torch.device("meta"):
        network = Transformer(load(name).model.network(32_256))
    assert network.parameter_count() == parameters
    recipe = load(name)
    assert (recipe.pretrain.batch_rows, recipe.pretrain.learning_rate) == (batch, rate)
    assert (recipe.pretrain.warmup_steps, recipe.pretrain.weight_decay, recipe.pretrain.clip_norm) == (2000, 0.1, 1.0)
    assert (recipe.data.fim_rate, recipe.data.row_tokens, recipe.tokenizer.vocab_size) == (0.5, 4096, 32_000)
    assert recipe.instruct is not None
    assert (recipe.instruct.learning_rate, recipe.instruct.warmup_steps) == (1e-5, 100)
    assert recipe.instruct.batch_rows * recipe.instruct.row_tokens == 4 * 1024 * 1024


V2 = {
    # parameters, those that compute, batch, peak rate, rate of holes
    "v2_lite": (15_706_484_224, 2.66e9, 4608, 4.2e-4, 0.5),
    "v2_236b": (235_741_434_880, 21.38e9, 9216, 2.4e-4, 0.0),
}


@pytest.mark.parametrize("name", V2)
def test_the_published_v2_sizes_are_exact(name: str) -> None:
    parameters, active, batch, rate, holes = V2[name]
    with torch.device("meta"):
        network = Transformer(load(name).model.network(102_400))
    assert network.parameter_count() == parameters
    assert network.active_parameter_count() == pytest.approx(active, rel=2e-3)
    recipe = load(name)
    pretrain = recipe.pretrain
    assert (pretrain.batch_rows, pretrain.learning_rate, recipe.data.fim_rate) == (batch, rate, holes)
    assert (pretrain.schedule, pretrain.warmup_steps, pretrain.weight_decay) == ("cosine", 2000, 0.1)
    stages = [recipe.extend_context, recipe.extend_further]
    for stage in stages:
        assert stage is not None
        assert stage.batch_rows * stage.row_tokens * stage.steps == 37_748_736_000
        assert stage.yarn is not None
        assert (stage.yarn.factor, stage.yarn.original_max_position_embeddings) == (40, 4096)
        assert (stage.yarn.beta_fast, stage.yarn.beta_slow) == (32, 1)
        stretched = replace(network.config, yarn=stage.yarn)
        assert softmax_scale(stretched) == pytest.approx(192**-0.5 * (0.0707 * math.log(40) + 1) ** 2)
        assert stage.yarn.mscale == stage.yarn.mscale_all_dim  # cosines and sines stay as they are
    assert recipe.instruct is not None
    assert (recipe.instruct.learning_rate, recipe.instruct.warmup_steps) == (5e-6, 100)
    assert recipe.instruct.batch_rows * recipe.instruct.row_tokens == 1024 * 1024
    assert recipe.align is not None
    assert (recipe.align.learning_rate, recipe.align.kl, recipe.align.answers_per_prompt) == (1e-6, 0.04, 64)


def test_the_single_gpu_recipe_is_of_its_stated_size() -> None:
    with torch.device("meta"):
        network = Transformer(load("single_gpu").model.network(16_448))
    assert 115e6 < network.parameter_count() < 135e6


def test_the_default_models_weights_fit_the_repository_in_eight_bits() -> None:
    with torch.device("meta"):
        network = Transformer(load("default_gpu").model.network(16_448))
    assert 50e6 < network.parameter_count() < 62e6


@pytest.mark.parametrize("name", recipe_names())
def test_batches_can_be_shared_by_a_node(name: str) -> None:
    recipe = load(name)
    assert recipe.pretrain.batch_rows % 4 == 0
    if recipe.pretrain.held_out_rows:
        assert recipe.pretrain.held_out_rows >= recipe.pretrain.batch_rows


@pytest.mark.parametrize("name", continued_recipe_names())
def test_every_recipe_that_goes_on_loads(name: str) -> None:
    assert sum(load_continued(name).continue_pretraining.mixture.values()) == 100


def test_operations_per_token_are_six_for_each_weight_and_causal_attention() -> None:
    shape = load("1.3b").model.network(32_256)
    weights = 1_346_471_936 - 32_256 * 2048
    attention = 6 * 24 * 2048 * 4096
    assert flops_per_token(shape, 1_346_471_936, 4096) == 6 * weights + attention
