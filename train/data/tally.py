"""Counts what each step keeps and drops, by reason and language, with a few samples to look at."""

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from train.data.document import SourceDocument

SAMPLES = 4
"""Examples kept for each reason."""
EXCERPT = 700
"""Characters of an example."""


@dataclass(frozen=True, slots=True, order=True)
class Example:
    """A document that was dropped, chosen by a hash of its name: the same ones however the work was divided."""

    rank: str
    repository: str
    path: str
    language: str
    excerpt: str


@dataclass(slots=True)
class Tally:
    """What became of the documents. Tallies of parts of the work add up to the tally of the whole."""

    dropped: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """(step, reason, language) → documents."""
    dropped_bytes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """The same, in characters of text."""
    kept: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(step, language) → documents that left the step."""
    kept_bytes: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], list[Example]] = field(default_factory=dict)
    """(step, reason) → at most `SAMPLES` examples."""

    def drop(self, step: str, reason: str, document: SourceDocument) -> None:
        """Count a document that a step drops."""
        key = (step, reason, document.language)
        self.dropped[key] += 1
        self.dropped_bytes[key] += len(document.text)
        rank = blake2b("\0".join(document.key).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        example = Example(rank, *document.key, document.language, document.text[:EXCERPT])
        self._add_examples((step, reason), [example])

    def drop_unread(self, step: str, reason: str, count: int = 1) -> None:
        """Count files that were dropped before anything was known about them."""
        if count:
            self.dropped[step, reason, ""] += count

    def keep(self, step: str, document: SourceDocument) -> None:
        """Count a document that leaves a step."""
        self.kept[step, document.language] += 1
        self.kept_bytes[step, document.language] += len(document.text)

    def add(self, other: "Tally") -> None:
        """Take in another tally."""
        self.dropped.update(other.dropped)
        self.dropped_bytes.update(other.dropped_bytes)
        self.kept.update(other.kept)
        self.kept_bytes.update(other.kept_bytes)
        for key, examples in other.examples.items():
            self._add_examples(key, examples)

    def reasons(self) -> Counter[str]:
        """Return reason → documents, over all steps and languages."""
        totals: Counter[str] = Counter()
        for (_, reason, _), count in self.dropped.items():
            totals[reason] += count
        return totals

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `from_json` reads, equal for equal tallies."""
        return {
            "dropped": [[*key, self.dropped[key], self.dropped_bytes[key]] for key in sorted(self.dropped)],
            "kept": [[*key, self.kept[key], self.kept_bytes[key]] for key in sorted(self.kept)],
            "examples": [[*key, [list(_fields(item)) for item in self.examples[key]]] for key in sorted(self.examples)],
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "Tally":
        """Read what `to_json` returned."""
        tally = cls()
        for step, reason, language, count, size in raw["dropped"]:
            tally.dropped[step, reason, language] = count
            tally.dropped_bytes[step, reason, language] = size
        for step, language, count, size in raw["kept"]:
            tally.kept[step, language] = count
            tally.kept_bytes[step, language] = size
        for step, reason, examples in raw["examples"]:
            tally.examples[step, reason] = [Example(*values) for values in examples]
        return tally

    def _add_examples(self, key: tuple[str, str], examples: list[Example]) -> None:
        known = self.examples.get(key, [])
        self.examples[key] = heapq.nsmallest(SAMPLES, [*known, *examples])


def _fields(example: Example) -> Iterator[str]:
    yield from (example.rank, example.repository, example.path, example.language, example.excerpt)
