"""Replays recorded edits key by key against the server's own pipeline: how often what it shows is kept, what it saves.

    python -m benchmarks.recorded_edits CLONE edits.jsonl
    python -m benchmarks.behaviour CLONE edits.jsonl --answers answers.jsonl [--calibrate samples.jsonl]

A person types every edit. Whenever the first line that is shown is what they are about to type, they accept it and go
on behind it; otherwise they type on. A newline brings the indentation along, as editors do.

precision   of the different suggestions that came on the screen, those whose first line was kept
coverage    of the characters typed (indentation aside), those that midfill typed

The repository is indexed as it was before the first edit. What the engine answers is kept in --answers, so that every
policy is judged on the same answers; `--calibrate` writes what the confidence regression is fitted on.
"""

import argparse
import asyncio
import json
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import torch

from benchmarks.recorded_edits import RecordedEdit, read
from engine import model_folder
from engine.api import Chunk, Completion, CompletionRequest, Engine, Snippet
from engine.completer import Completer
from engine.model_names import resolve
from engine.ngram import NgramCollection
from engine.wire import answer_from_json, answer_to_json
from lsp_server.completion.answer import Answer
from lsp_server.completion.called_names import called_names, without_those_in
from lsp_server.completion.candidate import Candidate
from lsp_server.completion.confidence import calibration, cuts, features, first_line_end
from lsp_server.completion.pipeline import Pipeline
from lsp_server.completion.snapshot import Snapshot
from lsp_server.settings import Assertiveness, Settings
from lsp_server.symbol_questions import unknown_names
from lsp_server.token_counter import estimate
from repo_context.languages import comment_marker, language_of
from repo_context.repository import Repository
from repo_context.snippet import Cursor

FILTERS = (
    "drop_repetitive", "snip_closing_lines", "snip_lines_below", "drop_repeated_line", "drop_near_copy",
    "drop_no_change", "drop_too_little", "drop_unknown_name", "drop_syntax_error", "stop_at_node_end",
)  # fmt: skip
JUDGING = ("drop_repetitive", "drop_repeated_line", "drop_near_copy", "drop_too_little", "drop_unknown_name",
           "drop_syntax_error")  # fmt: skip
"""Filters that hide; the others change text."""


@dataclass(slots=True)
class Tally:
    """What a policy came to."""

    shown: int = 0
    kept: int = 0
    typed: int = 0
    """Characters of all edits."""
    saved: int = 0

    def row(self, name: str) -> str:
        """Return a line of the table."""
        return f"{name:34} {100 * self.precision:9.1f} % {100 * self.coverage:9.1f} % {self.shown:8} {self.kept:8}"

    @property
    def precision(self) -> float:
        """Share of shown suggestions that were kept."""
        return self.kept / max(self.shown, 1)

    @property
    def coverage(self) -> float:
        """Share of characters that midfill typed."""
        return self.saved / max(self.typed, 1)


FindSnippets = Callable[[CompletionRequest], Sequence[Snippet]]


class RecordedEngine:
    """The real completer behind a file of its answers."""

    def __init__(self, completer: Completer, answers: Path, find_snippets: FindSnippets) -> None:
        self._completer = completer
        self._find_snippets = find_snippets
        self._file = answers.open("a+", encoding="utf-8")
        self._file.seek(0)
        self._answers: dict[str, Any] = dict(json.loads(line) for line in self._file)
        self.asked = 0

    async def complete(self, request: CompletionRequest) -> AsyncIterator[Chunk | Completion]:
        """Answer at once from the file, or ask and write it down."""
        key = _key(request)
        if key not in self._answers:
            self.asked += 1
            request = replace(request, snippets=self._find_snippets(request))
            answer = next(a for a in self._completer.complete(request) if isinstance(a, Completion))
            self._answers[key] = json.loads(json.dumps(answer_to_json(answer)))
            self._file.write(json.dumps([key, self._answers[key]]) + "\n")
        yield answer_from_json(self._answers[key])


