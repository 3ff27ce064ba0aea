import asyncio
from pathlib import Path

import pytest

from engine.api import EngineStatus
from engine.errors import EngineError, EngineUnavailableError, ModelFolderError
from lsp_server import engine_link
from lsp_server.engine_link import EngineLink, LinkState


class ScriptedEngine:
    """Counts lessons; its process can end, and its status can take long."""

    def __init__(self) -> None:
        self.process_id = 1
        self.lessons: list[tuple[str, list[str]]] = []
        self.forgotten: list[tuple[str, list[str]]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.problem: EngineError | None = None
        self.closed = False
        self.asked = 0

    async def status(self) -> EngineStatus:
        self.asked += 1
        await self.gate.wait()
        if self.problem:
            raise self.problem
        return EngineStatus(
            process_id=self.process_id, model="m", parameters=0, device="cpu", dtype="float32", context_length=1,
            threads=1, memory_bytes=0, uptime_seconds=0.0, collections={},
        )  # fmt: skip

    async def learn(self, collection, files) -> int:
        self.lessons.append((collection, sorted(files)))
        return 0

    async def forget(self, collection, names) -> None:
        self.forgotten.append((collection, names))

    async def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def no_patience(monkeypatch):
    monkeypatch.setattr(engine_link, "_TRUSTED_SECONDS", 0.0)
    monkeypatch.setattr(engine_link, "_PROBE_SECONDS", 0.05)


async def linked(engine: ScriptedEngine, on_ready=lambda: None, on_taught=lambda: None) -> EngineLink:
    async def connect() -> ScriptedEngine:
        return engine

    link = EngineLink(connect, on_ready=on_ready, on_taught=on_taught)
    link.start()
    await until(lambda: link.state is LinkState.READY)
    return link


async def until(holds) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.005)


async def test_there_is_no_engine_before_it_is_ready():
    async def connect() -> ScriptedEngine:
        await asyncio.sleep(3600)

    link = EngineLink(connect, on_ready=lambda: None)
    assert await link.engine() is None
    link.start()
    await asyncio.sleep(0)
    assert link.state is LinkState.STARTING
    assert await link.engine() is None
    await link.close()


async def test_a_ready_engine_is_given_out():
    engine = ScriptedEngine()
    link = await linked(engine)
    assert await link.engine() is engine


async def test_a_failed_start_is_tried_again(monkeypatch):
    tries = []

    async def connect() -> ScriptedEngine:
        tries.append(1)
        if len(tries) == 1:
            raise ModelFolderError("no weights")
        return ScriptedEngine()

    link = EngineLink(connect, on_ready=lambda: None)
    link.start()
    await until(lambda: link.state is LinkState.FAILED)
    assert link.problem == "no weights"
    await until(lambda: link.state is LinkState.READY)
    assert link.problem is None


async def test_an_engine_that_starts_again_keeps_nobody_waiting():
    engine = ScriptedEngine()
    ready = []
    link = await linked(engine, on_ready=lambda: ready.append(1))
    engine.gate.clear()
    engine.process_id = 2
    assert await link.engine() is None
    assert link.state is LinkState.STARTING
    request = asyncio.ensure_future(link.engine())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await request is None
    engine.gate.set()
    await until(lambda: link.state is LinkState.READY)
    assert await link.engine() is engine
    assert len(ready) == 2


async def test_an_engine_that_was_replaced_between_two_answers_is_recognised_shortly_after_the_second(monkeypatch):
    monkeypatch.setattr(engine_link, "_TRUSTED_SECONDS", 3600.0)
    monkeypatch.setattr(engine_link, "_RECOGNISED_SECONDS", 0.01)
    engine = ScriptedEngine()
    ready = []
    link = await linked(engine, on_ready=lambda: ready.append(1))
    engine.process_id = 2
    assert await link.engine() is engine, "nobody waits for it"
    link.heard()
    await until(lambda: len(ready) == 2)


async def test_an_engine_that_nobody_asks_anything_is_left_alone(monkeypatch):
    monkeypatch.setattr(engine_link, "_RECOGNISED_SECONDS", 0.01)
    engine = ScriptedEngine()
    link = await linked(engine)
    link.heard()
    await asyncio.sleep(0.1)
    assert engine.asked == 2, "once when it was reached, once after its answer"


async def test_a_cancelled_request_does_not_cancel_the_start():
    engine = ScriptedEngine()
    link = await linked(engine)
    engine.gate.clear()
    request = asyncio.ensure_future(link.engine())
    await asyncio.sleep(0.01)
    request.cancel()
    engine.gate.set()
    await until(lambda: link._probe is None)
    assert await link.engine() is engine


async def test_an_engine_that_is_gone_is_replaced():
    first, second = ScriptedEngine(), ScriptedEngine()
    engines = [second, first]

    async def connect() -> ScriptedEngine:
        return engines.pop()

    link = EngineLink(connect, on_ready=lambda: None)
    link.start()
    await until(lambda: link.state is LinkState.READY)
    first.problem = EngineUnavailableError("gone")
    assert await link.engine() is not first
    await until(lambda: link.state is LinkState.READY and not engines)
    assert await link.engine() is second
    assert first.closed


async def test_lessons_wait_for_the_engine_and_come_in_portions():
    engine = ScriptedEngine()
    taught = []
    link = await linked(engine, on_taught=lambda: taught.append(1))
    files = {f"{number:03}.py": Path(f"/{number}") for number in range(100)}
    link.teach("c", files)
    await until(lambda: sum(len(names) for _, names in engine.lessons) == 100)
    assert [len(names) for _, names in engine.lessons] == [64, 36]
    await until(lambda: len(taught) == 2)
    link.forget("c", ["000.py"])
    await until(lambda: engine.forgotten == [("c", ["000.py"])])


async def test_what_is_forgotten_before_it_is_learned_is_not_learned():
    engine = ScriptedEngine()
    link = await linked(engine)
    link.teach("c", {"a.py": Path("/a"), "b.py": Path("/b")})
    link.forget("c", ["a.py"])
    await until(lambda: engine.lessons == [("c", ["b.py"])])
