"""Latent attention and experts in 8 and 4 bits: against the matrices they stand for, and served as completions."""

import copy

import pytest
import torch

from engine.api import CompletionRequest
from engine.completer import Completer, Source
from engine.fim_formats import DEEPSEEK_CODER
from engine.model.config import ExpertsConfig
from engine.model.experts import RoutedExperts
from engine.model.quantize import quantize
from engine.model.quantized_network import PackedLinear, QuantizedExperts, QuantizedNetwork, packed_bytes
from engine.model.serving import Precision
from engine.model_facts import read_facts
from engine.model_folder import read, serve, write
from engine.prompt import PromptSettings
from tests.support.tiny_model import CORPUS, train_tokenizer
from tests.support.tiny_v2 import FREE, v2_network, v2_shape


def _error(ours: torch.Tensor, expected: torch.Tensor) -> float:
    return float((ours - expected).norm() / expected.norm())


@pytest.mark.parametrize(("rows", "columns"), [(40, 128), (33, 70)])
@pytest.mark.parametrize(("bits", "bound"), [(8, 0.01), (4, 0.01)])
def test_a_packed_matrix_multiplies_as_what_it_was_rounded_to(rows: int, columns: int, bits: int, bound: float) -> None:
    generator = torch.Generator().manual_seed(0)
    weight, states = torch.randn(rows, columns, generator=generator), torch.randn(5, columns, generator=generator)
    states[3] *= 100  # one token's size must not cost another's precision
    if bits == 8:
        scales = weight.abs().amax(1, keepdim=True) / 127
        rounded = (weight / scales).round() * scales
    else:
        rounded = quantize(weight, bits=4).dequantize()
    product = PackedLinear(weight, bits)(states)
    for row in range(5):
        assert _error(product[row], states[row] @ rounded.t()) < bound


@pytest.mark.parametrize(("bits", "bound"), [(8, 0.02), (4, 0.25)])
def test_packed_experts_answer_nearly_as_the_originals(bits: int, bound: float) -> None:
    experts = RoutedExperts(64, ExpertsConfig(
        n_routed_experts=5, n_shared_experts=0, num_experts_per_tok=2, moe_intermediate_size=64
    ))  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    for parameter in experts.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    rows, ends = torch.randn(9, 64, generator=generator), torch.tensor([2, 2, 5, 6, 8])
    with torch.no_grad():
        expected = experts.answers(rows, ends)
        assert _error(QuantizedExperts(experts, bits).answers(rows, ends), expected) < bound


@pytest.mark.parametrize(("bits", "bound"), [(8, 0.1), (4, 0.6)])
def test_a_quantised_network_stays_near_the_original_and_reads_in_pieces(bits: int, bound: float) -> None:
    # Every expert is chosen, for rounding that changes a choice says nothing about the products.
    config = v2_shape(experts=ExpertsConfig(
        n_routed_experts=4, n_shared_experts=1, num_experts_per_tok=4, moe_intermediate_size=20, first_k_dense_replace=1
    ))  # fmt: skip
    network = v2_network(config)
    ids = torch.randint(0, config.vocab_size, (1, 30), generator=torch.Generator().manual_seed(1))
    expected = network(ids)[0]
    quantized = QuantizedNetwork(copy.deepcopy(network), bits=bits)
    cache = quantized.new_cache(32)
    pieces = [quantized.logits(ids[:, :20], cache), quantized.next_logits(ids[:, 20:21], cache)]
    pieces.append(quantized.logits(ids[:, 21:], cache))
    assert _error(torch.cat(pieces), expected) < bound
    assert quantized.precision == f"int{bits}"
    assert quantized.parameter_count() == network.parameter_count()
    assert cache.memory_bytes == quantized.cache_bytes(32) == 32 * config.cache_numbers_per_token * 4
    assert packed_bytes(config, bits=8) == network.parameter_count()
    assert 0 < quantized.weight_bytes() < 4 * network.parameter_count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("v2") / "model"
    tokenizer_json = train_tokenizer(size=400)
    network = v2_network(v2_shape(vocab_size=448, experts=FREE, max_position_embeddings=512))
    settings = PromptSettings(fim=DEEPSEEK_CODER, context_length=512)
    write(place, network, tokenizer_json=tokenizer_json, prompt_settings=settings)
    return place


@pytest.mark.parametrize("precision", [Precision.AUTO, Precision.INT4, Precision.FLOAT32])
def test_a_v2_folder_completes_and_reads_only_what_was_typed(folder, precision: Precision) -> None:
    model = serve(folder, precision=precision, threads=1)
    assert model.network.precision == {"auto": "int8"}.get(precision.value, precision.value)
    completer = Completer(model, source=Source.NETWORK)

    def ask(typed: str):
        prefix = CORPUS[:300] + typed
        request = CompletionRequest(
            document="file:///a.py", path="a.py", comment="#", prefix=prefix, suffix="\nx = 1\n", max_tokens=4
        )
        *_, completion = completer.complete(request)
        return completion

    first, second = ask(""), ask(" ")
    assert first.prompt_tokens_read >= first.prompt_tokens > second.prompt_tokens_read
    assert completer.cache_bytes % (v2_shape().cache_numbers_per_token * 4) == 0


def test_facts_tell_active_parameters_and_the_bytes_of_latents(folder) -> None:
    facts, network = read_facts(folder), read(folder).transformer
    assert facts.parameters == network.parameter_count()
    assert facts.active_parameters == network.active_parameter_count() < facts.parameters
    assert facts.cache_bytes_per_token * 2 == network.cache_bytes(1), "told at 16 bits, run at 32"
