"""A reward model: a copy of the instruct model learns to score answers that pass their tests above those that do not.

DeepSeek-Coder-V2, section 3.5, prefers it to the raw verdict of a few tests, which says too much of an answer that is
right by luck. The score of an answer is the scalar that one row of the output head, that of the mark which ends an
answer, gives the state after that mark; so a reward model is stored as any other model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from engine.model.transformer import Transformer
from engine.tokenizer import Tokenizer
from train.alignment.sampling import EngineSampler
from train.alignment.tasks import CodeTask
from train.config import MachineConfig, RewardModelConfig
from train.errors import CorpusError
from train.loop import Batch, LoopSettings, shuffled, train
from train.metrics import Metric
from train.objective import IGNORED, Objective, summed_loss
from train.optimizer import OptimizerSettings
from train.rewards import Answer, Judge, Verdict
from train.schedule import Schedule
from train.stages.align import Dialogue
from train.stages.pretrain import trainable_copy

_ROUND = 64
"""Rows are padded to a multiple of this many tokens, so that a compiled step meets few shapes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two answers to one request, as ids with the request in front and the end mark behind."""

    better: Sequence[int]
    """Passes more of the tests."""
    worse: Sequence[int]


class PairObjective(Objective):
    """−log σ(score of the better − score of the worse), summed over pairs (Bradley and Terry).

    A row holds both answers of a pair, one half each; its targets are the end mark where a half is scored.
    """

    def __init__(self, network: Transformer, *, end: int) -> None:
        super().__init__(network, summed_loss)
        self._end = end

    def forward(self, ids: Tensor, targets: Tensor, *_columns: Tensor) -> Tensor:
        """See `Objective`; the loss counts twice, as each pair has two targets."""
        halves = ids.view(2 * len(ids), -1)
        states = self.network.hidden_states(halves)
        places = (targets.view(halves.shape) != IGNORED).int().argmax(1)
        better, worse = scores(self.network, states, places, self._end).view(-1, 2).unbind(1)
        return -2 * F.logsigmoid(better - worse).sum()


def scores(network: Transformer, states: Tensor, places: Tensor, end: int) -> Tensor:
    """Return the scalar [B] of states [B, T, hidden] at one place [B] of each row, in fp32."""
    last = states[torch.arange(len(states), device=states.device), places]
    return (last @ network.lm_head.weight[end]).float()


@dataclass(frozen=True, slots=True, kw_only=True)
class PairBatches:
    """Pairs in random order, each once in every pass."""

    pairs: Sequence[Pair]
    batch_pairs: int
    passes: int
    end: int
    seed: int

    @property
    def steps(self) -> int:
        """See `Batches`."""
        return -(-len(self.pairs) * self.passes // self.batch_pairs)

    @property
    def tokens_per_step(self) -> int:
        """See `Batches`: the mean, padding left out."""
        tokens = sum(len(pair.better) + len(pair.worse) for pair in self.pairs)
        return max(1, round(self.batch_pairs * tokens / len(self.pairs)))

    def batch(self, step: int) -> Batch:
        """See `Batches`."""
        chosen = []
        for position in range(step * self.batch_pairs, (step + 1) * self.batch_pairs):
            one_pass, place = divmod(position, len(self.pairs))
            chosen.append(self.pairs[int(shuffled(len(self.pairs), self.seed, one_pass)[place])])
        ids, places = padded([row for pair in chosen for row in (pair.better, pair.worse)], self.end)
        targets = np.full_like(ids, IGNORED)
        targets[np.arange(len(ids)), places] = self.end
        return Batch(ids=ids.reshape(len(chosen), -1), targets=targets.reshape(len(chosen), -1))

    def held_out(self) -> Sequence[Batch]:
        """See `Batches`: none; whoever calls asks `RewardModel` for scores."""
        return []


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardModel:
    """A trained network that scores answers."""

    network: Transformer
    end: int

    @torch.no_grad()
    def score(self, rows: Sequence[Sequence[int]]) -> list[float]:
        """Return the score of each row: request, answer and end mark; one that was cut off gets the mark here."""
        found = []
        for start in range(0, len(rows), _TOGETHER):
            ids, places = padded([_ended(row, self.end) for row in rows[start : start + _TOGETHER]], self.end)
            states = self.network.hidden_states(torch.from_numpy(ids).to(self.network.device))
            where = torch.from_numpy(places).to(self.network.device)
            found += scores(self.network, states, where, self.end).tolist()
        return found


_TOGETHER = 16


def draw_pairs(
    network: Transformer,
    tasks: Sequence[CodeTask],
    tokenizer: Tokenizer,
    dialogue: Dialogue,
    judge: Judge,
    recipe: RewardModelConfig,
    *,
    max_tokens: int,
    seed: int,
) -> list[Pair]:
    """Let the model answer every task, run the answers, and pair better ones with worse ones of the same task.

    Raises:
        SandboxError: the sandbox itself failed.
    """
    sampler = EngineSampler(network, ends=[dialogue.end], vocab_size=tokenizer.vocab_size, max_tokens=max_tokens)
    drawn: list[list[Answer]] = []
    for number, task in enumerate(tasks):
        prompt = dialogue.prompt(task.instruction)
        if len(prompt) + max_tokens > network.config.max_position_embeddings:
            continue
        written = sampler.sample(prompt, count=recipe.answers_per_prompt, seed=seed + number)
        texts = [tokenizer.decode([token for token in ids if token != dialogue.end]) for ids in written]
        drawn.append(
            [Answer(task=task, text=text, prompt=prompt, ids=ids) for text, ids in zip(texts, written, strict=True)]
        )
    verdicts = iter(judge.judge([answer for answers in drawn for answer in answers]))
    chance = np.random.default_rng(seed)
    return [
        pair
        for answers in drawn
        for pair in pairs_of(
            answers, [next(verdicts) for _ in answers], dialogue.end, most=recipe.pairs_per_prompt, chance=chance
        )
    ]


def pairs_of(
    answers: Sequence[Answer], verdicts: Sequence[Verdict], end: int, *, most: int, chance: np.random.Generator
) -> list[Pair]:
    """Pair answers to one task of which one passes more tests, or compiles where both pass as many; at random."""
    worth = [(verdict.share, verdict.compiles) for verdict in verdicts]
    rows = [_ended([*answer.prompt, *answer.ids], end) for answer in answers]
    found = {
        (tuple(rows[one]), tuple(rows[other]))
        for one in range(len(rows))
        for other in range(len(rows))
        if worth[one] > worth[other]
    }
    pairs = [Pair(better=better, worse=worse) for better, worse in sorted(found)]
    return [pairs[index] for index in chance.permutation(len(pairs))[:most]]


def train_reward_model(
    network: Transformer,
    pairs: Sequence[Pair],
    recipe: RewardModelConfig,
    machine: MachineConfig,
    folder: Path,
    *,
    end: int,
    seed: int,
    on_step: Callable[[Metric], None],
) -> Transformer:
    """Train a copy of an instruct model on pairs.

    Raises:
        CorpusError: there is no pair.
        RunError: whatever `train.loop.train` raises.
    """
    if not pairs:
        raise CorpusError(
            "no task has answers of unlike worth, so there is nothing to learn a reward from; raise "
            "reward_model.answers_per_prompt, or set align.reward=tests"
        )
    batches = PairBatches(pairs=pairs, batch_pairs=recipe.batch_pairs, passes=recipe.passes, end=end, seed=seed)
    schedule = Schedule(
        shape="cosine",
        peak=recipe.learning_rate,
        steps=batches.steps,
        warmup_steps=recipe.warmup_steps,
        final_share=0.0,
    )
    settings = LoopSettings(schedule=schedule, optimizer=OptimizerSettings(weight_decay=0.0), machine=machine)
    learning = trainable_copy(network)
    return train(
        learning,
        batches,
        settings,
        folder,
        on_step=on_step,
        objective=lambda placed: PairObjective(placed, end=end),
    )


def padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows of one length, padded on the right, where no token before sees it, and each one's last place."""
    width = -(-max(map(len, rows)) // _ROUND) * _ROUND
    ids = np.full((len(rows), width), pad, np.int64)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
    return ids, np.array([len(row) - 1 for row in rows])


def _ended(row: Sequence[int], end: int) -> list[int]:
    return list(row) if row and row[-1] == end else [*row, end]
