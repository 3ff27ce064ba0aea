"""Adapts a model to one repository: trains it on the past, and keeps it if it completes recent commits better.

The past is the repository some commits ago. Of the lines added since, the earlier ones are practice, to which reading,
mixing and the choice among lines are fitted; the latest are the exam. Each hole is cut where its line stands, with the
n-gram statistics and the snippets of the past. Both models sit the same exam.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from engine import model_folder
from engine.adapted_models import adapted_folder
from engine.completer import Completer
from engine.model.transformer import Transformer
from engine.model_folder import ServedModel
from engine.model_names import resolve
from engine.ngram import NgramCollection
from engine.prompt import PromptMode
from train.config import MachineConfig
from train.data.collect import collect
from train.data.config import DataConfig
from train.data.cut_holes import SnippetFinder
from train.data.document import SourceDocument
from train.data.pipeline import snippet_finder, training_rows
from train.data.recent_changes import RecentChanges, recent_changes
from train.data.shards import read_shard, write_shard
from train.data.tally import Tally
from train.errors import CorpusError, RunError
from train.evaluate.completed_holes import AskedHole, ask_holes, complete_hole, count_ngrams
from train.evaluate.repository_holes import is_exact
from train.export import export
from train.loop import LoopSettings, train
from train.metrics import Metric
from train.optimizer import OptimizerSettings
from train.schedule import Schedule
from train.stages.fit_mixture import AskedRepository, refit
from train.stages.pretrain import RowBatches, trainable_copy
from train.tokenizer import BulkTokenizer

LARGEST = 300_000_000
"""Parameters; all weights are trained, and beyond that a laptop would need hours."""
_LEAST_LINES = 400
"""Added lines that make an exam."""
_PRACTICE_LINES = 1200
"""Added lines before those of the exam that make practice; a repository with fewer keeps the model's own mixture."""
_BATCH_TOKENS = 8192
_LONGEST_ROW = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptSettings:
    """How much a model is trained, and how hard it is examined."""

    tokens: int = 4_000_000
    """Most tokens to train on; 0 leaves the network as it is, and fits the rest alone."""
    passes: int = 3
    """Most times that the repository is read."""
    learning_rate: float = 1e-3
    """Peak; it falls to a tenth along a half cosine."""
    holes: int = 150
    """Of each kind (`HoleKind`) in the exam."""
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptation:
    """What came of it."""

    model: str
    past: str
    """The commit that the training text ends with."""
    exam: str
    """The commit after which the exam's lines were added; those before it were practice."""
    commits: int
    """How many of the latest ones the exam is drawn from."""
    practised: int
    """Holes that the mixture and the choice among lines were fitted to."""
    tokens: int
    """Trained on."""
    holes: int
    before: int
    """Holes that the model filled to the letter."""
    trained: int
    """Holes that the trained network filled to the letter, mixed as before."""
    refitted: int
    """The same with mixture and choice among lines fitted to the practice; as `trained` where there was none."""

    @property
    def after(self) -> int:
        """Holes that the better of the two filled."""
        return max(self.trained, self.refitted)

    @property
    def is_better(self) -> bool:
        """Whether the adapted model is worth keeping."""
        return self.after > self.before


def adapt(
    repository: Path,
    model: str,
    settings: AdaptSettings,
    *,
    tell: Callable[[str], None],
    on_step: Callable[[Metric], None],
) -> Adaptation:
    """Train `model` on a repository's past, compare, and store the better one where serving looks for it.

    An adapted model that is no better is not kept, and one kept earlier stays as it is.

    Raises:
        CorpusError: the repository has no history to judge by, or no source.
        RunError: the model is too large.
        ModelFolderError: the model cannot be read, or the result not be written.
    """
    served = model_folder.read(resolve(model))
    if served.transformer.parameter_count() > LARGEST:
        raise RunError(
            f"{model} has {served.transformer.parameter_count():,} parameters, and adapting trains all of them; "
            f"choose a model of at most {LARGEST:,}, or use `midfill train continue` on a GPU"
        )
    history = _history(repository)
    past = list(collect([f"{repository}@{history.past}"], (), Tally()))
    if not past:
        raise CorpusError(f"{repository} held no source at {history.past[:12]}")
    data = _data(served, settings)
    with (
        tempfile.TemporaryDirectory(prefix="midfill-adapt-") as name,
        snippet_finder(past, data, served.prompt_settings, served.tokenizer, Path(name) / "trees") as find,
    ):
        tell(f"learning from {len(past):,} files as of {history.past[:12]}")
        network, tokens = _train(served, past, find, data, settings, Path(name), on_step)
        collection = count_ngrams(past, served)
        practice = [] if history.practice is None else list(_holes(repository, history.practice, past, settings, find))
        tell(f"fitting the mixture to {len(practice)} holes")
        trained = replace(served, network=network)
        refitted = _refit(trained, AskedRepository(collection=collection, holes=practice))
        exam = list(_holes(repository, history.exam, past, settings, find))
        tell(f"comparing on {len(exam)} holes in the lines added since")
        of_trained = _score(trained, exam, collection)
        adaptation = Adaptation(
            model=model,
            past=history.past,
            exam=history.exam.past,
            commits=history.exam.commits,
            practised=len(practice),
            tokens=tokens,
            holes=len(exam),
            before=_score(served, exam, collection),
            trained=of_trained,
            refitted=_score(refitted, exam, collection) if practice else of_trained,
        )
        if adaptation.is_better:
            adapted = refitted if adaptation.refitted > adaptation.trained else trained
            _keep(adapted_folder(repository, model), adapted, adaptation)
    return adaptation


