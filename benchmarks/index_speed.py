"""Measures the repository index beside its peers: CPU seconds to build and reopen it, and CPU time of an answer.

    python benchmarks/index_speed.py ROOT... [--extension py] [--peers FOLDER] [--aider PYTHON]

Indexes a copy of the files of all ROOTs (those with `--extension`, or all), so that a peer sees the same tree. Peers
run when they are there: `ast-grep` (its parse and match) and Universal Ctags in FOLDER or on the PATH, and aider's repo
map (the Python of an environment that has aider-chat). rank-bm25 is installed with midfill. All figures are CPU time of
all processes; memory is that of the process and its children at one time, looked at three times a second.
"""

import argparse
import contextlib
import io
import os
import random
import resource
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from rank_bm25 import BM25Okapi

from repo_context.repository import Repository
from repo_context.scan import Scanner
from repo_context.snippet import Cursor
from repo_context.terms import terms_of

QUERY_TERMS = 60
QUERIES = 60
AST_GREP_LANGUAGE = {"py": "python", "java": "java", "ts": "ts", "js": "js", "rs": "rust", "go": "go"}
AST_GREP_PATTERN = {"java": "return noSuchNameAnywhere;"}

AIDER = """
import sys
from pathlib import Path
from aider.io import InputOutput
from aider.repomap import RepoMap
class Model:
    def token_count(self, text):
        return len(text) // 4
root = sys.argv[1]
files = sorted(str(path) for path in Path(root).rglob("*") if path.is_file())
RepoMap(root=root, main_model=Model(), io=InputOutput(yes=True)).get_ranked_tags_map([], files, max_map_tokens=1024)
"""


def main() -> None:
    """Print every figure for one tree."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as scratch:
        tree = _copy([Path(root) for root in arguments.roots], arguments.extension, Path(scratch) / "tree")
        index = Path(scratch) / "index"
        print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        ours = _cold(tree, index)
        _peers(tree, arguments, ours)
        with _measured("warm start, nothing changed"):
            repository = Repository.open(tree, index_folder=index)
        with repository:
            with _measured("its first answer"):
                repository.snippets_for(
                    Cursor(path="new.py", prefix="x = ", suffix=""), budget=64, count_tokens=_tokens
                )
            with _measured("all import edges"):
                edges = repository.summary().edges
            print(f"{edges} edges")
            _disk(index)
            _queries(repository)
            _snippets(repository)
            _edits(repository)
            print("after these edits:")
            _queries(repository)
    print(f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MB at most in the index's process")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("roots", nargs="+", metavar="ROOT", help="folder to index; of several one tree is made")
    parser.add_argument("--extension", help="only files with this extension, without the dot")
    parser.add_argument("--peers", help="folder that holds the ast-grep program")
    parser.add_argument("--aider", help="Python of an environment with aider-chat")
    return parser.parse_args()


def _copy(roots: Sequence[Path], extension: str | None, target: Path) -> Path:
    """Copy the files to measure, so that each program sees the same ones; several roots lie side by side."""
    target.mkdir()
    for root in roots:
        below = target / root.resolve().name if len(roots) > 1 else target
        for file in Scanner(root.resolve()).scan().files:
            if extension is None or file.path.endswith(f".{extension}"):
                copy = below / file.path
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root / file.path, copy)
    return target


def _cpu() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


@contextlib.contextmanager
def _measured(what: str) -> Iterator[None]:
    cpu, wall = _cpu(), time.perf_counter()
    yield
    print(f"{what}: {_cpu() - cpu:.2f} CPU s, {time.perf_counter() - wall:.2f} s")


def _cold(tree: Path, index: Path) -> float:
    """Build the index from nothing and return the CPU seconds."""
    before, wall = _cpu(), time.perf_counter()
    with _watched() as seen, Repository.open(tree, index_folder=index) as repository:
        summary = repository.summary()
    spent = _cpu() - before - seen.seconds
    size = sum(file.stat().st_size for file in tree.rglob("*") if file.is_file()) / 1e6
    print(
        f"cold index: {spent:.2f} CPU s, {time.perf_counter() - wall:.2f} s; {summary.files} files, {size:.1f} MB,"
        f" {summary.chunks} chunks; {summary.files / spent:.0f} files and {size / spent:.1f} MB a CPU second;"
        f" {seen.most_bytes >> 20} MB of memory"
    )
    return spent


@dataclass(slots=True)
class _Watch:
    """What was seen of this process and its children."""

    most_bytes: int = 0
    seconds: float = 0.0
    """CPU time that looking took."""


@contextlib.contextmanager
def _watched() -> Iterator[_Watch]:
    """Look at the memory of this process and its children together, a few times a second."""
    seen, done = _Watch(), threading.Event()

    def watch() -> None:
        while not done.wait(0.3):
            seen.most_bytes = max(seen.most_bytes, sum(map(_resident, [os.getpid(), *_children()])))
            seen.seconds = time.thread_time()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()


def _children() -> list[int]:
    parents = {stat.parent.name: _read(stat).rpartition(")")[2].split() for stat in Path("/proc").glob("[0-9]*/stat")}
    return [int(process) for process, fields in parents.items() if fields and int(fields[1]) == os.getpid()]


def _resident(process: int) -> int:
    pages = _read(Path(f"/proc/{process}/statm")).split()
    return int(pages[1]) * resource.getpagesize() if pages else 0


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


def _peers(tree: Path, arguments: argparse.Namespace, ours: float) -> None:
    program = shutil.which("ast-grep", path=arguments.peers) or shutil.which("ast-grep")
    language = AST_GREP_LANGUAGE.get(arguments.extension or "")
    if program and language:
        pattern = AST_GREP_PATTERN.get(language, "return no_such_name_anywhere")
        command = [program, "run", "--threads", "2", "-p", pattern, "-l", language, str(tree)]
        _compare("ast-grep parse and match", command, ours)
    ctags = shutil.which("ctags", path=arguments.peers) or shutil.which("ctags")
    if ctags:
        _compare("Universal Ctags", [ctags, "-R", "-f", "-", str(tree)], ours)
    if arguments.aider:
        _compare("aider's repo map, cold", [arguments.aider, "-c", AIDER, str(tree)], ours)
        shutil.rmtree(tree / ".aider.tags.cache.v4", ignore_errors=True)


def _compare(name: str, command: Sequence[str], ours: float) -> None:
    before = _cpu()
    done = subprocess.run(command, capture_output=True, check=False)
    spent = _cpu() - before
    failed = f" (exit {done.returncode}: {done.stderr[-200:].decode(errors='replace')})" if done.stderr else ""
    print(f"{name}: {spent:.2f} CPU s; midfill takes {ours / spent:.2f} times that{failed}")


def _disk(index: Path) -> None:
    postings = sum(file.stat().st_size for folder in index.glob("postings-*") for file in _files(folder)) / 1e6
    everything = sum(file.stat().st_size for file in _files(index)) / 1e6
    print(f"disk: {postings:.1f} MB of postings, {everything:.1f} MB in all")


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]


def _queries(repository: Repository) -> None:
    """Time BM25 alone, and hold some of its scores against rank-bm25's, built over what is indexed now."""
    index = repository.ranking_index()
    text = index.text
    chance = random.Random(0)
    slots = text.alive_slots()
    starts = text.chunk_lines()
    lines = {path: index.lines_of(path) or () for path in {path for _, path, _ in slots}}
    chunks = [terms_of("\n".join(lines[path][slice(*starts[slot])])) for slot, path, _ in slots]
    queries = [
        (chance.choice(chunks) + chance.choice(chunks) + chance.choice(chunks))[:QUERY_TERMS] for _ in range(QUERIES)
    ]
    ours = _percentiles(
        f"BM25 of {QUERY_TERMS} terms over {len(text)} chunks",
        [partial(text.search, query, limit=96, boosts={}, without="") for query in queries],
    )
    reference = BM25Okapi(chunks)
    order = np.array([slot for slot, _, _ in slots])
    worst, spent = 0.0, []
    for query in queries[:3]:
        before = time.process_time()
        expected = reference.get_scores(query)
        spent.append(time.process_time() - before)
        difference = np.abs(text.scores(query)[order] - expected) / np.maximum(np.abs(expected), 1e-9)
        worst = max(worst, float(difference.max()))
    theirs = 1e3 * statistics.median(spent)
    print(
        f"rank-bm25: p50 {theirs:.0f} ms CPU, {theirs / ours:.0f} times ours; largest relative difference {worst:.1e}"
    )


