"""What the editor tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.editors.installed import editor
from tests.editors.midfill_command import CHECKOUT, RealMidfill
from tests.support.engine_process import engine_home


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("editor")


@pytest.fixture(scope="session", params=["0.11", "0.12"])
def neovim_program(request: pytest.FixtureRequest) -> Path:
    return editor(f"neovim_{request.param}", "nvim")


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Where pictures of editors go, for people to look at."""
    return CHECKOUT / "build" / "pictures"


@pytest.fixture(scope="session")
def real_midfill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealMidfill]:
    with engine_home(tmp_path_factory.mktemp("real") / "home") as home:
        yield RealMidfill(home.parent)
