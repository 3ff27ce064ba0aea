"""DeepSeek-V2 shapes against transformers' DeepseekV2ForCausalLM, the papers' counts and slow references."""

import dataclasses
import json
import math

import pytest
import torch
from tokenizers import AddedToken, models
from tokenizers import Tokenizer as Tokenizers
from transformers import DeepseekV2Config, DeepseekV2ForCausalLM

from engine import model_folder
from engine.errors import ModelFolderError
from engine.fim_formats import DEEPSEEK_CODER, recognise
from engine.model.config import TransformerConfig, YarnConfig
from engine.model.key_value_cache import KeyValueCache
from engine.model.latent_attention import LatentAttention
from engine.model.rotary import cosines_and_sines, inverse_frequencies, rotate_neighbours, softmax_scale
from engine.model.transformer import Transformer
from engine.prompt import PromptParts, PromptSettings, build, end_ids
from engine.tokenizer import Tokenizer
from tests.support.tiny_model import train_tokenizer
from tests.support.tiny_v2 import GROUPED, SHAPES, v2_network, v2_shape

TOLERANCE = 1e-4

LITE = {
    "architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2", "vocab_size": 102_400,
    "hidden_size": 2048, "intermediate_size": 10_944, "moe_intermediate_size": 1408, "num_hidden_layers": 27,
    "num_attention_heads": 16, "num_key_value_heads": 16, "max_position_embeddings": 163_840, "q_lora_rank": None,
    "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "n_routed_experts": 64,
    "n_shared_experts": 2, "num_experts_per_tok": 6, "first_k_dense_replace": 1, "moe_layer_freq": 1, "n_group": 1,
    "topk_group": 1, "topk_method": "greedy", "routed_scaling_factor": 1.0, "norm_topk_prob": False,
    "scoring_func": "softmax", "aux_loss_alpha": 0.001, "seq_aux": True, "rms_norm_eps": 1e-6, "rope_theta": 10_000,
    "rope_scaling": {
        "type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "beta_fast": 32, "beta_slow": 1,
        "mscale": 0.707, "mscale_all_dim": 0.707,
    },
    "bos_token_id": 100_000, "eos_token_id": 100_001,
}  # fmt: skip
LARGE = LITE | {
    "hidden_size": 5120, "intermediate_size": 12_288, "moe_intermediate_size": 1536, "num_hidden_layers": 60,
    "num_attention_heads": 128, "num_key_value_heads": 128, "q_lora_rank": 1536, "n_routed_experts": 160,
    "n_group": 8, "topk_group": 3, "topk_method": "group_limited_greedy", "routed_scaling_factor": 16.0,
}  # fmt: skip

RELEASED = [
    pytest.param(LITE, 15_706_484_224, 2.66, 15_552, id="16B Lite"),
    pytest.param(LARGE, 235_741_434_880, 21.38, 34_560, id="236B"),
]


@pytest.mark.parametrize(("raw", "total", "active", "cached"), RELEASED)
def test_released_shapes_have_the_published_sizes(raw: dict, total: int, active: float, cached: int) -> None:
    config = TransformerConfig.from_hugging_face(raw)
    with torch.device("meta"):
        network = Transformer(config)
    assert network.parameter_count() == total
    assert round(network.active_parameter_count() / 1e9, 2) == active
    assert config.cache_numbers_per_token == cached
    assert network.cache_bytes(100) == 100 * cached * 4


