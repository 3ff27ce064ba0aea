"""A MIDFILL_HOME of a test's own, whose engine processes end with it."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from lsp_server.running_engines import running_engines


def engine_process_ids(home: Path) -> list[int]:
    """Return the engine processes that serve a home now."""
    with ThreadPoolExecutor(1) as thread:  # the caller may be in a loop of its own
        running = thread.submit(lambda: asyncio.run(running_engines(home / "run"))).result()
    return [status.process_id for _, status in running if status is not None]


@contextmanager
def engine_home(folder: Path) -> Iterator[Path]:
    """Give a home to a test, and end the engine processes that it leaves behind."""
    yield folder
    for process_id in engine_process_ids(folder):
        os.kill(process_id, signal.SIGTERM)
        for _ in range(500):
            if not Path(f"/proc/{process_id}").exists():
                break
            time.sleep(0.02)
