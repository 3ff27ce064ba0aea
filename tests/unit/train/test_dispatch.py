"""Training adds the balance losses and tells where tokens went; a held-out loss has neither."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounter
from torch.nn import functional as F

from engine.model.balance import BalanceSettings
from engine.model.config import ExpertsConfig, LatentAttentionConfig, TransformerConfig
from engine.model.transformer import Transformer
from tests.support.small_functions import MACHINE
from train.dispatch import Dispatch, load_figures
from train.loop import Batch, LoopSettings, train
from train.metrics import read_metrics
from train.objective import IGNORED, Objective, summed_loss
from train.optimizer import OptimizerSettings
from train.schedule import Schedule

SETTINGS = BalanceSettings(expert_alpha=0.5)
SHAPE = TransformerConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=2,
    head_dim=24,
    max_position_embeddings=32,
    latent_attention=LatentAttentionConfig(
        q_lora_rank=None, kv_lora_rank=16, qk_nope_head_dim=16, qk_rope_head_dim=8, v_head_dim=16
    ),
    experts=ExpertsConfig(n_routed_experts=4, n_shared_experts=1, num_experts_per_tok=2, moe_intermediate_size=16),
)


def _network() -> Transformer:
    network = Transformer(SHAPE)
    network.initialise(torch.Generator().manual_seed(0))
    return network


class _Rows:
    """Rows that count up."""

    steps, tokens_per_step = 2, 4 * 16

    def batch(self, step: int) -> Batch:
        rows = (np.random.default_rng(step).integers(0, 64, (4, 1)) + np.arange(17)) % 64
        return Batch(ids=rows[:, :-1], targets=rows[:, 1:])

    def held_out(self) -> list[Batch]:
        return [self.batch(9)]


def test_the_loss_is_that_of_the_tokens_and_of_the_balance() -> None:
    network, dispatch = _network(), Dispatch(SETTINGS)
    ids = torch.randint(64, (3, 12), generator=torch.Generator().manual_seed(0))
    targets = torch.where(torch.arange(12) < 4, IGNORED, ids.roll(-1, 1))
    objective = Objective(network, summed_loss, dispatch)
    states, routing = network.states_and_routing(ids, SETTINGS)
    assert routing is not None
    tokens = F.cross_entropy(network.lm_head(states).flatten(0, 1), targets.flatten(), reduction="sum")
    wanted = tokens + 3 * 8 * routing.loss
    torch.testing.assert_close(objective(ids, targets), wanted)
    with torch.no_grad():
        torch.testing.assert_close(objective(ids, targets), tokens)
    told = dispatch.figures(lambda counts: counts)
    assert told["balance_loss"] == pytest.approx(float(routing.loss.detach()))
    assert sum(told["expert_load_histogram"]) == 2 * 4
    assert not dispatch.figures(lambda counts: counts)


def test_a_compiled_step_is_not_compiled_anew_for_every_micro_batch() -> None:
    dispatch, graphs = Dispatch(SETTINGS), CompileCounter()
    objective = Objective(_network(), summed_loss, dispatch)
    compiled = torch.compile(objective, backend=graphs)
    ids = torch.randint(64, (3, 12), generator=torch.Generator().manual_seed(0))
    found = []
    for _ in range(2):
        for _ in range(4):
            compiled(ids, ids)
            found.append(graphs.frame_count)
        dispatch.figures(lambda counts: counts)
    first, second, *others = found
    assert 0 < first < second
    assert others == [second] * 6


def test_loads_are_those_of_a_slow_count() -> None:
    counts = np.random.default_rng(0).integers(0, 50, (3, 9))
    told = load_figures(torch.from_numpy(counts))
    loads = [float(number / row[:-1].mean()) for row in counts for number in row[:-1]]
    bounds = [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, float("inf")]
    assert told["expert_load_histogram"] == [
        sum(low <= load < high for load in loads) for low, high in pairwise(bounds)
    ]
    assert (told["expert_load_max"], told["expert_load_min"]) == pytest.approx((max(loads), min(loads)))
    assert told["dropped"] == pytest.approx(counts[:, -1].sum() / counts[:, :-1].sum())


def test_every_step_of_a_network_with_experts_tells_their_load(tmp_path: Path) -> None:
    settings = LoopSettings(
        schedule=Schedule(shape="constant", peak=1e-3, steps=2),
        optimizer=OptimizerSettings(),
        machine=MACHINE,
        balance=SETTINGS,
    )
    train(_network(), _Rows(), settings, tmp_path, on_step=lambda metric: None)
    fields = {"expert_load_max", "expert_load_min", "expert_load_histogram", "dropped", "balance_loss"}
    assert all(fields <= line.keys() for line in read_metrics(tmp_path))
