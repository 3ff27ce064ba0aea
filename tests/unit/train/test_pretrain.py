"""Pretraining: the loss is the reference's, a killed run ends with the weights of an unbroken one."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from engine.model.config import TransformerConfig
from engine.model.transformer import Transformer
from engine.model_folder import read, write
from train.checkpoint import load as load_checkpoint
from train.config import PretrainConfig, load
from train.data.shards import Shard
from train.errors import RunError
from train.run import Run
from train.schedule import learning_rate
from train.stages.pretrain import loss_per_token, pretrain

SHAPE = TransformerConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    max_position_embeddings=64,
    tie_word_embeddings=True,
)


def _recipe(**changes: object) -> PretrainConfig:
    overrides = {"batch_rows": 4, "warmup_steps": 2, "held_out_rows": 4, **changes}
    return load("tiny_cpu", [f"pretrain.{name}={value}" for name, value in overrides.items()]).pretrain


def _shard(rows: int) -> Shard:
    """Rows that count up from a random start: easy to learn."""
    starts = np.random.default_rng(0).integers(0, 64, size=(rows, 1))
    return Shard(rows=((starts + np.arange(24)) % 64).astype(np.uint16), index={})


def _losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_learns(precision: str, tmp_path: Path) -> None:
    recipe = _recipe(precision=precision, learning_rate=0.01)
    network = pretrain(SHAPE, recipe, _shard(204), tmp_path, seed=1, on_step=lambda metric: None)
    losses = _losses(tmp_path)
    assert len(losses) == 50
    assert losses[-1] < 0.5 < 3.5 < losses[0]
    ids = torch.arange(20)[None]
    assert (network(ids).argmax(-1)[0, 2:] == torch.arange(3, 21)).all()


def test_the_loss_equals_that_of_transformers(tmp_path: Path) -> None:
    network = Transformer(SHAPE)
    network.initialise(torch.Generator().manual_seed(3))
    from tests.unit.train.test_data import SETTINGS
    from train.tokenizer import train_tokenizer

    definition = train_tokenizer(["a"], vocab_size=256, sample_bytes=10)
    write(tmp_path, network, tokenizer_json=definition, prompt_settings=SETTINGS)
    reference = LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    rows = torch.randint(0, 64, (3, 20), generator=torch.Generator().manual_seed(1))
    expected = reference(rows, labels=rows).loss
    assert loss_per_token(network, rows).item() == pytest.approx(expected.item(), abs=1e-5)


def test_an_interrupted_run_ends_with_the_weights_of_an_unbroken_one(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    recipe = _recipe(checkpoint_minutes=0.0)
    straight = pretrain(SHAPE, recipe, _shard(64), whole, seed=1, on_step=lambda metric: None)

    class StopHereError(Exception):
        pass

    def stop_at_seven(metric: object) -> None:
        if metric.step == 7:  # type: ignore[attr-defined]
            raise StopHereError

    with pytest.raises(StopHereError):
        pretrain(SHAPE, recipe, _shard(64), broken, seed=1, on_step=stop_at_seven)
    checkpoint = load_checkpoint(broken / "checkpoint.pt")
    assert checkpoint is not None
    assert checkpoint.step == 6
    resumed = pretrain(SHAPE, recipe, _shard(64), broken, seed=1, on_step=lambda metric: None)
    for one, other in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_process_goes_on_from_its_last_checkpoint(number: signal.Signals, tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    for i in range(40):
        text = "".join(f"def f_{i}_{j}(x):\n    return x + {j}\n" for j in range(60))
        (source / f"m{i}.py").write_text(text)
    overrides = ["data.row_tokens=64", "pretrain.held_out_rows=16", "pretrain.checkpoint_minutes=0.0"]
    command = [sys.executable, "-P", "-c", "import sys; from train.cli import main; sys.exit(main(sys.argv[1:]))"]
    arguments = ["run", "tiny_cpu", str(source), *(f"--set={override}" for override in overrides), "--output"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}

    subprocess.run([*command, *arguments, tmp_path / "whole"], env=environment, check=True, capture_output=True)
    process = subprocess.Popen([*command, *arguments, tmp_path / "broken"], env=environment, stderr=subprocess.PIPE)
    metrics = tmp_path / "broken" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.read_text().count("\n") >= 5):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode in (-number, 128 + number)
    subprocess.run([*command, *arguments, tmp_path / "broken"], env=environment, check=True, capture_output=True)
    whole, broken = (read(tmp_path / name / "model").transformer for name in ("whole", "broken"))
    for one, other in zip(whole.parameters(), broken.parameters(), strict=True):
        assert torch.equal(one, other)


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="too few"):
        pretrain(SHAPE, _recipe(), _shard(6), tmp_path, seed=1, on_step=lambda metric: None)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    pretrain(SHAPE, _recipe(), _shard(16), tmp_path, seed=1, on_step=lambda metric: None)
    other = TransformerConfig.from_hugging_face(SHAPE.to_hugging_face() | {"hidden_size": 64})
    with pytest.raises(RunError, match="another network"):
        pretrain(other, _recipe(), _shard(16), tmp_path, seed=1, on_step=lambda metric: None)


def test_a_broken_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"nonsense")
    with pytest.raises(RunError, match="is broken"):
        pretrain(SHAPE, _recipe(), _shard(16), tmp_path, seed=1, on_step=lambda metric: None)


def test_a_folder_belongs_to_one_run(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    run = Run(load("tiny_cpu"), [tmp_path], tmp_path)
    with pytest.raises(RunError, match="another run"):
        run.execute(lambda line: None, lambda metric: None)


RATES = {
    "the first step warms up": (0, 1e-4),
    "warm-up ends at the peak": (9, 1e-3),
    "the rate is flat in between": (50, 1e-3),
    "cool-down starts at the peak": (60, 1e-3),
    "half of the cool-down": (80, 0.55e-3),
    "the end is a tenth": (100, 1e-4),
}


@pytest.mark.parametrize("case", RATES)
def test_the_rate_warms_up_stays_and_decays(case: str) -> None:
    step, rate = RATES[case]
    recipe = _recipe(learning_rate=1e-3, warmup_steps=10, cooldown_share=0.4)
    assert learning_rate(step, 100, recipe) == pytest.approx(rate)
