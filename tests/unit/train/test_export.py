"""Exported folders: transformers gives the same logits, and every file that servers and converters read is right."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from engine.fim_formats import DEEPSEEK_CODER
from engine.model.config import TransformerConfig
from engine.model.transformer import Transformer
from engine.model_folder import read
from engine.prompt import PromptSettings
from engine.tokenizer import Tokenizer
from train.errors import RunError
from train.export import export
from train.stages.instruct import CHAT_TEMPLATE, END_OF_TURN, prompt_of
from train.tokenizer import train_tokenizer

DEFINITION = train_tokenizer(["def add(a, b):\n    return a + b\n" * 30], vocab_size=400, sample_bytes=100_000)
TOKENIZER = Tokenizer(DEFINITION)
SETTINGS = PromptSettings(fim=DEEPSEEK_CODER, context_length=64)


def _network(*, rope_factor: float = 1.0, tied: bool = True) -> Transformer:
    network = Transformer(
        TransformerConfig(
            vocab_size=448,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            max_position_embeddings=64,
            rope_theta=100_000.0,
            rope_factor=rope_factor,
            tie_word_embeddings=tied,
            initializer_range=0.2,
        )
    )
    network.initialise(torch.Generator().manual_seed(1))
    return network.requires_grad_(requires_grad=False)


def _export(folder: Path, network: Transformer, dtype: torch.dtype = torch.float32, *, chat: bool = False) -> Path:
    export(
        folder,
        network,
        tokenizer_json=DEFINITION,
        prompt_settings=SETTINGS,
        dtype=dtype,
        end_marks=(END_OF_TURN,) if chat else (),
        chat_template=CHAT_TEMPLATE if chat else None,
    )
    return folder


@pytest.mark.parametrize("rope_factor", [1.0, 4.0])
@pytest.mark.parametrize("tied", [True, False])
def test_transformers_gives_the_same_logits(rope_factor: float, tied: bool, tmp_path: Path) -> None:
    network = _network(rope_factor=rope_factor, tied=tied)
    reference = AutoModelForCausalLM.from_pretrained(_export(tmp_path / "model", network), dtype=torch.float32)
    ids = torch.randint(0, 400, (2, 40), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(network(ids), reference(ids).logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(read(tmp_path / "model").transformer(ids), network(ids))


def test_every_file_that_servers_read_is_there_with_its_fields(tmp_path: Path) -> None:
    folder = _export(tmp_path / "model", _network(rope_factor=4.0), torch.bfloat16)
    files = {path.name for path in folder.iterdir()}
    assert files == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "prompt.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    raw = {name: json.loads((folder / name).read_text()) for name in files if name.endswith(".json")}
    end, begin = (TOKENIZER.control_id(mark) for mark in ("<｜end▁of▁sentence｜>", "<｜begin▁of▁sentence｜>"))
    config = raw["config.json"]
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["dtype"] == "bfloat16"
    assert (config["bos_token_id"], config["eos_token_id"]) == (begin, end)
    # transformers 5 and vLLM read rope_parameters, transformers 4 and llama.cpp's converter rope_scaling.
    assert config["rope_parameters"] == {"rope_theta": 100_000.0, "rope_type": "linear", "factor": 4.0}
    assert config["rope_scaling"]["type"] == "linear"
    generation = GenerationConfig.from_pretrained(folder)
    assert (generation.bos_token_id, generation.eos_token_id, generation.pad_token_id) == (begin, end, end)
    assert raw["tokenizer_config.json"]["model_max_length"] == 64
    assert raw["special_tokens_map.json"]["eos_token"] == "<｜end▁of▁sentence｜>"
    assert AutoConfig.from_pretrained(folder).rope_parameters["factor"] == 4.0


def test_their_tokenizer_gives_our_ids(tmp_path: Path) -> None:
    theirs = AutoTokenizer.from_pretrained(_export(tmp_path / "model", _network()))
    text = "def größe(a):\n\n        return  a + 1234  # №\n"
    assert theirs(text)["input_ids"] == TOKENIZER.encode(text)
    assert theirs.decode(TOKENIZER.encode(text)) == text
    assert theirs.eos_token_id == TOKENIZER.control_id("<｜end▁of▁sentence｜>")


def test_a_model_that_follows_instructions_says_how_to_talk_to_it(tmp_path: Path) -> None:
    folder = _export(tmp_path / "model", _network(), chat=True)
    theirs = AutoTokenizer.from_pretrained(folder)
    question = [{"role": "user", "content": "Add two numbers."}]
    text = theirs.apply_chat_template(question, tokenize=False, add_generation_prompt=True)
    assert text == "<｜begin▁of▁sentence｜>" + prompt_of("Add two numbers.")
    end = TOKENIZER.control_id(END_OF_TURN)
    assert GenerationConfig.from_pretrained(folder).eos_token_id == end
    assert json.loads((folder / "config.json").read_text())["eos_token_id"] == end
    assert read(folder).prompt_settings == SETTINGS, "it still fills in the middle"


def test_a_folder_that_is_there_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = _export(tmp_path / "model", _network())
    (folder / "mixture.json").write_text("{}")
    _export(folder, _network())
    assert not (folder / "mixture.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_end_mark_that_the_tokenizer_lacks_is_refused(tmp_path: Path) -> None:
    raw = json.loads(DEFINITION)
    raw["added_tokens"] = [token for token in raw["added_tokens"] if token["content"] != END_OF_TURN]
    with pytest.raises(RunError, match=r"no token '<\|EOT\|>'"):
        export(
            tmp_path / "model",
            _network(),
            tokenizer_json=json.dumps(raw),
            prompt_settings=SETTINGS,
            dtype=torch.float32,
            end_marks=(END_OF_TURN,),
        )
