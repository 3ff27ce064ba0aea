import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from engine import paths
from engine.errors import EngineError

FOLDERS = [paths.cache_folder, paths.state_folder, paths.runtime_folder]


@pytest.fixture
def home(monkeypatch):
    """Short enough for a socket, which pytest's own folders need not be."""
    with tempfile.TemporaryDirectory(prefix="midfill-") as folder:
        monkeypatch.setenv("MIDFILL_HOME", f"{folder}/home")
        yield Path(folder) / "home"


@pytest.mark.parametrize("folder", FOLDERS)
def test_folders_are_made_for_their_owner_only(home, folder):
    assert folder().is_relative_to(home)
    assert stat.S_IMODE(folder().stat().st_mode) == 0o700
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_an_open_folder_is_closed_to_others(home):
    paths.state_folder().chmod(0o755)
    assert stat.S_IMODE(paths.state_folder().stat().st_mode) == 0o700


@pytest.mark.parametrize("folder", FOLDERS)
def test_without_a_home_of_its_own_the_platforms_folders_are_used(folder, tmp_path, monkeypatch):
    monkeypatch.delenv("MIDFILL_HOME", raising=False)
    for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    assert folder().name == "midfill"


@pytest.mark.parametrize("runtime", [None, "open", "missing"])
def test_a_machine_without_a_runtime_folder_of_its_own_hears_no_warning(runtime, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name not in ("MIDFILL_HOME", "XDG_RUNTIME_DIR")}
    environment |= {"PYTHONPATH": str(paths.PACKAGES_FOLDER), "TMPDIR": str(tmp_path)}
    if runtime is not None:
        environment["XDG_RUNTIME_DIR"] = str(tmp_path / runtime)
        (tmp_path / "open").mkdir(mode=0o755)
    code = "from engine import paths; print(paths.runtime_folder())"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert Path(done.stdout.strip()).is_dir()


def test_a_link_in_the_folders_place_is_refused(home, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    home.mkdir()
    (home / "run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EngineError, match="not a folder of yours"):
        paths.runtime_folder()


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MIDFILL_HOME", str(tmp_path / "file"))
    with pytest.raises(EngineError, match="MIDFILL_HOME"):
        paths.cache_folder()


def test_a_path_too_long_for_a_socket_is_replaced_by_a_short_one(tmp_path, monkeypatch):
    monkeypatch.setenv("MIDFILL_HOME", str(tmp_path / ("x" * 120)))
    first = paths.runtime_folder()
    assert len(os.fsencode(first)) < 80
    assert stat.S_IMODE(first.stat().st_mode) == 0o700
    assert paths.runtime_folder() == first
    monkeypatch.setenv("MIDFILL_HOME", str(tmp_path / ("y" * 120)))
    second = paths.runtime_folder()
    assert second != first
    first.rmdir()
    second.rmdir()
