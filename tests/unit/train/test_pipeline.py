"""The data steps together: deterministic, restartable, the same however the work is divided, here or on Ray."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.files import write_files
from train.config import load
from train.data.config import CleanConfig
from train.data.document import SourceDocument
from train.data.executor import LocalExecutor, open_executor
from train.data.order_files import concatenation, order_repository, samples_of
from train.data.pipeline import CleanCorpus, prepare
from train.errors import CorpusError, RunError

DATA = replace(load("tiny_cpu").data, languages=("python", "go"), largest_repository=10**9)
CLEAN = CleanConfig(buckets=4)


def _module(name: str, imports: str = "", lines: int = 30) -> str:
    body = "".join(f"def {name}_{i}(value):\n    return {name}_table[{i}] + value\n\n\n" for i in range(lines))
    return f"{imports}\n{name}_table = list(range({lines}))\n\n\n{body}"


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    """Three repositories: one in layers, one whose file copies the first's, and a near-copy of the first."""
    root = tmp_path / "sources"
    files = {
        "layers/c.py": _module("low"),
        "layers/b.py": _module("middle", "import c"),
        "layers/a.py": _module("high", "from b import middle_1"),
        "layers/alone.py": _module("alone"),
        "layers/broken.py": "def (:\n" * 9,
        "layers/long.py": "x = '" + "y" * 1200 + "'\n",
        "layers/made.py": "# @generated\n" + _module("made"),
        "layers/vendor/v.py": _module("vendored"),
        "layers/tool.go": "package tool\n\nfunc Double(x int) int { return 2 * x }\n",
        "taker/copy.py": _module("low"),
        "taker/own.py": _module("own"),
        "fork/c.py": _module("low").replace("low_table[3]", "low_table[4]"),
        "fork/b.py": _module("middle", "import c").replace("middle_table[3]", "middle_table[4]"),
        "fork/a.py": _module("high", "from b import middle_1").replace("high_table[3]", "high_table[4]"),
        "fork/alone.py": _module("alone").replace("alone_table[3]", "alone_table[4]"),
        "test/t.py": _module("tested") + "# for every number in the list say whether two of them are close\n",
    }
    write_files(root, files)
    return sorted(path for path in root.iterdir())


def _prepare(sources: list[Path], folder: Path, processes: int = 1, **changes: Any) -> CleanCorpus:
    data = replace(DATA, **{name: changes.pop(name) for name in ("seed", "largest_repository") if name in changes})
    return prepare(sources, data, replace(CLEAN, **changes), folder, LocalExecutor(processes), lambda line: None)


def _names(corpus: CleanCorpus) -> list[str]:
    return [f"{document.repository}/{document.path}" for document in corpus.documents()]


def test_each_step_drops_what_it_is_for(sources: list[Path], tmp_path: Path) -> None:
    benchmark = tmp_path / "benchmark.jsonl"
    benchmark.write_text(json.dumps({"prompt": "For every number in the list, say whether two of them are close."}))
    corpus = _prepare(sources, tmp_path / "out", benchmarks=(str(benchmark),))
    reasons = corpus.tally.reasons()
    assert reasons["a line longer than 1,000 characters"] + reasons["average line longer than 100 characters"] == 1
    assert reasons["generated (says so)"] == 1
    assert reasons["vendored"] == 1
    assert reasons["Python that does not compile"] == 1
    assert reasons["holds text of benchmark"] == 1
    # Of the copies and near-copies, one of each stays, wherever it is.
    kept = _names(corpus)
    for name in ("a.py", "b.py", "alone.py"):
        assert len([path for path in kept if path in (f"layers/{name}", f"fork/{name}")]) == 1
    assert len([path for path in kept if path in ("layers/c.py", "fork/c.py", "taker/copy.py")]) == 1
    assert {"taker/own.py", "layers/tool.go"} <= set(kept)


