from repo_context.recent_files import EDITED_BOOST, MAX_EDITED, MAX_FILES, OPEN_BOOST, RecentFiles
from repo_context.repository import Repository
from repo_context.snippet import Cursor


def test_the_files_edited_last_count_most_and_older_ones_as_open():
    recent = RecentFiles()
    for number in range(MAX_EDITED + 2):
        recent.note_edit(f"{number}.py")
    boosts = recent.boosts()
    assert [boosts[f"{number}.py"] for number in range(MAX_EDITED + 2)] == [OPEN_BOOST] * 2 + [
        EDITED_BOOST
    ] * MAX_EDITED


def test_only_so_many_files_are_remembered_and_closed_ones_are_forgotten():
    recent = RecentFiles()
    for number in range(MAX_FILES + 5):
        recent.note_open(f"{number}.py")
    assert len(recent.boosts()) == MAX_FILES
    recent.forget("24.py")
    assert "24.py" not in recent.boosts()


def test_of_equally_similar_files_the_one_edited_last_comes_first(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    for name in ("a", "b", "c"):
        (root / f"{name}.py").write_text(f"def {name}_one(order):\n    return ship(order, fast=True)\n")
    for number in range(20):
        (root / f"filler_{number}.py").write_text(f"value_{number} = {number}\n")
    cursor = Cursor(path="new.py", prefix="def two(order):\n    return ship(", suffix="\n")
    with Repository.open(root, index_folder=tmp_path / "index") as repository:
        repository.note_open("b.py")
        repository.note_edit(root / "c.py")
        found = repository.snippets_for(cursor, budget=500, count_tokens=len)
    assert [snippet.path for snippet in found][:3] == ["c.py", "b.py", "a.py"]
