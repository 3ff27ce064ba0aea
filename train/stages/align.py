"""Reinforcement learning with GRPO: the network answers, the answers are run, and better ones become more probable.

rollouts/00000012.npz   the answers of the 13th exploration, as the loop reads them; older ones than the newest
                        checkpoint needs are deleted
"""

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from engine.model.transformer import Transformer
from engine.tokenizer import Tokenizer
from train import checkpoint
from train.alignment.objective import GrpoObjective, advantages, k3, log_probabilities
from train.alignment.sampling import EngineSampler, Sampler
from train.alignment.tasks import CodeTask
from train.config import AlignConfig, MachineConfig
from train.errors import CorpusError, RunError
from train.loop import CHECKPOINTS, Batch, LoopSettings, shuffled, train
from train.metrics import Metric
from train.objective import IGNORED
from train.optimizer import OptimizerSettings
from train.processes import processes
from train.rewards import Answer, Rewards, Scored
from train.schedule import Schedule
from train.stages.instruct import Template
from train.stages.pretrain import trainable_copy

_ROUND = 64
"""Rows are padded to a multiple of this many tokens, so that a compiled step meets few shapes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogue:
    """How the model is asked, and how it ends its answer."""

    prompt: Callable[[str], list[int]]
    """Gives the ids of a request, up to where the answer begins."""
    end: int
    """The token that ends an answer."""


def dialogue(template: Template, tokenizer: Tokenizer, begin: int | None) -> Dialogue:
    """Return how a model that was tuned with `template` is asked.

    Raises:
        CorpusError: the tokenizer does not know the mark that ends an answer.
    """
    end = tokenizer.control_id(template.end)
    if end is None:
        raise CorpusError(f"the tokenizer has no {template.end}; the model needs it to end an answer")
    first = [] if begin is None else [begin]
    return Dialogue(prompt=lambda request: [*first, *tokenizer.encode(template.prompt(request))], end=end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The answers to one request, and what they are worth."""

    prompt: list[int]
    answers: list[Sequence[int]]
    scored: list[Scored]

    @property
    def rows(self) -> list[list[int]]:
        """Request and answer of each."""
        return [[*self.prompt, *answer] for answer in self.answers]