def test_what_is_kept_and_dropped_adds_up(sources: list[Path], tmp_path: Path) -> None:
    corpus = _prepare(sources, tmp_path / "out")
    collected = sum(count for (step, _), count in corpus.tally.kept.items() if step == "collect")
    dropped = sum(count for (step, _, _), count in corpus.tally.dropped.items() if step != "collect")
    assert collected - dropped == len(_names(corpus))


def test_near_copies_of_a_repository_go_as_a_whole(sources: list[Path], tmp_path: Path) -> None:
    near = [path for path in sources if path.name in ("layers", "fork")]
    (near[0] / "vendor" / "v.py").unlink(missing_ok=True)
    for name in ("broken.py", "long.py", "made.py", "tool.go"):
        (next(path for path in near if path.name == "layers") / name).unlink()
    corpus = _prepare(near, tmp_path / "out", near_duplicates=("repositories",))
    assert len({name.partition("/")[0] for name in _names(corpus)}) == 1
    assert corpus.tally.reasons()["in a near-copy of another repository"] == 4
    both = _prepare(near, tmp_path / "exact", near_duplicates=())
    assert len(_names(both)) == 8


def test_files_that_hang_together_stand_together_after_what_they_import(sources: list[Path], tmp_path: Path) -> None:
    corpus = _prepare([next(path for path in sources if path.name == "layers")], tmp_path / "out")
    samples = [[document.path for document in sample] for sample in samples_of(corpus.documents())]
    assert sorted(samples) == [["alone.py"], ["c.py", "b.py", "a.py"], ["tool.go"]]


def test_the_order_of_samples_depends_on_the_seed_alone(sources: list[Path], tmp_path: Path) -> None:
    one, again, other = (_prepare(sources, tmp_path / str(i), seed=seed) for i, seed in enumerate((1, 1, 2)))
    assert _names(one) == _names(again) != _names(other)
    assert sorted(_names(one)) == sorted(_names(other))
    random = _prepare(sources, tmp_path / "random", order="random")
    assert sorted(_names(random)) == sorted(_names(one))


def test_what_is_kept_does_not_depend_on_how_the_work_is_divided(sources: list[Path], tmp_path: Path) -> None:
    plain = _prepare(sources, tmp_path / "one", buckets=1)
    spread = _prepare(sources, tmp_path / "many", buckets=13, processes=2)
    assert _names(plain) == _names(spread)
    assert plain.tally.to_json() == spread.tally.to_json()


def test_a_repository_gives_no_more_than_its_share(sources: list[Path], tmp_path: Path) -> None:
    corpus = _prepare(sources, tmp_path / "out", largest_repository=2000)
    assert len([name for name in _names(corpus) if name.startswith(("layers/", "fork/"))]) <= 4
    assert corpus.tally.reasons()["beyond the repository's share"] > 0


def test_a_step_is_done_again_when_its_options_change_and_not_else(sources: list[Path], tmp_path: Path) -> None:
    def steps(**changes: Any) -> list[str]:
        told: list[str] = []
        prepare(sources, DATA, replace(CLEAN, **changes), tmp_path / "out", LocalExecutor(1), told.append)
        return [line.partition(":")[0] for line in told]

    assert steps()[0] == "collect"
    assert steps() == []
    assert steps(screening="none") == ["mix"]
    assert steps(similarity=0.8)[:2] == ["sign_files", "compare_files"]


def test_a_run_that_was_broken_off_goes_on_with_what_is_missing(sources: list[Path], tmp_path: Path) -> None:
    whole = _prepare(sources, tmp_path / "whole")

    class StoppedError(Exception):
        pass

    class StopsExecutor(LocalExecutor):
        left = 17

        def run(self, function: Any, jobs: Any) -> Iterator[Any]:
            for result in super().run(function, jobs):
                self.left -= 1
                if not self.left:
                    raise StoppedError
                yield result

    with pytest.raises(StoppedError):
        prepare(sources, DATA, CLEAN, tmp_path / "broken", StopsExecutor(1), lambda line: None)
    told: list[str] = []
    resumed = prepare(sources, DATA, CLEAN, tmp_path / "broken", LocalExecutor(1), told.append)
    assert not any(line.startswith("collect") for line in told)
    assert _names(resumed) == _names(whole)
    assert resumed.tally.to_json() == whole.tally.to_json()


