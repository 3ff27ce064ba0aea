"""CrossCodeEval: one statement that depends on other files of a repository (Ding et al. 2023).

The comparison follows the released scorer (amazon-science/cceval): both texts without comments, compared line by line;
edit similarity; and the identifiers of both, as a sequence (exact match) and as a set (F1).
"""

import keyword
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any

import tree_sitter_python
from rapidfuzz import fuzz
from tree_sitter import Language, Parser

from engine.api import Snippet
from engine.prompt import path_header
from repo_context.errors import RepoContextError
from repo_context.languages import comment_marker
from repo_context.repository import Repository
from repo_context.snippet import Cursor
from train.evaluate.datasets import read_rows
from train.evaluate.suite import Continue, Infill, Judgement, Question, Task

_NEW_TOKENS = 50
_CONTEXT_TOKENS = 512
_CHARACTERS_PER_TOKEN = 3
"""To size our own retrieval, which must not depend on a model's tokenizer here; the model cuts at its own tokens."""


class Context(Enum):
    """What the model is told of the other files."""

    NONE = "none"
    OFFICIAL = "official"
    """The chunks that come with the data (BM25, the prefix's last lines as query)."""
    OWN = "own"
    """What `repo_context` finds in a checkout of the repository."""


class Direction(Enum):
    """Whether the model sees what follows."""

    LEFT_TO_RIGHT = "left to right"
    """DeepSeek-Coder, table 7."""
    INFILL = "infill"
    """The later variant with the right context, not comparable with the other."""


class CrossCodeEval:
    """The tasks of one language."""

    def __init__(
        self,
        data: Path,
        *,
        context: Context,
        direction: Direction = Direction.LEFT_TO_RIGHT,
        repositories: Path | None = None,
    ) -> None:
        """Read the data.

        Args:
            data: the file, or its folder.
            context: what is shown of other files.
            direction: whether the right context is shown too.
            repositories: holds a checkout of each repository, in a folder named like `metadata.repository`; needed
                for `Context.OWN`, and tasks whose checkout is missing are skipped.
        """
        kind = "-infill" if direction is Direction.INFILL else ""
        self.name = f"crosscodeeval{kind}-{context.value}"
        self.protocol = (
            f"{direction.value}, {context.value} context of at most {_CONTEXT_TOKENS} tokens, "
            f"{_NEW_TOKENS} new tokens, first statement; exact match, edit similarity and identifiers without comments"
        )
        self._context, self._direction, self._repositories = context, direction, repositories
        fields = ("prompt", "groundtruth", "right_context", "metadata", "crossfile_context")
        rows = read_rows(data, ["python100.jsonl", "line_completion.jsonl", "line_completion_rg1_bm25.jsonl"], fields)
        skipped: Counter[str] = Counter()
        self._rows = [row for row in rows if not self._misses(row, skipped)]
        self.skipped: Mapping[str, int] = skipped

    def tasks(self) -> Sequence[Task]:
        """Return the tasks; with `Context.OWN`, this asks the index of each repository."""
        return [
            Task(
                task_id=row["metadata"]["task_id"],
                question=self._question(row),
                truth=row["groundtruth"],
                row=row,
            )
            for row in self._rows
        ]

    def cut(self, task: Task, text: str) -> str:
        """Cut at the end of the first statement, as the released scorer does."""
        if task.row["metadata"]["file"].endswith(".py"):
            return first_python_statement(task.row["prompt"], text)
        return first_bracket_statement(text)

    def judge(self, task: Task, completion: str) -> Judgement:
        """Compare with the truth."""
        return Judgement(metrics=compare(completion, task.row["groundtruth"]))

    def _misses(self, row: Mapping[str, Any], skipped: Counter[str]) -> bool:
        if self._context is not Context.OWN:
            return False
        folder = (self._repositories or Path()) / row["metadata"]["repository"]
        if self._repositories is not None and folder.is_dir():
            return False
        skipped["no checkout of the repository"] += 1
        return True

    def _question(self, row: Mapping[str, Any]) -> Question:
        path = row["metadata"]["file"]
        snippets: Sequence[Snippet] = ()
        official = row["crossfile_context"]["text"] if self._context is Context.OFFICIAL else ""
        if self._context is Context.OWN:
            snippets = self._retrieve(row)
        if self._direction is Direction.INFILL:
            return Infill(
                prefix=f"{official}\n{row['prompt']}" if official else row["prompt"],
                suffix=row["right_context"],
                path=path,
                comment=comment_marker(path),
                snippets=snippets,
                max_tokens=_NEW_TOKENS,
            )
        own = "".join(
            f"{path_header(snippet.path, snippet.comment)}{snippet.text.rstrip()}\n\n" for snippet in snippets
        )
        return Continue(
            prompt=row["prompt"],
            context=official or own,
            context_tokens=_CONTEXT_TOKENS,
            max_tokens=_NEW_TOKENS,
        )

    def _retrieve(self, row: Mapping[str, Any]) -> Sequence[Snippet]:
        assert self._repositories is not None
        repository = _open_repository(self._repositories / row["metadata"]["repository"])
        if repository is None:
            return ()
        cursor = Cursor(path=row["metadata"]["file"], prefix=row["prompt"], suffix=row["right_context"])
        return repository.snippets_for(
            cursor, budget=_CONTEXT_TOKENS, count_tokens=lambda text: len(text) // _CHARACTERS_PER_TOKEN + 1
        )