class Replay:
    """One repository, its edits, and the engine."""

    def __init__(self, repository: Repository, edits: Sequence[RecordedEdit], engine: RecordedEngine) -> None:
        self.repository = repository
        self.edits = edits
        self.engine = engine
        self.samples: list[dict[str, Any]] = []
        self.places = 0

    def run(self, policy: "Policy") -> Tally:
        """Replay all edits under one policy."""
        needed = cast("dict[Assertiveness, float]", calibration().needed)
        before = dict(needed)
        if policy.needed is not None:
            needed[policy.assertiveness] = policy.needed
        try:
            settings = Settings(assertiveness=policy.assertiveness, look_ahead=False)
            return asyncio.run(self._run(settings, policy.without))
        finally:
            needed.update(before)

    async def _run(self, settings: Settings, without: Collection[str]) -> Tally:
        tally = Tally()
        for edit in self.edits:

            async def reach() -> Engine:
                return cast("Engine", self.engine)

            pipeline = Pipeline(engine=reach, find_snippets=_later, on_engine_error=_raise, find_unknown=self._unknown)
            pipeline.without = without
            await self._replay(pipeline, edit, settings, tally)
        return tally

    async def _replay(self, pipeline: Pipeline, edit: RecordedEdit, settings: Settings, tally: Tally) -> None:
        # The editor has indented the first line already.
        done, on_screen, follows = len(edit.typed) - len(edit.typed.lstrip(" \t")), "", False
        tally.typed += len("".join(edit.typed.split()))
        while done < len(edit.typed):
            cursor = _snapshot(edit, done, follows=follows)
            answer = await pipeline.answer(cursor, settings)
            suggestion, follows = answer.suggestion, False
            rest = edit.typed[done:]
            if suggestion is None:
                on_screen = ""
            else:
                line = cursor.line_before + suggestion.text
                kept = _kept(suggestion.text, rest)
                if line != on_screen:
                    tally.shown += 1
                    tally.kept += bool(kept)
                    self._sample(pipeline, cursor, answer, rest)
                on_screen = line
                if kept:
                    tally.saved += len("".join(rest[:kept].split()))
                    done, on_screen, follows = done + kept, "", True
                    continue
            done += _key_press(rest)

    async def _unknown(self, snapshot: Snapshot, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
        language = language_of(snapshot.path)
        text = snapshot.prefix + snapshot.suffix
        noted = []
        for one in candidates:
            names = without_those_in(text, called_names(one.text, language.name if language else ""))
            noted.append(replace(one, unknown_names=frozenset(unknown_names(self.repository, names))))
        return tuple(noted)

    def _sample(self, pipeline: Pipeline, cursor: Snapshot, answer: Answer, rest: str) -> None:
        assert answer.length is not None
        found = pipeline.cache.peek(cursor, answer.length)
        if found is None:
            return
        candidate = found.candidates[0]
        for end in cuts(candidate):
            end = min(end, first_line_end(candidate.text))
            values = features(candidate, end, cursor)
            if values is not None:
                is_kept = rest.startswith(candidate.text[:end])
                self.samples.append({**values, "kept": float(is_kept), "characters": end, "place": self.places})
        self.places += 1


@dataclass(frozen=True, slots=True)
class Policy:
    """One line of the table."""

    name: str
    assertiveness: Assertiveness
    without: tuple[str, ...] = field(default=())
    needed: float | None = None
    """The probability asked for, in place of what the assertiveness asks for."""


def policies() -> Iterator[Policy]:
    """Yield what is compared."""
    yield Policy("nothing filtered", Assertiveness.EAGER, JUDGING, needed=0.0)
    yield Policy("filters without the gate", Assertiveness.EAGER, needed=0.0)
    for mode in Assertiveness:
        yield Policy(mode.value, mode)
    yield Policy("default, gate alone", Assertiveness.DEFAULT, JUDGING)
    for name in FILTERS:
        yield Policy(f"default without {name}", Assertiveness.DEFAULT, (name,))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path)
    parser.add_argument("edits", type=Path)
    parser.add_argument("--answers", type=Path, required=True)
    parser.add_argument("--calibrate", type=Path, help="write what the regression is fitted on, and print no table")
    parser.add_argument("--needed", type=float, nargs="+", help="compare these probabilities instead")
    parser.add_argument("--model", default="default")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    edits = read(arguments.edits)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "repository"
        _check_out(arguments.repository, f"{edits[0].commit}^", root)
        with Repository.open(root, index_folder=Path(folder) / "index") as repository:
            replay = Replay(repository, edits, _engine(repository, root, arguments.model, arguments.answers))
            print(f"{arguments.repository}: {len(edits)} edits, {sum(len(edit.typed) for edit in edits):,} characters")
            if arguments.calibrate is not None:
                policy = Policy("nothing filtered", Assertiveness.EAGER, JUDGING, needed=0.0)
                print(replay.run(policy).row(policy.name))
                arguments.calibrate.write_text("".join(json.dumps(sample) + "\n" for sample in replay.samples))
                return
            print(f"{'policy':34} {'precision':>11} {'coverage':>11} {'shown':>8} {'kept':>8}")
            compared = [
                Policy(f"shown from {one}", Assertiveness.DEFAULT, needed=one) for one in arguments.needed or ()
            ]
            for policy in compared or policies():
                print(replay.run(policy).row(policy.name), flush=True)


