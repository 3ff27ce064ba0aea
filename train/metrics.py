"""What a training step tells: JSON lines, TensorBoard where it is installed, and how well the hardware is used."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from engine.model.config import TransformerConfig

METRICS = "metrics.jsonl"

_PEAK_FLOPS = {"B200": 2250e12, "H200": 989e12, "H100": 989e12, "H800": 989e12, "A100": 312e12, "A800": 312e12,
               "L40S": 362e12, "L4": 121e12, "4090": 165e12, "3090": 71e12}  # fmt: skip
"""Dense bf16 operations per second that NVIDIA's data sheets promise, by a part of the device's name."""
_PROBE = 1024
"""Side of the matrices that measure a device without a data sheet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What is known after one step."""

    step: int
    steps: int
    loss: float
    """Mean over the step's targets, in nats per token."""
    learning_rate: float
    gradient_norm: float
    """Of all gradients together, before clipping; 0 for a step that was skipped."""
    tokens: int
    """Seen so far, this step included."""
    tokens_per_second: float
    """Since the stage was started or resumed, evaluation and checkpoints included."""
    utilization: float | None
    """Model FLOPs utilisation: useful operations over those the hardware could do; None where its peak is unknown."""
    skipped: bool
    """Whether the guard kept this step from the weights."""
    held_out_loss: float | None
    figures: Mapping[str, Any] = field(default_factory=dict)
    """What else the stage says of the step; each is a field of the line."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields by name, the figures among them."""
        own = {name: getattr(self, name) for name in Metric.__slots__ if name != "figures"}
        return own | dict(self.figures)


class MetricsLog:
    """Appends to `metrics.jsonl` and, where TensorBoard is installed, to `tensorboard/`."""

    def __init__(self, folder: Path, *, after: int) -> None:
        """Open the log of a stage that goes on after step `after`; later lines come from steps that are done again."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / METRICS
        kept = [line for line in _lines(path) if json.loads(line)["step"] <= after]
        temporary = path.with_suffix(".partial")
        temporary.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        temporary.replace(path)
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._board = _board(folder / "tensorboard", after)

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()

    def write(self, metric: Metric) -> None:
        """Log one step."""
        self._file.write(json.dumps(metric.to_json()) + "\n")
        if self._board is not None:
            for name, value in metric.to_json().items():
                if isinstance(value, (int, float)) and name not in ("step", "steps"):
                    self._board.add_scalar(name, value, metric.step)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a stage's `metrics.jsonl`, an empty list when there is none."""
    return [json.loads(line) for line in _lines(folder / METRICS)]


def flops_per_token(config: TransformerConfig, parameters: int, row_tokens: int) -> float:
    """Return the operations that training on one token takes, forward and backward (PaLM, appendix B).

    6 for every weight that is multiplied (the embedding is looked up, but a tied one is also the head), and
    12 × layers × width × length for attention, halved because it is causal.
    """
    looked_up = 0 if config.tie_word_embeddings else config.vocab_size * config.hidden_size
    width = config.num_attention_heads * config.head_dim
    return 6.0 * (parameters - looked_up) + 6.0 * config.num_hidden_layers * width * row_tokens


def peak_flops(device: torch.device, precision: str) -> float | None:
    """Return the operations per second a device could do: from its data sheet, or measured for a CPU."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        known = next((flops for part, flops in _PEAK_FLOPS.items() if part in name), None)
        return known if precision == "bfloat16" else None
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    matrix = torch.ones(_PROBE, _PROBE, dtype=kind, device=device)
    best = min(_seconds(matrix) for _ in range(4))
    return 2 * _PROBE**3 / best


def _seconds(matrix: torch.Tensor) -> float:
    began = time.perf_counter()
    torch.mm(matrix, matrix)
    return time.perf_counter() - began


def _lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    # A kill may have cut the last line.
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]


def _board(folder: Path, after: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=after + 1)
