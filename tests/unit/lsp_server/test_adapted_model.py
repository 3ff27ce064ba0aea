"""A workspace is served by the model that was adapted to it."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine.adapted_models import adapted_folder
from lsp_server.adapted_model import adapted_to
from lsp_server.settings import Settings


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIDFILL_HOME", str(tmp_path / "home"))
    folder = adapted_folder(tmp_path / "shop", "default")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    return tmp_path / "shop"


def test_the_first_folder_with_a_model_of_its_own_decides(shop: Path, tmp_path: Path) -> None:
    settings = adapted_to([tmp_path / "other", shop], Settings())
    assert settings.model == str(adapted_folder(shop, "default"))
    assert replace(settings, model="default") == Settings()


@pytest.mark.parametrize("settings", [Settings(model="mine"), Settings(engine_url="http://localhost:1/v1")])
def test_another_model_than_the_adapted_one_stays(shop: Path, settings: Settings) -> None:
    assert adapted_to([shop], settings) == settings


def test_a_workspace_without_one_is_served_as_the_settings_say(shop: Path, tmp_path: Path) -> None:
    assert adapted_to([tmp_path / "other"], Settings()) == Settings()
