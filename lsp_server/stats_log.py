"""Gathers what is to be counted and writes it off the loop, a few seconds later."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from lsp_server import stats_store
from lsp_server.stats_store import Row

_GATHER_SECONDS: Final = 5.0
_MOST_WAITING: Final = 1000


class StatsLog:
    """Rows on their way to the store."""

    def __init__(self, path: Callable[[], Path], is_wanted: Callable[[], bool]) -> None:
        """Prepare.

        Args:
            path: the store's file; asked when there is something to write.
            is_wanted: whether the user wants anything counted.
        """
        self._path, self._is_wanted = path, is_wanted
        self._waiting: list[Row] = []
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[None] | None = None

    def record(self, row: Row) -> None:
        """Take a row; it is on disk some seconds later."""
        if not self._is_wanted() or len(self._waiting) >= _MOST_WAITING:
            return
        self._waiting.append(row)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._write)

    async def flush(self) -> None:
        """Write what waits, now."""
        if self._writing is not None:
            await self._writing
        self._write()
        if self._writing is not None:
            await self._writing

    def _write(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._waiting:
            return
        if self._writing is not None and not self._writing.done():
            self._timer = asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._write)
            return
        rows, self._waiting = self._waiting, []
        # A thread: a disk may be slow, and nobody's keystroke waits for it.
        self._writing = asyncio.get_running_loop().run_in_executor(None, stats_store.write, self._path(), rows)
