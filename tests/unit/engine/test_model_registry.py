"""The registry of models: what its file says, and what names stand for."""

import json
from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.model_registry import BUILT_IN, ModelRegistry, RegisteredModel, find_model


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIDFILL_HOME", str(tmp_path))
    return tmp_path


def test_what_was_registered_is_read_back(home: Path) -> None:
    folder = RegisteredModel(name="mine", source="/models/mine")
    server = RegisteredModel(name="big", source="http://h/v1", server_model="q", format="suffix", prompt_tokens=512)
    registry = ModelRegistry.load().with_model(folder).with_model(server).using("big")
    registry.save()
    assert ModelRegistry.load() == registry
    assert (home / "config" / "models.json").stat().st_mode & 0o777 == 0o600
    assert find_model("default") == server
    assert find_model("mine") == folder
    assert [find_model(name).is_remote for name in ("mine", "big", "https://h/v1", "org/model")] == [
        False, True, True, False,
    ]  # fmt: skip


def test_names_stand_for_themselves_where_nothing_is_registered() -> None:
    assert find_model("default") == RegisteredModel(name=BUILT_IN, source="default")
    assert find_model("org/model").source == "org/model"


def test_forgetting_the_default_brings_the_built_in_model_back() -> None:
    registry = ModelRegistry().with_model(RegisteredModel(name="a", source="/a")).using("a").without("a")
    assert registry == ModelRegistry()


@pytest.mark.parametrize("name", ["", "default", "built-in", "a b", "../x", "x" * 65, "-x"])
def test_a_name_that_could_mean_something_else_is_refused(name: str) -> None:
    with pytest.raises(EngineError, match="cannot be a model's name"):
        ModelRegistry().with_model(RegisteredModel(name=name, source="/x"))


BROKEN = {
    "no JSON": "{",
    "no object": "[]",
    "no models": "{}",
    "models that are none": '{"models": 3}',
    "no source": '{"models": {"a": {}}}',
    "a source that is no text": '{"models": {"a": {"source": 7}}}',
    "tokens that are no number": '{"models": {"a": {"source": "/a", "prompt_tokens": "many"}}}',
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_named(case: str, home: Path) -> None:
    (home / "config").mkdir()
    (home / "config" / "models.json").write_text(BROKEN[case])
    with pytest.raises(EngineError, match=r"models\.json is broken"):
        ModelRegistry.load()


def test_a_default_that_is_gone_is_the_built_in_model(home: Path) -> None:
    (home / "config").mkdir()
    (home / "config" / "models.json").write_text(json.dumps({"default": "gone", "models": {}}))
    assert find_model("default").source == "default"