def _engine(repository: Repository, root: Path, model_name: str, answers: Path) -> RecordedEngine:
    model = model_folder.read(resolve(model_name))
    collection = NgramCollection(model.transformer.config.vocab_size)
    for file in repository.files():
        if file.is_read_as_stored:
            text = (root / file.path).read_text("utf-8", "replace")
            collection.learn({file.path: model.tokenizer.encode(text)})

    def find_snippets(request: CompletionRequest) -> Sequence[Snippet]:
        cursor = Cursor(path=request.path, prefix=request.prefix, suffix=request.suffix)
        return repository.snippets_for(cursor, budget=Settings().snippet_budget, count_tokens=estimate)

    return RecordedEngine(Completer(model, find_collection={"": collection}.get), answers, find_snippets)


async def _later(_snapshot: Snapshot, _settings: Settings) -> Sequence[Snippet]:
    """Leave the search to the engine's stand-in, which needs it only for what is not on file."""
    return ()


def _snapshot(edit: RecordedEdit, done: int, *, follows: bool) -> Snapshot:
    return Snapshot(
        uri=f"file:///{edit.path}",
        version=done,
        language_id="",
        path=edit.path,
        root="",
        comment=comment_marker(edit.path),
        prefix=edit.prefix + edit.typed[:done],
        suffix=edit.suffix,
        follows_acceptance=follows,
    )


def _kept(suggested: str, rest: str) -> int:
    """Return how many characters of a suggestion a person keeps: nothing, or its lines up to the first wrong one.

    A first line that is only the beginning of the true one counts: nothing of it is thrown away.
    """
    kept = 0
    lines = suggested.split("\n")
    for number, line in enumerate(lines):
        end = kept + len(line)
        if rest[kept:end] != line:
            break
        kept = end
        if number + 1 < len(lines):
            if rest[end : end + 1] != "\n":
                break
            kept += 1
    first = suggested if not suggested.startswith("\n") else "\n" + lines[1]
    return kept if rest.startswith(first.split("\n")[0]) and kept >= len(first.split("\n")[0]) and kept > 0 else 0


def _key_press(rest: str) -> int:
    """Return how many characters a key brings: a newline brings the indentation of its line along."""
    if not rest.startswith("\n"):
        return 1
    return len(rest) - len(rest[1:].lstrip(" \t")) if rest[1:].strip() else 1


def _check_out(repository: Path, commit: str, root: Path) -> None:
    root.mkdir()
    archive = subprocess.Popen(["git", "-C", str(repository), "archive", commit], stdout=subprocess.PIPE)
    subprocess.run(["tar", "x", "-C", str(root)], stdin=archive.stdout, check=True)
    if archive.wait():
        raise SystemExit(f"cannot read {commit} of {repository}")


def _key(request: CompletionRequest) -> str:
    parts = (request.path, request.prefix, request.suffix, request.length.value, str(request.max_tokens))
    return sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:24]


def _raise(_engine: object, error: Exception) -> None:
    raise error


if __name__ == "__main__":
    main()
