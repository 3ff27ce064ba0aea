"""A whole run in one folder, stage after stage; what is there already is not made again."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from engine import model_folder
from engine.fim_formats import DEEPSEEK_CODER
from engine.model.config import TransformerConfig
from engine.model.transformer import Transformer
from engine.prompt import PromptSettings, end_ids, read_settings
from engine.tokenizer import Tokenizer
from train.alignment.tasks import draw_tasks, read_tasks
from train.config import AlignConfig, EvaluateConfig, ExtendContextConfig, InstructConfig, RunConfig, from_json
from train.data.conversations import Conversation, read_conversations
from train.data.cut_holes import served_mode
from train.data.document import SourceDocument
from train.data.executor import open_executor
from train.data.instructions_from_source import draw_conversations
from train.data.pipeline import CleanCorpus, prepare, snippet_finder, training_rows
from train.data.shards import Shard, read_shard, shard_exists, write_shard
from train.errors import CorpusError, RecipeError, RunError
from train.export import export
from train.metrics import Metric
from train.processes import processes
from train.stages.align import dialogue
from train.stages.complete import complete
from train.stages.evaluate import REPORT, evaluate
from train.stages.extend_context import extend_context
from train.stages.instruct import TEMPLATES, Template, instruct
from train.stages.practise import Practice, practise
from train.stages.pretrain import pretrain, trainable_copy, untrained
from train.tokenizer import BulkTokenizer, train_tokenizer


@dataclass(frozen=True)
class Run:
    """One run: its recipe, where its source comes from, and the folder that holds all it makes.

    run.json            the recipe and the source folders
    tokenizer.json
    rows/               training rows and what was dropped, by reason
    pretrain/           metrics.jsonl, tensorboard/, checkpoints/, and model/ in fp32
    extend_context/     the same, and its longer rows/
    instruct/           the same, without rows
    reward_model/       the same, and the pairs it learned from, where answers are rewarded by a model
    align/              the same, and rollouts/
    model/              the model folder to serve: it completes code
    instruct_model/     the one that follows instructions
    evaluation/         report.txt, .json, .html, every answer, and completions.jsonl from the engine
    """

    config: RunConfig
    sources: Sequence[Path]
    folder: Path
    instructions: Path | None = None
    """Conversations for `instruct`; without them they are drawn from the sources' own docstrings."""
    tasks: Path | None = None
    """Tasks with tests for `align`; without them the sources' documented functions are asked for."""
    start_from: Path | None = None
    """A model folder whose tokenizer, shape and weights pretraining starts from, in place of a new network."""

    @cached_property
    def documents(self) -> list[SourceDocument]:
        """The documents to train on, in training order."""
        documents = list(self._corpus.documents())
        if not documents:
            raise CorpusError(
                f"no {', '.join(self.config.data.languages)} source worth training on under "
                f"{', '.join(map(str, self.sources))}; dropped: {dict(self._corpus.tally.reasons()) or 'nothing'}"
            )
        return documents

    @cached_property
    def _corpus(self) -> CleanCorpus:
        with open_executor() as executor:
            return prepare(
                self.sources, self.config.data, self.config.clean, self.folder / "data", executor, lambda _: None
            )

    @property
    def settings(self) -> PromptSettings:
        """How prompts are laid out; travels with the weights as `prompt.json`.

        Serving goes no further than training went: positions that no row had are noise to the network, whatever the
        network has room for.
        """
        data, start = self.config.data, self.start_from
        fim = DEEPSEEK_CODER if start is None else _prompt_settings(start).fim
        return PromptSettings(fim=fim, context_length=data.row_tokens, mode=served_mode(data))

    @property
    def model_folder(self) -> Path:
        """Where the finished model lies."""
        return self.folder / "model"

    def execute(self, tell: Callable[[str], None], on_step: Callable[[Metric], None]) -> Path:
        """Go through every stage that is not done yet; return the model folder.

        With several processes, the main one alone prepares data and writes models, and the others wait.

        Raises:
            TrainError: with what to do about it. Whatever was finished before stays and is not made again.
        """
        self._on_main(self._claim)
        self._on_main(lambda: self._tokenizer(tell))
        tokenizer_json = (self.folder / "tokenizer.json").read_text(encoding="utf-8")
        tokenizer = BulkTokenizer(tokenizer_json)
        shard = self._shard("rows", tokenizer, tell)
        stages = _Stages(run=self, tokenizer=tokenizer, tokenizer_json=tokenizer_json, tell=tell, on_step=on_step)
        base = stages.pretrain(self._network(tokenizer), shard)
        extensions = {"extend_context": self.config.extend_context, "extend_further": self.config.extend_further}
        for name, extension in extensions.items():
            if extension is not None:
                base = stages.extend_context(name, base, extension)
        stages.publish(base, self.model_folder)
        if self.config.instruct is not None:
            chat, template = stages.instruct(base, self.config.instruct), TEMPLATES[self.config.instruct.template]
            if self.config.align is not None:
                chat = stages.align(chat, self.config.align, template)
            stages.publish(chat, self.folder / "instruct_model", end_marks=(template.end,), template=template.jinja)
        if self.config.evaluate is not None:
            recipe = self.config.evaluate
            self._on_main(lambda: self._evaluate(recipe, tell))
        return self.model_folder

    def _evaluate(self, recipe: EvaluateConfig, tell: Callable[[str], None]) -> None:
        """Measure the finished model, then let the engine complete some lines with it."""
        folder, seed = self.folder / "evaluation", self.config.data.seed
        if not (folder / REPORT).exists():
            tell(f"measuring {self.model_folder} with {', '.join(recipe.suites)}")
            evaluate(self.model_folder, recipe, folder, seed=seed, tell=tell)
        completions = folder / "completions.jsonl"
        if not completions.exists():
            complete(self.model_folder, recipe, completions, seed=seed, tell=tell)

    @staticmethod
    def _on_main(work: Callable[[], object]) -> None:
        if processes().is_main:
            work()
        processes().wait()

    def _claim(self) -> None:
        """Write `run.json`, or check that the one there asks for the same run."""
        self._check_lengths()
        wanted: dict[str, Any] = {"recipe": self.config.to_json(), "sources": [str(source) for source in self.sources]}
        if self.start_from is not None:
            wanted["start_from"] = str(self.start_from)
        path = self.folder / "run.json"
        if path.exists():
            if not self._is_mine(json.loads(path.read_text(encoding="utf-8"))):
                raise RunError(f"{self.folder} belongs to another run (see {path}); choose another --output")
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")

    def _is_mine(self, stored: dict[str, Any]) -> bool:
        try:
            recipe = from_json(stored["recipe"])
        except (KeyError, RecipeError):
            return False
        start = None if self.start_from is None else str(self.start_from)
        sources = [str(source) for source in self.sources]
        return recipe == self.config and stored.get("sources") == sources and stored.get("start_from") == start

    def _check_lengths(self) -> None:
        if self.start_from is None:
            room, whose = self.config.model.context_length, "model.context_length"
        else:
            room, whose = (
                model_folder.read_config(self.start_from).max_position_embeddings,
                f"what {self.start_from} reads",
            )
        if room < self.config.data.row_tokens:
            raise RunError(f"data.row_tokens must not be beyond {whose}: {room}")

    def _tokenizer(self, tell: Callable[[str], None]) -> str:
        path = self.folder / "tokenizer.json"
        if path.exists():
            return path.read_text(encoding="utf-8")
        if self.start_from is not None:
            definition = (self.start_from / "tokenizer.json").read_text(encoding="utf-8")
            path.write_text(definition, encoding="utf-8")
            return definition
        wanted = self.config.tokenizer
        tell(f"training a tokenizer of {wanted.vocab_size} tokens on {len(self.documents):,} documents")
        texts = (document.text for document in self.documents)
        definition = train_tokenizer(texts, vocab_size=wanted.vocab_size, sample_bytes=wanted.sample_bytes)
        path.write_text(definition, encoding="utf-8")
        return definition

    def _shard(self, name: str, tokenizer: Tokenizer, tell: Callable[[str], None], row_tokens: int = 0) -> Shard:
        """Cut and pack the documents into rows of `row_tokens` (0: the recipe's), unless they are there."""
        data = dataclasses.replace(self.config.data, row_tokens=row_tokens or self.config.data.row_tokens)
        settings = dataclasses.replace(self.settings, context_length=max(row_tokens, self.settings.context_length))
        folder = self.folder / name

        def write() -> None:
            if shard_exists(folder):
                return
            tell(f"cutting holes and packing {len(self.documents):,} documents into rows of {data.row_tokens} tokens")
            about = {"documents": len(self.documents), "dropped": dict(self._corpus.tally.reasons())}
            with snippet_finder(self.documents, data, settings, tokenizer, self.folder / "trees") as find_snippets:
                rows = training_rows(self.documents, data, settings, tokenizer, find_snippets)
                write_shard(folder, rows, vocab_size=tokenizer.vocab_size, limit=data.tokens, about=about)

        self._on_main(write)
        return read_shard(folder)

    def _network(self, tokenizer: Tokenizer) -> Callable[[], Transformer]:
        """Return what makes the network that pretraining starts from; not made where pretraining is done."""
        start, seed = self.start_from, self.config.data.seed
        if start is None:
            return lambda: untrained(self._shape(tokenizer), seed=seed)
        return lambda: _trainable(start)

    def _shape(self, tokenizer: Tokenizer) -> TransformerConfig:
        return dataclasses.replace(
            self.config.model.network(tokenizer.vocab_size),
            bos_token_id=tokenizer.control_id(DEEPSEEK_CODER.begin_of_sequence or ""),
            eos_token_id=tokenizer.control_id(DEEPSEEK_CODER.end_marks[0]),
        )


