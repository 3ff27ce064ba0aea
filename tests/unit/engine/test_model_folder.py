"""Model folders: read and written in Hugging Face's format, every defect named."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from engine.cache_model import Mixture
from engine.errors import ModelFolderError
from engine.fim_formats import DEEPSEEK_CODER
from engine.model.config import TransformerConfig
from engine.model.transformer import Transformer
from engine.model_folder import read, write, write_reading
from engine.prompt import PromptMode, PromptSettings
from tests.support.tiny_model import write_tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "model")


IDS = torch.arange(40)[None]


def _untied(shape: TransformerConfig) -> TransformerConfig:
    return TransformerConfig.from_hugging_face(
        shape.to_hugging_face()
        | {"tie_word_embeddings": False, "rope_parameters": {"rope_theta": 1e5, "rope_type": "linear", "factor": 4.0}}
    )


@pytest.mark.parametrize("shard_bytes", [10**9, 20_000], ids=["one file", "several files"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_transformers_reads_what_we_write_and_we_read_it_back(
    tied: bool, shard_bytes: int, folder: Path, tmp_path: Path
) -> None:
    shape = read(folder).transformer.config
    network = Transformer(shape if tied else _untied(shape)).eval()
    network.initialise(torch.Generator().manual_seed(5))
    again = tmp_path / "again"
    write(
        again,
        network,
        tokenizer_json=(folder / "tokenizer.json").read_text(),
        prompt_settings=PromptSettings(fim=DEEPSEEK_CODER, context_length=512),
        shard_bytes=shard_bytes,
    )
    assert (len(list(again.glob("*.safetensors"))) > 1) == (shard_bytes < 10**9)
    ours = read(again)
    theirs = AutoModelForCausalLM.from_pretrained(again, dtype=torch.float32).eval()
    with torch.no_grad():
        torch.testing.assert_close(ours.transformer(IDS), network(IDS))
        torch.testing.assert_close(theirs(IDS).logits, network(IDS), atol=1e-4, rtol=1e-4)
    text = "def f(x):\n    return x\n"
    assert AutoTokenizer.from_pretrained(again).encode(text, add_special_tokens=False) == ours.tokenizer.encode(text)


def test_writing_again_leaves_no_stale_weights(folder: Path) -> None:
    model = read(folder)
    definition = (folder / "tokenizer.json").read_text()
    for shard_bytes in (20_000, 10**9):
        write(
            folder,
            model.transformer,
            tokenizer_json=definition,
            prompt_settings=model.prompt_settings,
            shard_bytes=shard_bytes,
        )
    assert [path.name for path in folder.glob("*.safetensors*")] == ["model.safetensors"]


def test_weights_are_stored_and_read_in_the_type_asked_for(folder: Path, tmp_path: Path) -> None:
    model = read(folder)
    definition = (folder / "tokenizer.json").read_text()
    half = tmp_path / "half"
    write(
        half,
        model.transformer,
        tokenizer_json=definition,
        prompt_settings=model.prompt_settings,
        dtype=torch.bfloat16,
    )
    assert load_file(half / "model.safetensors")["model.norm.weight"].dtype is torch.bfloat16
    assert read(half).transformer.norm.weight.dtype is torch.float32
    assert read(half, dtype=torch.bfloat16).transformer.norm.weight.dtype is torch.bfloat16


def test_how_a_network_is_read_survives_the_file(folder: Path) -> None:
    mixture = Mixture.default()
    settings = PromptSettings(fim=DEEPSEEK_CODER, context_length=256, mode=PromptMode.LEFT_TO_RIGHT)
    write_reading(folder, prompt_settings=settings, mixture=mixture)
    again = read(folder)
    assert again.prompt_settings == settings
    assert (abs(again.mixture.with_network - mixture.with_network) < 1e-3).all()


def _drop(folder: Path, name: str) -> None:
    (folder / name).unlink()


def _garble(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"\x00\xffnonsense")


def _set(folder: Path, **fields: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def _change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


DEFECTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda folder: _drop(folder, "config.json"), r"config\.json is missing"),
    "config is no JSON": (lambda folder: _garble(folder, "config.json"), r"config\.json is broken"),
    "no architecture at all": (lambda folder: _set(folder, model_type="no-such-thing"), "no-such-thing"),
    "biases without weights": (lambda folder: _set(folder, attention_bias=True), "lacks 8 tensors"),
    "a number that is none": (lambda folder: _set(folder, hidden_size="wide"), "wrong type"),
    "heads that do not divide": (lambda folder: _set(folder, num_key_value_heads=3), "must be a multiple"),
    "an odd head": (lambda folder: _set(folder, head_dim=7), "head_dim 7 is odd"),
    "no tokenizer": (lambda folder: _drop(folder, "tokenizer.json"), r"tokenizer\.json"),
    "broken tokenizer": (lambda folder: _garble(folder, "tokenizer.json"), r"tokenizer\.json is"),
    "too small an embedding": (lambda folder: _set(folder, vocab_size=10), "has room for 10"),
    "no weights": (lambda folder: _drop(folder, "model.safetensors"), r"model\.safetensors is missing"),
    "broken weights": (lambda folder: _garble(folder, "model.safetensors"), r"model\.safetensors is broken"),
    "weights of another shape": (lambda folder: _set(folder, intermediate_size=48), "has shape"),
    "a tensor too few": (
        lambda folder: _change_weights(folder, lambda weights: weights.pop("model.norm.weight")),
        "lacks 1 tensors, 'norm.weight' first",
    ),
    "a tensor too many": (
        lambda folder: _change_weights(folder, lambda weights: weights.update(extra=torch.ones(1))),
        "stores 'extra'",
    ),
    "an index without a map": (
        lambda folder: (folder / "model.safetensors.index.json").write_text("{}"),
        "no weight_map",
    ),
    "a shard that is missing": (
        lambda folder: (folder / "model.safetensors.index.json").write_text(
            json.dumps({"weight_map": {"model.norm.weight": "model-00002-of-00002.safetensors"}})
        ),
        r"model-00002-of-00002\.safetensors is missing",
    ),
    "a broken mixture": (lambda folder: (folder / "mixture.json").write_text("[]"), r"mixture\.json"),
}


@pytest.mark.parametrize("case", DEFECTS)
def test_a_defect_is_named_with_what_to_do(case: str, folder: Path) -> None:
    damage, message = DEFECTS[case]
    damage(folder)
    with pytest.raises(ModelFolderError, match=message) as caught:
        read(folder)
    assert "\n" not in str(caught.value)


def test_a_shard_outside_the_folder_is_never_read(folder: Path) -> None:
    outside = folder.parent / "outside.safetensors"
    outside.write_bytes((folder / "model.safetensors").read_bytes())
    index = {"weight_map": {"model.norm.weight": "../outside.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelFolderError, match="is missing"):
        read(folder)
