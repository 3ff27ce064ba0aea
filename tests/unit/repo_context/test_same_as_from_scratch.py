"""Whatever happened to an index, it is the one that would be built from nothing."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from repo_context.repository import Repository
from repo_context.snippet import Cursor
from repo_context.terms import terms_of

PACKAGES = Path(__file__).parents[3]


def state_of(repository):
    """All that an index answers from, in values that compare, without numbers that depend on its history."""
    index = repository.ranking_index()
    query = terms_of("def load(order): return ship(order, fast) + total")
    scores = index.text.scores(query)
    return {
        "files": [(file.path, file.language, file.size) for file in repository.files()],
        "edges": repository.depends_on(),
        "definitions": {file.path: repository.definitions_in(file.path) for file in repository.files()},
        "uses": {name: index.symbols.files_using(name) for name in ("load", "ship", "total", "Order")},
        "scores": [(path, number, round(float(scores[slot]), 9)) for slot, path, number in index.text.alive_slots()],
        "hits": [
            (hit.path, hit.start_line, round(hit.score, 9))
            for hit in index.text.search(query, limit=20, boosts={}, without="")
        ],
    }


def from_scratch(root):
    with tempfile.TemporaryDirectory() as folder, Repository.open(root, index_folder=Path(folder)) as repository:
        return state_of(repository)


def assert_same(repository, root):
    found, expected = state_of(repository), from_scratch(root)
    for key, value in expected.items():
        assert found[key] == value, key


NAMES = st.sampled_from(["a.py", "b.py", "pkg/c.py", "pkg/d.py", "pkg/deep/e.py", "lib/f.ts", "notes.md"])
LINES = st.sampled_from(
    [
        "from pkg.c import load, Order",
        "import a",
        "def load(order): return ship(order)",
        "class Order:",
        "    def total(self): return load(self)",
        "ship = fast + total",
        "",
        "# über alles",
        "x = '-----BEGIN PRIVATE KEY-----'",
    ]
)
TEXTS = st.lists(LINES, max_size=40).map("\n".join)


class Histories(RuleBasedStateMachine):
    """Edits, renames, deletions, new rules and restarts, told to the index or seen at the next start."""

    @initialize(count=st.sampled_from([0, 3, 70]))
    def start(self, count):
        self.folder = Path(tempfile.mkdtemp())
        self.root = self.folder / "root"
        self.root.mkdir()
        for number in range(count):
            (self.root / f"filler_{number}.py").write_text(
                f"def load_{number}(order):\n    return ship({number})\n\n" * 9
            )
        self.told = True
        self.clock = 10**18
        self.repository = Repository.open(self.root, index_folder=self.folder / "index")

    def stamp(self, path):
        """Give each change a time of its own: a file system's clock may be coarser than a test is fast."""
        self.clock += 10**9
        os.utime(self.root / path, ns=(self.clock, self.clock))

    @rule(path=NAMES, text=TEXTS, tell=st.booleans())
    def write(self, path, text, tell):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)
        self.stamp(path)
        self.tell(tell, path)

    @rule(path=NAMES, tell=st.booleans())
    def delete(self, path, tell):
        if (self.root / path).exists():
            (self.root / path).unlink()
            self.tell(tell, path)

    @rule(path=NAMES, other=NAMES, tell=st.booleans())
    def rename(self, path, other, tell):
        if (self.root / path).exists():
            (self.root / other).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).rename(self.root / other)
            self.tell(tell, path, other)

    @rule(path=NAMES)
    def touch(self, path):
        if (self.root / path).exists():
            self.stamp(path)
            self.tell(True, path)

    @rule(rules=st.sampled_from(["", "pkg/\n", "*.ts\n!a.py\n", "filler_1*.py\n"]))
    def ignore(self, rules):
        (self.root / ".gitignore").write_text(rules)
        # Told of new rules, the index looks at everything.
        self.repository.update(".gitignore")
        self.told = True

    @rule(path=NAMES, text=TEXTS)
    def type_and_undo(self, path, text):
        self.repository.update(path, text)
        self.repository.update(path)

    @rule()
    def refresh(self):
        self.repository.refresh()
        self.told = True

    @rule()
    def restart(self):
        self.repository.close()
        self.repository = Repository.open(self.root, index_folder=self.folder / "index")
        self.told = True

    def tell(self, tell, *paths):
        if not tell:
            self.told = False
            return
        for path in paths:
            self.repository.update(path)

    @precondition(lambda self: self.told)
    @invariant()
    def is_the_index_from_scratch(self):
        assert_same(self.repository, self.root)

    def teardown(self):
        if hasattr(self, "repository"):
            self.repository.close()
            shutil.rmtree(self.folder)


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=8,
    stateful_step_count=10,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    # Each step opens an index: making a failing history shorter would take minutes.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)


