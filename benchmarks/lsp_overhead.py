"""What the language server itself adds to a request: a 10,000-line file, a real server, an engine that answers at once.

    python -m benchmarks.lsp_overhead [--requests 400] [--lines 10000] [--repository FOLDER]

Every request follows an edit, as it does in an editor, and asks anew: none is answered from the cache. FOLDER is being
indexed meanwhile. The engine is a process that speaks the engine's protocol and writes the same few tokens each time;
what it takes is measured beside it and subtracted, so that what is left is the server: reading the message, following
the edit, freezing the cursor, the way to the engine and back, the checks on what it wrote, and the answer.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.api import Completion, CompletionRequest
from engine.client import EngineClient, EngineSettings
from tests.support.lsp_client import NEOVIM, LspClient, running_server

SCRIPTED_ENGINE = Path(__file__).parents[1] / "tests" / "support" / "scripted_engine.py"
SCRIPT = [{"after": r"= ", "text": "gather(values)"}]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--repository", type=Path, default=Path(__file__).parents[1])
    arguments = parser.parse_args()
    asyncio.run(_measure(arguments.requests, arguments.lines, arguments.repository))


async def _measure(count: int, lines: int, repository: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="mf") as folder:
        home = Path(folder)
        (home / "script.json").write_text(json.dumps(SCRIPT), encoding="utf-8")
        os.environ["MIDFILL_HOME"] = str(home)
        engine = await asyncio.create_subprocess_exec(
            sys.executable, "-P", str(SCRIPTED_ENGINE), str(home / "script.json"), str(home / "events"),
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )  # fmt: skip
        try:
            while not (home / "events").exists():
                await asyncio.sleep(0.02)
            alone = await _engine_alone(count, lines)
            async with running_server(home) as client:
                whole, states = await _through_server(client, count, lines, repository)
        finally:
            engine.kill()
            await engine.wait()
    print(f"{count} requests, each after an edit of a file of {lines:,} lines; milliseconds")
    print(f"index: {states[0]} at the first request, {states[1]} at the last")
    print(f"{'':34}{'p50':>8}{'p95':>8}")
    for name, values in (("whole request", whole), ("the scripted engine alone", alone)):
        print(f"{name:34}{statistics.median(values):8.2f}{_percentile(values, 95):8.2f}")
    spent = [value - statistics.median(alone) for value in whole]
    print(f"{'the server (difference)':34}{statistics.median(spent):8.2f}{_percentile(spent, 95):8.2f}")


async def _engine_alone(count: int, lines: int) -> list[float]:
    """Time what a client of the engine waits, without a server."""
    client = await EngineClient.connect(EngineSettings())
    times = []
    for number in range(count):
        prefix = _text(lines // 2)[-2000:] + f"    value_{number} = "
        request = CompletionRequest(document="a", path="a.py", comment="#", prefix=prefix, suffix="\n")
        start = time.perf_counter()
        pieces = [piece async for piece in client.complete(request)]
        times.append((time.perf_counter() - start) * 1000)
        assert isinstance(pieces[-1], Completion)
    await client.close()
    return times


async def _through_server(
    client: LspClient, count: int, lines: int, repository: Path
) -> tuple[list[float], tuple[str, str]]:
    await client.initialize(NEOVIM, repository, options={"lookAhead": False, "debounceMs": 0})
    await client.status_when(lambda status: status["engine"]["state"] == "ready")
    uri = (repository / "overhead_of_the_server.py").as_uri()
    await client.open(uri, _text(lines))
    first = _state(await client.status())
    times = []
    row = lines // 2
    for number in range(count):
        text = f"    value_{number} = "
        place = {"line": row, "character": 0}
        change = {"range": {"start": place, "end": {"line": row, "character": 200}}, "text": text}
        start = time.perf_counter()
        await client.change(uri, number + 2, change)
        items = await client.complete(uri, row, len(text))
        times.append((time.perf_counter() - start) * 1000)
        assert items, "nothing was suggested"
        await asyncio.sleep(0.02)
    return times, (first, _state(await client.status()))


def _state(status: dict[str, Any]) -> str:
    return str(status["folders"][0]["state"]) if status["folders"] else "none"


def _text(lines: int) -> str:
    body = "".join(
        f"def function_{number}(values):\n    return gather(values, {number})\n" for number in range(lines // 2)
    )
    return f"{body}\n"


def _percentile(values: Sequence[float], share: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * share // 100)]


if __name__ == "__main__":
    main()
