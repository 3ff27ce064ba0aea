import json

import pytest
import torch

from engine.errors import ModelFolderError
from engine.model.quantize import quantize
from engine.model.quantized_storage import packed, unpacked
from engine.model_folder import read
from engine.quantized_folder import quantise
from tests.support.families import write_family
from tests.support.tiny_model import write_tiny_model


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("shape", [(3, 64), (5, 130), (1, 2), (32, 1408)])
def test_a_stored_matrix_is_the_one_that_quantising_at_load_gives(bits, shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    stored = dict(packed("layer.weight", matrix, bits=bits))
    (name, read_back), *rest = unpacked(reversed(stored.items()))
    assert (name, rest) == ("layer.weight", [])
    assert torch.equal(read_back, quantize(matrix, bits=bits).dequantize())


@pytest.mark.parametrize("bits", [8, 4])
def test_quantising_what_was_stored_changes_nothing(bits):
    matrix = torch.randn(64, 512, generator=torch.Generator().manual_seed(1)) ** 3
    matrix[3, 64:128] = 0
    once = quantize(matrix, bits=bits).dequantize()
    assert torch.equal(quantize(once, bits=bits).dequantize(), once)


def test_the_embedding_keeps_8_bits_and_what_is_no_matrix_all_of_them():
    table, norm = torch.randn(8, 64), torch.randn(64)
    assert dict(packed("model.embed_tokens.weight", table, bits=4))["model.embed_tokens.weight"].dtype is torch.int8
    assert dict(packed("model.norm.weight", norm, bits=4))["model.norm.weight"] is norm


def test_integers_without_scales_are_refused():
    stored = dict(packed("layer.weight", torch.randn(4, 64), bits=8))
    del stored["layer.weight_scale"]
    with pytest.raises(ModelFolderError, match="without its scales"):
        list(unpacked(stored.items()))


@pytest.mark.parametrize("family", ["deepseek-coder", "qwen2.5-coder"])
@pytest.mark.parametrize("bits", [8, 4])
def test_a_smaller_folder_holds_the_same_model_quantised(tmp_path, family, bits):
    write_family(tmp_path / "model", family)
    quantise(tmp_path / "model", tmp_path / "small", bits=bits)
    original, small = read(tmp_path / "model"), read(tmp_path / "small")
    weights = dict(original.transformer.named_parameters())
    for name, parameter in small.transformer.named_parameters():
        expected = weights[name]
        if expected.dim() == 2:
            table = name in ("embed_tokens.weight", "lm_head.weight")
            expected = quantize(expected, bits=8 if table else bits).dequantize()
        assert torch.equal(parameter, expected), name
    assert small.prompt_settings == original.prompt_settings


def test_a_smaller_folder_is_smaller_and_is_made_once(tmp_path):
    write_tiny_model(tmp_path / "model")
    quantise(tmp_path / "model", tmp_path / "small", bits=8)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("model", "small")]
    assert sizes[1] < 0.4 * sizes[0]
    assert json.loads((tmp_path / "small" / "config.json").read_text())["quantization_config"]["bits"] == 8
    with pytest.raises(ModelFolderError, match="exists"):
        quantise(tmp_path / "model", tmp_path / "small", bits=8)
    with pytest.raises(ModelFolderError, match="quantised already"):
        quantise(tmp_path / "small", tmp_path / "smaller", bits=4)


def test_a_shape_that_transformers_runs_stays_as_it_is(tmp_path):
    write_family(tmp_path / "model", "starcoder2")
    with pytest.raises(ModelFolderError, match="stays as it is"):
        quantise(tmp_path / "model", tmp_path / "small", bits=8)
