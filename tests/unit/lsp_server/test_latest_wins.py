import asyncio

import pytest

from lsp_server.completion.latest_wins import SUPERSEDED, LatestWins


async def work(log: list, name: str, seconds: float = 3600):
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        log.append(f"{name} stopped")
        raise
    log.append(f"{name} done")
    return name


async def test_work_alone_gives_its_result():
    assert await LatestWins().run("d", work([], "a", 0)) == "a"


async def test_newer_work_stops_older_work_which_answers_superseded_first():
    turns, log, answers = LatestWins(), [], []

    async def ask(name: str, seconds: float) -> None:
        answers.append((name, await turns.run("d", work(log, name, seconds))))

    older = asyncio.ensure_future(ask("older", 3600))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await ask("newer", 0.01)
    await older
    assert answers == [("older", SUPERSEDED), ("newer", "newer")]
    assert log == ["older stopped", "newer done"]


async def test_work_that_has_just_ended_is_superseded_too():
    turns = LatestWins()

    async def ended() -> str:
        return "stale"

    older = asyncio.ensure_future(turns.run("d", ended()))
    await asyncio.sleep(0)
    turns.supersede("d")
    assert await older is SUPERSEDED


async def test_documents_do_not_disturb_each_other():
    turns = LatestWins()
    assert await asyncio.gather(*(turns.run(name, work([], name, 0.01)) for name in "ab")) == ["a", "b"]


async def test_a_cancelled_caller_is_free_at_once_even_if_the_work_winds_up_slowly():
    turns = LatestWins()
    wound_up = asyncio.Event()

    async def slow_to_stop() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.05)
            wound_up.set()

    caller = asyncio.ensure_future(turns.run("d", slow_to_stop()))
    await asyncio.sleep(0.01)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert not wound_up.is_set()
    await asyncio.wait_for(wound_up.wait(), 5)


async def test_an_error_in_the_work_reaches_the_caller():
    async def fails() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await LatestWins().run("d", fails())
