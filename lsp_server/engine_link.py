"""The way to the engine: started in the background, started again when it is lost, taught the repositories."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Any, Final

from engine.api import Engine
from engine.errors import EngineError

log = logging.getLogger("midfill.engine")

_FILES_AT_ONCE: Final = 64
"""Files in one lesson: completions get their turn between two of them."""
_LONGEST_PAUSE: Final = 60.0
_CLOSE_SECONDS: Final = 1.0
_TRUSTED_SECONDS: Final = 0.5
"""How long after its last answer an engine is taken to be there."""
_RECOGNISED_SECONDS: Final = 2.0
"""How long after an answer an engine is taken to be the process it was."""
_PROBE_SECONDS: Final = 0.5
"""How long an engine may take to say how it is; a busy one does so within milliseconds."""


class LinkState(Enum):
    """Where the way to the engine stands."""

    IDLE = "idle"
    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    """A new try follows after a pause."""


class EngineLink:
    """Holds the engine of one language server; nothing here raises."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Engine]],
        *,
        on_ready: Callable[[], None],
        on_taught: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare; `start` connects.

        Args:
            connect: starts or reaches the engine process; called anew for every try.
            on_ready: called whenever an engine has become ready, which may know nothing yet.
            on_taught: called whenever it knows more.
        """
        self.state = LinkState.IDLE
        self.problem: str | None = None
        """Why the last try failed."""
        self._connect = connect
        self._on_ready, self._on_taught = on_ready, on_taught
        self._engine: Engine | None = None
        self._process_id: int | None = None
        self._last_heard = 0.0
        self._recognition: asyncio.TimerHandle | None = None
        self._probe: asyncio.Task[None] | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._teaching: asyncio.Task[None] | None = None
        self._lessons: dict[str, dict[str, Path]] = {}
        self._loose_ends: set[asyncio.Task[None]] = set()

    async def engine(self) -> Engine | None:
        """Return the engine, or None while it is not ready; never waits for a start.

        An engine process ends when nobody used it for long, and its client starts it again with the next question. That
        question must not be a user's, who types on and cancels it: a start that is cancelled at every keystroke would
        begin anew at every keystroke. So after a pause we ask first how the engine is, in a task of our own.
        """
        if self._engine is None:
            return None
        now = asyncio.get_running_loop().time()
        if now - self._last_heard > _TRUSTED_SECONDS:
            self._recognise()
        if self._probe is not None:
            # Already slow before: the process is starting, and nobody waits for that.
            await asyncio.wait({self._probe}, timeout=_PROBE_SECONDS if self.state is LinkState.READY else 0)
            if self._probe is not None:
                self.state = LinkState.STARTING
                return None
        return self._engine

    def heard(self) -> None:
        """Note that the engine has just answered.

        One that died while somebody typed was started again by the next question and answers without a pause, knowing
        nothing: shortly after an answer it is asked which process it is, and nobody waits for that.
        """
        loop = asyncio.get_running_loop()
        self._last_heard = loop.time()
        if self._recognition is None:
            self._recognition = loop.call_later(_RECOGNISED_SECONDS, self._recognise)

    def start(self) -> None:
        """Connect in the background; tries again, with growing pauses, until it works."""
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.ensure_future(self._keep_trying())

    def lost(self, engine: Engine) -> None:
        """Let go of an engine that went away, and start again."""
        if engine is not self._engine:
            return
        self._drop()
        self.start()

    def restart(self) -> None:
        """Connect anew, as after a change of settings."""
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        self._drop()
        self.start()

    def teach(self, collection: str, files: Mapping[str, Path]) -> None:
        """Have the engine learn files in the background; kept until an engine is there."""
        self._lessons.setdefault(collection, {}).update(files)
        if self._engine is not None and (self._teaching is None or self._teaching.done()):
            self._teaching = asyncio.ensure_future(self._teach(self._engine))

    def forget(self, collection: str, names: list[str]) -> None:
        """Have the engine forget files in the background."""
        for name in names:
            self._lessons.get(collection, {}).pop(name, None)
        if self._engine is not None:
            self._later(_forget(self._engine, collection, names))

    async def close(self) -> None:
        """Let go of the engine; the shared process goes on."""
        for task in (self._connecting, self._teaching, self._probe, self._recognition):
            if task is not None:
                task.cancel()
        if self._engine is not None:
            engine, self._engine = self._engine, None
            await asyncio.wait({asyncio.ensure_future(_close(engine))}, timeout=_CLOSE_SECONDS)
        self.state = LinkState.IDLE

    async def _keep_trying(self) -> None:
        pause = 1.0
        while True:
            self.state = LinkState.STARTING
            try:
                engine = await self._connect()
                self._process_id = (await engine.status()).process_id
            except (EngineError, OSError) as error:
                if self.problem != str(error):
                    log.error("the engine is not available: %s", error)
                self.state, self.problem = LinkState.FAILED, str(error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            self._engine, self.state, self.problem = engine, LinkState.READY, None
            self._last_heard = asyncio.get_running_loop().time()
            log.info("the engine is ready")
            self._on_ready()
            return

    def _recognise(self) -> None:
        if self._recognition is not None:
            self._recognition.cancel()
            self._recognition = None
        if self._engine is not None and self._probe is None:
            self._probe = asyncio.ensure_future(self._ask_status(self._engine))

    async def _ask_status(self, engine: Engine) -> None:
        try:
            status = await engine.status()
        except (EngineError, OSError) as error:
            log.warning("the engine is gone: %s", error)
            self._probe = None
            self.lost(engine)
            return
        self._probe = None
        self.state = LinkState.READY
        self._last_heard = asyncio.get_running_loop().time()
        if status.process_id != self._process_id:
            log.info("the engine has been started again")
            self._process_id = status.process_id
            self._on_ready()

    async def _teach(self, engine: Engine) -> None:
        while self._lessons and engine is self._engine:
            collection = next(iter(self._lessons))
            lesson = dict(islice(self._lessons[collection].items(), _FILES_AT_ONCE))
            for name in lesson:
                del self._lessons[collection][name]
            if not self._lessons[collection]:
                del self._lessons[collection]
            if not lesson:
                continue
            try:
                await engine.learn(collection, lesson)
            except EngineError as error:
                log.warning("the engine did not learn %d files: %s", len(lesson), error)
                self.lost(engine)
            else:
                self._on_taught()

    def _drop(self) -> None:
        engine, self._engine = self._engine, None
        self.state = LinkState.IDLE
        for task in (self._teaching, self._probe):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        self._teaching = self._probe = None
        if engine is not None:
            self._later(_close(engine))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._loose_ends.add(task)
        task.add_done_callback(self._loose_ends.discard)


async def _close(engine: Engine) -> None:
    try:
        await engine.close()
    except (EngineError, OSError) as error:
        log.info("the engine's connection ended roughly: %s", error)


async def _forget(engine: Engine, collection: str, names: list[str]) -> None:
    try:
        await engine.forget(collection, names)
    except EngineError as error:
        log.warning("the engine did not forget %d files: %s", len(names), error)
