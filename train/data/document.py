"""One source file on its way into the training data."""

from dataclasses import dataclass


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
