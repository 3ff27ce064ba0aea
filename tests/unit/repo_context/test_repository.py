import gc
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from repo_context.errors import IndexFolderError, RepositoryNotFoundError
from repo_context.index_database import DATABASE
from repo_context.repository import Repository
from repo_context.snippet import Cursor
from tests.support.files import write_files

PACKAGES = Path(__file__).parents[3]
FILES = {
    "app/__init__.py": "",
    "app/models.py": "class Order:\n    def total(self) -> int:\n        return 1\n",
    "app/views.py": "from app.models import Order\n\n\ndef show(order: Order) -> str:\n    return str(order.total())\n",
    "web/index.ts": 'import { draw } from "./draw";\ndraw();\n',
    "web/draw.ts": "export function draw(): void {}\n",
    "README.md": "# Shop\n\nOrders and views.\n",
    ".gitignore": "build/\n",
    "build/out.py": "secret = 1\n",
    ".env": "TOKEN=hunter2\n",
    "logo.py": "\x00binary",
}


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "my repo ü"
    write_files(folder, FILES)
    return folder


@pytest.fixture
def reopen(root, tmp_path):
    opened = []

    def reopen(folder=root, **options):
        while opened:
            opened.pop().close()
        opened.append(Repository.open(folder, index_folder=tmp_path / "index", **options))
        return opened[-1]

    yield reopen
    for repository in opened:
        repository.close()


def paths(repository):
    return [file.path for file in repository.files()]


def ask(repository, text, path="scratch.py", budget=500):
    cursor = Cursor(path=path, prefix=text, suffix="")
    return repository.snippets_for(cursor, budget=budget, count_tokens=lambda text: len(text.split()))


INDEXED = ["README.md", "app/__init__.py", "app/models.py", "app/views.py", "web/draw.ts", "web/index.ts"]


def test_a_folder_is_indexed_and_what_is_left_out_is_counted(reopen, root):
    repository = reopen()
    summary = repository.summary()
    assert paths(repository) == INDEXED
    assert (summary.root, summary.files, summary.reparsed) == (root.resolve(), 6, 6)
    assert (summary.symbols, summary.edges, summary.chunks) == (4, 2, 5)
    assert summary.by_language == {"python": 3, "typescript": 2, "markdown": 1}
    assert sum(summary.skipped.values()) == 4
    assert repository.depends_on()["app/views.py"] == ["app/models.py"]


def test_progress_is_told_file_by_file(reopen):
    seen = []
    reopen(on_progress=seen.append)
    assert [(step.done, step.total) for step in seen] == [(number, 7) for number in range(1, 8)]
    assert {step.path for step in seen} == {*INDEXED, "logo.py"}


def test_an_unchanged_repository_is_not_parsed_again(reopen):
    before = reopen()
    expected = (before.summary().symbols, before.summary().edges, before.summary().chunks, before.summary().skipped)
    answer = ask(before, "from app.models import Order\nOrder(")
    seen = []
    after = reopen(on_progress=seen.append)
    summary = after.summary()
    assert (summary.reparsed, seen) == (0, [])
    assert (summary.symbols, summary.edges, summary.chunks, summary.skipped) == expected
    assert ask(after, "from app.models import Order\nOrder(") == answer


def test_only_files_that_changed_are_parsed_again(reopen, root):
    reopen()
    write_files(root, {"app/models.py": "class Order:\n    pass\n\n\nclass Basket:\n    pass\n", "new.py": "x = 1\n"})
    (root / "web/draw.ts").unlink()
    repository = reopen()
    assert repository.summary().reparsed == 2
    assert paths(repository) == sorted([*[*INDEXED, "new.py"][:4], "new.py", "web/index.ts"])
    assert [item.name for item in repository.definitions_in("app/models.py")] == ["Order", "Basket"]


def test_a_new_time_stamp_alone_is_no_change(reopen, root):
    reopen()
    os.utime(root / "app/models.py", ns=(1, 1))
    assert reopen().summary().reparsed == 0
    repository = reopen()
    assert paths(repository) == INDEXED
    assert [item.name for item in repository.definitions_in("app/models.py")] == ["Order", "total"]


