import errno
import os
import sqlite3
import stat
from pathlib import Path

import pytest

from repo_context.chunk_terms import TermCounter
from repo_context.errors import CorruptIndexError, IndexFolderError
from repo_context.file_record import Skipped, SkipReason, Unchanged, record_text
from repo_context.index_database import DATABASE
from repo_context.kept_trees import KeptTrees
from repo_context.languages import language_named
from repo_context.store import Store, default_index_folder
from repo_context.text_index import TextIndex

SOURCE = "import a.b as c\nfrom .x import (y, z as w)\n\nclass Größe(Base):\n    def load(self): return helper()\n"


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def record(path="ü b/x.py", source=SOURCE, vocabulary=None, names=None):
    counter = TermCounter({} if vocabulary is None else vocabulary, names)
    return record_text(
        path, source, language_named("python"), counter, KeptTrees(), mtime_ns=7, size=9, digest=b"1" * 16
    )


def fill(store, *files):
    """Store files, (path, source), and return their records."""
    vocabulary = store.vocabulary()
    names = store.names()
    records = [record(path, source, vocabulary, names) for path, source in files or [("ü b/x.py", SOURCE)]]
    store.write(records, vocabulary, names)
    return records


def filled(root, folder, *files):
    store = Store.open(folder, root)
    fill(store, *files)
    return store


def stored(store):
    store.vocabulary()
    store.names()
    return list(store.files(store.base()))


def same_table(one, other):
    return all(
        getattr(one, name).tolist() == getattr(other, name).tolist()
        for name in ("starts", "ends", "pointers", "term_ids", "counts")
    )


def test_what_is_written_comes_back_equal(root, tmp_path):
    store = Store.open(tmp_path / "index", root)
    (expected,) = fill(store)
    store.close()
    store = Store.open(tmp_path / "index", root)
    (found,) = stored(store)
    assert (found.path, found.packed, found.symbols) == (expected.path, expected.packed, expected.symbols)
    assert found.names.tolist() == expected.names.tolist()
    assert same_table(found.table, expected.chunks)
    store.close()


def compacted(store, *records):
    """Put all records into a base, as the repository does."""
    index = TextIndex(store.vocabulary())
    index.add({item.path: item.chunks for item in records})
    return store.write_base(*index.compact())


def test_a_base_takes_the_place_of_the_log_and_holds_the_same(root, tmp_path):
    store = Store.open(tmp_path / "index", root)
    records = fill(store, ("a.py", SOURCE), ("b.py", "b = load(1)\n\n\nb"), ("empty.py", ""))
    compacted(store, *records)
    late = record("late.py", "x = fresh\n", vocabulary := store.vocabulary(), names := store.names())
    store.write([late], vocabulary, names)
    store.close()
    assert sorted(entry.name for entry in (tmp_path / "index").glob("postings-*")) == ["postings-1", "postings-1.log"]
    store = Store.open(tmp_path / "index", root)
    found = {file.path: file for file in stored(store)}
    base = store.base()
    for item in records:
        assert found[item.path].table is None
        assert same_table(base.table(found[item.path].id), item.chunks)
    assert same_table(found["late.py"].table, late.chunks)
    store.close()


def test_a_base_of_other_files_than_those_stored_is_not_written(root, tmp_path):
    store = Store.open(tmp_path / "index", root)
    records = fill(store, ("a.py", SOURCE), ("b.py", SOURCE))
    assert compacted(store, *records[:1]) is None
    assert store.base() is None
    store.close()


def test_a_base_that_was_never_finished_is_swept_away(root, tmp_path):
    filled(root, tmp_path / "index").close()
    (tmp_path / "index" / "postings-1").mkdir()
    (tmp_path / "index" / "postings-1" / "terms.npy").write_bytes(b"half")
    with (tmp_path / "index" / "postings-0.log").open("ab") as log:
        log.write(b"never committed")
    store = filled(root, tmp_path / "index", ("late.py", "x = 1\n"))
    assert sorted(file.path for file in stored(store)) == ["late.py", "ü b/x.py"]
    assert not (tmp_path / "index" / "postings-1").exists()
    store.close()


