"""Optimisers: AdamW's step is torch's, Muon takes the hidden matrices alone, every weight is trained once."""

import torch
from torch import Tensor

from engine.model.config import TransformerConfig
from engine.model.transformer import Transformer
from train.optimizer import OptimizerSettings, build_optimizers, set_rate, state_tensors

SHAPE = TransformerConfig(
    vocab_size=32,
    hidden_size=16,
    intermediate_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=2,
    head_dim=8,
    max_position_embeddings=32,
)


def _weights() -> dict[str, Tensor]:
    network = Transformer(SHAPE)
    network.initialise(torch.Generator().manual_seed(0))
    weights = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    for number, weight in enumerate(weights.values()):
        weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(number))
    return weights


def _steps(weights: dict[str, Tensor], optimizers: list[torch.optim.Optimizer]) -> None:
    for rate in (1e-3, 2e-3, 5e-4):
        set_rate(optimizers, rate)
        for optimizer in optimizers:
            optimizer.step()


def test_an_adamw_step_equals_the_published_formula() -> None:
    weights, expected = _weights(), {name: weight.clone() for name, weight in _weights().items()}
    gradients = {name: weight.grad for name, weight in weights.items()}
    _steps(weights, build_optimizers(weights, OptimizerSettings(weight_decay=0.1)))
    for name, weight in expected.items():
        first, second, gradient = torch.zeros_like(weight), torch.zeros_like(weight), gradients[name]
        assert gradient is not None
        for step, rate in enumerate((1e-3, 2e-3, 5e-4), start=1):
            weight *= 1 - rate * (0.1 if weight.dim() >= 2 else 0.0)
            first = 0.9 * first + 0.1 * gradient
            second = 0.95 * second + 0.05 * gradient**2
            weight -= rate * (first / (1 - 0.9**step)) / ((second / (1 - 0.95**step)).sqrt() + 1e-8)
        torch.testing.assert_close(weights[name], weight, rtol=1e-5, atol=1e-6)


def test_muon_takes_the_hidden_matrices_and_adamw_the_rest() -> None:
    weights = _weights()
    adamw, muon = build_optimizers(weights, OptimizerSettings(name="muon"))
    names = {id(weight): name for name, weight in weights.items()}
    by_muon = {names[id(weight)] for group in muon.param_groups for weight in group["params"]}
    by_adamw = {names[id(weight)] for group in adamw.param_groups for weight in group["params"]}
    assert by_muon | by_adamw == set(weights)
    assert not by_muon & by_adamw
    assert by_muon == {name for name in weights if "proj" in name}


def test_state_is_made_without_moving_a_weight() -> None:
    for name in ("adamw", "muon"):
        weights, before = _weights(), _weights()
        tensors = state_tensors(build_optimizers(weights, OptimizerSettings(name=name)), weights)
        assert all(torch.equal(weights[key], before[key]) for key in weights)
        assert {key.rpartition(".")[0] for key in tensors} == set(weights)
