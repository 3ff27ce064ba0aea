"""DeepSeek-Coder-V2's story: experts, latent attention, YaRN, instructions and GRPO, to a model that completes."""

from pathlib import Path

import pytest

from engine.api import Completion, CompletionRequest
from engine.completer import Completer
from engine.model_folder import read
from tests.support.engine_process import engine_settings
from tests.support.shop import write_shop
from train.cli import main
from train.metrics import read_metrics

SMALL = (
    "data.row_tokens=128",
    "clean.buckets=2",
    "clean.near_duplicates=[]",  # the files are alike on purpose
    "tokenizer.vocab_size=512",
    "model.num_hidden_layers=2",
    "pretrain.batch_rows=4",
    "pretrain.tokens=20_000",
    "pretrain.held_out_rows=4",
    "extend_context.row_tokens=512",
    "extend_context.batch_rows=1",
    "extend_context.held_out_rows=1",
    "extend_context.steps=2",
    "instruct.batch_rows=4",
    "align.steps=2",
    "align.max_tokens=16",
    "evaluate.holes=2",
    "evaluate.limit=2",
    "evaluate.completions=1",
)


@pytest.mark.slow
def test_the_tiny_v2_recipe_goes_from_data_to_practice_to_a_served_completion(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = write_shop(tmp_path / "shop"), tmp_path / "run"
    arguments = ["run", "v2_tiny_cpu", str(source), "--output", str(output), *(f"--set={item}" for item in SMALL)]
    with engine_settings(tmp_path / "home", output / "model"):
        assert main(arguments) == 0
    assert capsys.readouterr().out.strip() == str(output / "model")
    assert len((output / "evaluation" / "completions.jsonl").read_text().splitlines()) == 1

    served = read(output / "model")
    config = served.transformer.config
    assert config.latent_attention is not None
    assert config.experts is not None
    assert config.yarn is not None
    request = CompletionRequest(
        document="a", path="price.py", comment="#", prefix="def price_stock(value", suffix="):\n    return 1\n"
    )
    *_, completion = Completer(served).complete(request)
    assert isinstance(completion, Completion)
    end = served.tokenizer.control_id("<｜end▁of▁sentence｜>")
    assert read(output / "instruct_model").transformer.config.eos_token_id == end

    practice = read_metrics(output / "align")
    assert [line["step"] for line in practice] == [1, 2]
    assert all({"reward", "solved", "tests_passed", "compiles"} <= line.keys() for line in practice)

    lines = read_metrics(output / "pretrain")
    busiest, idlest = lines[-1]["expert_load_max"], lines[-1]["expert_load_min"]
    print(f"after {len(lines)} steps the busiest expert takes {busiest:.2f} of the mean, the idlest {idlest:.2f}")
    assert sum(lines[-1]["expert_load_histogram"]) == 8
    assert busiest < 2.5
    assert idlest > 0.2
    assert main(["plot", str(output)]) == 0
