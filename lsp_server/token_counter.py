"""Counts text in a model's own tokens, or by a rule of thumb where its tokenizer is not at hand."""

from collections.abc import Callable
from typing import Final

from engine.errors import EngineError
from engine.model_names import resolve
from engine.model_registry import find_model
from engine.tokenizer import Tokenizer

_BYTES_PER_TOKEN: Final = 3
"""Of source text, with the tokenizers in use; a little few, so that budgets hold."""


def token_counter(model: str) -> Callable[[str], int]:
    """Return a function from text to its number of tokens.

    Args:
        model: as in the setting of that name.
    """
    try:
        tokenizer = Tokenizer.load(resolve(find_model(model).source))
    except EngineError:
        # The engine says what is wrong with its model; a budget can be kept without it.
        return estimate
    return lambda text: len(tokenizer.encode(text))


def estimate(text: str) -> int:
    """Guess the number of tokens of a text from its length in bytes."""
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN)
