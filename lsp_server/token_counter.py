"""Counts text in a model's own tokens, or by a rule of thumb where its tokenizer is not at hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from engine.errors import EngineError
from engine.paths import PACKAGES_FOLDER
from engine.tokenizer import Tokenizer

_BYTES_PER_TOKEN: Final = 3
"""Of source text, with the tokenizers in use; a little few, so that budgets hold."""


def token_counter(model: str) -> Callable[[str], int]:
    """Return a function from text to its number of tokens.

    Args:
        model: as in the setting of that name.
    """
    folder = tokenizer_folder(model)
    if folder is not None:
        try:
            tokenizer = Tokenizer.load(folder)
        except EngineError:
            # The engine says what is wrong with its model; a budget can be kept without it.
            return estimate
        return lambda text: len(tokenizer.encode(text))
    return estimate


def tokenizer_folder(model: str) -> Path | None:
    """Return the folder that holds a model's `tokenizer.json` on this machine, without loading anything."""
    if model == "default":
        folder = PACKAGES_FOLDER / "engine" / "models" / "default"
        return folder if (folder / "tokenizer.json").is_file() else None
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder if (folder / "tokenizer.json").is_file() else None
    if model.count("/") != 1 or model.startswith((".", "/", "~")):
        return None
    from huggingface_hub import try_to_load_from_cache

    try:
        cached = try_to_load_from_cache(model, "tokenizer.json")
    except ValueError:  # no name that a model could have
        return None
    return Path(cached).parent if isinstance(cached, str) else None


def estimate(text: str) -> int:
    """Guess the number of tokens of a text from its length in bytes."""
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN)