def test_a_file_emptied_right_after_a_restart_is_indexed_as_empty(reopen):
    """What is mapped from disk cannot be written to, and an empty file needs no more room."""
    reopen()
    repository = reopen()
    path = paths(repository)[0]
    repository.update(path, "")
    assert path in paths(repository)


def test_an_empty_folder_is_a_repository(reopen, tmp_path):
    (tmp_path / "empty").mkdir()
    repository = reopen(tmp_path / "empty")
    assert (repository.files(), repository.summary().chunks, ask(repository, "x = ")) == ((), 0, ())


@pytest.mark.parametrize("name", ["nowhere", "my repo ü/README.md"])
def test_what_is_no_folder_is_an_error_of_one_line(tmp_path, root, name):
    with pytest.raises(RepositoryNotFoundError, match="give the folder of a repository") as caught:
        Repository.open(tmp_path / name, index_folder=tmp_path / "index")
    assert "\n" not in str(caught.value)


def test_an_index_inside_the_repository_is_refused(root, monkeypatch):
    with pytest.raises(IndexFolderError):
        Repository.open(root, index_folder=root / "index")
    monkeypatch.setenv("MIDFILL_HOME", str(root / "home"))
    with pytest.raises(IndexFolderError):
        Repository.open(root)
    assert not (root / "home").exists()


def test_the_index_lies_in_the_folder_that_the_environment_names(root, tmp_path, monkeypatch):
    monkeypatch.setenv("MIDFILL_HOME", str(tmp_path / "home"))
    with Repository.open(root) as repository:
        assert repository.summary().index_folder.parent == tmp_path / "home" / "index"
    assert sorted(path.name for path in root.iterdir()) == sorted({path.split("/")[0] for path in FILES})


@pytest.mark.parametrize("cut", [0, 100, 4096, 10_000])
def test_a_damaged_index_is_rebuilt(reopen, tmp_path, cut):
    reopen().close()
    database = tmp_path / "index" / DATABASE
    content = bytearray(database.read_bytes())
    content[cut : cut + 8192] = b"\xa5" * len(content[cut : cut + 8192])
    database.write_bytes(bytes(content))
    repository = reopen()
    assert (paths(repository), repository.summary().reparsed) == (INDEXED, 6)
    assert reopen().summary().reparsed == 0


def test_rows_that_fail_their_checksum_are_rebuilt(reopen, tmp_path):
    reopen().close()
    with sqlite3.connect(tmp_path / "index" / DATABASE) as connection:
        connection.execute("UPDATE files SET syntax = zeroblob(length(syntax)) WHERE id = 1")
    connection.close()
    repository = reopen()
    assert (paths(repository), repository.summary().reparsed) == (INDEXED, 6)


KILLED = """
import sys
from pathlib import Path
from repo_context.repository import Repository

def step(progress):
    print(progress.done, flush=True)

Repository.open(Path(sys.argv[1]), index_folder=Path(sys.argv[2]), on_progress=step)
"""


def test_an_indexing_that_is_killed_leaves_an_index_that_the_next_one_completes(tmp_path):
    root = tmp_path / "many"
    write_files(root, {f"pkg/f{number}.py": f"def f{number}(): pass\n" * 40 for number in range(1_200)})
    command = [sys.executable, "-P", "-c", KILLED, str(root), str(tmp_path / "index")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(PACKAGES)}
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 700:
                process.send_signal(signal.SIGKILL)
                break
    with Repository.open(root, index_folder=tmp_path / "index") as repository:
        summary = repository.summary()
        assert (summary.files, summary.symbols) == (1_200, 48_000)
        assert summary.reparsed < 1_200
    with Repository.open(root, index_folder=tmp_path / "index") as repository:
        assert repository.summary().reparsed == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_closed_repository_holds_on_to_none_of_its_files(root, tmp_path):
    for _ in range(3):
        with Repository.open(root, index_folder=tmp_path / "index") as repository:
            repository.snippets_for(Cursor(path="new.py", prefix="x", suffix=""), budget=100, count_tokens=len)
        del repository
        gc.collect()
        assert str(tmp_path / "index") not in Path("/proc/self/maps").read_text()


