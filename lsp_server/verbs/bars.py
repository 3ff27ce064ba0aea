"""A progress bar on standard error, shown only where a person is looking and has to wait."""

import sys
from typing import Any

from tqdm import tqdm


def waiting_bar(what: str, *, total: int | None = None) -> "tqdm[Any]":
    """Return a bar that counts files; appears after a moment and leaves nothing behind."""
    return tqdm(desc=what, total=total, unit="file", leave=False, disable=not sys.stderr.isatty(), delay=0.3)
