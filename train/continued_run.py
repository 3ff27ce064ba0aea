"""Continued pretraining as a run in one folder: rows of each source, training, the model folder."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from engine import model_folder
from engine.prompt import end_ids
from train.config import ContinuedRunConfig
from train.data.shards import read_shard, shard_exists, write_shard
from train.errors import CorpusError, RunError
from train.export import export
from train.metrics import Metric
from train.processes import processes
from train.stages.continue_pretraining import continue_pretraining, next_token_rows, read_texts


def continue_model(
    config: ContinuedRunConfig,
    model: Path,
    sources: Mapping[str, Path],
    folder: Path,
    tell: Callable[[str], None],
    on_step: Callable[[Metric], None],
) -> Path:
    """Go on training `model`, or where `folder` stands; return the new model folder.

    rows/NAME/   rows of each source of the mixture, with the model's own tokenizer
    metrics.jsonl, tensorboard/, checkpoints/
    model/       the result, which is served as `model` was

    Raises:
        TrainError: with what to do about it.
        ModelFolderError: `model` cannot be read.
    """
    recipe = config.continue_pretraining
    missing = sorted(set(recipe.mixture) - set(sources))
    if missing:
        raise CorpusError(f"the mixture has no source for {', '.join(missing)}; give --source {missing[0]}=PATH")
    result = folder / "model"
    if (result / "config.json").exists():
        return result
    served = model_folder.read(model)
    end = end_ids(served.prompt_settings.fim, served.tokenizer)[0]
    if processes().is_main:
        _claim(config, model, sources, folder)
        for name in recipe.mixture:
            if shard_exists(folder / "rows" / name):
                continue
            tell(f"packing {name} from {sources[name]}")
            rows = next_token_rows(read_texts(sources[name]), served.tokenizer, end=end, row_tokens=recipe.row_tokens)
            size = served.tokenizer.vocab_size
            write_shard(folder / "rows" / name, rows, vocab_size=size, limit=recipe.tokens, about={})
    processes().wait()
    shards = {name: read_shard(folder / "rows" / name) for name in recipe.mixture}
    tell(f"training on {recipe.tokens:,} tokens")
    network = continue_pretraining(
        served.transformer, shards, recipe, config.machine, folder, seed=recipe.seed, on_step=on_step
    )
    if processes().is_main:
        tell(f"writing {result}")
        export(
            result,
            network,
            tokenizer_json=(model / "tokenizer.json").read_text(encoding="utf-8"),
            prompt_settings=served.prompt_settings,
            dtype=torch.bfloat16 if config.machine.precision == "bfloat16" else torch.float32,
        )
    processes().wait()
    return result


def _claim(config: ContinuedRunConfig, model: Path, sources: Mapping[str, Path], folder: Path) -> None:
    wanted = {
        "recipe": config.to_json(),
        "model": str(model),
        "sources": {name: str(path) for name, path in sources.items()},
    }
    path = folder / "run.json"
    if path.exists():
        if json.loads(path.read_text(encoding="utf-8")) != wanted:
            raise RunError(f"{folder} belongs to another run (see {path}); choose another --output")
        return
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")
