"""`midfill complete FILE:LINE:COL`: the completion that an editor would show, made the way an editor gets it."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from engine.api import Engine
from engine.errors import EngineError
from lsp_server.adapted_model import adapted_to
from lsp_server.completion.answer import Answer
from lsp_server.completion.pipeline import Pipeline
from lsp_server.completion.snapshot import Snapshot
from lsp_server.document import split_lines
from lsp_server.settings import LengthMode, Settings
from lsp_server.shared_engine import connect_shared_engine
from lsp_server.token_counter import token_counter
from lsp_server.verbs.bars import waiting_bar
from lsp_server.verbs.complaints import BadInputError
from lsp_server.verbs.place import Place, read_place, without_line_rest
from lsp_server.verbs.repository import opened
from repo_context.snippet import Cursor, Snippet

_FILES_AT_ONCE: Final = 100
_LINES_ABOVE: Final = 5
_LINES_BELOW: Final = 3


@dataclass(slots=True)
class _Run:
    """What one run of the verb comes to know, hop by hop."""

    place: Place
    snapshot: Snapshot
    settings: Settings
    snippets: tuple[Snippet, ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    milliseconds: dict[str, float] = field(default_factory=dict)
    errors: list[EngineError] = field(default_factory=list)


def run(arguments: argparse.Namespace) -> int:
    """Print the completion; return the exit code."""
    if arguments.max_tokens < 1:
        raise BadInputError(f"--max-tokens must be at least 1, and it is {arguments.max_tokens}")
    start = perf_counter()
    place = read_place(arguments.place)
    length = LengthMode.BLOCK if arguments.block else LengthMode.AUTO
    whole = place.snapshot()
    work = _Run(
        place=place,
        snapshot=without_line_rest(whole) if arguments.erase_line_rest else whole,
        settings=Settings(model=arguments.model, max_tokens=arguments.max_tokens, length=length),
    )
    work.milliseconds["read"] = (perf_counter() - start) * 1000
    if place.root is not None:
        _look_around(work, place.root)
    answer = asyncio.run(_complete(work))
    if work.errors:
        raise work.errors[0]
    ours = work.milliseconds
    work.milliseconds = ours | {hop: value for hop, value in answer.timings.items() if hop not in ours}
    work.milliseconds["total"] = (perf_counter() - start) * 1000
    actual = whole.line_after if arguments.erase_line_rest else None
    print(json.dumps(_as_json(work, answer, actual), indent=2) if arguments.json else _as_text(work, answer, actual))
    return 0


def _look_around(work: _Run, root: Path) -> None:
    start = perf_counter()
    with opened(root) as repository:
        work.milliseconds["index"] = (perf_counter() - start) * 1000
        count_tokens = token_counter(work.settings.model)
        start = perf_counter()
        cursor = Cursor(path=work.snapshot.path, prefix=work.snapshot.prefix, suffix=work.snapshot.suffix)
        work.snippets = tuple(
            repository.snippets_for(cursor, budget=work.settings.snippet_budget, count_tokens=count_tokens)
        )
        work.milliseconds["snippets"] = (perf_counter() - start) * 1000
        work.files = {file.path: file.absolute_path for file in repository.files() if file.is_read_as_stored}


async def _complete(work: _Run) -> Answer:
    start = perf_counter()
    if sys.stderr.isatty():
        print("reaching the engine …", end="\r", file=sys.stderr, flush=True)
    roots = [Path(work.snapshot.root)] if work.snapshot.root is not None else []
    engine = await connect_shared_engine(adapted_to(roots, work.settings))
    work.milliseconds["engine start"] = (perf_counter() - start) * 1000
    try:
        if work.snapshot.root is not None:
            start = perf_counter()
            await _learn(engine, work.snapshot.root, work.files)
            work.milliseconds["learn"] = (perf_counter() - start) * 1000
        return await _ask(engine, work)
    finally:
        await engine.close()


async def _learn(engine: Engine, collection: str, files: Mapping[str, Path]) -> None:
    """Have the engine learn a repository, or what changed in it; shown where a person is waiting."""
    names = list(files)
    with waiting_bar("learning", total=len(files)) as bar:
        for start in range(0, len(names), _FILES_AT_ONCE):
            lesson = {name: files[name] for name in names[start : start + _FILES_AT_ONCE]}
            await engine.learn(collection, lesson)
            bar.update(len(lesson))


async def _ask(engine: Engine, work: _Run) -> Answer:
    async def this_engine() -> Engine:
        return engine

    async def snippets(_snapshot: Snapshot, _settings: Settings) -> Sequence[Snippet]:
        return work.snippets

    pipeline = Pipeline(
        engine=this_engine,
        find_snippets=snippets,
        on_engine_error=lambda _engine, error: work.errors.append(error),
    )
    return await pipeline.answer(work.snapshot, work.settings)


def _as_json(work: _Run, answer: Answer, actual: str | None) -> dict[str, Any]:
    suggestion = answer.suggestion
    return {
        "file": work.snapshot.path,
        "line": work.place.line,
        "column": work.place.column,
        "root": work.snapshot.root,
        "model": work.settings.model,
        "completion": suggestion.text if suggestion else None,
        "replaces": suggestion.replaces if suggestion else 0,
        "reason": answer.reason,
        **({} if actual is None else {"actual": actual}),
        "snippets": [
            {
                "path": snippet.path,
                "start_line": snippet.start_line,
                "end_line": snippet.end_line,
                "reason": snippet.reason,
            }
            for snippet in work.snippets
        ],
        "milliseconds": {hop: round(value, 2) for hop, value in work.milliseconds.items()},
    }


def _as_text(work: _Run, answer: Answer, actual: str | None) -> str:
    shown = answer.suggestion.text if answer.suggestion else ""
    replaced = answer.suggestion.replaces if answer.suggestion else 0
    lines = [f"{work.snapshot.path}:{work.place.line}:{work.place.column}", *_excerpt(work.snapshot, shown, replaced)]
    if not shown:
        lines.append(f"nothing to show: {answer.reason}")
    if actual is not None:
        lines.append(f"the file says: {actual.strip() or '(nothing)'}")
    if work.snapshot.root is None:
        lines.append("not inside a repository (no .git above the file): completed from this file alone")
    else:
        lines.append(f"{len(work.files)} files known, {len(work.snippets)} snippets from other files in the prompt")
    lines.append(", ".join(f"{hop} {value:.0f} ms" for hop, value in work.milliseconds.items()))
    return "\n".join(lines)


def _excerpt(snapshot: Snapshot, shown: str, replaced: int) -> list[str]:
    """Return the lines around the cursor with the completion in its place."""
    on, off = _marks()
    above = split_lines(snapshot.prefix)
    below = split_lines(snapshot.suffix[replaced:])
    first, *more = split_lines(shown)
    middle = [f"{above[-1]}{on}{first.rstrip()}{off}", *(f"{on}{line.rstrip()}{off}" for line in more)]
    middle[-1] += below[0]
    texts = [*above[-1 - _LINES_ABOVE : -1], *middle, *below[1 : 1 + _LINES_BELOW]]
    number = max(len(above) - _LINES_ABOVE, 1)
    return [f"{number + place:>6} | {text.rstrip()}" for place, text in enumerate(texts)]


def _marks() -> tuple[str, str]:
    """Return what begins and ends the completion: a colour where a terminal shows one, brackets elsewhere."""
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        return "\x1b[1;32m", "\x1b[0m"
    return "⟦", "⟧"
