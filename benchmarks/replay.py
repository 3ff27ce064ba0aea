"""Replays recorded typing through the real engine process: time and tokens read again, keystroke by keystroke.

    python -m benchmarks.replay CLONE EDITS.jsonl [--keystrokes 2000] [--llama-server COMMAND]

EDITS.jsonl comes from `python -m benchmarks.recorded_edits CLONE EDITS.jsonl`; CLONE has a work tree at the commit
that it names, so that nothing of the edits is known. Every key asks for a line, with our retrieval's snippets, as if
nothing had been suggested: the worst case, since an editor shows most keys of an accepted suggestion without asking.
Times are the engine's CPU milliseconds, which other work on the machine hardly touches, and the wall clock's. The peer,
llama.cpp's server (`llama-server`, or "python benchmarks/llama_cpp_server.py"), gets the same ids with `cache_prompt`
and writes to the end of the line too, on the same weights in q8_0 (`gguf` and `llama_cpp` must be importable).
"""

import argparse
import asyncio
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.llama_cpp_contestant import quantised, write_gguf
from benchmarks.recorded_edits import RecordedEdit, read
from engine import model_folder, paths
from engine.api import Completion, CompletionRequest
from engine.client import EngineClient
from engine.daemon_start import EngineSettings
from engine.decoding.healing import Healing
from engine.model.kernels import build
from engine.model_names import resolve
from engine.prompt import PromptParts, read_settings
from engine.prompt_memory import PromptMemory
from engine.tokenizer import Tokenizer
from repo_context.languages import comment_marker
from repo_context.repository import Repository
from repo_context.snippet import Cursor

_SNIPPET_TOKENS = 512
_MAX_TOKENS = 48


