import asyncio

from lsp_server.index_process import IndexProcess, IndexState
from repo_context.snippet import Cursor

SIMILAR = "def send(parcel, depot):\n    weigh(parcel)\n    label(parcel, depot)\n    return load(parcel)  # {}\n"
CURSOR = Cursor(path="main.py", prefix="def post(parcel, depot):\n    weigh(parcel)\n    label(", suffix="\n")


async def first_found(root, notes):
    index = IndexProcess(
        root,
        model="default",
        on_progress=lambda progress: None,
        on_ready=lambda: None,
        on_new_file=lambda name, place: None,
        on_failed=lambda why: None,
    )
    index.start()
    try:
        async with asyncio.timeout(120):
            while index.state is not IndexState.READY:
                await asyncio.sleep(0.02)
            for note, name in notes:
                (index.note_open if note == "open" else index.note_closed)(name)
            while index._shown:
                await asyncio.sleep(0.02)
            found = await index.snippets_for(CURSOR, budget=300, wait=60)
            index._texts.pack("a text that never arrives")
            assert await index.snippets_for(CURSOR, budget=300, wait=60) == found
    finally:
        await index.close()
    return found[0].path


def test_the_text_of_an_open_document_counts_more_until_it_is_closed(tmp_path, monkeypatch):
    monkeypatch.setenv("MIDFILL_HOME", str(tmp_path / "home"))
    root = tmp_path / "root"
    for name in ("north", "south", "west"):
        (root / name).mkdir(parents=True)
        (root / name / "depot.py").write_text(SIMILAR.format(name))
    for number in range(9):
        (root / f"other{number}.py").write_text(f"def step_{number}():\n    return {number}\n")
    opened = [("open", "west/depot.py")]
    assert asyncio.run(first_found(root, opened)) == "west/depot.py"
    assert asyncio.run(first_found(root, [*opened, ("closed", "west/depot.py")])) == "north/depot.py"
