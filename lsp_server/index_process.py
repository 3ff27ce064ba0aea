"""The language server's side of the index process: bounded waits, the newest question first, edits gathered up."""

import asyncio
import json
import logging
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

from engine.paths import PACKAGES_FOLDER
from lsp_server.sent_texts import TextSender
from repo_context.snippet import Cursor, IndexProgress, Snippet

log = logging.getLogger("midfill.index")

_GATHER_SECONDS: Final = 0.4
"""Pause in typing after which the index is told of an edit."""
_KEPT_ANSWERS: Final = 64
_FAILURES: Final = 3
"""Ends of the process in a row after which it is not started again."""
_LONG_LIFE_SECONDS: Final = 60.0
"""A process that lived this long had not failed from the start."""


class IndexState(Enum):
    """Where an index stands."""

    INDEXING = "indexing"
    READY = "ready"
    FAILED = "failed"
    CLOSED = "closed"


@dataclass(slots=True)
class _Wanted:
    cursor: Cursor
    budget: int
    answer: "asyncio.Future[tuple[Snippet, ...]]"


class IndexProcess:
    """One repository's index in a process of its own; nothing here blocks or raises."""

    def __init__(
        self,
        root: Path,
        *,
        model: str,
        on_progress: Callable[[IndexProgress], None],
        on_ready: Callable[[], None],
        on_new_file: Callable[[str, Path], None],
        on_failed: Callable[[str], None],
    ) -> None:
        """Prepare; `start` starts the process.

        Args:
            root: the repository's folder.
            model: whose tokens snippet budgets are counted in.
            on_progress: called while the repository is being indexed.
            on_ready: called when questions are answered and `files` is complete.
            on_new_file: called with the name and place of a file that the index did not hold before.
            on_failed: called with one line when there will be no index.
        """
        self.root = root
        self.state = IndexState.INDEXING
        self.files: dict[str, Path] = {}
        """Indexed files by their path relative to the root."""
        self.warning = ""
        """Why the index is kept in memory alone; empty when it is stored."""
        self._model = model
        self.progress = IndexProgress(done=0, total=0, path="")
        """How far indexing has come."""
        self._on_progress, self._on_ready = on_progress, on_ready
        self._on_new_file, self._on_failed = on_new_file, on_failed
        self._process: asyncio.subprocess.Process | None = None
        self._texts = TextSender()
        self._task: asyncio.Task[None] | None = None
        self._work = asyncio.Event()
        self._wanted: _Wanted | None = None
        self._questions: deque[tuple[Mapping[str, Any], asyncio.Future[dict[str, Any]]]] = deque()
        self._edits: dict[str, Callable[[], dict[str, Any]]] = {}
        self._due: dict[str, Callable[[], dict[str, Any]]] = {}
        self._shown: dict[str, str] = {}
        """Documents to tell of by name: "opened" or "closed"."""
        self._gathering: asyncio.TimerHandle | None = None
        self._answers: dict[str, tuple[Snippet, ...]] = {}

    def start(self) -> None:
        """Start the process and its conversation in the background."""
        self._task = asyncio.ensure_future(self._live())

    async def snippets_for(self, cursor: Cursor, *, budget: int, wait: float) -> tuple[Snippet, ...]:
        """Return snippets for a cursor within `wait` seconds.

        Where the index is busy, or not ready, these are the last ones found for that file, or none.
        """
        if self.state is not IndexState.READY:
            return ()
        if self._wanted is not None and not self._wanted.answer.done():
            self._wanted.answer.set_result(self._answers.get(self._wanted.cursor.path, ()))
        answer: asyncio.Future[tuple[Snippet, ...]] = asyncio.get_running_loop().create_future()
        self._wanted = _Wanted(cursor, budget, answer)
        self._work.set()
        done, _ = await asyncio.wait({answer}, timeout=wait)
        return answer.result() if done else self._answers.get(cursor.path, ())

    async def ask(self, question: Mapping[str, Any], *, wait: float) -> dict[str, Any]:
        """Return the reply to a question about names within `wait` seconds; an empty one where it takes longer."""
        if self.state is not IndexState.READY:
            return {}
        reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._questions.append((question, reply))
        self._work.set()
        done, _ = await asyncio.wait({reply}, timeout=wait)
        if not done:
            reply.cancel()
        return reply.result() if done else {}

    def update(self, name: str, read_text: Callable[[], str] | None) -> None:
        """Tell the index of a file's new text, or with None to read it again from disk; gathered over a pause.

        The text is asked for when the pause has come, not at every keystroke.
        """
        self._due.pop(name, None)
        self._edits[name] = lambda: {"do": "update", "path": name, "text": read_text() if read_text else None}
        if self._gathering is not None:
            self._gathering.cancel()
        self._gathering = asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._pause_came)

    def note_open(self, name: str) -> None:
        """Tell the index that a document was opened: its text counts a little more."""
        self._shown[name] = "opened"
        self._work.set()

    def note_closed(self, name: str) -> None:
        """Tell the index that a document was closed."""
        self._shown[name] = "closed"
        self._work.set()

    def remove(self, name: str) -> None:
        """Tell the index that a file is gone."""
        self.files.pop(name, None)
        self._answers.pop(name, None)
        self._edits.pop(name, None)
        self._due[name] = lambda: {"do": "remove", "path": name}
        self._work.set()

    def _pause_came(self) -> None:
        self._due |= self._edits
        self._edits.clear()
        self._work.set()

    async def close(self) -> None:
        """End the process."""
        self.state = IndexState.CLOSED
        if self._gathering is not None:
            self._gathering.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=2)

    async def _live(self) -> None:
        failures = 0
        while failures < _FAILURES:
            started = time.monotonic()
            try:
                await self._converse()
            except (OSError, EOFError, ValueError) as error:
                log.warning("the index process of %s ended (%s)", self.root, error or type(error).__name__)
                self.state = IndexState.INDEXING
            except _FailedError as error:
                self._give_up(str(error))
                return
            finally:
                await self._end_process()
            failures = 1 if time.monotonic() - started > _LONG_LIFE_SECONDS else failures + 1
            await asyncio.sleep(failures)
        self._give_up(f"the index process of {self.root} ended {_FAILURES} times; completions go on without it")

    def _give_up(self, why: str) -> None:
        self.state = IndexState.FAILED
        log.error("no index for %s: %s", self.root, why)
        self._on_failed(why)

    async def _converse(self) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "lsp_server.index_worker", str(self.root), self._model,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=child_environment(),
        )  # fmt: skip
        self._process = process
        self._texts.forget()
        await self._await_ready()
        gone = asyncio.ensure_future(process.wait())
        try:
            while not gone.done():
                await self._work_or(gone)
                while not gone.done() and await self._do_next():
                    pass
        finally:
            gone.cancel()
        raise EOFError(f"exit code {gone.result()}")

    async def _work_or(self, gone: "asyncio.Future[int]") -> None:
        """Wait until there is something to do or nobody to do it."""
        work = asyncio.ensure_future(self._work.wait())
        waiting: set[asyncio.Future[Any]] = {gone, work}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            work.cancel()
        self._work.clear()

    async def _await_ready(self) -> None:
        files: dict[str, Path] = {}
        while True:
            match await self._read():
                case {"progress": progress}:
                    self.progress = IndexProgress(**progress)
                    self._on_progress(self.progress)
                case {"warning": warning}:
                    log.warning("%s", warning)
                    self.warning = warning
                case {"failed": why}:
                    raise _FailedError(why)
                case {"files": []}:
                    break
                case {"files": some}:
                    files |= {name: Path(place) for name, place in some}
                case {"ready": summary}:
                    log.info("indexed %s: %s files in %.1f s", self.root, summary["files"], summary["seconds"])
        self.files = files
        self.state = IndexState.READY
        self._on_ready()

    async def _do_next(self) -> bool:
        """Do the most urgent thing: a waiting user's question, one about names, then an edit; False: there is none."""
        if self._wanted is not None:
            wanted, self._wanted = self._wanted, None
            await self._find_snippets(wanted)
            return True
        if self._questions:
            asked, waiting = self._questions.popleft()
            if not waiting.done():
                answer = await self._ask(asked)
                if not waiting.done():
                    waiting.set_result(answer)
            return True
        if self._shown:
            name = next(iter(self._shown))
            await self._ask({"do": self._shown.pop(name), "path": name})
            return True
        if self._due:
            name = next(iter(self._due))
            reply = await self._ask(self._due.pop(name)())
            if reply.get("holds") and name not in self.files:
                self.files[name] = self.root / name
                self._on_new_file(name, self.files[name])
            return True
        return False

    async def _find_snippets(self, wanted: _Wanted) -> None:
        if wanted.answer.done():
            return
        cursor = wanted.cursor
        question = {"do": "snippets", "path": cursor.path, "at": len(cursor.prefix), "budget": wanted.budget}
        reply = await self._ask(question | {"text": cursor.prefix + cursor.suffix})
        found = tuple(Snippet(**snippet) for snippet in reply.get("snippets", ()))
        self._answers.pop(cursor.path, None)
        self._answers[cursor.path] = found
        while len(self._answers) > _KEPT_ANSWERS:
            del self._answers[next(iter(self._answers))]
        if not wanted.answer.done():
            wanted.answer.set_result(found)

    async def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Return the reply to a question; its `text`, if it has one, is sent as a change of the one sent before."""
        if question.get("text") is None:
            return await self._exchange(question)
        reply = await self._exchange({**question, "text": self._texts.pack(question["text"])})
        if "resend" in reply:
            self._texts.forget()
            reply = await self._exchange({**question, "text": self._texts.pack(question["text"])})
        return reply

    async def _exchange(self, question: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        body = json.dumps(question, separators=(",", ":")).encode()
        self._process.stdin.write(len(body).to_bytes(4) + body)
        await self._process.stdin.drain()
        reply = await self._read()
        if "error" in reply:
            log.warning("the index of %s: %s", self.root, reply["error"])
        return reply

    async def _read(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        size = int.from_bytes(await self._process.stdout.readexactly(4))
        message: dict[str, Any] = json.loads(await self._process.stdout.readexactly(size))
        return message

    async def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), timeout=0.5)
        except (TimeoutError, asyncio.CancelledError):
            process.kill()
            await process.wait()


class _FailedError(Exception):
    """The index process said that there will be no index."""


def child_environment() -> dict[str, str]:
    """Return the environment for a process of ours: it imports our packages, and nothing from where it runs."""
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(PACKAGES_FOLDER), *([inherited] if inherited else [])])
    return {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
