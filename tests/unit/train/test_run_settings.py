"""What a run writes beside the weights."""

from pathlib import Path

import pytest

from train.config import load, recipe_names
from train.run import Run


@pytest.mark.parametrize("recipe", recipe_names())
def test_prompts_are_no_longer_than_the_rows_of_training(recipe: str, tmp_path: Path) -> None:
    config = load(recipe)
    assert Run(config, [tmp_path], tmp_path).settings.context_length == config.data.row_tokens