def _snippets(repository: Repository) -> None:
    chance = random.Random(1)
    questions: list[Callable[[], object]] = []
    for file in chance.sample(repository.files(), min(150, len(repository.files()))):
        text = file.absolute_path.read_text("utf-8", "replace")
        at = chance.randrange(len(text) + 1)
        cursor = Cursor(path=file.path, prefix=text[:at], suffix=text[at:])
        questions.append(partial(repository.snippets_for, cursor, budget=1024, count_tokens=_tokens))
    _percentiles("snippets_for, 1,024 tokens", questions)


def _tokens(text: str) -> int:
    return int(len(text) / 3.5)


def _edits(repository: Repository) -> None:
    """Time an edit of a file of about 1,000 lines until a search sees it: the first of an open file, and the next."""
    text = repository.ranking_index().text
    files = [file for file in repository.files() if 30_000 <= file.size <= 50_000][:40]
    first: list[float] = []
    second: list[float] = []
    for number, file in enumerate(files):
        changed = file.absolute_path.read_text("utf-8", "replace")
        repository.note_open(file.path)
        for turn, spent in (("first", first), ("second", second)):
            word = f"fresh_{turn}_name_{number}"
            line_end = changed.find("\n", len(changed) // 2) + 1
            changed = f"{changed[:line_end]}{word} = 1\n{changed[line_end:]}"
            before = time.process_time()
            repository.update(file.path, changed)
            assert text.search([word], limit=1, boosts={}, without="")
            spent.append(1e3 * (time.process_time() - before))
    if files:
        _print_percentiles("first edit of an open file of 30 to 50 kB until it is found", first)
        _print_percentiles("the next edit of it", second)


def _percentiles(what: str, calls: Sequence[Callable[[], object]]) -> float:
    """Print the CPU time of calls and return its median, in milliseconds."""
    spent = []
    with contextlib.redirect_stdout(io.StringIO()):
        for call in calls:
            before = time.process_time()
            call()
            spent.append(1e3 * (time.process_time() - before))
    return _print_percentiles(what, spent)


def _print_percentiles(what: str, spent: Sequence[float]) -> float:
    """Print CPU times in milliseconds, and return their median."""
    spent = sorted(spent)
    print(
        f"{what}: CPU p50 {statistics.median(spent):.1f} ms, p95 {spent[int(0.95 * (len(spent) - 1))]:.1f} ms,"
        f" max {spent[-1]:.1f} ms, {len(spent)} times"
    )
    return statistics.median(spent)


if __name__ == "__main__":
    main()
