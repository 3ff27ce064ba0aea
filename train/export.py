"""Writes a finished network as a model folder that midfill, transformers, vLLM and llama.cpp's converter read."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from engine import model_folder
from engine.model.transformer import Transformer
from engine.prompt import PromptSettings
from engine.tokenizer import Tokenizer
from train.errors import RunError


def export(
    folder: Path,
    network: Transformer,
    *,
    tokenizer_json: str,
    prompt_settings: PromptSettings,
    dtype: torch.dtype,
    end_marks: Sequence[str] = (),
    chat_template: str | None = None,
) -> None:
    """Write the folder under another name, then rename it, so that it is never half there.

    Beside what `engine.model_folder.write` writes there are `generation_config.json` and `special_tokens_map.json`,
    and `tokenizer_config.json` tells of the marks and of the chat template.

    Args:
        folder: replaced if it is there.
        network: in any precision.
        tokenizer_json: the text of `tokenizer.json`.
        prompt_settings: becomes `prompt.json`.
        dtype: of the stored weights.
        end_marks: end a chat's answer, the first one above all; a base model's are those of its prompt format.
        chat_template: Jinja source, for a model that follows instructions.

    Raises:
        RunError: the tokenizer lacks an end mark.
        ModelFolderError: the folder cannot be written.
    """
    partial = folder.with_name(f".{folder.name}.partial.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    tokenizer = Tokenizer(tokenizer_json)
    ends = list(end_marks) or [prompt_settings.fim.end_marks[0]]
    end_ids = [_id(tokenizer, mark) for mark in ends]
    model_folder.write(partial, network, tokenizer_json=tokenizer_json, prompt_settings=prompt_settings, dtype=dtype)
    begin = prompt_settings.fim.begin_of_sequence
    begin_id = tokenizer.control_id(begin) if begin else None
    pad = prompt_settings.fim.end_marks[0]
    _update(partial / "config.json", {"bos_token_id": begin_id, "eos_token_id": end_ids[0]})
    generation = {
        "bos_token_id": begin_id,
        "eos_token_id": end_ids if len(end_ids) > 1 else end_ids[0],
        "pad_token_id": _id(tokenizer, pad),
        "do_sample": False,
    }
    _update(partial / "generation_config.json", generation)
    special = {"bos_token": begin, "eos_token": ends[0], "pad_token": pad}
    _update(partial / "special_tokens_map.json", {name: mark for name, mark in special.items() if mark})
    about: dict[str, Any] = special | {"add_bos_token": False, "add_eos_token": False}
    if chat_template is not None:
        about["chat_template"] = chat_template
    _update(partial / "tokenizer_config.json", about)
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)


def _id(tokenizer: Tokenizer, mark: str) -> int:
    found = tokenizer.control_id(mark)
    if found is None:
        raise RunError(f"the tokenizer has no token {mark!r}; train one with `midfill train run`, which has it")
    return found


def _update(path: Path, values: dict[str, Any]) -> None:
    raw = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps(raw | values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
