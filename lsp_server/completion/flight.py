"""A question to the engine on its way: it outlives the request that began it while what is typed agrees with it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from engine.api import Length
from lsp_server.completion.snapshot import Snapshot
from lsp_server.completion.typed_since import typed_since

GRACE_SECONDS: Final = 0.15
"""How long a question goes on when nobody waits for it: editors cancel at a key, and ask again some 50 ms later."""


class Flight:
    """One question and what has been written of its answer so far."""

    def __init__(self, snapshot: Snapshot, length: Length, *, wide: bool) -> None:
        """Prepare; `start` starts it.

        Args:
            snapshot: the cursor that it is asked for.
            length: how far the answer may go.
            wide: whether several answers are asked for.
        """
        self.snapshot = snapshot
        self.length = length
        self.wide = wide
        self.text = ""
        self.asked = False
        """Whether the engine has the question: before, a newer one takes its place for nothing."""
        self.lessons = 0
        """How often the engine had learned when it got the question."""
        self.problem: str | None = None
        """Why there will be no answer."""
        self.waiting = 0
        """Requests that wait for it."""
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def done(self) -> bool:
        """Whether nothing more will come."""
        return self._task is not None and self._task.done()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work of asking in a task of its own."""
        self._task = asyncio.ensure_future(work)
        self._task.add_done_callback(self._finish)

    def grow(self, text: str) -> None:
        """Take in a piece of the answer."""
        self.text += text
        self._changed.set()

    def serves(self, snapshot: Snapshot, length: Length, *, wide: bool) -> bool:
        """Whether the answer may be good for another cursor: what was typed since and what was written agree."""
        if (wide and not self.wide) or (self.length is Length.LINE and length is Length.BLOCK):
            return False
        typed = typed_since(self.snapshot, snapshot)
        if typed is None or (typed and not self.asked):
            return False
        return self.text.startswith(typed) or (typed.startswith(self.text) and not self.done)

    def is_ahead_of(self, snapshot: Snapshot) -> bool:
        """Whether typing on may lead to the cursor that it is asked for."""
        return len(self.snapshot.prefix) > len(snapshot.prefix) and self.snapshot.prefix.startswith(snapshot.prefix)

    async def change(self) -> None:
        """Wait until more is written or nothing more will come."""
        if not self.done:
            await self._changed.wait()
            self._changed.clear()

    def cancel(self) -> None:
        """Stop the engine."""
        if self._task is not None:
            self._task.cancel()

    def leave(self) -> None:
        """Note that a request no longer waits, and stop soon unless another does."""
        self.waiting -= 1
        if self.waiting == 0 and not self.done:
            asyncio.get_running_loop().call_later(GRACE_SECONDS, self._stop_if_deserted)

    def _stop_if_deserted(self) -> None:
        if self.waiting == 0:
            self.cancel()

    def _finish(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            self.problem = "midfill failed"
        self._changed.set()
