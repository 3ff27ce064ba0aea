"""Jupyter notebooks as source: the code of the cells, one after the other, and nothing else of the file."""

import json

SUFFIX = ".ipynb"
MAX_NOTEBOOK_BYTES = 16 * 1_048_576
"""Most of a notebook is its outputs, which are not read; larger ones (16 MiB) are left out."""

CELL = "# %%"
"""The line above a cell's code."""
_PYTHON_CELLS = ("%%time", "%%timeit", "%%capture", "%%prun")
"""Cell magics whose cells are still Python."""


def is_notebook(path: str) -> bool:
    """Say whether a path names a notebook."""
    return path.lower().endswith(SUFFIX)


def code_of(content: str) -> str | None:
    r"""Return the code of a notebook's cells, each below a line `# %%`; None when the text is no notebook.

    Lines are counted in what is returned. Magics and shell lines become comments, so that they keep their place.

    >>> code_of('{"cells": [{"cell_type": "code", "source": ["import os\\n", "%time f()"]}]}')
    '# %%\nimport os\n# %time f()\n'
    """
    try:
        notebook = json.loads(content)
    except (ValueError, RecursionError):
        return None
    cells = _cells(notebook)
    if cells is None:
        return None
    blocks = [_block(cell) for cell in cells if isinstance(cell, dict) and cell.get("cell_type") == "code"]
    return "\n".join(block for block in blocks if block)


def block_of(code: str) -> str:
    """Return one cell's lines with line ends, below a line `# %%`; empty for a blank cell."""
    if not code.strip():
        return ""
    lines = code.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")
    first = lines[0].strip()
    foreign = first.startswith("%%") and not first.startswith(_PYTHON_CELLS)
    kept = [f"# {line}" if foreign or _is_magic(line) else line for line in lines]
    return "\n".join([CELL, *kept, ""])


def language_of_notebook(content: str) -> str:
    """Return the language that a notebook says its cells are written in, in lower case; `python` when it says none."""
    try:
        metadata = json.loads(content).get("metadata", {})
        stated = metadata.get("language_info", {}).get("name") or metadata.get("kernelspec", {}).get("language")
    except (ValueError, RecursionError, AttributeError):
        return "python"
    return stated.lower() if isinstance(stated, str) and stated else "python"


def _cells(notebook: object) -> list[object] | None:
    if not isinstance(notebook, dict):
        return None
    cells = notebook.get("cells")
    if cells is None and isinstance(notebook.get("worksheets"), list):
        # Format 3 and older.
        sheets = [sheet for sheet in notebook["worksheets"] if isinstance(sheet, dict)]
        cells = [cell for sheet in sheets for cell in sheet.get("cells", [])]
    return cells if isinstance(cells, list) else None


def _block(cell: dict[str, object]) -> str:
    source = cell.get("source", cell.get("input", ""))
    text = "".join(part for part in source if isinstance(part, str)) if isinstance(source, list) else source
    return block_of(text) if isinstance(text, str) else ""


def _is_magic(line: str) -> bool:
    return line.lstrip().startswith(("%", "!")) and not line.lstrip().startswith("!=")
