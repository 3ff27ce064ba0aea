"""Training speed beside a plain loop: ours compiled in bf16 and eager in fp32, transformers + accelerate in both.

    python -m benchmarks.train [--recipe default_cpu] [--rows 16] [--steps 6] [--set SECTION.FIELD=VALUE]

All train the same shape on the same random rows, in one process, in turn. On a CPU the unit is tokens per CPU-second,
which other work on the machine disturbs least; on a GPU it is tokens per second, and the share of the peak (MFU).
Ratios are of the best rounds, for a busy machine only ever slows a loop down.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from engine.model.config import TransformerConfig
from engine.model.transformer import Transformer
from train.config import RunConfig, load
from train.metrics import flops_per_token, peak_flops
from train.optimizer import BETAS, OptimizerSettings
from train.parallel import place
from train.processes import processes

Step = Callable[[Tensor], None]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="default_cpu")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--steps", type=int, default=6, help="in each round")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.FIELD=VALUE", dest="overrides")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe = load(arguments.recipe, arguments.overrides)
    shape = recipe.model.network(recipe.tokenizer.vocab_size + 9)
    rows = torch.randint(0, recipe.tokenizer.vocab_size, (arguments.rows, recipe.data.row_tokens + 1))
    rows = rows.to(processes().device)
    loops = {
        "midfill, bf16, compiled": ours(shape, recipe, "bfloat16", compiled=True),
        "midfill, fp32, eager": ours(shape, recipe, "float32", compiled=False),
        "transformers + accelerate, fp32": theirs(shape, recipe, "no"),
        "transformers + accelerate, bf16": theirs(shape, recipe, "bf16"),
    }
    rates: dict[str, list[float]] = {name: [] for name in loops}
    for step in loops.values():  # compiles, and fills the optimisers' state
        step(rows)
        step(rows)
    for _ in range(arguments.rounds):
        for name, step in loops.items():
            rates[name].append(rate(step, rows, arguments.steps))
    show(rates, shape, rows)


def ours(shape: TransformerConfig, recipe: RunConfig, precision: str, *, compiled: bool) -> Step:
    """Return one step of `train.loop`, without its metrics and checkpoints."""
    network = Transformer(shape)
    network.initialise(torch.Generator().manual_seed(1))
    machine = replace(recipe.machine, precision="bfloat16" if precision == "bfloat16" else "float32", compile=compiled)
    placed = place(network, machine, OptimizerSettings())

    def step(rows: Tensor) -> None:
        ids, targets = rows[:, :-1], rows[:, 1:].contiguous()
        placed.backward(ids, targets, targets_in_step=targets.numel(), is_last=True)
        placed.update(1e-4)

    return step


def theirs(shape: TransformerConfig, recipe: RunConfig, mixed_precision: str) -> Step:
    """Return one step of the loop in accelerate's documentation."""
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(cpu=processes().device.type == "cpu", mixed_precision=mixed_precision)
    raw = {name: value for name, value in shape.to_hugging_face().items() if name not in ("architectures", "use_cache")}
    torch.manual_seed(1)
    model = LlamaForCausalLM(LlamaConfig(**raw, use_cache=False))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=BETAS, weight_decay=recipe.pretrain.weight_decay)
    model, optimizer = accelerator.prepare(model, optimizer)

    def step(rows: Tensor) -> None:
        ids = rows[:, :-1]
        loss = model(input_ids=ids, labels=ids).loss
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def rate(step: Step, rows: Tensor, steps: int) -> float:
    """Return tokens per CPU-second, or per second on a GPU."""
    on_gpu = rows.is_cuda
    clock = time.perf_counter if on_gpu else time.process_time
    if on_gpu:
        torch.cuda.synchronize()
    began = clock()
    for _ in range(steps):
        step(rows)
    if on_gpu:
        torch.cuda.synchronize()
    return steps * rows.shape[0] * (rows.shape[1] - 1) / (clock() - began)


def show(rates: dict[str, list[float]], shape: TransformerConfig, rows: Tensor) -> None:
    """Print one line a loop, with the ratio of ours to it."""
    with torch.device("meta"):
        parameters = Transformer(shape).parameter_count()
    length = rows.shape[1] - 1
    peak = peak_flops(rows.device, "bfloat16")
    per_token = flops_per_token(shape, parameters, length)
    unit = "tokens/s" if rows.is_cuda else "tokens/CPU-s"
    print(f"{parameters:,} parameters, {rows.shape[0]} rows of {length} tokens, {torch.get_num_threads()} thread(s)")
    print(f"{'':34}{'best ' + unit:>18}{'median':>10}{'MFU bf16':>10}{'ours is':>10}")
    best = max(rates["midfill, bf16, compiled"])
    for name, measured in rates.items():
        used = f"{max(measured) * per_token / peak:9.1%}" if peak else "        -"
        ratio = f"{best / max(measured):9.2f}x"
        print(f"{name:34}{max(measured):18,.0f}{statistics.median(measured):10,.0f} {used}{ratio}")


if __name__ == "__main__":
    main()
