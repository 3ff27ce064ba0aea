"""The data steps in their order: collect, filter and order, deduplicate, screen, decontaminate, mix.

Documents lie in buckets by their repository's name, so a repository is always whole, and a step takes one bucket into
memory at a time, in as many processes as there are. Each step writes its output and its counts to a folder of its own
and is not done again while its options, and those of the steps before it, stay the same; a step that was broken off
goes on with the buckets that are missing. What is kept depends on the documents, the options and the seed alone, not
on how the work was divided.
"""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import Any

from engine.prompt import PromptSettings
from engine.tokenizer import Tokenizer
from repo_context.resolvers import is_settings_file
from train.data import decontaminate, filter_rules, screen_quality
from train.data.collect import collect_named, name_sources
from train.data.config import CleanConfig, DataConfig
from train.data.cut_holes import SnippetFinder, cut_holes, no_snippets
from train.data.deduplicate_buckets import (
    apply_verdicts,
    judge_files,
    judge_repositories,
    sign_files,
    sign_repositories,
)
from train.data.document import SourceDocument, encode, read_documents, write_documents
from train.data.executor import Executor
from train.data.filter_rules import Rule, apply_rules
from train.data.licences import licence_rule
from train.data.order_files import order_repository
from train.data.pack import pack
from train.data.repository_snippets import RepositorySnippets
from train.data.tally import Tally
from train.errors import CorpusError, RunError

