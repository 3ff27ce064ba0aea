"""Practice as a stage of a run: a reward model first where the recipe asks for one, then GRPO."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from engine import model_folder
from engine.model.transformer import Transformer
from engine.tokenizer import Tokenizer
from train.alignment.sampling import VllmSampler
from train.alignment.tasks import CodeTask
from train.config import AlignConfig, MachineConfig, RewardModelConfig
from train.errors import RecipeError
from train.evaluate.sandbox import Sandbox
from train.metrics import Metric
from train.processes import processes
from train.rewards import Judge, ModelRewards, Rewards, TestRewards
from train.stages.align import Dialogue, align
from train.stages.reward_model import Pair, RewardModel, draw_pairs, train_reward_model


@dataclass(frozen=True, slots=True, kw_only=True)
class Practice:
    """Who practises, and how."""

    model: Path
    """Folder of the instruct model."""
    tokenizer: Tokenizer
    dialogue: Dialogue
    recipe: AlignConfig
    reward_recipe: RewardModelConfig | None
    machine: MachineConfig
    seed: int


def practise(
    practice: Practice,
    tasks: Sequence[CodeTask],
    folder: Path,
    *,
    tell: Callable[[str], None],
    on_step: Callable[[Metric], None],
) -> Transformer:
    """Train the model on tasks; a reward model is made in `reward_model/` beside `folder`.

    Raises:
        RecipeError: the recipe asks for a reward model and does not say how it is trained.
        CorpusError: there is no task that can be answered, or none to learn a reward from.
        RunError: whatever `train.loop.train` raises, or vLLM is asked for and not installed.
        SandboxError: answers cannot be run apart from the rest of the machine.
    """
    recipe, network = practice.recipe, _read(practice.model)
    judge = Judge(Sandbox())
    rewards: Rewards = TestRewards(judge=judge, compile_reward=recipe.compile_reward)
    if recipe.reward == "model":
        rewards = _reward_model(practice, network, tasks, judge, folder.with_name("reward_model"), tell, on_step)
    tell(f"practising on {len(tasks):,} tasks")

    def with_vllm(learning: Transformer) -> VllmSampler:
        ends = [practice.dialogue.end]
        return VllmSampler(str(practice.model), learning, ends=ends, max_tokens=recipe.max_tokens)

    return align(
        network,
        tasks,
        practice.tokenizer,
        practice.dialogue,
        rewards,
        recipe,
        practice.machine,
        folder,
        seed=practice.seed,
        on_step=on_step,
        sampler_of=with_vllm if recipe.sampler == "vllm" else None,
    )


def _reward_model(
    practice: Practice,
    network: Transformer,
    tasks: Sequence[CodeTask],
    judge: Judge,
    folder: Path,
    tell: Callable[[str], None],
    on_step: Callable[[Metric], None],
) -> ModelRewards:
    recipe = practice.reward_recipe
    if recipe is None:
        raise RecipeError("align.reward=model needs a [reward_model] section; add one, or set align.reward=tests")
    path, end = folder / "pairs.jsonl", practice.dialogue.end

    def write() -> None:
        tell(f"drawing answers to {len(tasks):,} tasks for the reward model")
        pairs = draw_pairs(
            network,
            tasks,
            practice.tokenizer,
            practice.dialogue,
            judge,
            recipe,
            max_tokens=practice.recipe.max_tokens,
            seed=practice.seed,
        )
        _write_pairs(path, pairs)

    if processes().is_main and not path.exists():
        write()
    processes().wait()
    pairs = _read_pairs(path)
    tell(f"training a reward model on {len(pairs):,} pairs")
    trained = train_reward_model(
        network, pairs, recipe, practice.machine, folder, end=end, seed=practice.seed, on_step=on_step
    )
    scorer = RewardModel(network=trained.to(processes().device), end=end)
    return ModelRewards(scores=scorer.score, judge=judge)


def _write_pairs(path: Path, pairs: Sequence[Pair]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    lines = (json.dumps({"better": list(pair.better), "worse": list(pair.worse)}) for pair in pairs)
    partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    partial.replace(path)


def _read_pairs(path: Path) -> list[Pair]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Pair(**json.loads(line)) for line in lines]


def _read(folder: Path) -> Transformer:
    return model_folder.read_transformer(folder, model_folder.read_config(folder), torch.float32, "cpu")
