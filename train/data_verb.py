"""`midfill train data`: from sources to clean documents in training order, and a page about what became of them."""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from train.config import RunConfig, load
from train.data.document import write_documents
from train.data.executor import open_executor
from train.data.pipeline import CleanCorpus, prepare
from train.data.report import write_report


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to `midfill train`."""
    data = verbs.add_parser("data", help="clean source and put it into training order; report.html shows what was kept")
    data.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="a folder, a git repository as PATH@COMMIT, a tar or zip archive, a .jsonl(.gz) or .parquet table",
    )
    data.add_argument(
        "--output", required=True, type=Path, help="the folder for all that is made; a later call goes on"
    )
    data.add_argument("--recipe", default="1.3b", help="whose [data] and [clean] sections hold (default: 1.3b)")
    data.add_argument("--set", action="append", default=[], metavar="SECTION.FIELD=VALUE", dest="overrides")
    data.add_argument("--benchmark", action="append", default=[], metavar="PATH[:FIELD,...]", dest="benchmarks",
                      help="a file or folder of test texts to keep out of the data; may be given again")  # fmt: skip
    data.add_argument("--processes", type=int, help="on this machine (default: one a core)")
    data.add_argument("--ray", metavar="ADDRESS", help="run on the Ray cluster at this address (host:port, or auto)")
    data.set_defaults(verb=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the data steps; print the file with the documents."""
    given = [f"clean.benchmarks={[*map(str, arguments.benchmarks)]}"] if arguments.benchmarks else []
    config = load(arguments.recipe, [*arguments.overrides, *given])
    with open_executor(arguments.ray, arguments.processes) as executor:
        corpus = prepare(arguments.sources, config.data, config.clean, arguments.output, executor, _tell)
    documents = arguments.output / "documents.jsonl"
    count = write_documents(documents, corpus.documents())
    report = arguments.output / "report.html"
    write_report(report, corpus.tally, title=_title(corpus, count), about=_about(config, arguments.sources))
    _tell(f"{count:,} documents kept, {corpus.tally.reasons().total():,} files dropped; see {report}")
    print(documents)
    return 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _title(corpus: CleanCorpus, count: int) -> str:
    size = sum(size for (step, _), size in corpus.tally.kept_bytes.items() if step == "mix")
    return f"{count:,} documents, {size / 1e6:,.1f} million characters"


def _about(config: RunConfig, sources: list[str]) -> list[str]:
    shown = ", ".join(sources[:8]) + (f" and {len(sources) - 8} more" if len(sources) > 8 else "")
    options = ", ".join(
        f"{name} = {value}" for name, value in asdict(config.clean).items() if value not in ("", (), None)
    )
    languages = ", ".join(config.data.languages) or "all languages"
    return [f"Sources: {shown}", f"Languages: {languages}", f"Options: {options}, seed = {config.data.seed}"]