@dataclass(slots=True)
class _Measured:
    """What one contestant did, a value for each keystroke."""

    cpu_ms: list[float] = field(default_factory=list)
    wall_ms: list[float] = field(default_factory=list)
    first_ms: list[float] = field(default_factory=list)
    """To the first token, on the wall's clock."""
    prompt_tokens: list[int] = field(default_factory=list)
    read_tokens: list[int] = field(default_factory=list)
    new_tokens: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def add(self, cpu: float, wall: float, first: float, prompt: int, read: int, new: int, text: str) -> None:
        """Note one keystroke."""
        for values, value in zip(
            (self.cpu_ms, self.wall_ms, self.first_ms, self.prompt_tokens, self.read_tokens, self.new_tokens),
            (cpu * 1e3, wall * 1e3, first * 1e3, prompt, read, new),
            strict=True,
        ):
            values.append(value)  # type: ignore[attr-defined]
        self.texts.append(text)

    def row(self, name: str) -> str:
        """Return a line of the table."""
        share = sum(self.read_tokens) / max(1, sum(self.prompt_tokens))
        return (
            f"{name:<24}{len(self.cpu_ms):>6}{median(self.cpu_ms):>9.1f}{_p95(self.cpu_ms):>9.1f}"
            f"{median(self.wall_ms):>9.1f}{_p95(self.wall_ms):>9.1f}"
            f"{median(self.first_ms):>9.1f}{_p95(self.first_ms):>9.1f}{share:>9.1%}"
            f"{sum(self.new_tokens) / len(self.new_tokens):>8.1f}"
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clone", type=Path)
    parser.add_argument("edits", type=Path)
    parser.add_argument("--keystrokes", type=int, default=2000)
    parser.add_argument("--per-edit", type=int, default=100, help="keys of one edit at most, so that files are many")
    parser.add_argument("--skip", type=int, default=0, help="edits to leave out first: a run in several pieces")
    parser.add_argument("--drafting", default="on,off", help="with drafts, without, or both, with a comma")
    parser.add_argument("--values", type=Path, help="where to append every keystroke's figures, to put pieces together")
    parser.add_argument("--model", default="default")
    parser.add_argument("--llama-server", help="command of llama.cpp's server, as a peer")
    arguments = parser.parse_args()
    requests = list(_requests(arguments))
    print(f"{len(requests)} keystrokes in {len({request.path for request in requests})} files")
    columns = ("cpu p50", "p95", "wall p50", "p95", "first", "p95", "read")
    print(f"{'':<24}{'keys':>6}{''.join(f'{name:>9}' for name in columns)}{'tokens':>8}")
    measured: dict[str, _Measured] = {}
    kernels = _kernels()
    for drafting in arguments.drafting.split(","):
        name = f"midfill, drafting {drafting}"
        root = arguments.clone.resolve()
        measured[name] = asyncio.run(_replay(requests, root, arguments.model, drafting, kernels))
        print(measured[name].row(name), flush=True)
    if len(measured) == 2:
        same = sum(one == other for one, other in zip(*(each.texts for each in measured.values()), strict=True))
        print(f"{same} of {len(requests)} answers are the same with drafting and without")
    if arguments.llama_server:
        command = shlex.split(arguments.llama_server)
        measured["llama.cpp server"] = _replay_on_llama(requests, command, resolve(arguments.model))
        print(measured["llama.cpp server"].row("llama.cpp server"))
    if arguments.values:
        with arguments.values.open("a", encoding="utf-8") as file:
            for name, values in measured.items():
                file.write(json.dumps({"name": name} | asdict(values)) + "\n")


def _requests(arguments: argparse.Namespace) -> Iterator[CompletionRequest]:
    """Yield a request for every key, with the snippets that an editor would send."""
    root = arguments.clone.resolve()
    tokenizer = Tokenizer.load(resolve(arguments.model))
    left = arguments.keystrokes
    with tempfile.TemporaryDirectory() as index:
        repository = Repository.open(root, index_folder=Path(index))
        try:
            for edit in read(arguments.edits)[arguments.skip :]:
                keys = min(left, arguments.per_edit, len(edit.typed))
                left -= keys
                for end in range(1, keys + 1):
                    yield _request(repository, edit, end, lambda text: len(tokenizer.encode(text)), str(root))
        finally:
            repository.close()


def _request(
    repository: Repository, edit: RecordedEdit, end: int, count_tokens: Callable[[str], int], collection: str
) -> CompletionRequest:
    prefix = edit.prefix + edit.typed[:end]
    cursor = Cursor(path=edit.path, prefix=prefix, suffix=edit.suffix)
    return CompletionRequest(
        document=edit.path,
        path=edit.path,
        comment=comment_marker(edit.path),
        prefix=prefix,
        suffix=edit.suffix,
        snippets=repository.snippets_for(cursor, budget=_SNIPPET_TOKENS, count_tokens=count_tokens),
        collection=collection,
        max_tokens=_MAX_TOKENS,
    )


async def _replay(
    requests: list[CompletionRequest], root: Path, model: str, drafting: str, kernels: Path | None
) -> _Measured:
    measured = _Measured()
    with tempfile.TemporaryDirectory() as home:
        os.environ["MIDFILL_HOME"] = home
        if kernels is not None:
            shutil.copytree(kernels, paths.cache_folder() / "kernels")
        client = await EngineClient.connect(EngineSettings(model=model, threads=1, drafting=drafting))
        process = (await client.status()).process_id
        try:
            files = subprocess.run(["git", "-C", str(root), "ls-files"], capture_output=True, check=True, text=True)
            await client.learn(str(root), {name: root / name for name in files.stdout.split("\n") if name})
            for request in requests:
                cpu, wall = _cpu_seconds(process), time.perf_counter()
                answers, times = [], []
                async for answer in client.complete(request):
                    answers.append(answer)
                    times.append(time.perf_counter() - wall)
                completion = answers[-1]
                assert isinstance(completion, Completion)
                measured.add(
                    _cpu_seconds(process) - cpu, times[-1], times[0], completion.prompt_tokens,
                    completion.prompt_tokens_read, completion.new_tokens, completion.text,
                )  # fmt: skip
        finally:
            await client.close()
            os.kill(process, 15)
            while Path(f"/proc/{process}").exists():
                await asyncio.sleep(0.02)
    return measured


def _kernels() -> Path | None:
    """Return a folder of compiled kernels, so that none are compiled while keys are timed; None without a compiler."""
    folder = paths.cache_folder() / "kernels"
    try:
        build.build(build.recipe(folder))
    except build.KernelError as error:
        print(f"torch computes: {error}", file=sys.stderr)
        return None
    return folder


def _replay_on_llama(requests: list[CompletionRequest], server: list[str], folder: Path) -> _Measured:
    measured = _Measured()
    with tempfile.TemporaryDirectory() as made, _llama_server(server, _gguf(folder, Path(made))) as (process, url):
        for ids in _prompts(requests, folder):
            body = {"prompt": ids, "n_predict": _MAX_TOKENS, "temperature": 0, "cache_prompt": True, "stop": ["\n"]}
            asked = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
            cpu, wall = _cpu_seconds(process), time.perf_counter()
            with urllib.request.urlopen(asked, timeout=120) as reply:
                answer = json.load(reply)
            wall, cpu = time.perf_counter() - wall, _cpu_seconds(process) - cpu
            timings, new = answer["timings"], answer["tokens_predicted"]
            first = (timings["prompt_ms"] + timings["predicted_ms"] / max(1, new)) / 1e3
            measured.add(cpu, wall, first, len(ids), timings["prompt_n"], new, answer["content"])
    return measured


def _prompts(requests: list[CompletionRequest], folder: Path) -> Iterator[list[int]]:
    """Yield the ids that the engine reads for each request."""
    tokenizer = Tokenizer.load(folder)
    limit = json.loads((folder / "config.json").read_text("utf-8"))["max_position_embeddings"]
    settings = read_settings(folder, tokenizer, context_length=limit)
    healing, memory = Healing(tokenizer), PromptMemory(settings, tokenizer)
    budget = settings.context_length - _MAX_TOKENS - healing.longest_token
    for request in requests:
        healed = healing.heal(request.prefix).prefix if settings.mode.ends_between_tokens else request.prefix
        parts = PromptParts(
            path=request.path,
            comment=request.comment,
            prefix=healed,
            suffix=request.suffix,
            snippets=request.snippets,
            repository=Path(request.collection or "").name,
        )
        yield list(memory.build(request.document, parts, budget=budget).ids)


def _gguf(folder: Path, made: Path) -> Path:
    write_gguf(model_folder.read(folder).transformer, made / "model.gguf", tokenizer=folder / "tokenizer.json")
    return quantised(made / "model.gguf", "q8_0", threads=1)


@contextmanager
def _llama_server(server: list[str], gguf: Path) -> Iterator[tuple[int, str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*server, "-m", str(gguf), "--port", str(port), "-t", "1", "-c", "2048", "-np", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield process.pid, f"http://127.0.0.1:{port}/completion"
    finally:
        process.terminate()
        process.wait()


def _cpu_seconds(process: int) -> float:
    """CPU time of all of a process's threads, to the nanosecond."""
    total = 0
    for thread in Path(f"/proc/{process}/task").iterdir():
        total += int((thread / "schedstat").read_text().split()[0])
    return total / 1e9


def _p95(values: list[float]) -> float:
    return sorted(values)[int(0.95 * (len(values) - 1))]


if __name__ == "__main__":
    main()
