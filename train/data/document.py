"""One source file on its way into the training data, and how it is written to disk."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDocument:
    """A file's text and where it comes from."""

    repository: str
    """Name of the folder or repository it was collected from."""
    path: str
    """Relative to the repository's root, with forward slashes."""
    language: str
    comment: str
    """Line-comment marker of the language."""
    text: str
    licence: str = ""
    """SPDX identifiers found in the nearest licence files, joined by AND; empty when there is none."""
    sample: int = 0
    """Which of its repository's groups of connected files it belongs to; files of one group stand together."""

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from every other document, and orders documents wherever no other order is given."""
        return self.repository, self.path


def write_documents(path: Path, documents: Iterable[SourceDocument]) -> int:
    """Write one JSON object a line, whole or not at all; return how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    count = 0
    with temporary.open("w", encoding="utf-8") as file:
        for document in documents:
            file.write(encode(document))
            count += 1
    temporary.replace(path)
    return count


def read_documents(path: Path) -> Iterator[SourceDocument]:
    """Yield the documents of one file in the order they were written."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield decode(line)


def encode(document: SourceDocument) -> str:
    """Return the line that stands for a document."""
    return json.dumps(asdict(document), ensure_ascii=False) + "\n"


def decode(line: str | bytes) -> SourceDocument:
    """Return the document that a line stands for."""
    return SourceDocument(**json.loads(line))
