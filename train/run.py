"""A whole run in one folder: tokenizer, rows, weights, served model; each step is skipped when its output is there."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from engine import model_folder
from engine.fim_formats import DEEPSEEK_CODER
from engine.model.config import TransformerConfig
from engine.prompt import PromptSettings
from engine.tokenizer import Tokenizer
from train.config import RunConfig
from train.data.document import SourceDocument
from train.data.pipeline import clean_documents, training_rows
from train.data.shards import read_shard, shard_exists, write_shard
from train.errors import CorpusError, RunError
from train.stages.pretrain import Metric, pretrain
from train.tokenizer import train_tokenizer


@dataclass(frozen=True)
class Run:
    """One run: its recipe, where its source comes from, and the folder that holds all it makes.

    run.json        the recipe and the source folders
    tokenizer.json
    rows/           training rows and what was dropped, by reason
    metrics.jsonl   one line a step
    checkpoint.pt
    model/          the model folder to serve
    """

    config: RunConfig
    sources: Sequence[Path]
    folder: Path

    @cached_property
    def documents(self) -> list[SourceDocument]:
        """The documents to train on, in training order."""
        documents = clean_documents(self.sources, self.config.data, self._dropped)
        if not documents:
            raise CorpusError(
                f"no {', '.join(self.config.data.languages)} source worth training on under "
                f"{', '.join(map(str, self.sources))}; dropped: {dict(self._dropped) or 'nothing'}"
            )
        return documents

    @cached_property
    def _dropped(self) -> Counter[str]:
        return Counter()

    @property
    def settings(self) -> PromptSettings:
        """How prompts are laid out; travels with the weights as `prompt.json`."""
        return PromptSettings(fim=DEEPSEEK_CODER, context_length=self.config.model.context_length)

    @property
    def model_folder(self) -> Path:
        """Where the finished model lies."""
        return self.folder / "model"

    def execute(self, tell: Callable[[str], None], on_step: Callable[[Metric], None]) -> Path:
        """Go through every step that is not done yet; return the model folder.

        Raises:
            TrainError: with what to do about it. Whatever was finished before stays and is not made again.
        """
        self._claim()
        tokenizer_json = self._tokenizer(tell)
        tokenizer = Tokenizer(tokenizer_json)
        self._rows(tokenizer, tell)
        shard = read_shard(self.folder / "rows")
        shape = self._shape(tokenizer)
        tell(f"pretraining on {shard.rows.size:,} tokens")
        seed = self.config.data.seed
        network = pretrain(shape, self.config.pretrain, shard, self.folder, seed=seed, on_step=on_step)
        tell(f"writing {self.model_folder}")
        model_folder.write(
            self.model_folder,
            network,
            tokenizer_json=tokenizer_json,
            prompt_settings=self.settings,
            dtype=torch.bfloat16 if self.config.pretrain.precision == "bfloat16" else torch.float32,
        )
        return self.model_folder

    def _claim(self) -> None:
        """Write `run.json`, or check that the one there asks for the same run."""
        if self.config.model.context_length < self.config.data.row_tokens:
            raise RunError("model.context_length must be at least data.row_tokens")
        wanted = {"recipe": self.config.to_json(), "sources": [str(source) for source in self.sources]}
        path = self.folder / "run.json"
        if path.exists():
            if json.loads(path.read_text(encoding="utf-8")) != wanted:
                raise RunError(f"{self.folder} belongs to another run (see {path}); choose another --output")
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")

    def _tokenizer(self, tell: Callable[[str], None]) -> str:
        path = self.folder / "tokenizer.json"
        if path.exists():
            return path.read_text(encoding="utf-8")
        wanted = self.config.tokenizer
        tell(f"training a tokenizer of {wanted.vocab_size} tokens on {len(self.documents):,} documents")
        texts = (document.text for document in self.documents)
        definition = train_tokenizer(texts, vocab_size=wanted.vocab_size, sample_bytes=wanted.sample_bytes)
        path.write_text(definition, encoding="utf-8")
        return definition

    def _rows(self, tokenizer: Tokenizer, tell: Callable[[str], None]) -> None:
        if shard_exists(self.folder / "rows"):
            return
        tell(f"cutting holes and packing {len(self.documents):,} documents")
        rows = training_rows(self.documents, self.config.data, self.settings, tokenizer)
        about = {"documents": len(self.documents), "dropped": dict(self._dropped)}
        limit = self.config.data.tokens
        write_shard(self.folder / "rows", rows, vocab_size=tokenizer.vocab_size, limit=limit, about=about)

    def _shape(self, tokenizer: Tokenizer) -> TransformerConfig:
        wanted = self.config.model
        return TransformerConfig(
            vocab_size=-(-tokenizer.vocab_size // 64) * 64,  # whole vectors for the output layer
            hidden_size=wanted.hidden_size,
            intermediate_size=wanted.intermediate_size,
            num_hidden_layers=wanted.num_hidden_layers,
            num_attention_heads=wanted.num_attention_heads,
            num_key_value_heads=wanted.num_key_value_heads,
            head_dim=wanted.head_dim,
            max_position_embeddings=wanted.context_length,
            rope_theta=wanted.rope_theta,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.control_id(DEEPSEEK_CODER.begin_of_sequence or ""),
            eos_token_id=tokenizer.control_id(DEEPSEEK_CODER.end_marks[0]),
        )