@dataclass(frozen=True, kw_only=True)
class _Stages:
    """The stages of one run; each leaves a model folder in fp32 for the next, and is skipped where that is there."""

    run: Run
    tokenizer: Tokenizer
    tokenizer_json: str
    tell: Callable[[str], None]
    on_step: Callable[[Metric], None]

    def pretrain(self, network: Callable[[], Transformer], shard: Shard) -> Path:
        config = self.run.config

        def train(folder: Path) -> Transformer:
            self.tell(f"pretraining on {shard.rows.size:,} tokens")
            return pretrain(
                network(),
                config.pretrain,
                config.machine,
                shard,
                folder,
                seed=config.data.seed,
                document_end=self._document_end,
                on_step=self.on_step,
            )

        return self._stage("pretrain", self.run.settings, train)

    def extend_context(self, name: str, base: Path, recipe: ExtendContextConfig) -> Path:
        config = self.run.config

        def train(folder: Path) -> Transformer:
            shard = self.run._shard(f"{name}/rows", self.tokenizer, self.tell, recipe.row_tokens)
            self.tell(f"extending the context to {recipe.row_tokens:,} tokens")
            return extend_context(
                self._read(base),
                recipe,
                config.pretrain,
                config.machine,
                shard,
                folder,
                seed=config.data.seed,
                document_end=self._document_end,
                on_step=self.on_step,
            )

        settings = dataclasses.replace(self.run.settings, context_length=recipe.row_tokens)
        return self._stage(name, settings, train)

    def instruct(self, base: Path, recipe: InstructConfig) -> Path:
        config = self.run.config

        def train(folder: Path) -> Transformer:
            conversations = self._conversations()
            self.tell(f"tuning on {len(conversations):,} conversations")
            return instruct(
                self._read(base),
                conversations,
                self.tokenizer,
                recipe,
                config.machine,
                folder,
                seed=config.data.seed,
                on_step=self.on_step,
            )

        return self._stage("instruct", self._settings(base), train)

    def align(self, chat: Path, recipe: AlignConfig, template: Template) -> Path:
        run = self.run
        begin = model_folder.read_config(chat).bos_token_id

        def train(folder: Path) -> Transformer:
            return practise(
                Practice(
                    model=chat,
                    tokenizer=self.tokenizer,
                    dialogue=dialogue(template, self.tokenizer, begin),
                    recipe=recipe,
                    reward_recipe=run.config.reward_model,
                    machine=run.config.machine,
                    seed=run.config.data.seed,
                ),
                read_tasks(run.tasks) if run.tasks is not None else list(draw_tasks(run.documents)),
                folder,
                tell=self.tell,
                on_step=self.on_step,
            )

        return self._stage("align", self._settings(chat), train)

    def publish(self, stage: Path, folder: Path, *, end_marks: Sequence[str] = (), template: str | None = None) -> None:
        """Write a stage's model in the precision it was trained in, ready to be served."""
        if not processes().is_main or (folder / "config.json").exists():
            return
        self.tell(f"writing {folder}")
        dtype = torch.bfloat16 if self.run.config.machine.precision == "bfloat16" else torch.float32
        self._export(folder, self._read(stage), self._settings(stage), dtype, end_marks, template)

    def _stage(self, name: str, settings: PromptSettings, train: Callable[[Path], Transformer]) -> Path:
        folder = self.run.folder / name
        model = folder / "model"
        if not (model / "config.json").exists():
            network = train(folder)
            if processes().is_main:
                self._export(model, network, settings, torch.float32, (), None)
            processes().wait()
        return model

    def _export(
        self,
        folder: Path,
        network: Transformer,
        settings: PromptSettings,
        dtype: torch.dtype,
        end_marks: Sequence[str],
        template: str | None,
    ) -> None:
        export(
            folder,
            network,
            tokenizer_json=self.tokenizer_json,
            prompt_settings=settings,
            dtype=dtype,
            end_marks=end_marks,
            chat_template=template,
        )

    @property
    def _document_end(self) -> int | None:
        if self.run.config.data.document_masks == "none":
            return None
        return end_ids(self.run.settings.fim, self.tokenizer)[0]

    def _settings(self, folder: Path) -> PromptSettings:
        """Return how prompts are laid out for a stage's model: no longer than the rows it was trained on."""
        config = model_folder.read_config(folder)
        return read_settings(folder, self.tokenizer, context_length=config.max_position_embeddings)

    def _conversations(self) -> list[Conversation]:
        path = self.run.instructions
        if path is not None:
            return read_conversations(path)
        found = list(draw_conversations(self.run.documents))
        if not found:
            raise CorpusError("the sources hold no documented function to ask for; give --instructions FILE.jsonl")
        return found

    @staticmethod
    def _read(folder: Path) -> Transformer:
        return model_folder.read_transformer(folder, model_folder.read_config(folder), torch.float32, "cpu")


def _trainable(folder: Path) -> Transformer:
    """Return a model's network, ready to be trained."""
    return trainable_copy(model_folder.read_transformer(folder, model_folder.read_config(folder), torch.float32, "cpu"))


def _prompt_settings(folder: Path) -> PromptSettings:
    limit = model_folder.read_config(folder).max_position_embeddings
    return read_settings(folder, Tokenizer.load(folder), context_length=limit)
