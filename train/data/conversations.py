"""Conversations to learn from: questions and answers, as they are written in JSON lines."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from train.errors import CorpusError

SYSTEM = (
    "You are an AI programming assistant, utilizing the DeepSeek Coder model, developed by DeepSeek Company, and you "
    "only answer questions related to computer science. For politically sensitive questions, security and privacy "
    "issues, and other non-computer science questions, you will refuse to answer.\n"
)
"""Byte for byte that of the released fine-tuning script."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A question and its answer."""

    instruction: str
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Turns in their order."""

    turns: tuple[Turn, ...]
    system: str = SYSTEM
    """With its line end."""


def read_conversations(path: Path) -> list[Conversation]:
    """Read JSON lines: `{"instruction", "output"}` as the released script takes, or `{"messages": [...]}`.

    Raises:
        CorpusError: the file cannot be read, or a line of it is neither; the message names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"cannot read the conversations in {path}: {error}") from error
    conversations = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            conversations.append(_conversation(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorpusError(
                f'{path}:{number} is no conversation ({error}); write {{"instruction": ..., "output": ...}} or '
                '{"messages": [{"role": "user", "content": ...}, {"role": "assistant", "content": ...}]}'
            ) from error
    if not conversations:
        raise CorpusError(f"{path} holds no conversation")
    return conversations


def _conversation(raw: dict[str, Any]) -> Conversation:
    if "messages" not in raw:
        return Conversation(turns=(Turn(instruction=_text(raw, "instruction"), output=_text(raw, "output")),))
    messages = list(raw["messages"])
    system = SYSTEM
    if messages and messages[0]["role"] == "system":
        system = _text(messages.pop(0), "content").strip() + "\n"
    roles = [message["role"] for message in messages]
    if not messages or roles != ["user", "assistant"] * (len(messages) // 2):
        raise ValueError("user and assistant must take turns, and the assistant must end")
    questions, answers = messages[::2], messages[1::2]
    turns = tuple(
        Turn(instruction=_text(question, "content"), output=_text(answer, "content"))
        for question, answer in zip(questions, answers, strict=True)
    )
    return Conversation(turns=turns, system=system)


def _text(raw: dict[str, Any], field: str) -> str:
    value = raw[field]
    if not isinstance(value, str):
        raise TypeError(f"{field} is no string")
    return value
