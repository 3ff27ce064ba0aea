"""Our network against transformers' LlamaForCausalLM, and against the papers' parameter counts."""

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from engine.model.config import TransformerConfig
from engine.model.key_value_cache import KeyValueCache
from engine.model.transformer import Transformer
from engine.model_folder import read_config, read_transformer

TOLERANCE = 1e-4


def _reference(heads: int, kv_heads: int, factor: float, tied: bool) -> LlamaForCausalLM:
    torch.manual_seed(heads * 100 + kv_heads * 10 + int(factor))
    rope = {"rope_theta": 100_000.0, "rope_type": "default"}
    if factor != 1:
        rope |= {"rope_type": "linear", "factor": factor}
    config = LlamaConfig(
        vocab_size=331,
        hidden_size=64,
        intermediate_size=176,
        num_hidden_layers=3,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=16,
        max_position_embeddings=256,
        rms_norm_eps=1e-6,
        rope_parameters=rope,
        tie_word_embeddings=tied,
        # a wide spread, so that a wrong angle or scale cannot hide under the tolerance
        initializer_range=0.2,
    )
    return LlamaForCausalLM(config).eval()


SHAPES = [
    pytest.param(heads, kv_heads, factor, tied, id=f"{heads}q-{kv_heads}kv-rope{factor:g}-{'un' * (not tied)}tied")
    for heads, kv_heads in ((4, 4), (8, 2), (4, 1))
    for factor in (1.0, 4.0)
    for tied in (False, True)
]


@pytest.mark.parametrize(("heads", "kv_heads", "factor", "tied"), SHAPES)
def test_logits_equal_those_of_transformers(
    heads: int, kv_heads: int, factor: float, tied: bool, tmp_path: Path
) -> None:
    reference = _reference(heads, kv_heads, factor, tied)
    reference.save_pretrained(tmp_path, max_shard_size="60KB")  # several shards
    ours = read_transformer(tmp_path, read_config(tmp_path), torch.float32, "cpu")
    ids = torch.randint(0, 331, (2, 47), generator=torch.Generator().manual_seed(1))

    with torch.no_grad():
        expected = reference(ids).logits
        assert (ours(ids) - expected).abs().max() <= TOLERANCE

        cache = KeyValueCache(ours.config, capacity=64, batch=2)
        steps = [ours(ids[:, :20], cache)]  # prefill
        steps += [ours(ids[:, i : i + 1], cache) for i in range(20, 30)]  # token by token
        steps.append(ours(ids[:, 30:], cache))  # several tokens on a warm cache
        assert (torch.cat(steps, dim=1) - expected).abs().max() <= TOLERANCE


def test_a_truncated_cache_continues_as_if_the_forgotten_tokens_had_never_been() -> None:
    config = _tiny_config()
    network = Transformer(config).eval()
    network.initialise(torch.Generator().manual_seed(0))
    ids = torch.arange(30)[None]
    cache = KeyValueCache(config, capacity=40)
    with torch.no_grad():
        network(ids, cache)
        cache.truncate(10)
        other = torch.tensor([[7, 8, 9]])
        again = network(other, cache)
        fresh = network(torch.cat((ids[:, :10], other), dim=1))[:, 10:]
    assert cache.length == 13
    torch.testing.assert_close(again, fresh, atol=1e-5, rtol=1e-5)


def test_next_logits_are_the_last_position_of_all_logits() -> None:
    network = Transformer(_tiny_config()).eval()
    ids = torch.arange(12)[None]
    with torch.no_grad():
        torch.testing.assert_close(network.next_logits(ids), network(ids)[:, -1])


def test_a_full_cache_refuses_more_tokens_and_keeps_what_it_has() -> None:
    config = _tiny_config()
    cache = KeyValueCache(config, capacity=4)
    network = Transformer(config).eval()
    with torch.no_grad():
        network(torch.arange(4)[None], cache)
        with pytest.raises(ValueError, match="do not fit"):
            network(torch.arange(1)[None], cache)
    assert cache.length == 4


def _tiny_config() -> TransformerConfig:
    return TransformerConfig(
        vocab_size=40,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=64,
    )


# facts of DeepSeek-Coder, Table 2 and the released config.json files
RELEASED = {
    "1.3B": ((2048, 5504, 24, 16, 16), 1_346_471_936),
    "6.7B": ((4096, 11008, 32, 32, 32), 6_740_512_768),
    "33B": ((7168, 19200, 62, 56, 8), 33_342_991_360),
}


@pytest.mark.parametrize("name", RELEASED)
def test_parameter_counts_equal_the_released_checkpoints(name: str) -> None:
    (hidden, inner, layers, heads, kv_heads), parameters = RELEASED[name]
    config = TransformerConfig.from_hugging_face(
        {
            "model_type": "llama",
            "vocab_size": 32256,
            "hidden_size": hidden,
            "intermediate_size": inner,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": kv_heads,
            "max_position_embeddings": 16384,
            "rope_theta": 100000,
            "rope_scaling": {"factor": 4.0, "type": "linear"},
        }
    )
    with torch.device("meta"):
        assert Transformer(config).parameter_count() == parameters


def test_linear_scaling_turns_pairs_by_the_published_angles() -> None:
    from engine.model.rotary import inverse_frequencies

    config = TransformerConfig(
        vocab_size=8,
        hidden_size=128,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=128,
        max_position_embeddings=8,
        rope_theta=100_000.0,
        rope_factor=4.0,
    )
    golden = {0: 0.25, 1: 0.20884063674, 16: 0.01405853313, 32: 7.905694150e-4, 63: 2.992712576e-6}
    frequencies = inverse_frequencies(config)
    for index, angle in golden.items():
        assert frequencies[index].item() == pytest.approx(angle, rel=1e-6)
