"""Recipes: every one loads, every mistake is named."""

from pathlib import Path

import pytest

from train.config import load, recipe_names
from train.errors import RecipeError


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_loads(name: str) -> None:
    config = load(name)
    assert config.model.context_length >= config.data.row_tokens


def test_an_override_replaces_one_field() -> None:
    config = load("tiny_cpu", ["pretrain.learning_rate=1", 'data.languages=["go"]', "machine.precision=bfloat16"])
    assert config.pretrain.learning_rate == 1.0
    assert config.data.languages == ("go",)
    assert config.machine.precision == "bfloat16"


MISTAKES = {
    "data.fim_rat=0.5": "did you mean data.fim_rate",
    "model.hidden_size=big": "model.hidden_size must be a int",
    "model.hidden_size=1.5": "model.hidden_size must be a int",
    "data.languages=python": "must be a list of strings",
    "nonsense": "section.field=value",
    "optimiser.rate=1": "unknown field optimiser",
}


@pytest.mark.parametrize("override", MISTAKES)
def test_a_wrong_override_is_named(override: str) -> None:
    with pytest.raises(RecipeError, match=MISTAKES[override]):
        load("tiny_cpu", [override])


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(RecipeError, match="tiny_cpu"):
        load("giant")


def test_a_recipe_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[data\n")
    with pytest.raises(RecipeError, match="no valid TOML"):
        load(str(path))
    with pytest.raises(RecipeError, match="cannot read"):
        load(str(tmp_path / "missing.toml"))