def test_two_processes_may_open_the_same_repository(root, tmp_path):
    with (
        Repository.open(root, index_folder=tmp_path / "index") as first,
        Repository.open(root, index_folder=tmp_path / "index") as second,
    ):
        assert second.summary().reparsed == 0
        second.update("app/models.py", "class Changed: pass\n")
        (root / "app/models.py").write_text("class OnDisk: pass\n")
        second.update("app/models.py")
        assert [item.name for item in second.definitions_in("app/models.py")] == ["OnDisk"]
        assert [item.name for item in first.definitions_in("app/models.py")] == ["Order", "total"]


def test_changes_of_a_long_session_are_put_into_the_base_but_never_unsaved_text(root, tmp_path, monkeypatch):
    monkeypatch.setattr("repo_context.live_index.LOOSE_CHUNKS", 0)
    cursor = Cursor(path="new.py", prefix="weigh_parcels", suffix="")
    with Repository.open(root, index_folder=tmp_path / "index") as repository:
        repository.update("app/models.py", "def unsaved(): pass\n")
        (root / "app/new_one.py").write_text("def weigh_parcels(): pass\n")
        before = list((tmp_path / "index").glob("postings-*/seal.npy"))
        repository.update("app/new_one.py")
        assert list((tmp_path / "index").glob("postings-*/seal.npy")) == before
        repository.update("app/models.py")
        assert list((tmp_path / "index").glob("postings-*/seal.npy")) != before
        assert "app/new_one.py" in {item.path for item in repository.snippets_for(cursor, budget=200, count_tokens=len)}
    with Repository.open(root, index_folder=tmp_path / "index") as repository:
        assert repository.summary().reparsed == 0


def test_unsaved_text_is_seen_at_once_and_is_not_stored(reopen):
    repository = reopen()
    repository.update("app/models.py", "class Basket:\n    def weigh(self): ...\n")
    assert "class Basket" in ask(repository, "from app.models import Basket\nBasket(")[0].text
    assert [item.name for item in repository.definitions_in("app/models.py")] == ["Basket", "weigh"]
    assert [item.name for item in reopen().definitions_in("app/models.py")] == ["Order", "total"]


def test_a_saved_file_is_seen_at_once_and_stored(reopen, root):
    repository = reopen()
    write_files(root, {"app/models.py": "class Basket: pass\n", "app/new.py": "def fresh(): pass\n"})
    repository.update("app/models.py")
    repository.update(root / "app/new.py")
    assert [item.name for item in repository.definitions_in("app/models.py")] == ["Basket"]
    after = reopen()
    assert after.summary().reparsed == 0
    assert "app/new.py" in paths(after)


def test_a_new_module_is_linked_to_files_that_import_it(reopen):
    repository = reopen()
    repository.update("app/other.py", "from app.late import thing\n")
    assert repository.depends_on()["app/other.py"] == []
    repository.update("app/late.py", "def thing(): ...\n")
    assert repository.depends_on()["app/other.py"] == ["app/late.py"]
    repository.remove("app/late.py")
    assert repository.depends_on()["app/other.py"] == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("build/out.py", "x = 1\n"),
        (".env", "TOKEN=hunter2\n"),
        ("node_modules/a.js", "x()\n"),
        ("app/binary.py", "\x00"),
        ("app/min.js", "x" * 6_000),
        ("app/key.py", "k = '-----BEGIN PRIVATE KEY-----'"),
        ("../outside.py", "x = 1\n"),
        ("/etc/outside.py", "x = 1\n"),
        ("app/photo.png", "x"),
        ("", "x"),
    ],
)
def test_what_must_not_be_indexed_is_not_indexed_by_an_update_either(reopen, path, text):
    repository = reopen()
    repository.update(path, text)
    repository.update(path)
    assert paths(repository) == INDEXED


def test_a_file_that_turns_bad_or_vanishes_is_taken_out(reopen, root):
    repository = reopen()
    (root / "app/views.py").write_bytes(b"\xff\xfe\xff")
    (root / "web/draw.ts").unlink()
    for path in ("app/views.py", "web/draw.ts"):
        repository.update(path)
    repository.update("app/models.py", "\x00")
    assert paths(repository) == ["README.md", "app/__init__.py", "web/index.ts"]


