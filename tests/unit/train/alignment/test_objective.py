"""GRPO's formulas against slow loops written from the papers, and what its gradient does."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from engine.model.transformer import Transformer
from tests.support.tiny_network import TINY
from train.alignment.objective import GrpoObjective, Variant, advantages, clipped_gain, k3, log_probabilities
from train.objective import IGNORED

CLIP, KL = 0.2, 0.04


def _network(seed: int = 0) -> Transformer:
    network = Transformer(TINY)
    network.initialise(torch.Generator().manual_seed(seed))
    return network.double()


def test_advantages_are_those_of_the_formula() -> None:
    rewards = np.random.default_rng(0).normal(size=(5, 7))
    found = advantages(rewards)
    for group, row in zip(rewards, found, strict=True):
        mean = sum(group) / len(group)
        std = math.sqrt(sum((reward - mean) ** 2 for reward in group) / len(group))
        for reward, advantage in zip(group, row, strict=True):
            assert advantage == pytest.approx((reward - mean) / std, rel=1e-6)


@pytest.mark.parametrize("reward", [0.0, 1.0, 0.1, 1 / 3, -12.7, 1e9])
def test_a_group_of_equal_rewards_has_no_advantage(reward: float) -> None:
    assert not advantages(np.full((1, 7), reward)).any()


def test_the_divergence_is_never_negative_and_that_of_the_formula() -> None:
    policy, reference = torch.randn(2, 1000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = k3(policy, reference)
    assert (found >= 0).all()
    for value, log_policy, log_reference in zip(found.tolist(), policy.tolist(), reference.tolist(), strict=True):
        ratio = math.exp(log_reference) / math.exp(log_policy)
        assert value == pytest.approx(ratio - math.log(ratio) - 1, abs=1e-9)
    assert not k3(policy, policy).any()


def test_the_divergence_is_in_the_mean_that_of_kullback_and_leibler() -> None:
    chance = torch.Generator().manual_seed(0)
    policy, reference = (torch.randn(2, 10, dtype=torch.float64, generator=chance)).log_softmax(-1)
    mean = (policy.exp() * k3(policy, reference)).sum()
    torch.testing.assert_close(mean, (policy.exp() * (policy - reference)).sum())


@pytest.mark.parametrize("advantage", [-1.5, 0.0, 2.0])
@pytest.mark.parametrize("ratio", [0.5, 0.8, 0.9, 1.0, 1.1, 1.2, 3.0])
def test_the_gain_is_clipped_as_in_the_formula(ratio: float, advantage: float) -> None:
    wanted = min(ratio * advantage, min(max(ratio, 1 - CLIP), 1 + CLIP) * advantage)
    found = clipped_gain(torch.tensor(math.log(ratio), dtype=torch.float64), torch.tensor(advantage), CLIP)
    assert float(found) == pytest.approx(wanted)


def test_log_probabilities_in_pieces_are_those_of_the_whole() -> None:
    chance = torch.Generator().manual_seed(0)
    states, head = torch.randn(5000, 8, generator=chance), torch.randn(20, 8, generator=chance)
    targets = torch.randint(20, (5000,), generator=chance)
    targets[::7] = IGNORED
    whole = (states @ head.T).log_softmax(-1)
    for place in range(0, 5000, 97):
        wanted = 0.0 if targets[place] == IGNORED else float(whole[place, targets[place]])
        assert float(log_probabilities(states, head, targets)[place]) == pytest.approx(wanted, abs=1e-5)


def _batch() -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, ...]]:
    """Return four answers of unlike lengths, as the stage lays them out."""
    chance = torch.Generator().manual_seed(1)
    ids = torch.randint(TINY.vocab_size, (4, 13), generator=chance)
    targets = ids[:, 1:].clone()
    for row, (start, end) in enumerate([(3, 12), (3, 5), (6, 7), (6, 11)]):
        targets[row, :start] = IGNORED
        targets[row, end:] = IGNORED
    counts = (targets != IGNORED).sum(1)
    weights = (targets != IGNORED) * (counts.sum() / len(counts) / counts)[:, None]
    gains = torch.tensor([1.3, -0.4, 0.0, -0.9])[:, None].expand(4, 12)
    noise = torch.randn(2, 4, 12, generator=chance) * (targets != IGNORED)
    old, reference = _scores(_network(), ids[:, :-1], targets) + 0.3 * noise
    return ids[:, :-1], targets, (gains, old, reference, weights.double())


def _scores(network: Transformer, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        found = network(ids).log_softmax(-1).gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    return torch.where(targets == IGNORED, 0.0, found)


def _slow(network: Transformer, variant: Variant) -> float:
    """Return J from DeepSeekMath's equation 3 or DeepSeek-V2's equation 32, answer by answer and token by token."""
    ids, targets, (gains, old, reference, _) = _batch()
    policy, total = _scores(network, ids, targets), 0.0
    for row in range(len(ids)):
        places = [place for place in range(ids.shape[1]) if targets[row, place] != IGNORED]
        triples = [tuple(float(kind[row, place]) for kind in (policy, old, reference)) for place in places]
        if variant == "sequence":
            triples = [tuple(map(math.fsum, zip(*triples, strict=True)))]
        terms = []
        for now, before, first in triples:
            ratio, advantage = math.exp(now - before), float(gains[row, 0])
            gain = min(ratio * advantage, min(max(ratio, 1 - CLIP), 1 + CLIP) * advantage)
            terms.append(gain - KL * (math.exp(first - now) - (first - now) - 1))
        total += sum(terms) / len(terms) / len(ids)
    return total


VARIANTS: tuple[Variant, ...] = ("token", "sequence")


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_objective_is_that_of_a_slow_loop(variant: Variant) -> None:
    network = _network()
    ids, targets, columns = _batch()
    loss = GrpoObjective(network, variant=variant, clip=CLIP, kl=KL)(ids, targets, *columns)
    counted = int((targets != IGNORED).sum())
    assert float(loss.detach()) / counted == pytest.approx(-_slow(network, variant), abs=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_gradient_is_that_of_differences(variant: Variant) -> None:
    network = _network()
    ids, targets, columns = _batch()
    objective = GrpoObjective(network, variant=variant, clip=CLIP, kl=KL)
    objective(ids, targets, *columns).backward()
    weight, step = network.layers[0].mlp.down_proj.weight, 1e-3
    counted = int((targets != IGNORED).sum())
    for place in [(0, 0), (3, 17), (31, 40)]:
        assert weight.grad is not None
        found = []
        for change in (step, -step):
            with torch.no_grad():
                weight[place] += change
                found.append(-_slow(network, variant) * counted)
                weight[place] -= change
        (higher, lower), slope = found, float(weight.grad[place])
        assert slope == pytest.approx((higher - lower) / (2 * step), rel=1e-2, abs=1e-4)


def test_the_answer_with_the_advantage_becomes_more_probable() -> None:
    network = _network()
    ids, targets, (gains, _, _, weights) = _batch()
    found = []
    for _ in range(4):
        scores = _scores(network, ids, targets)
        found.append(float(scores[0].sum() - scores[3].sum()))
        network.zero_grad()
        columns = (gains, scores, scores, weights)
        GrpoObjective(network, variant="token", clip=CLIP, kl=0.0)(ids, targets, *columns).backward()
        with torch.no_grad():
            for weight in network.parameters():
                weight -= 0.01 * weight.grad  # type: ignore[operator]
    assert all(later > earlier for earlier, later in pairwise(found))
