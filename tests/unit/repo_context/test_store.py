import os
import sqlite3
import stat
from pathlib import Path

import numpy as np
import pytest

from repo_context.errors import CorruptIndexError, IndexFolderError
from repo_context.file_record import FileRecord, Skipped, SkipReason, Unchanged, record_text
from repo_context.languages import language_named
from repo_context.store import DATABASE, Store, default_index_folder
from repo_context.text_index import ChunkTable

SOURCE = "import a.b as c\nfrom .x import (y, z as w)\n\nclass Größe(Base):\n    def load(self): return helper()\n"


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def table_of(record, vocabulary):
    chunks = record.chunks
    ids = np.array([vocabulary.setdefault(term, len(vocabulary)) for term in chunks.terms], np.int32)
    return ChunkTable(
        starts=np.array(chunks.starts, np.int32),
        ends=np.array(chunks.ends, np.int32),
        pointers=np.array(chunks.pointers, np.int32),
        term_ids=ids[np.array(chunks.places, np.int32)],
        counts=np.array(chunks.counts, np.int32),
    )


def record(path="ü b/x.py", source=SOURCE):
    return record_text(path, source, language_named("python"), mtime_ns=7, size=9, digest=b"1" * 16)


def filled(root, folder, *records: FileRecord):
    store = Store.open(folder, root)
    vocabulary = store.vocabulary()
    store.write([(item, table_of(item, vocabulary)) for item in records or (record(),)], vocabulary)
    return store


def test_what_is_written_comes_back_equal(root, tmp_path):
    filled(root, tmp_path / "index").close()
    store = Store.open(tmp_path / "index", root)
    vocabulary = store.vocabulary()
    (found,) = store.files()
    expected = record()
    assert (found.path, found.definitions, found.imports) == (expected.path, expected.definitions, expected.imports)
    assert {name: tuple(lines) for name, lines in found.references.items()} == expected.references
    wanted = table_of(expected, dict(vocabulary))
    for name in ("starts", "ends", "pointers", "term_ids", "counts"):
        np.testing.assert_array_equal(getattr(found.table, name), getattr(wanted, name))
    store.close()


def test_a_file_written_again_replaces_itself(root, tmp_path):
    store = filled(root, tmp_path / "index", record(), record(source="x = 1\n"))
    assert [len(item.definitions) for item in store.files()] == [1]
    store.close()


def test_removed_skipped_and_touched_files_are_noted(root, tmp_path):
    store = filled(root, tmp_path / "index", record("a.py"), record("b.py"))
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


def test_a_folder_that_cannot_be_made_is_an_error_of_one_line(root, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(IndexFolderError, match="set MIDFILL_HOME") as caught:
        Store.open(tmp_path / "file" / "index", root)
    assert "\n" not in str(caught.value)


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
    filled(root, tmp_path / "index", *(record(f"{number}.py") for number in range(40))).close()
    damage(tmp_path / "index" / DATABASE)
    store = Store.open(tmp_path / "index", root)
    assert (store.stamps(), store.vocabulary(), list(store.files())) == ({}, {}, [])
    store.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE chunks SET data = zeroblob(length(data))",
        "UPDATE chunks SET data = substr(data, 1, 10)",
        "UPDATE chunks SET data = 'text'",
        "DELETE FROM chunks",
        "DELETE FROM symbols WHERE number = 0",
        "DELETE FROM imports",
        "UPDATE files SET uses = '{}'",
        "UPDATE imports SET names = 'no tab'",
        "DELETE FROM terms WHERE id > 3",
        "DELETE FROM terms WHERE id = 0",
        "DROP TABLE symbols",
    ],
)
def test_rows_that_do_not_fit_together_are_not_trusted(root, tmp_path, statement):
    filled(root, tmp_path / "index").close()
    with sqlite3.connect(tmp_path / "index" / DATABASE) as connection:
        connection.execute(statement)
    connection.close()
    store = Store.open(tmp_path / "index", root)
    with pytest.raises(CorruptIndexError):
        (store.vocabulary(), list(store.files()))
    store.start_over(root)
    assert list(store.files()) == []
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
    reader.vocabulary()
    assert [item.path for item in reader.files()] == [record().path]
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
        vocabulary = dict(before)
        late = record("late.py", "class Afterwards: pass\n")
        writer.write([(late, table_of(late, vocabulary))], vocabulary)
        assert [item.path for item in reader.files()] == [record().path]
    assert len(reader.vocabulary()) > len(before)
    assert len(list(reader.files())) == 2
    writer.close()
    reader.close()
