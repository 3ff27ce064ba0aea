"""`midfill doctor`: what is installed, what would be used, where things lie, and what is wrong."""

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from engine import paths
from engine.errors import EngineError
from engine.model_registry import RegisteredModel, find_model
from lsp_server import VERSION, logs
from lsp_server.index_process import child_environment
from lsp_server.running_engines import running_engines
from lsp_server.shared_engine import connect_model
from repo_context.languages import missing_grammars
from repo_context.store import default_index_folder

_LIBRARIES: Final = ("torch", "tokenizers", "safetensors", "transformers", "tree-sitter", "pygls", "lsprotocol")
_PROBE_SECONDS: Final = 300
_PROBE: Final = """
import json, os, sys, torch
from engine import model_folder
from engine.errors import EngineError
from engine.model import serving
from engine.model_names import resolve
from engine.paths import cache_folder
from engine.prompt import read_settings
from engine.tokenizer import Tokenizer
cuda = torch.cuda.is_available()
answer = {"device": f"cuda ({torch.cuda.get_device_name(0)})" if cuda else "cpu", "cores": len(os.sched_getaffinity(0))}
try:
    answer |= {"computes": "CUDA graph, bfloat16" if cuda else serving.describe(cache_folder() / "kernels")}
    folder = resolve(sys.argv[1])
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    if size > 4e9:
        config = model_folder.read_config(folder)
        settings = read_settings(folder, Tokenizer.load(folder), context_length=config.max_position_embeddings)
        answer |= {"held": f"{size / 1e9:.0f} GB of weights, not read now"}
    else:
        model = model_folder.read(folder, dtype=torch.bfloat16)
        settings = model.prompt_settings
        answer |= {"held": f"{model.network.parameter_count() / 1e6:.2f} M parameters"}
    answer |= {"folder": str(folder), "context_length": settings.context_length, "format": settings.fim.name}
except EngineError as error:
    answer |= {"problem": str(error)}
print(json.dumps(answer))
"""
"""Run in a process of its own: this one stays free of torch, and a broken torch cannot take it down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report."""

    what: str
    value: str
    problem: str | None = None
    """What is wrong and what to do; None when it is well."""


def run(arguments: argparse.Namespace) -> int:
    """Print the report; return 1 when something is wrong, 0 otherwise."""
    findings = list(_examine(arguments.model))
    problems = [finding for finding in findings if finding.problem]
    if arguments.json:
        print(json.dumps({"ok": not problems, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        print(_as_text(findings))
    return 1 if problems else 0


def _examine(model: str) -> Iterator[Finding]:
    yield Finding(what="midfill", value=f"{VERSION} in {paths.PACKAGES_FOLDER}")
    yield _python()
    for library in _LIBRARIES:
        yield _library(library)
    yield _grammars()
    yield from _model(model)
    yield Finding(what="indexes", value=str(default_index_folder(Path.cwd()).parent))
    yield _folder("learned statistics", paths.cache_folder)
    yield _folder("logs", paths.state_folder, shown=logs.path)
    yield _folder("engine socket", paths.runtime_folder)
    yield _engines()


def _python() -> Finding:
    problem = None if sys.version_info >= (3, 11) else "midfill needs Python 3.11 or newer"
    return Finding(what="python", value=f"{platform.python_version()} ({sys.executable})", problem=problem)


def _library(name: str) -> Finding:
    try:
        return Finding(what=name, value=version(name))
    except PackageNotFoundError:
        return Finding(what=name, value="missing", problem=f"install it: {sys.executable} -m pip install {name}")


def _grammars() -> Finding:
    missing = missing_grammars()
    return Finding(what="grammars", value="all installed" if not missing else "; ".join(missing),
                   problem="install midfill again: its grammars come with it" if missing else None)  # fmt: skip


def _model(name: str) -> Iterator[Finding]:
    try:
        registered = find_model(name)
    except EngineError as error:
        yield Finding(what="model", value=name, problem=str(error))
        return
    if registered.is_remote:
        yield asyncio.run(_server(registered))
        return
    model = name if registered.source == "default" else registered.source
    probe = _probe(registered.source)
    if "crash" in probe:
        yield Finding(what="engine", value="cannot start", problem=f"{probe['crash']}; install midfill again")
        return
    yield Finding(what="device", value=f"{probe['device']}, {probe['cores']} CPU cores")
    if "computes" in probe:
        yield Finding(what="computes with", value=probe["computes"])
    if "problem" in probe:
        yield Finding(what="model", value=model, problem=probe["problem"])
        return
    shape = f"{probe['held']}, {probe['context_length']} tokens of context, {probe['format']} format"
    yield Finding(what="model", value=f"{model}: {shape}, in {probe['folder']}")


async def _server(model: RegisteredModel) -> Finding:
    try:
        engine = await connect_model(model)
    except EngineError as error:
        return Finding(what="model", value=model.source, problem=str(error))
    try:
        return Finding(what="model", value=(await engine.status()).model)
    finally:
        await engine.close()


def _probe(model: str) -> dict[str, Any]:
    folder = Path(model).expanduser()
    name = str(folder.resolve()) if model != "default" and folder.is_dir() else model
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _PROBE, name],
            capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False,
            env=child_environment() | {"HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"crash": f"the model was not read within {_PROBE_SECONDS} s"}
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return {"crash": f"the engine's process ended with code {done.returncode} ({reason})"}
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _folder(what: str, find: Callable[[], Path], shown: Callable[[Path], Path] = lambda folder: folder) -> Finding:
    try:
        folder = find()
    except EngineError as error:
        return Finding(what=what, value="no folder", problem=str(error))
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding(what=what, value=str(folder), problem="not writable; set MIDFILL_HOME to a folder that is")
    return Finding(what=what, value=str(shown(folder)))


def _engines() -> Finding:
    try:
        running = asyncio.run(running_engines(paths.runtime_folder()))
    except EngineError as error:
        return Finding(what="engine", value="unknown", problem=str(error))
    if not running:
        return Finding(what="engine", value="not running; it starts with the first request")
    told = [
        f"process {status.process_id} serves {status.model} on {status.device}, {status.memory_bytes / 1e6:.0f} MB"
        for _, status in running
        if status is not None
    ]
    silent = [str(socket) for socket, status in running if status is None]
    value = "; ".join([*told, *(f"no answer on {socket}" for socket in silent)])
    return Finding(what="engine", value=value)


def _as_text(findings: list[Finding]) -> str:
    width = max(len(finding.what) for finding in findings)
    lines = [f"{'✗' if finding.problem else '✓'} {finding.what:<{width}}  {finding.value}" for finding in findings]
    problems = [f"  {finding.what}: {finding.problem}" for finding in findings if finding.problem]
    verdict = ["", f"{len(problems)} to mend:", *problems] if problems else ["", "all well"]
    return "\n".join([*lines, *verdict])
