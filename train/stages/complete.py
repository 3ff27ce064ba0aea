"""The last stage: the engine itself serves the finished model and completes lines, as it will in an editor."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.api import Completion, CompletionRequest
from engine.client import EngineClient
from engine.daemon_start import EngineSettings
from train.config import EvaluateConfig
from train.evaluate.datasets import read_repository
from train.evaluate.repository_holes import HoleKind, RepositoryHole, draw_holes
from train.stages.evaluate import repository_of

_IDLE_SECONDS = 20.0
"""The engine's process ends so long after the last completion."""
_NEW_TOKENS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCompletion:
    """One line as it stood before the cursor, what stood behind it, and what the model wrote there."""

    path: str
    line: str
    truth: str
    completion: str


def complete(
    model: Path, recipe: EvaluateConfig, path: Path, *, seed: int, tell: Callable[[str], None]
) -> list[ShownCompletion]:
    """Complete `recipe.completions` lines of the repository; tell of them and write them to `path` as JSON lines.

    Raises:
        EvaluationError: the repository holds no Python source.
        EngineError: the engine cannot be started, or does not serve the model.
    """
    documents = read_repository(repository_of(recipe), "python")
    holes = draw_holes(documents, HoleKind.MID_LINE, recipe.completions, seed)
    written = asyncio.run(_ask(model, holes))
    shown = [
        ShownCompletion(path=hole.path, line=hole.prefix.rpartition("\n")[2], truth=hole.truth, completion=text)
        for hole, text in zip(holes, written, strict=True)
    ]
    for item in shown:
        tell(f"{item.path}: {item.line.lstrip()}▸{item.completion}◂ (there stood: {item.truth})")
    lines = (json.dumps(asdict(item), ensure_ascii=False) for item in shown)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return shown


async def _ask(model: Path, holes: Sequence[RepositoryHole]) -> list[str]:
    client = await EngineClient.connect(EngineSettings(model=str(model.absolute()), idle_seconds=_IDLE_SECONDS))
    try:
        return [await _complete(client, hole) for hole in holes]
    finally:
        await client.close()


async def _complete(client: EngineClient, hole: RepositoryHole) -> str:
    request = CompletionRequest(
        document=hole.path,
        path=hole.path,
        comment=hole.comment,
        prefix=hole.prefix,
        suffix=hole.suffix,
        max_tokens=_NEW_TOKENS,
    )
    async for piece in client.complete(request):
        if isinstance(piece, Completion):
            return piece.text
    return ""
