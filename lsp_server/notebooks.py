"""Which open documents are the cells of one notebook, and in which order: what stands around a cell is its context.

Clients tell of notebooks in one of two ways. Those that synchronise notebooks (VS Code's) say which cells there are and
where; others open cells as documents like any other, whose URIs name the notebook.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from lsp_server.document import Document
from lsp_server.places import notebook_of_cell
from repo_context.notebook import CELL, block_of

_COMMENTED: Final = ("python", "")
"""Language ids of cells that are put together as the index puts them: below lines `# %%`, magics as comments."""


class Notebooks:
    """The open notebooks of one client."""

    def __init__(self) -> None:
        self._cells: dict[str, list[str]] = {}

    def open(self, notebook: str, cells: Iterable[str]) -> None:
        """Take note of a notebook and of its cells, in order; all are URIs."""
        self._cells[notebook] = list(cells)

    def splice(self, notebook: str, start: int, removed: int, cells: Iterable[str]) -> None:
        """Put cells in the place of `removed` others; moved cells are removed and put in again."""
        known = self._cells.setdefault(notebook, [])
        known[max(start, 0) : max(start, 0) + max(removed, 0)] = cells

    def close(self, notebook: str) -> Sequence[str]:
        """Forget a notebook; returns its cells."""
        return self._cells.pop(notebook, [])

    def notebook_of(self, cell: str) -> str | None:
        """Return the URI of the notebook that a document is a cell of; None when it is none."""
        told = next((notebook for notebook, cells in self._cells.items() if cell in cells), None)
        return told or notebook_of_cell(cell)

    def around(self, cell: Document, documents: Mapping[str, Document]) -> tuple[str, str]:
        """Return the text of a notebook before and after a cell: of the cells in its language."""
        uris = self._siblings(cell.uri, documents)
        place = uris.index(cell.uri)
        above, below = (
            [documents[uri].text for uri in part if uri in documents and documents[uri].language_id == cell.language_id]
            for part in (uris[:place], uris[place + 1 :])
        )
        return _above(above, cell.language_id), _below(below, cell.language_id)

    def _siblings(self, cell: str, documents: Mapping[str, Document]) -> Sequence[str]:
        told = next((cells for cells in self._cells.values() if cell in cells), None)
        notebook = notebook_of_cell(cell)
        if told is not None or notebook is None:
            return told or [cell]
        # Cells that are told of one by one were opened from the first to the last.
        return [uri for uri in documents if notebook_of_cell(uri) == notebook]


def _above(cells: Sequence[str], language: str) -> str:
    text = _joined(cells, language)
    return f"{text}\n{CELL}\n" if text and language in _COMMENTED else f"{text}\n" if text else ""


def _below(cells: Sequence[str], language: str) -> str:
    text = _joined(cells, language)
    return f"\n\n{text}" if text else ""


def _joined(cells: Sequence[str], language: str) -> str:
    if language in _COMMENTED:
        blocks = [block_of(text) for text in cells]
    else:
        blocks = [f"{text.rstrip()}\n" for text in cells if text.strip()]
    return "\n".join(block for block in blocks if block)
