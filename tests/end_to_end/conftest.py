"""What several end-to-end modules start from."""

import pytest

from tests.support.engine_process import engine_home
from tests.support.tiny_model import write_tiny_model


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with engine_home(tmp_path_factory.mktemp("home")) as folder:
        yield folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def events(tmp_path):
    """A file that a scripted server tells its events to."""
    path = tmp_path / "events"
    path.touch()
    return path