@pytest.mark.parametrize("raw", [LITE, LARGE], ids=["16B Lite", "236B"])
def test_a_shape_survives_being_stored(raw: dict) -> None:
    config = TransformerConfig.from_hugging_face(raw)
    stored = json.loads(json.dumps(config.to_hugging_face()))
    assert TransformerConfig.from_hugging_face(stored) == config
    del stored["rope_scaling"]  # transformers 5 writes `rope_parameters` alone
    assert TransformerConfig.from_hugging_face(stored) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_routed_experts": 63, "n_group": 8, "topk_method": "group_limited_greedy"}, "do not divide into 8 groups"),
        ({"num_experts_per_tok": 65}, "cannot be chosen"),
        ({"norm_topk_prob": True}, "norm_topk_prob"),
        ({"scoring_func": "sigmoid"}, "scoring_func"),
        ({"topk_method": "noaux_tc"}, "topk_method"),
        ({"kv_lora_rank": "wide"}, "wrong type"),
    ],
)
def test_a_shape_that_cannot_be_built_is_refused(change: dict, message: str) -> None:
    with pytest.raises(ModelFolderError, match=message):
        TransformerConfig.from_hugging_face(LITE | change)


V2_MARKS = {  # facts of DeepSeek-V2's tokenizer: ids of their own, and the hole before the beginning
    "<｜begin▁of▁sentence｜>": 100_000, "<｜end▁of▁sentence｜>": 100_001, "<｜fim▁hole｜>": 100_002,
    "<｜fim▁begin｜>": 100_003, "<｜fim▁end｜>": 100_004,
}  # fmt: skip


def test_prompts_use_the_marks_under_the_ids_that_v2_gives_them() -> None:
    plain = {character: number for number, character in enumerate("abcdefgh")}
    plain |= {f"filler{number}": number for number in range(len(plain), 100_000)}
    raw = Tokenizers(models.BPE(vocab=plain, merges=[]))
    raw.add_tokens([AddedToken(mark, normalized=False, special=False) for mark in V2_MARKS])
    tokenizer = Tokenizer(raw.to_str())
    assert {mark: tokenizer.control_id(mark) for mark in V2_MARKS} == V2_MARKS
    assert recognise(lambda mark: tokenizer.control_id(mark) is not None, "model") is DEEPSEEK_CODER

    settings = PromptSettings(fim=DEEPSEEK_CODER, context_length=64)
    parts = PromptParts(path="", comment="", prefix="abc", suffix="fg")
    ids = build(parts, settings, tokenizer, budget=60).ids
    assert [token for token in ids if token >= 100_000] == [100_000, 100_003, 100_002, 100_004]
    assert ids[-1] == 100_004
    assert end_ids(DEEPSEEK_CODER, tokenizer)[0] == 100_001


def _reference(config: TransformerConfig) -> DeepseekV2ForCausalLM:
    torch.manual_seed(0)
    raw = config.to_hugging_face()
    kept = {name: value for name, value in raw.items() if name not in ("architectures", "rope_theta", "rope_scaling")}
    return DeepseekV2ForCausalLM(DeepseekV2Config(**kept, attn_implementation="eager")).eval()


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)
def test_logits_equal_those_of_transformers_whichever_wrote_the_folder(config: TransformerConfig, tmp_path) -> None:
    if config.experts is not None and not config.experts.n_shared_experts:
        pytest.skip("transformers cannot do without shared experts")
    ids = torch.randint(0, config.vocab_size, (2, 90), generator=torch.Generator().manual_seed(1))
    theirs = _reference(config)
    theirs.save_pretrained(tmp_path / "theirs")
    read = model_folder.read_config(tmp_path / "theirs")
    ours = model_folder.read_transformer(tmp_path / "theirs", read, torch.float32, "cpu")
    written = v2_network(config)
    _write(written, tmp_path / "ours")
    read_back = DeepseekV2ForCausalLM.from_pretrained(tmp_path / "ours", attn_implementation="eager").eval()

    with torch.no_grad():
        for network, reference in ((ours, theirs), (written, read_back)):
            expected = reference(ids).logits
            assert expected.abs().max() > 0.5  # so that the tolerance means something
            assert (network(ids) - expected).abs().max() <= TOLERANCE


