"""How an instruct model is talked to: its folder's chat template, as ids (no torch).

A template is Jinja source in `chat_template.jinja` or `tokenizer_config.json`, as transformers stores it. The user's
text goes in as a placeholder and is encoded on its own, so that it never becomes a control token.
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NoReturn

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from engine.errors import ModelFolderError, PromptError
from engine.tokenizer import Tokenizer

_PLACEHOLDER: Final = "\ue000question\ue001"
_ENDS: Final = ("<|EOT|>", "<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end_of_text|>", "<|endoftext|>", "</s>")
_END_OF_TURN: Final = "<|EOT|>"

# DeepSeek-Coder's fine-tuning script, byte for byte (section 3.7): for its instruct models without a template.
_DEEPSEEK_CODER: Final = (
    "{{ bos_token }}You are an AI programming assistant, utilizing the DeepSeek Coder model, developed by DeepSeek "
    "Company, and you only answer questions related to computer science. For politically sensitive questions, security "
    "and privacy issues, and other non-computer science questions, you will refuse to answer.\n"
    "### Instruction:\n{{ messages[0]['content'].strip() }}\n### Response:\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """One model's way of being asked."""

    template: str
    begin: str
    end: str
    end_marks: tuple[str, ...]
    """Every token that may end an answer, as far as its tokenizer knows it."""

    @classmethod
    def load(cls, folder: Path) -> "Chat":
        """Read a model folder.

        Raises:
            ModelFolderError: it says nothing of how it is talked to: a base model.
        """
        about = _json(folder / "tokenizer_config.json")
        end = _mark(about.get("eos_token"))
        template = _template(folder, about)
        if template is None and end == _END_OF_TURN:
            template = _DEEPSEEK_CODER
        if template is None:
            raise ModelFolderError(
                f"{folder} is a base model (it has no chat_template): it completes code but follows no instructions; "
                "choose an instruct model, deepseek-ai/deepseek-coder-1.3b-instruct say"
            )
        ends = tuple(dict.fromkeys(mark for mark in (end, *_ENDS) if mark))
        return cls(template=template, begin=_mark(about.get("bos_token")), end=end, end_marks=ends)

    def prompt(self, question: str, tokenizer: Tokenizer) -> list[int]:
        """Return the ids that ask a question and begin the answer.

        Raises:
            PromptError: the template is broken, or has no room for a question.
        """
        text = self._render()
        if _PLACEHOLDER not in text:
            raise PromptError("the model's chat_template leaves the question out; it cannot be asked")
        marks = tokenizer.marks
        pattern = "|".join(re.escape(mark) for mark in sorted(marks, key=len, reverse=True)) or "(?!)"
        ids: list[int] = []
        for piece in re.split(f"({pattern})", text):  # the template's marks are meant, the question's are not
            if piece in marks:
                ids.append(marks[piece])
            elif piece:
                ids += tokenizer.encode(piece.replace(_PLACEHOLDER, question.strip()))
        return ids

    def end_ids(self, tokenizer: Tokenizer) -> tuple[int, ...]:
        """Return the ids that end an answer.

        Raises:
            ModelFolderError: the tokenizer knows none.
        """
        ids = tuple(number for mark in self.end_marks if (number := tokenizer.control_id(mark)) is not None)
        if not ids:
            raise ModelFolderError("tokenizer_config.json names no eos_token that the tokenizer knows")
        return ids

    def _render(self) -> str:
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.filters["tojson"] = lambda value, **_options: json.dumps(value, ensure_ascii=False)
        environment.globals |= {"raise_exception": _refuse, "strftime_now": lambda form: datetime.now().strftime(form)}
        try:
            return environment.from_string(self.template).render(
                messages=[{"role": "user", "content": _PLACEHOLDER}],
                bos_token=self.begin,
                eos_token=self.end,
                add_generation_prompt=True,
                tools=None,
            )
        except TemplateError as error:
            raise PromptError(f"the model's chat_template cannot be used: {' '.join(str(error).split())}") from error


def _template(folder: Path, about: dict[str, Any]) -> str | None:
    try:
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise ModelFolderError(f"{folder / 'chat_template.jinja'} is broken ({error}); fetch it again") from error
    found = about.get("chat_template")
    if isinstance(found, list):  # several, by name
        named = {entry.get("name"): entry.get("template") for entry in found if isinstance(entry, dict)}
        found = named.get("default")
    return found if isinstance(found, str) and found.strip() else None


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _mark(raw: object) -> str:
    content = raw.get("content") if isinstance(raw, dict) else raw
    return content if isinstance(content, str) else ""


def _json(path: Path) -> dict[str, Any]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelFolderError(f"{path} is broken ({error}); fetch it again") from error
    return raw if isinstance(raw, dict) else {}