def test_new_ignore_rules_take_files_out_and_let_others_in(reopen, root):
    repository = reopen()
    write_files(root, {".gitignore": "web/\n"})
    repository.update(".gitignore")
    assert paths(repository) == [*INDEXED[:4], "build/out.py"]
    assert paths(reopen()) == [*INDEXED[:4], "build/out.py"]


def test_new_settings_change_what_imports_lead_to(reopen, root):
    repository = reopen()
    repository.update("web/use.ts", 'import { draw } from "@/draw";\n')
    assert repository.depends_on()["web/use.ts"] == []
    write_files(root, {"tsconfig.json": '{"compilerOptions": {"paths": {"@/*": ["web/*"]}}}'})
    repository.update("tsconfig.json")
    assert repository.depends_on()["web/use.ts"] == ["web/draw.ts"]


def test_a_file_that_changed_behind_our_back_is_left_out_once_and_indexed_again(reopen, root):
    repository = reopen()
    question = "from app.models import Order\nOrder("
    assert "app/models.py" in [snippet.path for snippet in ask(repository, question)]
    write_files(root, {"app/models.py": "# moved\n\nclass Order:\n    def fresh(self): ...\n"})
    assert "app/models.py" not in [snippet.path for snippet in ask(repository, question)]
    (found,) = [snippet for snippet in ask(repository, question) if snippet.path == "app/models.py"]
    assert "def fresh" in found.text


def test_a_file_that_is_deleted_behind_our_back_disappears(reopen, root):
    repository = reopen()
    shutil.rmtree(root / "app")
    assert ask(repository, "from app.models import Order\nOrder(") == ()
    assert "app/models.py" not in paths(repository)


def test_windows_line_ends_give_the_same_snippets(reopen, root):
    plain = ask(reopen(), "from app.models import Order\nOrder(")
    (root / "app/models.py").write_bytes(FILES["app/models.py"].replace("\n", "\r\n").encode())
    assert ask(reopen(), "from app.models import Order\r\nOrder(") == plain


def test_a_cursor_in_a_file_that_is_not_indexed_has_its_imports_read(reopen):
    found = ask(reopen(), "from app.models import Order\nOrder(", path="build/made.py")
    assert found[0].path == "app/models.py"


def test_of_a_file_that_is_not_indexed_every_line_but_the_cursors_is_read_anew_when_it_changes(reopen):
    repository = reopen()
    moved = "\n" * 9  # so far that no selection is kept for its own sake
    for above, path in (
        ("from app.models import Order", "app/models.py"),
        (f"from app.views import show{moved}", "app/views.py"),
    ):
        for typed in ("x = Order(show(", "x = Order(show(order, ("):
            found = ask(repository, f"{above}\n{typed}", path="build/made.py")
            assert found[0].path == path


def test_a_deep_tree_of_many_files_is_scanned_parsed_and_searched(tmp_path):
    root = tmp_path / "wide"
    write_files(root, {f"p{number % 9}/m{number}.py": f"def thing_{number}(): pass\n" for number in range(130)})
    with Repository.open(root, index_folder=tmp_path / "index") as repository:
        assert repository.summary().reparsed == 130
        assert next(s.path for s in ask(repository, "thing_77(")) == "p5/m77.py"


def test_closing_twice_is_harmless(root, tmp_path):
    repository = Repository.open(root, index_folder=tmp_path / "index")
    repository.close()
    repository.close()


def test_opening_takes_wall_time_and_says_so(reopen):
    started = time.perf_counter()
    summary = reopen().summary()
    assert 0 < summary.seconds <= time.perf_counter() - started


def test_an_opened_file_is_made_ready_and_answers_as_if_it_had_not_been(tmp_path):
    write_files(tmp_path / "r", {"a.py": "class Cart:\n    def total(self):\n        return 1\n", "b.py": "x = 1\n"})
    answers, kept = [], []
    for opened in ([], ["a.py", "missing.py", "../outside.py"]):
        with Repository.open(tmp_path / "r", index_folder=tmp_path / f"index{len(opened)}") as repository:
            for path in opened:
                repository.note_open(path)
            kept.append("a.py" in repository._index.trees)
            repository.update("a.py", "class Cart:\n    def total(self, fresh):\n        return fresh\n")
            answers.append(ask(repository, "from a import Cart\nCart().total(fresh"))
    assert kept == [False, True]
    assert answers[0] == answers[1] != []