def _write(network: Transformer, folder) -> None:
    settings = PromptSettings(fim=DEEPSEEK_CODER, context_length=network.config.max_position_embeddings)
    model_folder.write(folder, network, tokenizer_json=train_tokenizer(size=300), prompt_settings=settings)


def test_a_folder_names_its_tensors_as_the_released_ones_do_and_says_which_is_missing(tmp_path) -> None:
    config = v2_shape(experts=GROUPED, q_lora_rank=16)
    network = v2_network(config)
    tensors = model_folder._checkpoint_tensors(network, torch.float32)
    layer = "model.layers.1."
    assert {name.removeprefix(layer) for name in tensors if name.startswith(layer)} == {
        "input_layernorm.weight", "post_attention_layernorm.weight", "self_attn.q_a_proj.weight",
        "self_attn.q_a_layernorm.weight", "self_attn.q_b_proj.weight", "self_attn.kv_a_proj_with_mqa.weight",
        "self_attn.kv_a_layernorm.weight", "self_attn.kv_b_proj.weight", "self_attn.o_proj.weight", "mlp.gate.weight",
        *(f"mlp.shared_experts.{part}_proj.weight" for part in ("gate", "up", "down")),
        *(f"mlp.experts.{expert}.{part}_proj.weight" for expert in range(12) for part in ("gate", "up", "down")),
    }  # fmt: skip
    _write(network, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["DeepseekV2ForCausalLM"]
    again = model_folder.read_transformer(tmp_path, config, torch.float32, "cpu")
    for (name, ours), theirs in zip(network.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(ours, theirs), name
    more = dataclasses.replace(GROUPED, n_routed_experts=16)
    with pytest.raises(ModelFolderError, match=r"has shape|lacks"):
        model_folder.read_transformer(tmp_path, dataclasses.replace(config, experts=more), torch.float32, "cpu")


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)
def test_reading_in_pieces_through_latents_equals_reading_at_once(config: TransformerConfig) -> None:
    network = v2_network(config)
    ids = torch.randint(0, config.vocab_size, (2, 60), generator=torch.Generator().manual_seed(1))
    cache = KeyValueCache(config, capacity=64, batch=2)
    with torch.no_grad():
        expected = network(ids)
        steps = [network(ids[:, :40], cache), network(ids[:, 40:50], cache)]
        cache.truncate(45)
        steps += [network(ids[:, place : place + 1], cache) for place in range(45, 55)]
        steps.append(network(ids[:, 55:], cache))
        read = torch.cat([steps[0], steps[1][:, :5], *steps[2:]], dim=1)
    assert (read - expected).abs().max() <= TOLERANCE
    assert cache.memory_bytes == 2 * 64 * config.cache_numbers_per_token * 4


@pytest.mark.parametrize("length", [1, 7, 30])
@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)
def test_absorbed_and_plain_attention_give_the_same(config: TransformerConfig, length: int) -> None:
    attention = v2_network(config).layers[0].self_attn
    assert isinstance(attention, LatentAttention)
    states = torch.randn(2, 30, config.hidden_size, generator=torch.Generator().manual_seed(3))
    angles = cosines_and_sines(config, torch.arange(30))
    with torch.no_grad():
        query, rotary = attention._queries(states, angles)
        kept = attention._kept(states, angles)
        last = query[:, :, -length:], rotary[:, :, -length:]
        torch.testing.assert_close(attention.absorbed(*last, kept), attention.plain(*last, kept), atol=1e-5, rtol=1e-5)


