"""A whole run: every stage of the tiny recipe, from folders of source to two model folders that work."""

from importlib import resources
from pathlib import Path

import pytest
import torch

from engine.api import Completion, CompletionRequest
from engine.completer import Completer
from engine.model_folder import read
from tests.support.engine_process import engine_settings
from tests.support.shop import write_shop
from train.cli import main

SMALL = (
    "data.row_tokens=64",
    "data.tokens=20_000",
    "clean.buckets=2",
    "clean.near_duplicates=[]",  # the files are alike on purpose
    "tokenizer.vocab_size=512",
    "model.num_hidden_layers=1",
    "pretrain.held_out_rows=16",
    "extend_context.row_tokens=512",
    "extend_context.batch_rows=1",
    "extend_context.held_out_rows=1",
    "extend_context.steps=4",
    "instruct.batch_rows=4",
    "evaluate.holes=4",
    "evaluate.limit=2",
    "evaluate.completions=1",
)


@pytest.mark.slow
def test_the_tiny_recipe_goes_through_every_stage_and_is_not_done_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = write_shop(tmp_path / "shop"), tmp_path / "run"
    arguments = ["run", "tiny_cpu", str(source), "--output", str(output), *(f"--set={setting}" for setting in SMALL)]
    with engine_settings(tmp_path / "home", output / "model"):
        assert main(arguments) == 0
    assert capsys.readouterr().out.strip() == str(output / "model")
    assert len((output / "evaluation" / "completions.jsonl").read_text().splitlines()) == 1
    for stage in ("pretrain", "extend_context", "instruct"):
        assert (output / stage / "metrics.jsonl").exists()

    served = read(output / "model")
    assert served.transformer.config.rope_factor == 4.0
    assert served.prompt_settings.context_length == 512
    request = CompletionRequest(
        document="a", path="price.py", comment="#", prefix="def price_stock(value", suffix="):\n    return 1\n"
    )
    *_, completion = Completer(served).complete(request)
    assert isinstance(completion, Completion)
    assert read(output / "instruct_model").transformer.config.eos_token_id == served.tokenizer.control_id("<|EOT|>")

    before = {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()}
    assert main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()} == before


def test_a_run_may_start_from_another_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, first, second = write_shop(tmp_path / "shop"), tmp_path / "first", tmp_path / "second"
    arguments = ["run", str(_short_recipe(tmp_path)), str(source), *(f"--set={setting}" for setting in SMALL[:7])]
    assert main([*arguments, "--output", str(first)]) == 0
    changes = ("--set=pretrain.learning_rate=0.0", "--set=model.num_hidden_layers=3", "--set=tokenizer.vocab_size=400")
    goes_on = [*arguments, *changes, "--output", str(second)]
    assert main([*goes_on, "--from", str(first / "model")]) == 0

    before, after = read(first / "model"), read(second / "model")
    assert (second / "tokenizer.json").read_bytes() == (first / "tokenizer.json").read_bytes()
    assert after.transformer.config == before.transformer.config
    for name, weight in before.transformer.state_dict().items():
        torch.testing.assert_close(after.transformer.state_dict()[name], weight, rtol=0, atol=0)

    capsys.readouterr()
    assert main(goes_on) == 2
    assert "belongs to another run" in capsys.readouterr().err
    too_long = [*arguments, "--set=data.row_tokens=1024", "--output", str(tmp_path / "third")]
    assert main([*too_long, "--from", str(first / "model")]) == 2
    assert "data.row_tokens must not be beyond what" in capsys.readouterr().err


def _short_recipe(folder: Path) -> Path:
    """Return the tiny recipe without what follows pretraining."""
    text = resources.files("train").joinpath("recipes", "tiny_cpu.toml").read_text(encoding="utf-8")
    path = folder / "short.toml"
    path.write_text(text[: text.index("[extend_context]")], encoding="utf-8")
    return path