MOST_COLLECTORS = 64
"""Groups of sources that are read side by side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanCorpus:
    """The documents worth training on, on disk."""

    folder: Path
    buckets: int
    seed: int
    tally: Tally

    def documents(self) -> Iterator[SourceDocument]:
        """Yield the documents in training order: samples at random, by the seed, the files of a sample as ordered."""
        for bucket in range(self.buckets):
            parts = sorted(self.folder.glob(f"from-*-to-{bucket:04}.jsonl"))
            ranked: list[tuple[str, int, SourceDocument]] = []
            for part in parts:
                for place, document in enumerate(read_documents(part)):
                    ranked.append((_rank(document, self.seed), place, document))
            ranked.sort(key=lambda item: item[:2])
            yield from (document for _, _, document in ranked)


def prepare(
    sources: Sequence[Path | str],
    data: DataConfig,
    clean: CleanConfig,
    folder: Path,
    executor: Executor,
    tell: Callable[[str], None],
) -> CleanCorpus:
    """Run every step that is not done yet; return the documents to train on.

    Raises:
        CorpusError: a source cannot be read, or an option names what is not there.
        RunError: the folder cannot be written.
    """
    _check(data, clean)
    names = name_sources(sources)
    steps = _Steps(folder, executor, tell)
    buckets = range(clean.buckets)
    groups = [
        list(names[start :: min(len(names), MOST_COLLECTORS)]) for start in range(min(len(names), MOST_COLLECTORS))
    ]

    collected = steps.run(
        "collect",
        {"sources": names, "languages": data.languages, "buckets": clean.buckets},
        _collect_group,
        {f"{number:04}": (number, group, data.languages, clean.buckets) for number, group in enumerate(groups)},
    )
    options: dict[str, Any] = {name: getattr(clean, name) for name in ("licences", "generated", "vendored", "order")}
    latest = steps.run(
        "filter",
        options,
        _filter_bucket,
        {f"{bucket:04}": (collected, bucket, data.languages, clean) for bucket in buckets},
    )
    latest = _deduplicate(steps, latest, clean)
    if clean.screening != "none" or clean.quality_model:
        latest = steps.run(
            "screen",
            {name: getattr(clean, name) for name in ("screening", "quality_model", "least_quality")},
            _screen_bucket,
            {f"{bucket:04}": (latest, bucket, clean) for bucket in buckets},
        )
    if clean.benchmarks:
        latest = steps.run(
            "decontaminate",
            {"benchmarks": clean.benchmarks},
            _decontaminate_bucket,
            {f"{bucket:04}": (latest, bucket, clean.benchmarks) for bucket in buckets},
        )
    final = steps.run(
        "mix",
        {"largest_repository": data.largest_repository, "seed": data.seed},
        _mix_bucket,
        {f"{bucket:04}": (latest, bucket, clean.buckets, data.largest_repository, data.seed) for bucket in buckets},
    )
    return CleanCorpus(folder=final, buckets=clean.buckets, seed=data.seed, tally=steps.tally)


def training_rows(
    documents: Iterable[SourceDocument],
    config: DataConfig,
    settings: PromptSettings,
    tokenizer: Tokenizer,
    find_snippets: SnippetFinder = no_snippets,
) -> Iterator[list[int]]:
    """Yield rows of `row_tokens` ids."""
    return pack(cut_holes(documents, config, settings, tokenizer, find_snippets), config.row_tokens)


@contextmanager
def snippet_finder(
    documents: Iterable[SourceDocument],
    config: DataConfig,
    settings: PromptSettings,
    tokenizer: Tokenizer,
    folder: Path,
) -> Iterator[SnippetFinder]:
    """Yield what `data.snippets` asks for; repositories are laid out under `folder` meanwhile."""
    if config.snippets == "none":
        yield no_snippets
        return
    budget = int(config.row_tokens * settings.snippet_share)
    with RepositorySnippets(
        folder, documents, budget=budget, count_tokens=lambda text: len(tokenizer.encode(text))
    ) as finder:
        yield finder


def _check(data: DataConfig, clean: CleanConfig) -> None:
    unknown = set(clean.near_duplicates) - {"files", "repositories"}
    if unknown:
        raise CorpusError(f"clean.near_duplicates may name files and repositories, not {', '.join(sorted(unknown))}")
    if not 0 < clean.similarity <= 1 or not 0 < clean.buckets <= 9999 or data.largest_repository <= 0:
        raise CorpusError(
            "clean.similarity must lie in (0, 1], clean.buckets in 1 to 9999, data.largest_repository above 0"
        )
    if clean.quality_model:
        screen_quality.quality_rule(clean.quality_model, clean.least_quality)
    for _ in decontaminate.read_benchmarks(clean.benchmarks):
        pass


def _deduplicate(steps: "_Steps", latest: Path, clean: CleanConfig) -> Path:
    """Drop copies of files, then near-copies of files and of repositories where they are asked for.

    Each is three pieces: buckets are signed side by side, one process compares the signatures, buckets are thinned.
    """
    buckets = [f"{bucket:04}" for bucket in range(clean.buckets)]
    kinds: list[tuple[str, Any, Any]] = [("files", sign_files, judge_files)]
    if "repositories" in clean.near_duplicates:
        kinds.append(("repositories", sign_repositories, judge_repositories))
    for kind, sign, judge in kinds:
        similarity = clean.similarity if kind in clean.near_duplicates else 1.0
        options = {"similarity": similarity}
        signed = steps.run(f"sign_{kind}", options, sign, {name: (latest, name, similarity) for name in buckets})
        verdicts = steps.run(f"compare_{kind}", options, judge, {"all": (latest, signed, buckets, similarity)})
        latest = steps.run(
            f"thin_{kind}",
            {},
            apply_verdicts,
            {name: (latest, verdicts, name, f"deduplicate {kind}") for name in buckets},
        )
    return latest


class _Steps:
    """Runs steps in one folder after the other and remembers what each was asked."""

    def __init__(self, folder: Path, executor: Executor, tell: Callable[[str], None]) -> None:
        self._folder = folder
        self._executor = executor
        self._tell = tell
        self._asked: list[Any] = []
        self.tally = Tally()

    def run(
        self, name: str, options: dict[str, Any], function: Callable[..., Tally], jobs: dict[str, tuple[Any, ...]]
    ) -> Path:
        """Call `function(folder, *job)` for every job that is not done; return the folder that holds the output.

        A job is done when its tally is on disk: it writes its output first. Other options than last time, in this
        step or an earlier one, start the step over.
        """
        self._asked.append(json.loads(json.dumps([name, options])))
        folder = self._folder / f"{len(self._asked):02}_{name}"
        try:
            self._claim(folder)
            missing = {key: (folder, *job) for key, job in jobs.items() if not (folder / f"{key}.tally").exists()}
            if missing:
                self._tell(f"{name}: {len(missing)} of {len(jobs)} pieces to do")
            pieces = [(function, key, job) for key, job in missing.items()]
            for _ in self._executor.run(_do_piece, pieces):
                pass
            tallies = [Tally.from_json(json.loads((folder / f"{key}.tally").read_text("utf-8"))) for key in jobs]
        except OSError as error:
            raise RunError(f"cannot write the data step {folder}: {error}") from error
        for tally in tallies:
            self.tally.add(tally)
        return folder

    def _claim(self, folder: Path) -> None:
        """Keep the folder if it was made for the same question, else empty it."""
        asked = folder / "step.json"
        if asked.exists() and json.loads(asked.read_text(encoding="utf-8")) == self._asked:
            return
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        asked.write_text(json.dumps(self._asked, indent=1) + "\n", encoding="utf-8")


def _do_piece(function: Callable[..., Tally], key: str, job: tuple[Any, ...]) -> str:
    """Do one piece of a step and say so on disk."""
    folder: Path = job[0]
    tally = function(*job)
    temporary = folder / f".{key}.tally"
    temporary.write_text(json.dumps(tally.to_json()), encoding="utf-8")
    temporary.replace(folder / f"{key}.tally")
    return key


# --- the pieces ------------------------------------------------------------------------------------------------------


def bucket_of(repository: str, buckets: int) -> int:
    """Return the bucket of a repository."""
    return int.from_bytes(blake2b(repository.encode("utf-8", "surrogatepass"), digest_size=8).digest()) % buckets


def _collect_group(
    folder: Path, number: int, sources: Sequence[tuple[str, str]], languages: Sequence[str], buckets: int
) -> Tally:
    tally = Tally()
    with ExitStack() as files:
        # Opened when first needed: most groups fill few buckets.
        part = lru_cache(None)(
            lambda bucket: files.enter_context(
                (folder / f"from-{number:04}-to-{bucket:04}.jsonl").open("w", encoding="utf-8")
            )
        )
        for document in collect_named(sources, languages, tally, also=is_settings_file):
            part(bucket_of(document.repository, buckets)).write(encode(document))
    return tally


def _filter_bucket(folder: Path, collected: Path, bucket: int, languages: Sequence[str], clean: CleanConfig) -> Tally:
    tally = Tally()
    parts = sorted(collected.glob(f"from-*-to-{bucket:04}.jsonl"))
    # Stable, and of one path that came twice the first stays.
    documents = sorted((document for part in parts for document in read_documents(part)), key=lambda item: item.key)
    write_documents(folder / f"{bucket:04}.jsonl", _filtered(documents, languages, clean, tally))
    return tally


def _filtered(
    documents: Iterable[SourceDocument], languages: Sequence[str], clean: CleanConfig, tally: Tally
) -> Iterator[SourceDocument]:
    """Apply the rules to one repository after the other, and order what is left of each."""
    rules = _file_rules(clean)
    for _, group in groupby(documents, key=lambda document: document.repository):
        files = list({document.path: document for document in reversed(list(group))}.values())[::-1]
        settings = {file.path: file.text for file in files if is_settings_file(file.path)}
        wanted = [file for file in files if not languages or file.language in languages]
        kept = list(apply_rules(wanted, tally, rules))
        if kept:
            yield from order_repository(kept, settings) if clean.order == "dependencies" else kept


def _file_rules(clean: CleanConfig) -> tuple[Rule, ...]:
    rules: list[Rule] = [*filter_rules.RULES]
    if clean.licences:
        rules.append(licence_rule(clean.licences))
    if clean.generated == "drop":
        rules.append(filter_rules.generated)
    if clean.vendored == "drop":
        rules.append(filter_rules.vendored)
    return tuple(rules)


def _screen_bucket(folder: Path, latest: Path, bucket: int, clean: CleanConfig) -> Tally:
    rules: list[Rule] = [*screen_quality.RULES] if clean.screening != "none" else []
    if clean.quality_model:
        rules.append(screen_quality.quality_rule(clean.quality_model, clean.least_quality))
    return _thin_bucket(folder, latest, bucket, rules, screen_quality.STEP)


def _decontaminate_bucket(folder: Path, latest: Path, bucket: int, benchmarks: tuple[str, ...]) -> Tally:
    rule = decontaminate.decontamination_rule(_contamination(benchmarks))
    return _thin_bucket(folder, latest, bucket, [rule], decontaminate.STEP)


@lru_cache(1)
def _contamination(benchmarks: tuple[str, ...]) -> decontaminate.Contamination:
    return decontaminate.Contamination(decontaminate.read_benchmarks(benchmarks))


def _thin_bucket(folder: Path, latest: Path, bucket: int, rules: Sequence[Rule], step: str) -> Tally:
    tally = Tally()
    documents = read_documents(latest / f"{bucket:04}.jsonl")
    write_documents(folder / f"{bucket:04}.jsonl", apply_rules(documents, tally, rules, step))
    return tally


def _mix_bucket(folder: Path, latest: Path, bucket: int, buckets: int, largest: int, seed: int) -> Tally:
    """Cap each repository, and send each sample to the bucket in whose turn it is read."""
    tally = Tally()
    ranked = ((_rank(document, seed), document) for document in read_documents(latest / f"{bucket:04}.jsonl"))
    with ExitStack() as files:
        part = lru_cache(None)(
            lambda target: files.enter_context(
                (folder / f"from-{bucket:04}-to-{target:04}.jsonl").open("w", encoding="utf-8")
            )
        )
        in_order = sorted(ranked, key=lambda item: item[0])  # stable: the files of a sample stay as they are
        for rank, document in _cap_repositories(in_order, largest, tally):
            part(int(rank, 16) * buckets >> 64).write(encode(document))
    return tally


def _cap_repositories(
    ranked: Iterable[tuple[str, SourceDocument]], largest: int, tally: Tally
) -> Iterator[tuple[str, SourceDocument]]:
    taken: Counter[str] = Counter()
    for rank, document in ranked:
        if taken[document.repository] >= largest:
            tally.drop("mix", "beyond the repository's share", document)
            continue
        taken[document.repository] += len(document.text)
        tally.keep("mix", document)
        yield rank, document


def _rank(document: SourceDocument, seed: int) -> str:
    """Return what orders samples at random: 16 hexadecimal digits, the same for the files of a sample."""
    # Files that were not put into order are samples of their own; they are numbered 0 and told by their path.
    name = f"{seed}\0{document.repository}\0{document.sample or document.path}"
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
