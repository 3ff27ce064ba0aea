"""The C++ kernels in a real engine process, beside torch in another."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.model.kernels import build
from tests.support.engine_process import engine_home

CHECKOUT = Path(__file__).parents[2]
# Every line follows from those before it, so that two ways of rounding must agree.
SOURCE = "".join(f"def get_{name}(self):\n    return self.{name}\n\n" for name in ("width", "height", "depth", "size"))
SOURCE += "def get_color(self):\n    return "


def midfill(home: Path, kernels: str, *arguments: object) -> str:
    environment = {"MIDFILL_HOME": str(home), "MIDFILL_KERNELS": kernels, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-P", "-m", "lsp_server", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=True).stdout


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A home whose kernels are compiled already."""
    home = tmp_path_factory.mktemp("kernels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIDFILL_HOME", str(home))
        patch.setenv("MIDFILL_KERNELS", "native")
        from engine.paths import cache_folder

        try:
            build.build(build.recipe(cache_folder() / "kernels"))
        except build.KernelError as error:
            pytest.skip(str(error))
    with engine_home(home) as folder:
        yield folder


def test_an_engine_on_kernels_writes_what_one_on_torch_writes(compiled, tmp_path):
    file = tmp_path / "shape.py"
    file.write_text(SOURCE)
    place = f"{file}:{len(SOURCE.splitlines())}:{len(SOURCE.splitlines()[-1]) + 1}"
    with engine_home(tmp_path / "torch") as plain:
        told = [
            (
                json.loads(midfill(home, kernels, "complete", place, "--json")),
                midfill(home, kernels, "engine", "status"),
            )
            for home, kernels in ((compiled, "native"), (plain, "off"))
        ]
    (on_kernels, status), (on_torch, plain_status) = told
    assert "C++ kernels" in status
    assert "torch" in plain_status
    assert on_kernels["completion"] == on_torch["completion"]
    assert on_kernels["completion"]
