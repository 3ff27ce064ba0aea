"""The wheel puts one name into site-packages, and no file of a user's repository is ever imported."""

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"engine", "lsp_server", "repo_context", "train"}
DECOYS = (
    "engine/__init__.py",
    "lsp_server/__init__.py",
    "repo_context.py",
    "train.py",
    "json.py",
    "torch.py",
    "midfill.py",
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    # the tools are those of this environment: building must not need a network
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    (wheel,) = distributions.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The console script of a new environment that holds the wheel and sees this environment's dependencies."""
    folder = tmp_path_factory.mktemp("environment")
    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    site = next(folder.glob("lib/python*/site-packages"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-cache-dir"]
    subprocess.run([*command, "--disable-pip-version-check", "--prefix", str(folder), str(wheel)], check=True)
    # dependencies only: a .pth line in which this checkout does not appear
    dependencies = [path for path in sys.path if path.endswith("site-packages")]
    (site / "dependencies.pth").write_text("\n".join(dependencies))
    script = folder / "bin" / "midfill"
    script.write_text(script.read_text().replace(sys.executable, str(folder / "bin" / "python")))
    return script


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A repository whose top level carries our names and the standard library's."""
    for decoy in DECOYS:
        path = tmp_path / decoy
        path.parent.mkdir(exist_ok=True)
        path.write_text("raise SystemExit('a file of the user was imported')\n")
    (tmp_path / "shop.py").write_text("def total(prices):\n    return sum(\n")
    return tmp_path


def test_the_wheel_has_one_top_level_name(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"midfill"}
    assert {name.split("/")[2] for name in names if name.startswith("midfill/packages/")} == PACKAGES


def test_the_wheel_carries_everything_that_runs(wheel: Path) -> None:
    carried = {name.removeprefix("midfill/packages/") for name in zipfile.ZipFile(wheel).namelist()}
    tracked = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert set(tracked) - carried == {"lsp_server/launcher.py"}, "the launcher is midfill/__init__.py"
    assert "midfill/__init__.py" in zipfile.ZipFile(wheel).namelist()


def test_the_source_distribution_builds_the_same_wheel_contents(distributions: Path, wheel: Path) -> None:
    (archive,) = distributions.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        packed = {name.partition("/")[2] for name in opened.getnames()}
    carried = {
        name.removeprefix("midfill/packages/")
        for name in zipfile.ZipFile(wheel).namelist()
        if name.startswith("midfill/packages/")
    }
    assert carried <= packed


def _environment(home: Path) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")},
        "MIDFILL_HOME": str(home),
        "OMP_NUM_THREADS": "1",
    }


def test_the_installed_command_runs_inside_a_hostile_repository(installed: Path, hostile: Path) -> None:
    home = hostile.parent / f"{hostile.name}-home"
    _completes([str(installed)], hostile, home)
    imported = subprocess.run(
        [installed, "doctor", "--json"],
        cwd=hostile,
        env=_environment(home),
        capture_output=True,
        text=True,
        check=False,
    )
    assert str(ROOT) not in imported.stdout, "the wheel runs its own packages, not the checkout's"
    assert "Traceback" not in imported.stderr


def test_a_checkout_runs_inside_a_hostile_repository(hostile: Path) -> None:
    home = hostile.parent / f"{hostile.name}-home"
    command = [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
               "from lsp_server.__main__ import main; sys.exit(main())"]  # fmt: skip
    _completes(command, hostile, home)


def _completes(command: list[str], repository: Path, home: Path) -> None:
    result = subprocess.run(
        [*command, "complete", "shop.py:2:16", "--json"],
        cwd=repository,
        env=_environment(home),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    try:
        assert result.returncode == 0, result.stderr
        assert "completion" in json.loads(result.stdout)
    finally:
        _stop_engine(home)


def _stop_engine(home: Path) -> None:
    """The daemon outlives its first caller by design; a test must not leave it behind."""
    subprocess.run(["pkill", "-f", str(home)], check=False)
