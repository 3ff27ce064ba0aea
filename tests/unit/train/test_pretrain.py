"""Pretraining: the loss is the reference's, a killed run ends with the weights of an unbroken one."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from transformers import LlamaForCausalLM

from engine.fim_formats import DEEPSEEK_CODER
from engine.model.config import TransformerConfig
from engine.model.transformer import Transformer
from engine.model_folder import read, write
from engine.prompt import PromptSettings
from tests.support.tiny_network import TINY
from train.checkpoint import newest_step
from train.config import MachineConfig, PretrainConfig, load
from train.data.shards import Shard
from train.errors import RunError
from train.loop import CHECKPOINTS
from train.metrics import Metric
from train.objective import IGNORED, Objective, summed_loss, summed_loss_in_pieces
from train.run import Run
from train.stages.pretrain import apart, next_token_batch, pretrain, row_batches, untrained
from train.tokenizer import train_tokenizer


def _recipe(**changes: object) -> PretrainConfig:
    overrides = {"batch_rows": 4, "warmup_steps": 2, "held_out_rows": 4, **changes}
    return load("tiny_cpu", [f"pretrain.{name}={value}" for name, value in overrides.items()]).pretrain


def _machine(**changes: object) -> MachineConfig:
    return load("tiny_cpu", [f"machine.{name}={str(value).lower()}" for name, value in changes.items()]).machine


def _pretrain(folder: Path, rows: int, machine: MachineConfig | None = None, **changes: object) -> Transformer:
    return pretrain(
        untrained(TINY, seed=1),
        _recipe(**changes),
        machine or _machine(),
        _shard(rows),
        folder,
        seed=1,
        on_step=lambda metric: None,
    )


def _shard(rows: int) -> Shard:
    """Rows that count up from a random start: easy to learn."""
    starts = np.random.default_rng(0).integers(0, 64, size=(rows, 1))
    return Shard(rows=((starts + np.arange(24)) % 64).astype(np.uint16), index={})


def _losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_training_learns(precision: str, optimizer: str, tmp_path: Path) -> None:
    machine = _machine(precision=precision)
    network = _pretrain(tmp_path, 204, machine, learning_rate=0.01, optimizer=optimizer)
    losses = _losses(tmp_path)
    assert len(losses) == 50
    assert losses[-1] < 0.6 < 3.5 < losses[0]
    ids = torch.arange(20)[None]
    assert (network(ids).argmax(-1)[0, 2:] == torch.arange(3, 21)).all()


def test_the_loss_equals_that_of_transformers(tmp_path: Path) -> None:
    network = Transformer(TINY)
    network.initialise(torch.Generator().manual_seed(3))
    definition = train_tokenizer(["a"], vocab_size=256, sample_bytes=10)
    settings = PromptSettings(fim=DEEPSEEK_CODER, context_length=64)
    write(tmp_path, network, tokenizer_json=definition, prompt_settings=settings)
    reference = LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    rows = torch.randint(0, 64, (3, 20), generator=torch.Generator().manual_seed(1))
    expected = reference(rows, labels=rows).loss
    loss = Objective(network, summed_loss)(rows[:, :-1], rows[:, 1:]) / rows[:, 1:].numel()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)


def test_the_loss_in_pieces_equals_the_loss_at_once() -> None:
    torch.manual_seed(0)
    states, head = torch.randn(5000, 8, requires_grad=True), torch.randn(64, 8, requires_grad=True)
    targets = torch.randint(0, 64, (5000,))
    targets[::3] = -100
    results = []
    for loss_of in (summed_loss, summed_loss_in_pieces):
        loss = loss_of(states, head, targets)
        results.append((loss.detach(), *torch.autograd.grad(loss, (states, head))))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


MACHINES = {
    "micro-batches add up": {"micro_batch_tokens": 30},
    "layers are computed again for their gradients": {"gradient_checkpointing": True},
}


@pytest.mark.parametrize("case", MACHINES)
def test_the_machine_changes_nothing_but_rounding(case: str, tmp_path: Path) -> None:
    plain = _pretrain(tmp_path / "plain", 44)
    other = _pretrain(tmp_path / "other", 44, _machine(**MACHINES[case]))
    for one, two in zip(plain.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_an_interrupted_run_ends_with_the_weights_of_an_unbroken_one(
    precision: str, optimizer: str, tmp_path: Path
) -> None:
    machine = _machine(precision=precision, checkpoint_minutes=0.0)
    straight = _pretrain(tmp_path / "whole", 64, machine, optimizer=optimizer)

    class StopHereError(Exception):
        pass

    def stop_at_seven(metric: Metric) -> None:
        if metric.step == 7:
            raise StopHereError

    broken, recipe = tmp_path / "broken", _recipe(optimizer=optimizer)
    with pytest.raises(StopHereError):
        pretrain(untrained(TINY, seed=1), recipe, machine, _shard(64), broken, seed=1, on_step=stop_at_seven)
    assert newest_step(broken / CHECKPOINTS) == 6
    resumed = _pretrain(broken, 64, machine, optimizer=optimizer)
    for one, other in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
    steps = [json.loads(line)["step"] for line in (broken / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 16)), "a step that was done again is logged once"


def test_a_finished_stage_is_not_done_again(tmp_path: Path) -> None:
    first = _pretrain(tmp_path, 16)
    log = (tmp_path / "metrics.jsonl").stat().st_mtime_ns
    again = _pretrain(tmp_path, 16)
    assert (tmp_path / "metrics.jsonl").stat().st_mtime_ns == log
    assert torch.equal(first.embed_tokens.weight, again.embed_tokens.weight)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_process_goes_on_from_its_last_checkpoint(number: signal.Signals, tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    for i in range(40):
        text = "".join(f"def f_{i}_{j}(x):\n    return x + {j}\n" for j in range(60))
        (source / f"m{i}.py").write_text(text)
    recipe = tmp_path / "base_only.toml"
    tiny = (resources.files("train") / "recipes" / "tiny_cpu.toml").read_text(encoding="utf-8")
    recipe.write_text(tiny.partition("[extend_context]")[0])
    overrides = [
        "clean.near_duplicates=[]",
        "clean.buckets=2",
        "data.row_tokens=64",
        "pretrain.held_out_rows=16",
        "machine.checkpoint_minutes=0.0",
    ]
    command = [sys.executable, "-P", "-c", "import sys; from train.cli import main; sys.exit(main(sys.argv[1:]))"]
    arguments = ["run", str(recipe), str(source), *(f"--set={override}" for override in overrides), "--output"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}

    subprocess.run([*command, *arguments, tmp_path / "whole"], env=environment, check=True, capture_output=True)
    process = subprocess.Popen([*command, *arguments, tmp_path / "broken"], env=environment, stderr=subprocess.PIPE)
    metrics = tmp_path / "broken" / "pretrain" / "metrics.jsonl"
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
        _pretrain(tmp_path, 6)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    _pretrain(tmp_path, 16)
    other = TransformerConfig.from_hugging_face(TINY.to_hugging_face() | {"hidden_size": 64})
    with pytest.raises(RunError, match="another network"):
        pretrain(
            untrained(other, seed=1), _recipe(), _machine(), _shard(16), tmp_path, seed=1, on_step=lambda metric: None
        )


@pytest.mark.parametrize("name", ["state.json", "__0_0.distcp", ".metadata"])
def test_a_broken_checkpoint_is_refused(name: str, tmp_path: Path) -> None:
    _pretrain(tmp_path, 16)
    (checkpoint,) = (tmp_path / CHECKPOINTS).iterdir()
    (checkpoint / name).write_bytes(b"nonsense")
    with pytest.raises(RunError, match="is broken"):
        _pretrain(tmp_path, 16)


def test_every_pass_reads_each_row_once_in_an_order_of_its_own() -> None:
    recipe = _recipe(tokens=4 * 24 * 9)
    batches = row_batches(_shard(18), recipe, seed=1)
    shard_rows = [tuple(row) for row in _shard(18).rows[:14, :-1].tolist()]
    assert batches.steps == 9
    passes = [[tuple(row) for step in range(start, start + 3) for row in batches.batch(step).ids.tolist()]
              for start in (0, 3, 6)]  # fmt: skip
    for one_pass in passes:
        assert len(one_pass) == 12
        assert not (Counter(one_pass) - Counter(shard_rows))
    assert passes[0] != passes[1] != passes[2]


DOCUMENTS = st.lists(st.lists(st.integers(1, 60), max_size=9), min_size=1, max_size=12)
END = 0


def _rows(documents: list[list[int]], row_tokens: int) -> NDArray[np.int64]:
    """Lay documents out, each with its end mark, and cut the whole into rows; the last is filled up with end marks."""
    flat = [token for document in documents for token in (*document, END)]
    flat += [END] * (-len(flat) % row_tokens)
    return np.array(flat, np.int64).reshape(-1, row_tokens)


@given(DOCUMENTS, st.integers(2, 16))
@settings(max_examples=300, deadline=None)
def test_document_masks_lose_no_token_and_repeat_none(documents: list[list[int]], row_tokens: int) -> None:
    batch = next_token_batch(_rows(documents, row_tokens))
    masked = apart(batch, END)
    (segments,) = masked.columns
    assert (masked.ids == batch.ids).all()
    for ids, targets, numbers, wanted in zip(masked.ids, masked.targets, segments, batch.targets, strict=True):
        ends = np.flatnonzero(ids == END)
        assert (targets[ends] == IGNORED).all()
        assert (np.delete(targets, ends) == np.delete(wanted, ends)).all()
        pieces = np.split(ids, ends + 1)
        assert [len(piece) for piece in pieces if len(piece)] == np.bincount(numbers.astype(int)).tolist()


def test_the_loss_under_document_masks_is_that_of_the_documents_alone() -> None:
    network = untrained(TINY, seed=2)
    objective = Objective(network, summed_loss)
    chance = np.random.default_rng(3)
    documents = [chance.integers(1, 60, size=length).tolist() for length in (5, 1, 12, 0, 7, 9)]
    rows = _rows(documents, sum(map(len, documents)) + len(documents))
    masked = apart(next_token_batch(rows), END)
    found = objective(*(torch.from_numpy(array) for array in (masked.ids, masked.targets, *masked.columns)))
    wanted = 0.0
    for document in documents:
        one = torch.tensor([[*document, END]])
        if document:
            wanted += objective(one[:, :-1], one[:, 1:]).item()
    assert found.item() == pytest.approx(wanted, rel=1e-5)
    unmasked = objective(torch.from_numpy(masked.ids), torch.from_numpy(masked.targets))
    assert found.item() != pytest.approx(unmasked.item(), rel=1e-4)


@pytest.mark.parametrize("case", ["bfloat16", "checkpointing", "micro-batches"])
def test_document_masks_reach_the_network_on_every_machine(case: str, tmp_path: Path) -> None:
    machine = {
        "bfloat16": _machine(precision="bfloat16"),
        "checkpointing": _machine(gradient_checkpointing=True),
        "micro-batches": _machine(micro_batch_tokens=24),
    }[case]
    losses = []
    for name, end in (("masked", 5), ("plain", None)):
        options = {"seed": 1, "document_end": end, "on_step": lambda metric: None}
        pretrain(untrained(TINY, seed=1), _recipe(), machine, _shard(24), tmp_path / name, **options)
        losses.append(_losses(tmp_path / name))
    reference = _recipe()
    batches = row_batches(_shard(24), reference, seed=1, document_end=5)
    first = batches.batch(0)
    objective = Objective(untrained(TINY, seed=1), summed_loss)
    counted = (first.targets != IGNORED).sum()
    exact = objective(*map(torch.from_numpy, (first.ids, first.targets, *first.columns))).item() / counted
    assert losses[0][0] == pytest.approx(exact, rel=2e-2 if case == "bfloat16" else 1e-5)
    assert losses[0] != losses[1]


def test_a_folder_belongs_to_one_run(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    run = Run(load("tiny_cpu"), [tmp_path], tmp_path)
    with pytest.raises(RunError, match="another run"):
        run.execute(lambda line: None, lambda metric: None)