@dataclass(kw_only=True)
class RolloutBatches:
    """Answers drawn from the network as it stands, one batch for each exploration."""

    network: Transformer
    """Learns between two explorations."""
    reference: Transformer
    """Does not."""
    sampler: Sampler
    rewards: Rewards
    tasks: Sequence[CodeTask]
    tokenizer: Tokenizer
    dialogue: Dialogue
    recipe: AlignConfig
    folder: Path
    seed: int
    _held: tuple[int, Batch] | None = field(default=None, init=False)

    @property
    def steps(self) -> int:
        """See `Batches`."""
        return self.recipe.steps

    @property
    def tokens_per_step(self) -> int:
        """See `Batches`: what the answers may have at most."""
        return self.recipe.prompts_per_step * self.recipe.answers_per_prompt * self.recipe.max_tokens

    def held_out(self) -> Sequence[Batch]:
        """See `Batches`: none; what counts is how many tests are passed."""
        return []

    def batch(self, step: int) -> Batch:
        """See `Batches`; the answers are drawn now, or were written to disk before the run was broken off."""
        exploration = step // self.recipe.updates
        if self._held is None or self._held[0] != exploration:
            path = self.folder / "rollouts" / f"{exploration:08d}.npz"
            self._held = exploration, _read(path) if path.exists() else self._explore(exploration, path)
        return self._held[1]

    def _explore(self, exploration: int, path: Path) -> Batch:
        groups = self._shared(self._groups(exploration))
        batch = self._assemble(groups)
        if processes().is_main:
            oldest = checkpoint.newest_step(self.folder / CHECKPOINTS) // self.recipe.updates
            _write(path, batch, oldest=oldest)
        return batch

    def _places(self) -> range:
        """Return the groups that this process draws."""
        return range(processes().rank, self.recipe.prompts_per_step, processes().count)

    def _shared(self, own: list[Group]) -> list[Group]:
        """Return the groups of all processes, in one order on each."""
        if processes().count == 1:
            return own
        found: list[list[Group]] = [[] for _ in range(processes().count)]
        dist.all_gather_object(found, own)
        return [found[place % len(found)][place // len(found)] for place in range(self.recipe.prompts_per_step)]

    def _groups(self, exploration: int) -> list[Group]:
        """Draw this process's share, then run all of it at once."""
        drawn: list[tuple[list[int], list[Answer]]] = []
        for place in self._places():
            position = exploration * self.recipe.prompts_per_step + place
            one_pass, index = divmod(position, len(self.tasks))
            task = self.tasks[int(shuffled(len(self.tasks), self.seed, one_pass)[index])]
            prompt = self.dialogue.prompt(task.instruction)
            written = self.sampler.sample(prompt, count=self.recipe.answers_per_prompt, seed=self.seed + position)
            drawn.append((prompt, [Answer(task=task, text=self._text(ids), prompt=prompt, ids=ids) for ids in written]))
        scored = iter(self.rewards.score([answer for _, answers in drawn for answer in answers]))
        return [
            Group(prompt=prompt, answers=[answer.ids for answer in answers], scored=[next(scored) for _ in answers])
            for prompt, answers in drawn
        ]

    def _text(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode([token for token in ids if token != self.dialogue.end])

    def _assemble(self, groups: Sequence[Group]) -> Batch:
        """Pad all answers to rows of one length, and score them with the network as it is and as it was at first."""
        rows = [row for group in groups for row in group.rows]
        width = -(-(max(map(len, rows)) - 1) // _ROUND) * _ROUND
        ids = np.full((len(rows), width + 1), self.dialogue.end, np.int64)
        targets = np.full((len(rows), width + 1), IGNORED, np.int64)
        starts = [len(group.prompt) for group in groups for _ in group.answers]
        for number, (row, start) in enumerate(zip(rows, starts, strict=True)):
            ids[number, : len(row)] = row
            targets[number, start : len(row)] = row[start:]
        ids, targets = ids[:, :-1], targets[:, 1:]
        counts = np.maximum(1, (targets != IGNORED).sum(1))
        # The loop divides by all targets; so each answer weighs the same, however long it is.
        weights = (targets != IGNORED) * (counts.sum() / len(rows) / counts)[:, None]
        rewards = np.array([[scored.reward for scored in group.scored] for group in groups])
        gains = np.repeat(advantages(rewards).reshape(-1, 1), width, 1)
        old = self._log_probabilities(self.network, ids, targets)
        first = self._log_probabilities(self.reference, ids, targets) if self.recipe.kl else old
        return Batch(
            ids=ids,
            targets=targets,
            columns=(gains, old, first, weights.astype(np.float32)),
            figures=_figures(groups, rewards, k3(torch.from_numpy(old), torch.from_numpy(first)), counts),
        )

    @torch.no_grad()
    def _log_probabilities(
        self, network: Transformer, ids: NDArray[np.int64], targets: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        size = self.recipe.answers_per_prompt
        parts = [
            _score(network, ids[start : start + size], targets[start : start + size])
            for start in range(0, len(ids), size)
        ]
        return torch.cat(parts).cpu().numpy()


def align(
    network: Transformer,
    tasks: Sequence[CodeTask],
    tokenizer: Tokenizer,
    dialogue: Dialogue,
    rewards: Rewards,
    recipe: AlignConfig,
    machine: MachineConfig,
    folder: Path,
    *,
    seed: int,
    on_step: Callable[[Metric], None],
    sampler_of: Callable[[Transformer], Sampler] | None = None,
) -> Transformer:
    """Let a network that follows instructions practise on tasks.

    Args:
        network: the start, and the reference that it is held near to.
        tasks: in any order; each is met as often as the steps take.
        tokenizer: of the network.
        dialogue: how it is asked.
        rewards: what answers are worth.
        recipe: of this stage.
        machine: one process, or whole copies (`ddp`): each draws its share of the answers.
        folder: gets metrics, checkpoints and rollouts.
        seed: of the order of tasks and of the answers.
        on_step: told of every step.
        sampler_of: draws answers from the network that learns; None is midfill's own.

    Raises:
        CorpusError: no task leaves room for an answer.
        RunError: the network is to be cut into shards; and whatever `train.loop.train` raises.
    """
    if processes().count > 1 and (machine.parallel != "ddp" or machine.expert_parallel > 1):
        raise RunError("[align] draws answers from whole networks; set machine.parallel=ddp, machine.expert_parallel=1")
    fitting = list(_with_room(tasks, dialogue, network, recipe))
    if not fitting:
        raise CorpusError("no task leaves room for an answer; lower align.max_tokens, or give shorter tasks")
    learning = trainable_copy(network)
    precision = torch.bfloat16 if machine.precision == "bfloat16" and processes().count == 1 else torch.float32
    device = processes().device
    learning.to(device)
    own = EngineSampler(learning, ends=[dialogue.end], vocab_size=tokenizer.vocab_size, max_tokens=recipe.max_tokens)
    batches = RolloutBatches(
        network=learning,
        reference=copy.deepcopy(network).to(device, precision).requires_grad_(requires_grad=False),
        sampler=own if sampler_of is None else sampler_of(learning),
        rewards=rewards,
        tasks=fitting,
        tokenizer=tokenizer,
        dialogue=dialogue,
        recipe=recipe,
        folder=folder,
        seed=seed,
    )
    settings = LoopSettings(
        schedule=Schedule(shape="constant", peak=recipe.learning_rate, steps=recipe.steps),
        # No decay: where no answer is better than another, nothing is to be learned.
        optimizer=OptimizerSettings(weight_decay=0.0),
        machine=machine,
    )

    def objective(placed: Transformer) -> GrpoObjective:
        return GrpoObjective(placed, variant=recipe.variant, clip=recipe.clip, kl=recipe.kl)

    return train(learning, batches, settings, folder, on_step=on_step, objective=objective)


def _with_room(
    tasks: Sequence[CodeTask], dialogue: Dialogue, network: Transformer, recipe: AlignConfig
) -> Iterator[CodeTask]:
    for task in tasks:
        if len(dialogue.prompt(task.instruction)) + recipe.max_tokens <= network.config.max_position_embeddings:
            yield task


def _score(network: Transformer, ids: NDArray[np.int64], targets: NDArray[np.int64]) -> Tensor:
    device = network.device
    states = network.hidden_states(torch.from_numpy(ids).to(device))
    wanted = torch.from_numpy(np.ascontiguousarray(targets)).to(device)
    return log_probabilities(states.flatten(0, 1), network.lm_head.weight, wanted.flatten()).view(wanted.shape)


def _figures(
    groups: Sequence[Group], rewards: NDArray[np.float64], divergence: Tensor, counts: NDArray[np.int64]
) -> dict[str, float]:
    verdicts = [scored.verdict for group in groups for scored in group.scored]
    return {
        "reward": float(rewards.mean()),
        "solved": float(np.mean([verdict.solved for verdict in verdicts])),
        "tests_passed": float(np.mean([verdict.share for verdict in verdicts])),
        "compiles": float(np.mean([verdict.compiles for verdict in verdicts])),
        "groups_that_differ": float(np.mean(rewards.std(1) > 0)),
        "divergence": float(divergence.sum() / counts.sum()),
        "answer_tokens": float(counts.mean()),
    }


def _write(path: Path, batch: Batch, *, oldest: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".partial.{os.getpid()}.npz")
    columns = {f"column{number}": column for number, column in enumerate(batch.columns)}
    figures = {f"figure.{name}": np.float64(value) for name, value in batch.figures.items()}
    np.savez(partial, ids=batch.ids, targets=batch.targets, **columns, **figures)  # type: ignore[arg-type]
    partial.replace(path)
    for other in path.parent.glob("*.npz"):
        if other.stem.isdigit() and int(other.stem) < oldest:
            other.unlink()


def _read(path: Path) -> Batch:
    try:
        with np.load(path) as stored:
            columns = sorted(name for name in stored.files if name.startswith("column"))
            figures = {name[7:]: float(stored[name]) for name in stored.files if name.startswith("figure.")}
            return Batch(
                ids=stored["ids"],
                targets=stored["targets"],
                columns=tuple(stored[name] for name in columns),
                figures=figures,
            )
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"{path} is broken ({error}); delete it, and the answers are drawn again") from error