MISTAKES: dict[str, dict[str, Any]] = {
    "may name files and repositories": {"near_duplicates": ("directories",)},
    "must lie in": {"similarity": 0.0},
    "give module:function": {"quality_model": "no_such_module:f"},
    "cannot read the benchmark": {"benchmarks": ("nowhere.jsonl",)},
}


@pytest.mark.parametrize("message", MISTAKES)
def test_wrong_options_are_refused_before_any_work(message: str, sources: list[Path], tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=message):
        _prepare(sources, tmp_path / "out", **MISTAKES[message])
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_named(sources: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        _prepare(sources, tmp_path / "file" / "out")


def _files(*texts: tuple[str, str]) -> list[SourceDocument]:
    return [
        SourceDocument(repository="r", path=path, language="python", comment="#", text=text) for path, text in texts
    ]


def test_cycles_and_self_imports_are_ordered_once_each() -> None:
    files = _files(("a.py", "import b\nimport a\n"), ("b.py", "import a\n"), ("z.py", "x = 1\n"))
    ordered = order_repository(files, {})
    assert [(document.path, document.sample) for document in ordered] == [("a.py", 1), ("b.py", 1), ("z.py", 2)]


def test_every_file_of_a_concatenation_stands_under_a_comment_with_its_path() -> None:
    assert concatenation(_files(("a.py", "x = 1\n"), ("b/c.py", "y\n"))) == "#a.py\nx = 1\n#b/c.py\ny\n"


ON_RAY = """
import sys
from dataclasses import replace
from pathlib import Path
from train.config import load
from train.data.config import CleanConfig
from train.data.executor import open_executor
from train.data.pipeline import prepare

data = replace(load("tiny_cpu").data, languages=("python", "go"), largest_repository=10**9)
with open_executor(sys.argv[1]) as executor:
    prepare([Path(path) for path in sys.argv[3:]], data, CleanConfig(buckets=4), Path(sys.argv[2]), executor, print)
"""


@contextmanager
def _ray_cluster(folder: Path) -> Iterator[str]:
    """Start a cluster of one node in processes of its own; yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    temporary = tempfile.mkdtemp(prefix="ray")  # Ray's sockets lie there: their paths must be short
    environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}
    command = [sys.executable, "-P", "-m", "ray.scripts.scripts", "start", "--head", f"--port={port}", "--num-cpus=2"]
    command += ["--node-ip-address=127.0.0.1", "--include-dashboard=false", "--block", f"--temp-dir={temporary}"]
    command += ["--object-store-memory=100000000", "--disable-usage-stats"]
    with (folder / "ray.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        deadline = time.monotonic() + 120
        while "Ray runtime started" not in (folder / "ray.log").read_text():
            assert process.poll() is None, (folder / "ray.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=60)
        shutil.rmtree(temporary, ignore_errors=True)


@pytest.mark.slow
def test_a_ray_cluster_keeps_what_one_machine_keeps(sources: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'midfill[distributed]'")
    local = _prepare(sources, tmp_path / "local")
    with _ray_cluster(tmp_path) as address:
        command = [sys.executable, "-P", "-c", ON_RAY, address, str(tmp_path / "ray"), *map(str, sources)]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
        subprocess.run(command, check=True, env=environment, timeout=300, cwd=tmp_path)
    remote = prepare(sources, DATA, CLEAN, tmp_path / "ray", LocalExecutor(1), pytest.fail)
    assert _names(remote) == _names(local)
    assert remote.tally.to_json() == local.tally.to_json()


def test_a_cluster_that_is_not_there_is_named() -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'midfill[distributed]'")
    with pytest.raises(CorpusError, match="there is no Ray cluster at"), open_executor("nonsense:address:1"):
        pass
