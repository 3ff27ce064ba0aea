"""Routing, experts and balance losses against slow loops written from DeepSeek-V2's equations."""

import copy
import dataclasses

import pytest
import torch
from torch.nn import functional as F

from engine.model.balance import Balance, BalanceSettings, balance_loss, within_capacity
from engine.model.config import ExpertsConfig
from engine.model.experts import MixtureOfExperts, choose
from engine.model.grouped_product import grouped_product
from engine.model.transformer import LatentBlock
from tests.support.tiny_v2 import FREE, GROUPED, v2_network, v2_shape

HIDDEN = 16
SETTINGS = BalanceSettings(expert_alpha=0.003, device_alpha=0.05, communication_alpha=0.02)


def _mixture(shape: ExpertsConfig) -> MixtureOfExperts:
    mixture = MixtureOfExperts(HIDDEN, shape)
    generator = torch.Generator().manual_seed(0)
    for parameter in mixture.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return mixture


def _states(rows: int = 2, length: int = 9) -> torch.Tensor:
    return torch.randn(rows, length, HIDDEN, generator=torch.Generator().manual_seed(1), requires_grad=True)


def _slow_choice(scores: torch.Tensor, shape: ExpertsConfig) -> list[int]:
    """One token: the best groups by their best expert, then the best experts of these."""
    size = shape.n_routed_experts // shape.n_group
    groups = sorted(range(shape.n_group), key=lambda group: -max(scores[group * size : (group + 1) * size].tolist()))
    allowed = [expert for expert in range(shape.n_routed_experts) if expert // size in groups[: shape.topk_group]]
    return sorted(allowed, key=lambda expert: -float(scores[expert]))[: shape.num_experts_per_tok]


def _slow_mixture(mixture: MixtureOfExperts, states: torch.Tensor) -> tuple[torch.Tensor, list[list[list[int]]]]:
    """Equations 20 to 22, one token and one expert at a time."""
    shape, width = mixture.shape, mixture.shape.moe_intermediate_size
    rows, routed = [], []
    for sequence in states:
        outputs, chosen = [], []
        for state in sequence:
            scores = torch.stack([state @ centroid for centroid in mixture.gate.weight]).softmax(0)
            picked = _slow_choice(scores.detach(), shape)
            output = torch.zeros(HIDDEN) if mixture.shared_experts is None else mixture.shared_experts(state)
            for expert in picked:
                gate_up = mixture.experts.gate_up_proj[expert]
                inner = F.silu(gate_up[:width] @ state) * (gate_up[width:] @ state)
                gate = scores[expert] * shape.routed_scaling_factor
                output = output + gate * (mixture.experts.down_proj[expert] @ inner)
            outputs.append(output)
            chosen.append(picked)
        rows.append(torch.stack(outputs))
        routed.append(chosen)
    return torch.stack(rows), routed


def _slow_loss(
    scores: torch.Tensor, routed: list[list[list[int]]], shape: ExpertsConfig, settings: BalanceSettings
) -> torch.Tensor:
    """Equations 23 to 31 for each sequence, mean over these."""
    experts, devices, size = shape.n_routed_experts, shape.n_group, shape.n_routed_experts // shape.n_group
    losses = []
    for sequence, chosen in zip(scores, routed, strict=True):
        length = len(chosen)
        f = [
            experts / (shape.num_experts_per_tok * length) * sum(expert in picked for picked in chosen)
            for expert in range(experts)
        ]
        p = [sum(token[expert] for token in sequence) / length for expert in range(experts)]
        loss = settings.expert_alpha * sum(f[expert] * p[expert] for expert in range(experts))
        for device in range(devices):
            own = range(device * size, (device + 1) * size)
            p_device = sum(p[expert] for expert in own)
            sent = sum(any(expert in own for expert in picked) for picked in chosen)
            loss = loss + settings.device_alpha * sum(f[expert] for expert in own) / size * p_device
            loss = loss + settings.communication_alpha * devices / (shape.topk_group * length) * sent * p_device
        losses.append(loss)
    return sum(losses) / len(losses)


@pytest.mark.parametrize("shape", [GROUPED, FREE, dataclasses.replace(FREE, n_shared_experts=0)])
def test_experts_and_losses_equal_the_slow_loop_in_values_and_gradients(shape: ExpertsConfig) -> None:
    mixture, states = _mixture(shape), _states()
    slow, slow_states = copy.deepcopy(mixture), _states()
    output, routing = mixture(states, Balance(SETTINGS, None))
    assert routing is not None
    expected, routed = _slow_mixture(slow, slow_states)
    expected_loss = _slow_loss(slow.gate(slow_states), routed, shape, SETTINGS)

    torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(routing.loss, expected_loss, atol=1e-7, rtol=1e-5)
    flat = [expert for sequence in routed for picked in sequence for expert in picked]
    assert routing.counts.tolist() == [flat.count(expert) for expert in range(shape.n_routed_experts)]
    assert int(routing.dropped) == 0

    weight = torch.randn(output.shape, generator=torch.Generator().manual_seed(2))
    ((output * weight).sum() + 100 * routing.loss).backward()
    ((expected * weight).sum() + 100 * expected_loss).backward()
    torch.testing.assert_close(states.grad, slow_states.grad, atol=1e-4, rtol=1e-4)
    for (name, ours), theirs in zip(mixture.named_parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-4, rtol=1e-4, msg=name)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (BalanceSettings(expert_alpha=0.003), 0.003),
        (BalanceSettings(device_alpha=0.05), 0.05),
        (BalanceSettings(communication_alpha=0.02), 0.02 * 3 / 2),
    ],
)
def test_perfectly_even_routing_costs_alpha(settings: BalanceSettings, expected: float) -> None:
    # Each of 12 tokens goes to experts of three devices where two would do, so that 1.5 times as much is sent.
    scores = torch.full((1, 12, 12), 1 / 12)
    chosen = torch.tensor([[[token % 12, (token + 4) % 12, (token + 8) % 12] for token in range(12)]])
    assert float(balance_loss(scores, chosen, GROUPED, settings)) == pytest.approx(expected)