@pytest.mark.parametrize("name", ["slots", "counts", "own_terms", "file_ids", "seal"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_base_is_not_trusted(root, tmp_path, name, damage):
    store = Store.open(tmp_path / "index", root)
    compacted(store, *fill(store, ("a.py", SOURCE), ("b.py", SOURCE)))
    file = tmp_path / "index" / "postings-1" / f"{name}.npy"
    content = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.unlink()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if damage == "flip" else content[: len(content) // 2])
    with pytest.raises(CorruptIndexError):
        store.base()
    store.close()


def test_a_file_written_again_replaces_itself(root, tmp_path):
    store = filled(root, tmp_path / "index", ("a.py", SOURCE), ("a.py", "x = 1\n"))
    assert [item.symbols for item in stored(store)] == [1]
    store.close()


def test_removed_skipped_and_touched_files_are_noted(root, tmp_path):
    store = filled(root, tmp_path / "index", ("a.py", SOURCE), ("b.py", SOURCE))
    skip = Skipped(path="c.py", reason=SkipReason.BINARY, mtime_ns=1, size=2)
    store.note(removed=["a.py"], skipped=[skip], unchanged=[Unchanged(path="b.py", mtime_ns=99, size=9)])
    assert {path: stamp.mtime_ns for path, stamp in store.stamps().items()} == {"b.py": 99}
    assert store.skipped() == {"c.py": skip}
    store.close()


def test_the_folder_is_private(root, tmp_path):
    folder = tmp_path / "index"
    folder.mkdir(mode=0o755)
    filled(root, folder).close()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / DATABASE).stat().st_mode) == 0o600


def test_an_index_never_lies_inside_its_repository(root):
    with pytest.raises(IndexFolderError, match="set MIDFILL_HOME"):
        Store.open(root / "index", root)


def test_a_folder_that_cannot_be_made_is_a_warning_of_one_line_and_nothing_is_stored(root, tmp_path):
    (tmp_path / "file").write_text("")
    store = Store.open(tmp_path / "file" / "index", root)
    assert "MIDFILL_HOME" in store.warning
    assert "\n" not in store.warning
    assert not store.writable
    fill(store)
    assert stored(store) == []
    store.close()


def test_what_is_stored_can_be_read_where_it_cannot_be_written(root, tmp_path, monkeypatch):
    filled(root, tmp_path / "index").close()

    def refuse(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("repo_context.index_database.fcntl.flock", refuse)
    store = Store.open(tmp_path / "index", root)
    assert [item.path for item in stored(store)] == ["ü b/x.py"]
    assert "Read-only file system" in store.warning
    store.close()


def test_the_default_folder_tells_roots_of_the_same_name_apart(monkeypatch, tmp_path):
    monkeypatch.setenv("MIDFILL_HOME", str(tmp_path / "home"))
    one, other = default_index_folder(Path("/a/proj")), default_index_folder(Path("/b/proj"))
    assert one.parent == tmp_path / "home" / "index"
    assert one != other
    assert one.name.startswith("proj-")
    monkeypatch.delenv("MIDFILL_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert default_index_folder(Path("/a/proj")).is_relative_to(tmp_path / "cache" / "midfill" / "index")


def damage_header(database):
    database.write_bytes(b"this is no database" + database.read_bytes()[19:])


def damage_pages(database):
    content = bytearray(database.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    database.write_bytes(bytes(content))


def truncate(database):
    os.truncate(database, database.stat().st_size // 2)


def empty(database):
    database.write_bytes(b"")


def change_format(database):
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE meta SET value = '0' WHERE key = 'format'")
    connection.close()


@pytest.mark.parametrize("damage", [damage_header, damage_pages, truncate, empty, change_format])
def test_a_damaged_or_foreign_index_is_replaced_by_an_empty_one(root, tmp_path, damage):
    filled(root, tmp_path / "index", *((f"{number}.py", SOURCE) for number in range(40))).close()
    damage(tmp_path / "index" / DATABASE)
    store = Store.open(tmp_path / "index", root)
    assert (store.stamps(), store.vocabulary(), stored(store)) == ({}, {}, [])
    store.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE files SET syntax = zeroblob(length(syntax))",
        "UPDATE files SET syntax = substr(syntax, 1, 10)",
        "UPDATE files SET syntax = 'text'",
        "UPDATE files SET checksum = checksum + 1",
        "UPDATE files SET log_offset = log_offset + 4",
        "UPDATE files SET log_length = log_length - 4",
        "UPDATE terms SET first = 1",
        "UPDATE terms SET terms = substr(terms, 1, 5)",
        "UPDATE terms SET terms = terms || char(10) || terms",
        "DELETE FROM terms",
        "DELETE FROM generation",
        "UPDATE generation SET number = 7",
        "DROP TABLE files",
    ],
)
def test_rows_that_do_not_fit_together_are_not_trusted(root, tmp_path, statement):
    filled(root, tmp_path / "index").close()
    with sqlite3.connect(tmp_path / "index" / DATABASE) as connection:
        connection.execute(statement)
    connection.close()
    store = Store.open(tmp_path / "index", root)
    with pytest.raises(CorruptIndexError):
        stored(store)
    store.start_over(root)
    assert stored(store) == []
    store.close()


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_log_is_not_trusted(root, tmp_path, damage):
    filled(root, tmp_path / "index").close()
    log = tmp_path / "index" / "postings-0.log"
    content = log.read_bytes()
    log.unlink()
    if damage != "gone":
        log.write_bytes(content[:-1] + b"\xff" if damage == "flip" else content[:-1])
    store = Store.open(tmp_path / "index", root)
    with pytest.raises(CorruptIndexError):
        stored(store)
    store.close()


def test_an_index_of_another_root_is_not_used(root, tmp_path):
    filled(root, tmp_path / "index").close()
    other = tmp_path / "other"
    other.mkdir()
    store = Store.open(tmp_path / "index", other)
    assert store.stamps() == {}
    store.close()


def test_one_process_writes_and_others_read(root, tmp_path):
    writer = filled(root, tmp_path / "index")
    reader = Store.open(tmp_path / "index", root)
    assert (writer.writable, reader.writable) == (True, False)
    assert [item.path for item in stored(reader)] == [record().path]
    reader.note(removed=[record().path])
    assert len(writer.stamps()) == 1
    writer.close()
    reader.close()
    again = Store.open(tmp_path / "index", root)
    assert again.writable
    again.close()


def test_a_reader_of_a_damaged_index_starts_empty_and_leaves_it_alone(root, tmp_path):
    writer = filled(root, tmp_path / "index")
    reader = Store.open(tmp_path / "index", root)
    reader.start_over(root)
    assert reader.stamps() == {}
    assert len(writer.stamps()) == 1
    writer.close()
    reader.close()


def test_a_reader_sees_one_state_while_another_process_writes(root, tmp_path):
    writer = filled(root, tmp_path / "index")
    reader = Store.open(tmp_path / "index", root)
    with reader.reading():
        before = reader.vocabulary()
        reader.names()
        fill(writer, ("late.py", "class Afterwards: pass\n"))
        assert [item.path for item in reader.files(reader.base())] == [record().path]
    assert len(reader.vocabulary()) > len(before)
    assert len(stored(reader)) == 2
    writer.close()
    reader.close()
