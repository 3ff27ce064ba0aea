"""What the engine wrote, with how sure it was of every piece; shrinks from the front as its text is typed."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenScore:
    """One token's place in a text and its log-probability."""

    end: int
    """Index behind its last character."""
    log_probability: float
    """Natural logarithm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A text that may be shown at a cursor."""

    text: str
    scores: tuple[TokenScore, ...] = ()
    """In order; may be empty where the engine says nothing of it."""
    is_cut: bool = False
    """Whether the engine had to stop in the middle of a token or a line."""
    is_beginning: bool = False
    """Whether the engine wrote more of this line, which was too unsure to be shown."""
    unknown_names: frozenset[str] = frozenset()
    """Names it calls that exist nowhere in the file, the repository or the language."""

    def after(self, typed: int) -> "Candidate":
        """Return what is left when its first `typed` characters stand in the document."""
        if typed == 0:
            return self
        left = tuple(replace(score, end=score.end - typed) for score in self.scores if score.end > typed)
        return replace(self, text=self.text[typed:], scores=left)