def test_attention_equals_the_equations_taken_one_token_and_head_at_a_time() -> None:
    config = v2_shape(q_lora_rank=16, yarn=YarnConfig(factor=4.0, original_max_position_embeddings=16))
    attention = v2_network(config).layers[0].self_attn
    shape, heads = config.latent_attention, config.num_attention_heads
    assert shape is not None
    states = torch.randn(6, config.hidden_size, generator=torch.Generator().manual_seed(3))
    frequencies = inverse_frequencies(config)
    size = 0.1 * math.log(4.0) + 1  # of cosines and sines: mscale(s, 1) / mscale(s, 0)

    def turn(vector: torch.Tensor, position: int) -> torch.Tensor:
        angles = position * frequencies
        turned = torch.view_as_complex(vector.view(-1, 2)) * torch.polar(torch.full_like(angles, size), angles)
        return torch.view_as_real(turned).flatten()

    with torch.no_grad():
        compressed = attention.kv_a_proj_with_mqa(states)
        latents = attention.kv_a_layernorm(compressed[:, : shape.kv_lora_rank])
        made = attention.kv_b_proj(latents).view(6, heads, -1)
        queries = attention.q_b_proj(attention.q_a_layernorm(attention.q_a_proj(states))).view(6, heads, -1)
        expected = []
        for token in range(6):
            mixed = []
            for head in range(heads):
                content, rotary = queries[token, head].split([shape.qk_nope_head_dim, shape.qk_rope_head_dim])
                scores = []
                for past in range(token + 1):
                    key = made[past, head, : shape.qk_nope_head_dim]
                    rotary_key = turn(compressed[past, shape.kv_lora_rank :].clone(), past)
                    scores.append((content @ key + turn(rotary.clone(), token) @ rotary_key) / math.sqrt(20))
                weights = torch.stack(scores).softmax(0)
                mixed.append(weights @ made[: token + 1, head, shape.qk_nope_head_dim :])
            expected.append(attention.o_proj(torch.cat(mixed)))
        angles = cosines_and_sines(config, torch.arange(6))
        ours = attention.plain(*attention._queries(states[None], angles), attention._kept(states[None], angles))[0]
    torch.testing.assert_close(ours, torch.stack(expected), atol=1e-5, rtol=1e-5)


# facts of DeepSeek-V2: width 64, base 10,000, L = 4,096, s = 40, beta 32 and 1
YARN_RATIOS = {0: 1, 10: 1, 11: 0.925, 12: 0.85, 16: 0.55, 20: 0.25, 22: 0.1, 23: 0.025, 31: 0.025}


def test_yarn_slows_each_pair_by_the_published_ratio() -> None:
    config = TransformerConfig.from_hugging_face(LITE)
    plain = TransformerConfig.from_hugging_face(LITE | {"rope_scaling": None})
    ratios = inverse_frequencies(config) / inverse_frequencies(plain)
    assert {pair: pytest.approx(float(ratios[pair]), rel=1e-6) for pair in YARN_RATIOS} == YARN_RATIOS


@pytest.mark.parametrize(("mscale", "scale"), [(0.707, 0.1147213868), (1.0, 0.1352337789), (0.0, 192**-0.5)])
def test_yarn_sharpens_attention_by_mscale_squared(mscale: float, scale: float) -> None:
    # mscale² is in the report's and the released code's softmax scale; earlier ports to transformers left it out.
    scaling = LITE["rope_scaling"] | {"mscale": mscale, "mscale_all_dim": mscale}
    config = TransformerConfig.from_hugging_face(LITE | {"rope_scaling": scaling})
    assert softmax_scale(config) == pytest.approx(scale, rel=1e-9)
    cosines, sines = cosines_and_sines(config, torch.arange(3))
    torch.testing.assert_close(cosines.square() + sines.square(), torch.ones(3, 64))


def test_neighbours_turn_as_complex_numbers_do() -> None:
    config = v2_shape()
    states = torch.randn(1, 2, 5, 8, generator=torch.Generator().manual_seed(0))
    angles = torch.arange(5).float()[:, None] * inverse_frequencies(config)
    expected = torch.view_as_complex(states.view(1, 2, 5, 4, 2)) * torch.polar(torch.ones_like(angles), angles)
    turned = rotate_neighbours(states, *cosines_and_sines(config, torch.arange(5)))
    torch.testing.assert_close(turned, torch.view_as_real(expected).flatten(-2))
