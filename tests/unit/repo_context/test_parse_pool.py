import subprocess
import sys
from pathlib import Path

import pytest

from repo_context.chunk_terms import TermCounter
from repo_context.file_record import FileRecord, Job, Skipped, SkipReason, Unchanged
from repo_context.parse_pool import IN_PROCESS_BELOW, parse_files

PACKAGES = Path(__file__).parents[3]


def jobs(folder, count):
    for number in range(count):
        (folder / f"f{number}.py").write_text(f"def f{number}(): pass\n")
    return [Job(f"f{number}.py", str(folder / f"f{number}.py"), "python", None, 20) for number in range(count)]


def names(results):
    return sorted(definition.name for result in results for definition in result.syntax.definitions)


@pytest.mark.parametrize("count", [0, 1, IN_PROCESS_BELOW, 300])
def test_every_job_has_one_result_in_this_process_or_in_others(tmp_path, count):
    results = list(parse_files(jobs(tmp_path, count), TermCounter({})))
    assert names(results) == sorted(f"f{number}" for number in range(count))


def plain(record, counter):
    """A record as values that compare, its terms and names as words."""
    words, known = list(counter.vocabulary), list(counter.names)
    table = record.chunks
    chunks = [
        (
            start,
            end,
            sorted((words[table.term_ids[i]], int(table.counts[i])) for i in range(*table.pointers[n : n + 2])),
        )
        for n, (start, end) in enumerate(zip(table.starts.tolist(), table.ends.tolist(), strict=True))
    ]
    rest = (record.path, record.language, record.mtime_ns, record.size, record.digest, record.unparsed, record.packed)
    return (
        *rest,
        record.symbols,
        sorted(known[number] for number in record.names),
        chunks,
    )


def test_processes_and_this_process_record_the_same(tmp_path):
    many = jobs(tmp_path, 60)
    there_counter, here_counter = TermCounter({"from": 0, "before": 1}), TermCounter({})
    apart = {result.path: plain(result, there_counter) for result in parse_files(many, there_counter)}
    few = many[: IN_PROCESS_BELOW - 1]
    here = {result.path: plain(result, here_counter) for result in parse_files(few, here_counter)}
    assert {path: apart[path] for path in here} == here


def test_files_that_are_left_out_or_unchanged_come_back_as_such(tmp_path):
    many = jobs(tmp_path, 80)
    (tmp_path / "f1.py").unlink()
    (tmp_path / "f2.py").write_bytes(b"\xff\xfe")
    digest = next(iter(parse_files(many[3:4], TermCounter({})))).digest
    many[3] = many[3]._replace(known_digest=digest)
    results = {result.path: result for result in parse_files(many, TermCounter({}))}
    assert results["f1.py"] == Skipped(path="f1.py", reason=SkipReason.VANISHED)
    assert results["f2.py"].reason is SkipReason.NOT_UTF8
    assert isinstance(results["f3.py"], Unchanged)
    assert len(results) == 80


def test_a_job_that_kills_its_process_is_left_out_and_the_others_are_not(tmp_path):
    many = jobs(tmp_path, 120)
    # A language that no process knows stands for whatever ends one.
    many[17] = many[17]._replace(language="no such language")
    results = {result.path: result for result in parse_files(many, TermCounter({}))}
    assert results["f17.py"] == Skipped(path="f17.py", reason=SkipReason.CRASHED, size=20)
    assert sum(isinstance(result, FileRecord) for result in results.values()) == 119


def test_closing_early_ends_the_processes(tmp_path):
    results = parse_files(jobs(tmp_path, 400), TermCounter({}))
    next(results)
    results.close()


HOSTILE_MAIN = """
import sys
sys.path.insert(0, {packages!r})
from pathlib import Path
from repo_context.repository import Repository
print(Repository.open(Path({root!r}), index_folder=Path({index!r})).summary().files)
if __name__ != "__main__":
    raise SystemExit("the script was imported")
"""


def test_a_repository_opens_from_a_script_without_a_guard_in_a_folder_of_decoys(tmp_path):
    root, here = tmp_path / "root", tmp_path / "here"
    root.mkdir()
    here.mkdir()
    jobs(root, 120)
    for decoy in ("repo_context", "tree_sitter", "pickle", "json"):
        (here / f"{decoy}.py").write_text("raise SystemExit('the user\\'s file was run')\n")
    script = tmp_path / "script"
    script.write_text(HOSTILE_MAIN.format(packages=str(PACKAGES), root=str(root), index=str(tmp_path / "index")))
    done = subprocess.run(
        [sys.executable, str(script)], cwd=here, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "120"), done.stderr


WORKER = """
import sys
sys.path.insert(0, {packages!r})
import multiprocessing
from pathlib import Path
from repo_context.repository import Repository

def count(_):
    with Repository.open(Path({root!r}), index_folder=Path({index!r})) as repository:
        return repository.summary().files

if __name__ == "__main__":
    # Workers of a pool are daemons, which may have no children of multiprocessing's.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(count, [0]))
"""


def test_a_repository_opens_inside_a_worker_process(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    jobs(root, 120)
    script = tmp_path / "worker_test.py"
    script.write_text(WORKER.format(packages=str(PACKAGES), root=str(root), index=str(tmp_path / "index")))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[120]"), done.stderr
