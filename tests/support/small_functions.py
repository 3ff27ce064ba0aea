"""A family of one-line functions with tests, and a network that has learned to write about a third of them."""

import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from engine.model.config import TransformerConfig
from engine.model.transformer import Transformer
from engine.tokenizer import Tokenizer
from train.alignment.sampling import EngineSampler
from train.alignment.tasks import CodeTask
from train.config import AlignConfig, MachineConfig
from train.evaluate.sandbox import Sandbox
from train.loop import LoopSettings, train
from train.metrics import Metric
from train.objective import IGNORED
from train.optimizer import OptimizerSettings
from train.rewards import Answer, Judge, TestRewards
from train.schedule import Schedule
from train.stages.align import Dialogue, align
from train.stages.instruct import END_OF_TURN, ConversationBatches, Labelled
from train.tokenizer import train_tokenizer

BEGIN = "<｜begin▁of▁sentence｜>"

_STEPS = {
    "add {n}": "x + {n}",
    "subtract {n}": "x - {n}",
    "multiply by {n}": "x * {n}",
    "take the remainder of {n}": "x % {n}",
    "subtract from {n}": "{n} - x",
    "take the larger of {n} and it": "max({n}, x)",
}
_POINTS = (-7, -1, 0, 2, 5, 13)

MACHINE = MachineConfig(
    precision="float32",
    compile=False,
    parallel="ddp",
    gradient_checkpointing=False,
    micro_batch_tokens=0,
    checkpoint_minutes=60.0,
    keep_checkpoints=1,
)

RECIPE = AlignConfig(
    learning_rate=6e-4,
    steps=40,
    prompts_per_step=16,
    answers_per_prompt=16,
    max_tokens=24,
    variant="token",
    clip=0.2,
    kl=0.01,
)
"""Forty steps take about 45 CPU seconds. With a rate of 1e-3 and 8 prompts in a step noise undoes what is learned."""

TUNING_STEPS = 190
"""Of fine-tuning: a third of the answers pass then, and of eight answers to one task one does nearly always."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A task and its solution."""

    task: CodeTask
    solution: str


def samples() -> list[Sample]:
    """Return every function of the family, in a random order that is always the same."""
    found = [_sample(words, code, n) for words, code in _STEPS.items() for n in range(1, 40)]
    random.Random(0).shuffle(found)
    return found


def _sample(words: str, code: str, number: int) -> Sample:
    solution = f"def f(x):\n    return {code.format(n=number)}"
    space: dict[str, object] = {}
    exec(solution, space)
    function = space["f"]
    assert callable(function)
    tests = tuple(f"assert f({point}) == {function(point)}" for point in _POINTS)
    return Sample(task=CodeTask(instruction=words.format(n=number), tests=tests), solution=solution)


@dataclass(frozen=True, kw_only=True)
class Course:
    """What a tiny network learns from: a tokenizer, and how it is asked."""

    definition: str
    words: Tokenizer

    @classmethod
    def build(cls) -> "Course":
        """Train the tokenizer; it splits numbers into digits."""
        text = "".join(f"{sample.task.instruction}\n{sample.solution}\n" for sample in samples())
        definition = train_tokenizer([text], vocab_size=320, sample_bytes=1_000_000)
        return cls(definition=definition, words=Tokenizer(definition))

    @property
    def dialogue(self) -> Dialogue:
        """A request and a line end: the released preamble would take most of a tiny network's time."""
        begin, end = (self.words.control_id(mark) for mark in (BEGIN, END_OF_TURN))
        assert begin is not None
        assert end is not None
        return Dialogue(prompt=lambda request: [begin, *self.words.encode(f"{request}\n")], end=end)

    def network(self, config: TransformerConfig | None = None) -> Transformer:
        """Return an untrained network for the tokenizer."""
        shape = config or TransformerConfig(
            vocab_size=-(-self.words.vocab_size // 64) * 64,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            head_dim=16,
            max_position_embeddings=96,
            tie_word_embeddings=True,
        )
        network = Transformer(shape)
        network.initialise(torch.Generator().manual_seed(0))
        return network

    def fine_tune(
        self, network: Transformer, chosen: Sequence[Sample], folder: Path, *, steps: int, batch_rows: int = 32
    ) -> Transformer:
        """Train on the solutions of `chosen`, with the loop that every stage runs."""
        dialogue = self.dialogue
        batches = ConversationBatches(
            samples=[_labelled(sample, dialogue, self.words) for sample in chosen],
            batch_rows=batch_rows,
            row_tokens=96,
            passes=-(-steps * batch_rows // len(chosen)),
            pad=dialogue.end,
            seed=0,
        )
        schedule = Schedule(shape="cosine", peak=3e-3, steps=batches.steps, warmup_steps=20)
        settings = LoopSettings(schedule=schedule, optimizer=OptimizerSettings(weight_decay=0.0), machine=MACHINE)
        return train(network, batches, settings, folder, on_step=lambda metric: None)


def practise(
    tuned: Transformer,
    course: Course,
    chosen: Sequence[Sample],
    folder: Path,
    recipe: AlignConfig,
    *,
    seed: int,
    on_step: Callable[[Metric], None] = lambda metric: None,
) -> Transformer:
    """Let a network practise on the tasks of `chosen`, whose answers are run in the sandbox."""
    judge = Judge(Sandbox(), seconds=2)
    return align(
        tuned,
        [sample.task for sample in chosen],
        course.words,
        course.dialogue,
        TestRewards(judge=judge, compile_reward=recipe.compile_reward),
        recipe,
        MACHINE,
        folder,
        seed=seed,
        on_step=on_step,
    )


def paired_difference(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """Return the mean difference, task by task, and its standard error."""
    differences = [now - then for then, now in zip(before, after, strict=True)]
    return statistics.mean(differences), statistics.stdev(differences) / math.sqrt(len(differences))


def _labelled(sample: Sample, dialogue: Dialogue, words: Tokenizer) -> Labelled:
    prompt = dialogue.prompt(sample.task.instruction)
    answer = [*words.encode(sample.solution), dialogue.end]
    return Labelled(ids=prompt + answer, labels=[IGNORED] * len(prompt) + answer)


def pass_rates(network: Transformer, course: Course, chosen: Sequence[Sample], *, count: int) -> list[float]:
    """Return, for each task, the share of `count` drawn answers that pass all its tests."""
    dialogue = course.dialogue
    sampler = EngineSampler(network, ends=[dialogue.end], vocab_size=course.words.vocab_size, max_tokens=40)
    answers = []
    for number, sample in enumerate(chosen):
        prompt = dialogue.prompt(sample.task.instruction)
        for ids in sampler.sample(prompt, count=count, seed=number):
            text = course.words.decode([token for token in ids if token != dialogue.end])
            answers.append(Answer(task=sample.task, text=text, prompt=prompt, ids=ids))
    solved = [verdict.solved for verdict in Judge(Sandbox(), seconds=2).judge(answers)]
    return [sum(solved[start : start + count]) / count for start in range(0, len(solved), count)]
