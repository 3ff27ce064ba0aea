"""Every family of models: recognised from what its folder holds, and run with the logits that transformers gives."""

from pathlib import Path

import pytest
import torch

from engine.errors import ModelFolderError
from engine.model.transformer import Transformer
from engine.model_folder import ServedModel, read
from engine.prompt import PromptMode
from engine.transformers_network import TransformersNetwork
from tests.support.families import FAMILIES, write_family

_TEXT = 3 * ("def load(self) -> None:\n    for path in self.folder.glob('*.json'):\n        self.values.update(path)\n")


@pytest.fixture(scope="module", params=FAMILIES)
def case(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("family") / request.param.replace(" ", "-")
    reference = write_family(folder, request.param)
    return FAMILIES[request.param], reference, read(folder)


def _ids(served: ServedModel) -> torch.Tensor:
    return torch.tensor([served.tokenizer.encode(_TEXT)[:48]])


def test_a_family_is_recognised_without_prompt_json(case) -> None:
    family, _, served = case
    assert served.prompt_settings.fim.name == family.format
    assert (served.prompt_settings.mode is PromptMode.LEFT_TO_RIGHT) is (family.format == "none")


def test_our_network_runs_what_has_its_shape_and_transformers_the_rest(case) -> None:
    family, _, served = case
    assert isinstance(served.network, Transformer if family.is_ours else TransformersNetwork)


def test_logits_equal_those_of_transformers(case) -> None:
    _, reference, served = case
    ids = _ids(served)
    with torch.inference_mode():
        expected = reference(input_ids=ids).logits[0]
        actual = served.network.logits(ids, served.network.new_cache(64))
    assert expected.abs().max() > 0.1, "a fair test"
    assert (actual - expected).abs().max() <= 1e-4


def test_reading_piece_by_piece_gives_the_same_logits(case) -> None:
    _, reference, served = case
    ids = _ids(served)
    network = served.network
    cache = network.new_cache(64)
    with torch.inference_mode():
        expected = reference(input_ids=ids).logits[0]
        network.next_logits(ids[:, :20], cache)
        network.next_logits(ids[:, 5:9], cache)  # a draft that is thrown away
        cache.truncate(20)
        for position in range(20, 30):
            actual = network.next_logits(ids[:, position : position + 1], cache)[0]
            assert (actual - expected[position]).abs().max() <= 1e-4
        pieces = network.logits(ids[:, 30:], cache)
    assert cache.length == ids.shape[1]
    assert (pieces - expected[30:]).abs().max() <= 1e-4


def test_a_cache_takes_no_more_than_its_capacity(case) -> None:
    _, _, served = case
    cache = served.network.new_cache(8)
    with torch.inference_mode(), pytest.raises(ValueError, match="do not fit"):
        served.network.next_logits(_ids(served), cache)


def test_sizes_are_those_of_transformers(case) -> None:
    _, reference, served = case
    network = served.network
    assert network.parameter_count() == reference.num_parameters()
    cache = network.new_cache(48)
    with torch.inference_mode():
        network.next_logits(_ids(served), cache)
    assert cache.memory_bytes == network.cache_bytes(48)


def test_weights_that_are_missing_are_named_and_never_made_up(tmp_path: Path) -> None:
    model = write_family(tmp_path / "model", "starcoder2")
    weights = {name: tensor for name, tensor in model.state_dict().items() if "layers.1.mlp.c_fc" not in name}
    model.save_pretrained(tmp_path / "model", state_dict=weights)
    with pytest.raises(ModelFolderError, match="lacks 2 tensors"):
        read(tmp_path / "model")


def test_an_architecture_that_nobody_knows_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_family(folder, "starcoder2")
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"starcoder2"', '"no-such-thing"'))
    with pytest.raises(ModelFolderError, match="no-such-thing") as caught:
        read(folder)
    assert "\n" not in str(caught.value)
