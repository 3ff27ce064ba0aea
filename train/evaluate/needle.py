"""A needle in a repository: one fact in one of its files, asked for at the end of a prompt of growing length."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.prompt import path_header
from repo_context.languages import language_of
from train.data.document import SourceDocument
from train.errors import EvaluationError
from train.evaluate.datasets import read_repository
from train.evaluate.suite import Continue, Judgement, Task

LENGTHS = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000)
"""Characters of prompt; about three to a token of code."""
LONG_LENGTHS = (96_000, 192_000, 384_000)
"""About 32, 64 and 128 thousand tokens: what a context stretched in two stages is for."""
DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Where the needle stands: 0 is the start of the prompt."""
_WORDS = ("amber", "basalt", "cedar", "delta", "ember", "fjord", "grove", "harbour", "indigo", "juniper", "krypton")


class Needle:
    """Needles in the source files of one repository, at every length and depth."""

    protocol = "one assignment among whole source files, 5 depths a length, left to right, 24 new tokens; value found"

    def __init__(
        self, repository: Path, *, lengths: Sequence[int] = LENGTHS, each: int = 2, seed: int = 1, name: str = "needle"
    ) -> None:
        """Collect the haystack.

        Args:
            repository: any folder of source; Python files are used.
            lengths: of the prompt, in characters.
            each: needles at each length and depth.
            seed: of names, values and the files around them.
            name: of the suite, in reports.

        Raises:
            EvaluationError: the repository holds less source than the longest prompt needs.
        """
        self.name = name
        self._lengths, self._each, self._seed = lengths, each, seed
        self.skipped: Mapping[str, int] = {}
        self._documents = read_repository(repository, "python")
        if sum(len(document.text) for document in self._documents) < max(lengths):
            raise EvaluationError(
                f"{repository} holds too little Python source for a prompt of {max(lengths):,} characters; "
                "give a larger repository"
            )

    def tasks(self) -> Sequence[Task]:
        """Return the tasks by length, then depth."""
        return [
            self._task(length, depth, number)
            for length in self._lengths
            for depth in DEPTHS
            for number in range(self._each)
        ]

    def cut(self, _task: Task, text: str) -> str:
        """Return the first line, up to the quote that closes the value."""
        return text.partition("\n")[0].partition('"')[0]

    def judge(self, task: Task, completion: str) -> Judgement:
        """Say whether the value was found; each length and each depth is a metric of its own."""
        found = float(completion == task.truth)
        length, depth = task.row["length"], task.row["depth"]
        return Judgement(
            metrics={"found": found, f"found, {length:,} characters": found, f"found, depth {depth:.2f}": found}
        )

    def _task(self, length: int, depth: float, number: int) -> Task:
        chance = random.Random(f"{self._seed} {length} {depth} {number}")
        name = f"{chance.choice(_WORDS)}_{chance.choice(_WORDS)}_token".upper()
        value = f"{chance.choice(_WORDS)}-{chance.randrange(1000, 10000)}"
        needle = f'{name} = "{value}"\n'
        question = f'\n\n{path_header("check.py", "#")}assert {name} == "'
        hay = self._hay(length - len(needle) - len(question), chance)
        place = _line_start(hay, int(depth * len(hay)))
        prompt = f"{hay[:place]}{needle}{hay[place:]}{question}"
        return Task(
            task_id=f"needle/{length}/{depth:.2f}/{number}",
            question=Continue(prompt=prompt, stop=("\n",), max_tokens=24),
            truth=value,
            row={"length": length, "depth": depth},
        )

    def _hay(self, length: int, chance: random.Random) -> str:
        """Join whole files under their paths, in an order of their own, and cut to `length` characters."""
        order = chance.sample(self._documents, len(self._documents))
        pieces: list[str] = []
        filled = 0
        for document in order:
            piece = _with_header(document)
            pieces.append(piece)
            filled += len(piece)
            if filled >= length:
                break
        return "".join(pieces)[:length]


def _with_header(document: SourceDocument) -> str:
    language = language_of(document.path)
    return f"{path_header(document.path, language.comment if language else '#')}{document.text.rstrip()}\n\n"


def _line_start(text: str, position: int) -> int:
    return text.rfind("\n", 0, position) + 1
