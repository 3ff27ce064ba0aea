"""What the language server takes for a request: a file of 10,000 lines, a real server, an engine that answers at once.

    python -m benchmarks.lsp_overhead [--requests 100] [--lines 10000] [--repository FOLDER]

Every request follows an edit, as it does in an editor, and asks anew: none is answered from the cache. FOLDER is being
indexed meanwhile, by another process. The engine is a process too, which speaks the engine's protocol and writes the
same few tokens each time. `CPU` is the processor time of the server's process between the edit and the answer: reading
the messages, following the edit, freezing the cursor, asking the index and the engine, the checks on what was written,
and the answer. `wall` is the clock, with the engine, the index and whatever else this machine does.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.lsp_client import NEOVIM, LspClient, running_server
from tests.support.scripted_home import CHECKOUT, SERVER, scripted_home

SCRIPT = [{"after": r"= ", "text": "gather(values)"}]
WARM_UP = 10
"""Requests before the first that counts: the first of a process loads a grammar."""
_PAUSE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Timing:
    """One request, in milliseconds."""

    cpu: float
    wall: float
    index_state: str


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--repository", type=Path, default=CHECKOUT)
    arguments = parser.parse_args()
    timings = asyncio.run(_measure(arguments.requests, arguments.lines, arguments.repository.resolve()))
    print(f"{len(timings)} requests, each after an edit of a file of {arguments.lines:,} lines; milliseconds")
    print(f"{'':34}{'requests':>9}{'CPU p50':>9}{'CPU p95':>9}{'wall p50':>10}{'wall p95':>10}")
    for state in sorted({timing.index_state for timing in timings}):
        chosen = [timing for timing in timings if timing.index_state == state]
        cpu, wall = [timing.cpu for timing in chosen], [timing.wall for timing in chosen]
        print(
            f"{f'while the index is {state}':34}{len(chosen):9}{statistics.median(cpu):9.2f}{_percentile(cpu, 95):9.2f}"
            f"{statistics.median(wall):10.2f}{_percentile(wall, 95):10.2f}"
        )


async def _measure(count: int, lines: int, repository: Path) -> list[Timing]:
    with tempfile.TemporaryDirectory(prefix="mf") as folder, scripted_home(Path(folder), SCRIPT) as home:
        async with running_server(home, str(SERVER)) as client:
            return await _through_server(client, count, lines, repository)


async def _through_server(client: LspClient, count: int, lines: int, repository: Path) -> list[Timing]:
    await client.initialize(NEOVIM, repository, options={"lookAhead": False, "debounceMs": 0})
    await client.status_when(lambda status: status["engine"]["state"] == "ready")
    uri = (repository / "overhead_of_the_server.py").as_uri()
    await client.open(uri, _text(lines))
    timings = []
    row = lines // 2
    for number in range(WARM_UP + count):
        state = (await client.status())["folders"][0]["state"]
        text = f"    value_{number} = "
        place = {"line": row, "character": 0}
        change = {"range": {"start": place, "end": {"line": row, "character": 200}}, "text": text}
        start, cpu = time.perf_counter(), _cpu_seconds(client.process.pid)
        await client.change(uri, number + 2, change)
        items = await client.complete(uri, row, len(text))
        cpu, wall = _cpu_seconds(client.process.pid) - cpu, time.perf_counter() - start
        if not items:
            raise SystemExit("nothing was suggested: this measures nothing")
        timings.append(Timing(cpu * 1000, wall * 1000, state))
        await asyncio.sleep(_PAUSE_SECONDS)
    return timings[WARM_UP:]


def _cpu_seconds(process_id: int) -> float:
    """Return the processor time of another process, as exactly as the kernel counts it (clock_getcpuclockid(3))."""
    return time.clock_gettime(~process_id << 3 | 2)


def _text(lines: int) -> str:
    body = "".join(
        f"def function_{number}(values):\n    return gather(values, {number})\n" for number in range(lines // 2)
    )
    return f"{body}\n"


def _percentile(values: Sequence[float], share: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * share // 100)]


if __name__ == "__main__":
    main()
