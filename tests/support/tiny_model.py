"""A real model folder in milliseconds: a byte-level tokenizer trained on a few lines, and random weights."""

from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from engine import model_folder
from engine.fim_formats import DEEPSEEK_CODER, FimFormat
from engine.model.config import TransformerConfig
from engine.model.transformer import Transformer
from engine.prompt import PromptSettings

CORPUS = '''
import json
from pathlib import Path


class Settings:
    """What the user chose."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.values = {}

    def load(self) -> None:
        for path in self.folder.glob("*.json"):
            if path.is_file():
                self.values.update(json.loads(path.read_text()))

    def save(self) -> None:
        (self.folder / "settings.json").write_text(json.dumps(self.values))


def load_settings(folder: Path) -> Settings:
    settings = Settings(folder)
    settings.load()
    return settings
'''


def train_tokenizer(*, fim: FimFormat = DEEPSEEK_CODER, size: int = 600) -> str:
    """Return the text of a `tokenizer.json` with the family's marks as added tokens, their ids last."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([CORPUS], trainer)
    tokenizer.add_tokens([AddedToken(mark, normalized=False, special=False) for mark in fim.marks])
    return tokenizer.to_str()


def write_tiny_model(
    folder: Path,
    *,
    fim: FimFormat = DEEPSEEK_CODER,
    layers: int = 2,
    width: int = 32,
    context_length: int = 512,
    seed: int = 0,
) -> Path:
    """Write a model folder with random weights and return it; more layers and width make it slower."""
    tokenizer_json = train_tokenizer(fim=fim)
    config = TransformerConfig(
        vocab_size=Tokenizer.from_str(tokenizer_json).get_vocab_size() + 8,  # padding rows, as real checkpoints have
        hidden_size=width,
        intermediate_size=width * 2,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=width // 4,
        max_position_embeddings=context_length,
        tie_word_embeddings=True,
        initializer_range=0.3,
    )
    transformer = Transformer(config)
    transformer.initialise(torch.Generator().manual_seed(seed))
    settings = PromptSettings(fim=fim, context_length=context_length)
    model_folder.write(folder, transformer, tokenizer_json=tokenizer_json, prompt_settings=settings)
    return folder