def test_experts_come_from_the_best_groups_alone_and_their_weights_do_not_add_up_to_one() -> None:
    scores = torch.randn(50, 12, generator=torch.Generator().manual_seed(0)).softmax(-1)
    affinities, chosen = choose(scores, GROUPED)
    for token in range(50):
        assert sorted(chosen[token].tolist()) == sorted(_slow_choice(scores[token], GROUPED))
        assert len({expert // 3 for expert in chosen[token].tolist()}) <= GROUPED.topk_group
    torch.testing.assert_close(affinities, scores.gather(-1, chosen))
    assert (affinities.sum(-1) < 1).all()


@pytest.mark.parametrize("factor", [1.0, 0.5, 2.0])
def test_each_device_drops_its_lowest_affinities_beyond_capacity_but_spares_some_sequences(factor: float) -> None:
    settings = dataclasses.replace(SETTINGS, capacity_factor=factor)
    scores = (3 * torch.randn(4, 10, 12, generator=torch.Generator().manual_seed(0))).softmax(-1)
    affinities, chosen = choose(scores, GROUPED)
    spared = torch.tensor([False, True, False, False])
    kept = within_capacity(affinities, chosen, GROUPED, Balance(settings, spared))

    budget = int(factor * chosen.numel() / GROUPED.n_group)
    expected = torch.zeros_like(kept)
    for device in range(GROUPED.n_group):
        own = [tuple(place) for place in ((chosen // 3) == device).nonzero().tolist()]
        own.sort(key=lambda place: (not spared[place[0]], -float(affinities[place])))
        for rank, place in enumerate(own):
            expected[place] = rank < budget or bool(spared[place[0]])
    assert torch.equal(kept, expected)
    assert bool(kept[1].all())


def test_a_dropped_choice_adds_nothing_and_nothing_is_dropped_in_serving() -> None:
    mixture, states = _mixture(GROUPED), _states()
    settings = dataclasses.replace(SETTINGS, capacity_factor=1e-6)  # room for nothing at all
    output, routing = mixture(states, Balance(settings, torch.tensor([False, True])))
    assert routing is not None
    served, _ = mixture(states)
    assert mixture.shared_experts is not None
    torch.testing.assert_close(output[0], mixture.shared_experts(states[0]))
    torch.testing.assert_close(output[1], served[1])
    assert int(routing.dropped) == 9 * GROUPED.num_experts_per_tok
    output.sum().backward()
    assert bool(states.grad.isfinite().all())


def test_about_a_tenth_of_the_sequences_loses_nothing_and_the_same_ones_every_time() -> None:
    settings = dataclasses.replace(SETTINGS, capacity_factor=1.0)
    ids = torch.randint(0, 1000, (4000, 32), generator=torch.Generator().manual_seed(0))
    spared = Balance.of(settings, ids).never_dropped
    assert spared is not None
    assert 0.07 < float(spared.float().mean()) < 0.13
    assert torch.equal(spared, Balance.of(settings, ids).never_dropped)


def test_a_pass_tells_the_routing_of_every_layer_with_experts() -> None:
    config = v2_shape(experts=GROUPED)
    network = v2_network(config)
    ids = torch.randint(0, config.vocab_size, (2, 20), generator=torch.Generator().manual_seed(1))
    states, routing = network.states_and_routing(ids, SETTINGS)
    assert routing is not None
    assert routing.counts.shape == (len(config.expert_layers), 12)
    assert routing.counts.sum(1).tolist() == [2 * 20 * 3] * 2
    torch.testing.assert_close(states, network.hidden_states(ids))
    block = network.layers[1]
    assert isinstance(block, LatentBlock)
    assert v2_network(v2_shape(experts=None)).states_and_routing(ids, SETTINGS)[1] is None


def test_grouped_products_equal_one_product_for_each_row() -> None:
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(11, 7, generator=generator, requires_grad=True)
    weights = torch.randn(4, 5, 7, generator=generator, requires_grad=True)
    ends = torch.tensor([3, 3, 8, 9])
    groups = [0, 0, 0, 2, 2, 2, 2, 2, 3]
    expected = torch.stack([weights[group] @ states[row] for row, group in enumerate(groups)])
    product = grouped_product(states, weights, ends)
    torch.testing.assert_close(product[:9], expected)
    assert not product[9:].any()
    torch.autograd.gradcheck(
        lambda rows, matrices: grouped_product(rows, matrices, ends),
        (states.detach().double().requires_grad_(), weights.detach().double().requires_grad_()),
    )
