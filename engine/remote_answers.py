"""What the events of a completions server say (no torch)."""

import json
from collections.abc import Mapping
from typing import Any

from engine.api import FinishReason, Length
from engine.errors import EngineUnavailableError


def choice_of(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the first choice of an event; empty where it has none."""
    choices = event.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else {}
    return first if isinstance(first, dict) else {}


def text_of(event: Mapping[str, Any]) -> str:
    """Return what an event of a completion or a chat adds to the text."""
    choice = choice_of(event)
    delta = choice.get("delta") or choice.get("message")
    text = delta.get("content") if isinstance(delta, dict) else choice.get("text")
    return text if isinstance(text, str) else ""


def finish_of(event: Mapping[str, Any], length: Length) -> FinishReason | None:
    """Return why the text ends with this event, if it does."""
    choice = choice_of(event)
    reason = choice.get("finish_reason")
    if reason == "length":
        return FinishReason.MAX_TOKENS
    if reason and length is Length.LINE and choice.get("stop_reason", "\n") == "\n":
        return FinishReason.LINE_END  # the one stop string that ends no completion of the model's own
    return FinishReason.END_MARK if reason else None


def prompt_tokens_of(event: Mapping[str, Any]) -> int | None:
    """Return the tokens of the prompt, where an event tells them."""
    usage = event.get("usage")
    return whole_number(usage.get("prompt_tokens")) if isinstance(usage, dict) else None


def whole_number(value: object) -> int | None:
    """Return a number that came as one or as text; None for anything else."""
    try:
        return int(value) if isinstance(value, int | str) else None
    except ValueError:
        return None


def json_object(content: bytes) -> dict[str, Any]:
    """Read the body of an answer.

    Raises:
        EngineUnavailableError: it is no JSON object.
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise EngineUnavailableError("an answer that is no JSON object; is this a completions server?")
    return found
