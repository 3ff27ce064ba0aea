"""A stage's state on disk: written atomically, by all processes together, and read back to the step.

checkpoints/step-00000120/
    *.distcp, .metadata     weights and optimiser state (torch.distributed.checkpoint), for any number of processes
    random-00000.pt         the random numbers' state of each process
    state.json              the step, which decides the data order, and the loss guard
"""

import json
import random
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict_loader import load as load_tensors
from torch.distributed.checkpoint.state_dict_saver import save as save_tensors

from train.errors import RunError
from train.processes import processes


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a stage is, beside its tensors."""

    step: int
    """Steps done."""
    guard: dict[str, float]
    """State of the loss guard."""


def save(
    folder: Path,
    tensors: Mapping[str, Tensor],
    progress: Progress,
    *,
    keep: int,
    save_own: Callable[[Path], None] = lambda _: None,
) -> None:
    """Write a checkpoint under another name, then rename it: a kill leaves the old ones or the new one.

    Args:
        folder: of all checkpoints of a stage.
        tensors: equal names on every process; sharded ones are saved by those who hold them.
        progress: equal on every process.
        keep: the newest ones to leave on disk.
        save_own: writes whatever else there is into the folder it is given.
    """
    group = processes()
    name = f"step-{progress.step:08d}"
    partial = folder / f".{name}.partial"
    if group.is_main:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    group.wait()
    with _alone_or_together() as alone:
        save_tensors(dict(tensors), checkpoint_id=partial, no_dist=alone)
    save_own(partial)
    torch.save(_random_state(), partial / f"random-{group.rank:05d}.pt")
    group.wait()
    if group.is_main:
        shapes = {name: list(value.shape) for name, value in tensors.items() if name.startswith("weights.")}
        state = {"step": progress.step, "guard": progress.guard, "shapes": shapes}
        (partial / "state.json").write_text(json.dumps(state) + "\n", encoding="utf-8")
        shutil.rmtree(folder / name, ignore_errors=True)
        partial.replace(folder / name)
        for old in _finished(folder)[:-keep]:
            shutil.rmtree(old)
    group.wait()


def load(
    folder: Path, tensors: Mapping[str, Tensor], load_own: Callable[[Path], None] = lambda _: None
) -> Progress | None:
    """Fill `tensors` from the newest checkpoint; None when there is none yet.

    Raises:
        RunError: the checkpoint is broken or of another network.
    """
    found = _finished(folder)
    if not found:
        return None
    newest = found[-1]
    state = _read_state(newest)
    wanted = {name: list(value.shape) for name, value in tensors.items() if name.startswith("weights.")}
    if state["shapes"] != wanted:
        raise RunError(f"{newest} holds another network than the recipe asks for; choose another output folder")
    try:
        with _alone_or_together() as alone:
            load_tensors(dict(tensors), checkpoint_id=newest, no_dist=alone)
        load_own(newest)
        random_state = newest / f"random-{processes().rank:05d}.pt"
        if random_state.exists():  # more processes than before have none
            _restore_random(torch.load(random_state, weights_only=True))
    except (Exception, CheckpointException) as error:  # whatever a cut or damaged file makes the reader raise
        raise _broken(newest, error) from error
    return Progress(step=state["step"], guard=state["guard"])


def newest_step(folder: Path) -> int:
    """Return the step of the newest checkpoint, 0 when there is none."""
    found = _finished(folder)
    return int(found[-1].name.removeprefix("step-")) if found else 0


@contextmanager
def _alone_or_together() -> Iterator[bool]:
    alone = processes().count == 1
    with warnings.catch_warnings():
        if alone:  # it warns of a single process even where it is told of one
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield alone


def _finished(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))


def _read_state(checkpoint: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
        if not {"step", "guard", "shapes"} <= state.keys():
            raise ValueError("state.json lacks fields")
    except (OSError, ValueError) as error:
        raise _broken(checkpoint, error) from error
    return state


def _broken(checkpoint: Path, error: BaseException) -> RunError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return RunError(f"the checkpoint {checkpoint} is broken ({reason}); delete it to go on from the one before")


def _random_state() -> dict[str, Any]:
    version, words, gauss = random.getstate()
    kind, table, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": [version, list(words), gauss],
        "numpy": [kind, torch.from_numpy(np.asarray(table, np.int64)), position, has_gauss, cached],
    }


def _restore_random(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    kind, words, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, words.numpy().astype(np.uint32), int(position), int(has_gauss), cached))
