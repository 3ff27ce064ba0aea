"""Names of models: folders, `default`, and the local Hugging Face cache."""

from pathlib import Path

import pytest
from huggingface_hub import constants

from engine.errors import ModelFolderError
from engine.model_folder import read
from engine.model_names import DEFAULT_MODEL, resolve
from tests.support.tiny_model import write_tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "model")


def test_names_resolve_to_folders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve("default") == DEFAULT_MODEL
    assert resolve(str(folder)) == folder
    monkeypatch.chdir(folder.parent)
    assert resolve("model") == folder


def test_a_model_of_the_local_hugging_face_cache_is_found(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = tmp_path / "hub"
    snapshot = hub / "models--deepseek-ai--deepseek-coder-1.3b-base" / "snapshots" / "abc123"
    snapshot.parent.mkdir(parents=True)
    folder.rename(snapshot)
    reference = snapshot.parent.parent / "refs" / "main"
    reference.parent.mkdir()
    reference.write_text("abc123")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    found = resolve("deepseek-ai/deepseek-coder-1.3b-base")
    assert found == snapshot
    assert read(found).tokenizer.vocab_size > 0


UNKNOWN = {
    "a b/c": "midfill model get",
    "nowhere": "no model folder 'nowhere'",
    "./a/b": "no model folder",
    "someone/something": "midfill model get",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_name_says_what_to_give(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelFolderError, match=UNKNOWN[name]):
        resolve(name)
