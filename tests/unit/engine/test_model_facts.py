"""What is told of a model without loading it is what loading it shows."""

from pathlib import Path

import pytest

from engine.errors import ModelFolderError
from engine.model_facts import read_facts
from engine.model_folder import read
from tests.support.families import FAMILIES, write_family


@pytest.mark.parametrize("family", ["deepseek-coder", "qwen2.5-coder", "starcoder", "codegemma"])
def test_facts_are_those_of_the_loaded_model(family: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_family(folder, family)
    facts, model = read_facts(folder), read(folder)
    assert facts.parameters == model.network.parameter_count()
    assert facts.stored_as == "F32"
    assert (facts.format, facts.context_length) == (FAMILIES[family].format, 512)
    config = model.network.config
    assert (facts.layers, facts.hidden_size, facts.heads) == (2, 32, 4)
    assert facts.key_value_heads == config.num_key_value_heads
    assert facts.cache_bytes_per_token * 2 == model.network.cache_bytes(1), "told at 16 bits, run at 32"
    assert facts.memory_bytes(32.0) == 4 * facts.parameters
    assert not facts.has_chat


def test_weights_that_are_none_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_family(folder, "starcoder2")
    (folder / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(ModelFolderError, match=r"model\.safetensors is broken"):
        read_facts(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelFolderError, match=r"holds no \*\.safetensors"):
        read_facts(folder)