@lru_cache(maxsize=4)
def _open_repository(folder: Path) -> Repository | None:
    try:
        return Repository.open(folder)
    except RepoContextError:
        return None


def first_python_statement(prompt: str, text: str) -> str:
    """Return the fewest whole lines of `text` with which `prompt` parses; all of `text` if it never does."""
    parser = _python_parser()
    end = text.find("\n")
    while end >= 0:
        if end > 0 and not parser.parse(f"{prompt}{text[:end]}".encode()).root_node.has_error:
            return text[:end].rstrip()
        end = text.find("\n", end + 1)
    return text


def first_bracket_statement(text: str) -> str:
    """Return `text` up to and with the first of `;`, `{` and `}` (Java, C#, TypeScript)."""
    found = re.search(r"[;{}]", text)
    return text[: found.end()] if found else text


def compare(completion: str, truth: str) -> dict[str, float]:
    """Return the metrics of one answer, 0 to 1 each."""
    written, wanted = _without_comments(completion), _without_comments(truth)
    ours, theirs = identifiers(written), identifiers(wanted)
    common = len(set(ours) & set(theirs))
    total = len(set(ours)) + len(set(theirs))
    return {
        "exact match": float(_lines(written) == _lines(wanted)),
        "edit similarity": float(fuzz.ratio(completion.strip(), truth.strip())) / 100,
        "identifier match": float(ours == theirs),
        "identifier F1": 2 * common / total if total else 1.0,
    }


def identifiers(text: str) -> list[str]:
    """Return the identifiers of a piece of code in order, without strings and keywords."""
    text = re.sub(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'", "", text)
    return [name for name in re.findall(r"[A-Za-z_][A-Za-z0-9_]*", text) if name not in _KEYWORDS]


def _without_comments(text: str) -> str:
    return re.sub(r"//.*", "", re.sub(r"#.*", "", text))


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


@lru_cache(maxsize=1)
def _python_parser() -> Parser:
    return Parser(Language(tree_sitter_python.language()))


_KEYWORDS: frozenset[str] = frozenset(keyword.kwlist) | frozenset(
    word
    for line in (
        "abstract assert boolean break byte case catch char class const continue default do double else enum export",
        "extends final finally float for foreach function goto if implements import in instanceof int interface",
        "internal let long namespace native new null object operator out override package private protected public",
        "readonly ref return sealed short static string struct super switch synchronized this throw throws",
        "transient true false try type typeof using var virtual void volatile while yield async await",
    )
    for word in line.split()
)