INDEXING = """
import sys
from pathlib import Path
import repo_context.repository as r
r.WRITE_EVERY = 40
repository = r.Repository.open(Path(sys.argv[1]), index_folder=Path(sys.argv[2]))
for file in repository.files()[::7]:
    repository.update(file.path)
"""


def change(root, rng, count):
    """Write, move and delete some files."""
    for number in rng.sample(range(400), count):
        file = root / f"pkg{number % 7}" / f"f{number}.py"
        file.parent.mkdir(exist_ok=True)
        if file.exists() and rng.random() < 0.2:
            file.unlink()
        else:
            words = " ".join(rng.choices(["load", "ship", "order", "total", "fast"], k=30)).replace(" ", "\n    ")
            file.write_text(
                f"from pkg{number % 5}.f{number % 50} import Order\n\n\ndef load_{number}():\n    {words}\n"
            )


def killed_at_random_moments(tmp_path, moments, seed):
    """Index while files change, kill the process at random moments, and compare what is left with a new index."""
    rng = random.Random(seed)
    root, index = tmp_path / "root", tmp_path / "index"
    root.mkdir()
    change(root, rng, 400)
    command = [sys.executable, "-P", "-c", INDEXING, str(root), str(index)]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGES)}
    started = time.monotonic()
    subprocess.run(command, env=environment, check=True)
    usual = time.monotonic() - started
    killed = 0
    for moment in range(moments):
        change(root, rng, 150)
        if moment % 5 == 0:
            shutil.rmtree(index)
        with subprocess.Popen(command, env=environment) as process:
            delay = rng.uniform(0.2, 1.0) * usual
            # Shown when the test fails; what changes is told by the seed.
            print(f"moment {moment}: killed after {delay:.3f} s at the latest, seed {seed}")
            try:
                assert process.wait(timeout=delay) == 0
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                killed += 1
        if moment % 4 == 3:
            with Repository.open(root, index_folder=index) as repository:
                assert_same(repository, root)
    with Repository.open(root, index_folder=index) as repository:
        assert_same(repository, root)
    assert killed


def test_an_indexing_killed_at_random_moments_leaves_a_correct_index(tmp_path):
    killed_at_random_moments(tmp_path, moments=20, seed=1)


@pytest.mark.slow
def test_an_indexing_killed_at_a_hundred_random_moments_leaves_a_correct_index(tmp_path):
    killed_at_random_moments(tmp_path, moments=100, seed=2)


FULL = """
import resource, signal, sys
from pathlib import Path
from repo_context.repository import Repository
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
with Repository.open(Path(sys.argv[1]), index_folder=Path(sys.argv[2])) as repository:
    print(repository.warning)
    print(len(repository.files()), repository.summary().symbols, repository.summary().edges)
"""


@pytest.mark.parametrize("room", [0, 20_000, 60_000, 120_000])
def test_with_a_full_disk_all_is_indexed_in_memory_with_a_warning_of_one_line(tmp_path, room):
    root = tmp_path / "root"
    root.mkdir()
    change(root, random.Random(3), 40)
    for number in range(40):
        (root / f"big_{number}.py").write_text("\n".join(f"word_{number}_{line} = {line}" for line in range(300)))
    command = [sys.executable, "-P", "-c", FULL, str(root), str(tmp_path / "index"), str(room)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(PACKAGES)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    warning, counts = done.stdout.splitlines()
    assert "MIDFILL_HOME is set to a writable folder" in warning
    with Repository.open(root, index_folder=tmp_path / "index") as repository:
        assert_same(repository, root)
        summary = repository.summary()
        assert counts == f"{summary.files} {summary.symbols} {summary.edges}"


def test_a_folder_switched_to_another_branch_is_noticed(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-C", str(root)]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    (root / "one.py").write_text("def load(): pass\n")
    (root / "two.py").write_text("def ship(): pass\n")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "first"], check=True)
    subprocess.run([*git, "checkout", "-qb", "other"], check=True)
    (root / "two.py").rename(root / "three.py")
    (root / "one.py").write_text("def total(): pass\n")
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "second"], check=True)
    with Repository.open(root, index_folder=tmp_path / "index") as repository:
        for branch in ("main", "other", "main"):
            subprocess.run([*git, "checkout", "-q", branch], check=True)
            repository.refresh()
            assert_same(repository, root)


def test_a_snippet_is_never_cut_from_a_file_that_changed_since(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "one.py").write_text("def ship(order, fast):\n    return order\n")
    with Repository.open(root, index_folder=tmp_path / "index") as repository:
        (root / "one.py").write_text("# moved\n\n\ndef ship(order, slow):\n    return order\n")
        cursor = Cursor(path="two.py", prefix="from one import ship\nship(", suffix="")
        asked = [repository.snippets_for(cursor, budget=500, count_tokens=len) for _ in range(2)]
        assert all("fast" not in snippet.text for found in asked for snippet in found)
        assert_same(repository, root)
