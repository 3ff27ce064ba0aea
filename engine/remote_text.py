"""Takes a family's marks out of text that a server wrote: there they are spelled, and may come in pieces (no torch)."""

from engine.fim_formats import FimFormat


class MarkFilter:
    """Lets text through up to the first mark."""

    def __init__(self, fim: FimFormat | None) -> None:
        """Look for the marks of a family; None looks for nothing."""
        marks = () if fim is None else (*fim.all_marks, *fim.end_texts)
        self._marks = tuple(dict.fromkeys(mark.replace("▁<", "<") for mark in marks))
        self._held = ""
        self._ended = False

    def push(self, text: str) -> tuple[str, bool]:
        """Take a piece; return what can be shown now, and whether a mark has ended the text."""
        text = self._held + text
        found = [place for mark in self._marks if (place := text.find(mark)) >= 0]
        if found:
            self._held, self._ended = "", True
            return text[: min(found)], True
        kept = max((_overlap(text, mark) for mark in self._marks), default=0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept], False

    def flush(self) -> str:
        """Return what was held back, when the text ends by itself: it was no mark."""
        held, self._held = self._held, ""
        return "" if self._ended else held


def _overlap(text: str, mark: str) -> int:
    """Return how many of the last characters of a text may be the beginning of a mark."""
    return next((length for length in range(min(len(mark) - 1, len(text)), 0, -1) if text.endswith(mark[:length])), 0)