@dataclass(frozen=True, slots=True, kw_only=True)
class _History:
    past: str
    practice: RecentChanges | None
    exam: RecentChanges


def _history(repository: Path) -> _History:
    exam = recent_changes(repository, least_lines=_LEAST_LINES)
    try:
        practice = recent_changes(repository, least_lines=_PRACTICE_LINES, until=exam.past)
    except CorpusError:
        return _History(past=exam.past, practice=None, exam=exam)
    return _History(past=practice.past, practice=practice, exam=exam)


def _refit(model: ServedModel, practice: AskedRepository) -> ServedModel:
    """Fit how the network is mixed and lines are chosen; a better network deserves more weight than the old one."""
    if not practice.holes:
        return model
    return refit(model, [practice], [model.prompt_settings.mode], prior=model.mixture).model


def _data(served: ServedModel, settings: AdaptSettings) -> DataConfig:
    """Cut samples as the model's own training did: holes for those that know holes, plain text for the others."""
    mode = served.prompt_settings.mode
    return DataConfig(
        languages=(),
        fim_rate=0.0 if mode is PromptMode.LEFT_TO_RIGHT else 0.7,
        fim_order="spm" if mode is PromptMode.SUFFIX_FIRST else "psm",
        middles="syntax",
        snippets="repository",
        line_middles=0.7,
        longest_middle=600,
        row_tokens=min(served.prompt_settings.context_length, _LONGEST_ROW),
        tokens=settings.tokens,
        largest_repository=1 << 40,
        seed=settings.seed,
    )


def _train(
    served: ServedModel,
    past: Sequence[SourceDocument],
    find: SnippetFinder,
    data: DataConfig,
    settings: AdaptSettings,
    folder: Path,
    on_step: Callable[[Metric], None],
) -> tuple[Transformer, int]:
    if not settings.tokens:
        return served.transformer, 0
    tokenizer = BulkTokenizer((served.folder / "tokenizer.json").read_text(encoding="utf-8"))
    rows = training_rows(past, data, served.prompt_settings, tokenizer, find)
    write_shard(folder / "rows", rows, vocab_size=tokenizer.vocab_size, limit=data.tokens, about={})
    shard = read_shard(folder / "rows")
    count = len(shard.rows)
    batch_rows = max(1, min(_BATCH_TOKENS // data.row_tokens, count))
    if not count:
        raise CorpusError("the repository's past is too short to fill one row of training text")
    wanted = min(settings.passes * count, settings.tokens // data.row_tokens)
    steps = max(1, wanted // batch_rows)
    batches = RowBatches(shard=shard, batch_rows=batch_rows, held_out_rows=0, steps=steps, seed=settings.seed)
    machine = MachineConfig(
        precision="bfloat16",
        compile=steps > 100,
        parallel="ddp",
        gradient_checkpointing=False,
        micro_batch_tokens=0,
        checkpoint_minutes=60.0,
        keep_checkpoints=1,
    )
    trained = train(
        trainable_copy(served.transformer),
        batches,
        LoopSettings(
            schedule=Schedule(shape="cosine", peak=settings.learning_rate, steps=steps, warmup_steps=min(20, steps)),
            optimizer=OptimizerSettings(),
            machine=machine,
        ),
        folder / "training",
        on_step=on_step,
    )
    return trained.requires_grad_(requires_grad=False).eval(), steps * batches.tokens_per_step


def _holes(
    repository: Path,
    changes: RecentChanges,
    past: Sequence[SourceDocument],
    settings: AdaptSettings,
    find: SnippetFinder,
) -> Iterator[AskedHole]:
    """Cut holes into added lines; the hole's own file is left out of the past that answers."""
    newer = [
        replace(document, repository=past[0].repository)
        for document in collect([f"{repository}@{changes.until}"], (), Tally())
        if document.path in changes.lines
    ]
    return ask_holes(newer, find, holes=settings.holes, seed=settings.seed, lines=changes.lines)


def _score(served: ServedModel, exam: Sequence[AskedHole], collection: NgramCollection) -> int:
    """Return how many holes are filled to the letter, greedily, with the n-gram models mixed in as in serving."""
    completer = Completer(served, find_collection=lambda _: collection)
    return sum(
        is_exact(complete_hole(completer, question.hole, question.snippets).text, question.hole.truth)
        for question in exam
    )


def _keep(folder: Path, adapted: ServedModel, adaptation: Adaptation) -> None:
    """Put the model where serving looks for it."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    export(
        folder,
        adapted.transformer,
        tokenizer_json=(adapted.folder / "tokenizer.json").read_text(encoding="utf-8"),
        prompt_settings=adapted.prompt_settings,
        dtype=torch.bfloat16,
    )
    model_folder.write_reading(folder, prompt_settings=adapted.prompt_settings, mixture=adapted.mixture)
    (folder / "adapted.json").write_text(json.dumps(asdict(adaptation), indent=2) + "\n", encoding="utf-8")
