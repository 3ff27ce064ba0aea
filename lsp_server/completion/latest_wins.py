"""One turn per document: a newer request ends the work of the older one."""

import asyncio
from collections.abc import Coroutine
from enum import Enum
from typing import Any, Final, TypeVar

T = TypeVar("T")


class Superseded(Enum):
    """The answer of a request that a newer one overtook."""

    SUPERSEDED = "superseded"


SUPERSEDED: Final = Superseded.SUPERSEDED


class LatestWins:
    """Runs at most one piece of work for each document, the newest."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[Any]] = {}
        self._abandoned: set[asyncio.Task[Any]] = set()

    async def run(self, document: str, work: Coroutine[Any, Any, T]) -> T | Superseded:
        """Do `work`, ending older work on the same document first.

        Returns `SUPERSEDED` as soon as a newer call comes, and never a result after it. Cancelling the caller ends
        the work, but does not wait for it to wind up: the caller is free at once.
        """
        self.supersede(document)
        task: asyncio.Task[T] = asyncio.ensure_future(work)
        self._running[document] = task
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            self._abandon(task)
            raise
        finally:
            newest = self._running.get(document) is task
            if newest:
                del self._running[document]
        if not newest or task.cancelled():
            self._abandon(task)
            return SUPERSEDED
        return task.result()

    def supersede(self, document: str) -> None:
        """End whatever runs for a document."""
        older = self._running.pop(document, None)
        if older is not None:
            self._abandon(older)

    def _abandon(self, task: "asyncio.Task[Any]") -> None:
        task.cancel()
        # Held until it has wound up, and its exception fetched: nobody else waits for it.
        self._abandoned.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: "asyncio.Task[Any]") -> None:
        self._abandoned.discard(task)
        if not task.cancelled():
            task.exception()
