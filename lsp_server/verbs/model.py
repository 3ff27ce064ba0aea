"""`midfill model`: which models there are by name, what each is, and where it comes from."""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from engine.api import EngineStatus
from engine.errors import EngineError
from engine.fim_formats import by_name
from engine.model_facts import ModelFacts, read_facts
from engine.model_names import resolve
from engine.model_registry import BUILT_IN, ModelRegistry, RegisteredModel
from lsp_server.shared_engine import connect_model
from lsp_server.verbs.complaints import BadInputError

_PRECISIONS: Final = {"float32": 32.0, "bfloat16": 16.0, "int8": 8.5, "int4": 4.5}
"""Bits a weight, block scales included."""


def run(arguments: argparse.Namespace) -> int:
    """Do one thing with the registry; return the exit code."""
    return _ACTIONS[arguments.action](arguments)


def _list(arguments: argparse.Namespace) -> int:
    registry = ModelRegistry.load()
    models = [registry.find(BUILT_IN), *(registry.models[name] for name in sorted(registry.models))]
    if arguments.json:
        listed = [{**asdict(model), "default": model.name == registry.chosen} for model in models]
        print(json.dumps(listed, indent=2))
        return 0
    width = max(len(model.name) for model in models)
    for model in models:
        mark = "*" if model.name == registry.chosen else " "
        print(f"{mark} {model.name:<{width}}  {_where(model)}")
    return 0


def _add(arguments: argparse.Namespace) -> int:
    model = RegisteredModel(
        name=arguments.name,
        source=_lasting(arguments.source),
        server_model=arguments.server_model,
        format=arguments.format,
        prompt_tokens=arguments.prompt_tokens,
    )
    if model.prompt_tokens < 64:
        raise BadInputError(f"--prompt-tokens must be at least 64, and it is {model.prompt_tokens}")
    if model.format not in ("auto", "suffix"):
        by_name(model.format)
    if model.is_remote:
        from engine.remote import checked_url

        model = replace(model, source=checked_url(model.source))
    else:
        read_facts(resolve(model.source))  # says what is wrong with it now, not at the first completion
    ModelRegistry.load().with_model(model).save()
    print(f"{model.name} is {_where(model)}; `midfill model use {model.name}` makes it the default")
    return 0


def _use(arguments: argparse.Namespace) -> int:
    ModelRegistry.load().using(arguments.name).save()
    print(f"the default model is {arguments.name} now; running editors take it when their server starts again")
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    ModelRegistry.load().without(arguments.name).save()
    print(f"{arguments.name} is forgotten; its files stay where they are")
    return 0


def _info(arguments: argparse.Namespace) -> int:
    model = ModelRegistry.load().find(arguments.name)
    if model.is_remote:
        status = asyncio.run(_remote_status(model))
        told = {"name": model.name, "address": model.source, "format": model.format} | _of_server(status)
    else:
        told = {"name": model.name} | _of_folder(read_facts(resolve(model.source)))
    print(json.dumps(told, indent=2) if arguments.json else _as_text(told))
    return 0


def _get(arguments: argparse.Namespace) -> int:
    from engine.model_download import download

    folder = download(arguments.name, revision=arguments.revision, on_check=_say_checking)
    facts = read_facts(folder)
    if arguments.register:
        model = RegisteredModel(name=arguments.register, source=arguments.name)
        if arguments.revision != "main":
            model = replace(model, source=str(folder))
        ModelRegistry.load().with_model(model).save()
    told = {"name": arguments.name, "folder": str(folder), "registered": arguments.register} | _of_folder(facts)
    print(json.dumps(told, indent=2) if arguments.json else _as_text(told))
    return 0


def _quantise(arguments: argparse.Namespace) -> int:
    # By name: it brings torch, which the language server must not even know of.
    quantise = import_module("engine.quantized_folder").quantise

    model = ModelRegistry.load().find(arguments.name)
    if model.is_remote:
        raise BadInputError(f"{model.name} is served at {model.source}; there is no folder to quantise")
    output = Path(arguments.output).expanduser()
    quantise(resolve(model.source), output, bits=arguments.bits)
    size = sum(path.stat().st_size for path in output.iterdir())
    print(f"{output} holds {model.name} in {arguments.bits} bits, {_bytes(size)}")
    return 0


_ACTIONS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "list": _list,
    "add": _add,
    "use": _use,
    "info": _info,
    "get": _get,
    "quantise": _quantise,
    "remove": _remove,
}


async def _remote_status(model: RegisteredModel) -> EngineStatus:
    engine = await connect_model(model)
    try:
        return await engine.status()
    finally:
        await engine.close()


def _of_server(status: EngineStatus) -> dict[str, Any]:
    return {"serves": status.model, "context_length": status.context_length}


def _of_folder(facts: ModelFacts) -> dict[str, Any]:
    return {
        "folder": str(facts.folder),
        "architecture": facts.architecture,
        "shape": f"{facts.layers} layers, {facts.hidden_size} wide, {facts.heads} heads, "
        f"{facts.key_value_heads} key/value heads, {facts.vocabulary} tokens",
        "parameters": facts.parameters,
        "active_parameters": facts.active_parameters,
        "stored_as": facts.stored_as,
        "stored_bytes": facts.stored_bytes,
        "memory_bytes": {name: facts.memory_bytes(bits) for name, bits in _PRECISIONS.items()},
        "cache_bytes_per_token": facts.cache_bytes_per_token,
        "cache_bytes_per_1000_tokens": facts.cache_bytes_per_token * 1000,
        "context_length": facts.context_length,
        "format": facts.format,
        "mode": facts.mode,
        "instruct": facts.has_chat,
    }


def _as_text(told: Mapping[str, Any]) -> str:
    shown = {name.replace("_", " "): _shown(name, value) for name, value in told.items() if value is not None}
    width = max(map(len, shown))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in shown.items())


def _shown(name: str, value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{_bytes(size)} as {precision}" for precision, size in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and "bytes" in name:
        return _bytes(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _bytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _where(model: RegisteredModel) -> str:
    if model.name == BUILT_IN:
        return "the model that comes with midfill"
    if not model.is_remote:
        return model.source
    which = model.server_model or "its first model"
    return f"{which} at {model.source} (format {model.format})"


def _lasting(source: str) -> str:
    """Make a folder's path absolute: the registry is read from anywhere."""
    folder = Path(source).expanduser()
    if source == "default":
        raise EngineError("'default' is a name already; give a folder, a Hugging Face name or an address")
    return str(folder.resolve()) if folder.is_dir() else source


def _say_checking(file: str) -> None:
    if sys.stderr.isatty():
        print(f"checking {file} …", file=sys.stderr)
