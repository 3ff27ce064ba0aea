"""Training rows on disk: one memory-mapped array of ids and an index that says how it was made."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.errors import RunError

_ROWS = "rows.bin"
_INDEX = "index.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Rows of ids, shape [rows, row_tokens], memory-mapped, in the order they were made."""

    rows: NDArray[np.uint16] | NDArray[np.uint32]
    index: dict[str, Any]


def write_shard(folder: Path, rows: Iterable[list[int]], *, vocab_size: int, limit: int, about: dict[str, Any]) -> None:
    """Write rows until `limit` tokens; the index is written last, so a broken write is never read.

    `about` may be filled while the rows are made: it is stored once they are written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    dtype = np.uint16 if vocab_size <= 1 << 16 else np.uint32
    count, length = 0, 0
    with (folder / _ROWS).open("wb") as file:
        for row in rows:
            file.write(np.asarray(row, dtype=dtype).tobytes())
            count, length = count + 1, len(row)
            if count * length >= limit:
                break
    index = {"rows": count, "row_tokens": length, "dtype": np.dtype(dtype).name, **about}
    temporary = folder / f".{_INDEX}"
    temporary.write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    temporary.replace(folder / _INDEX)


def read_shard(folder: Path) -> Shard:
    """Map a shard.

    Raises:
        RunError: the index is missing or does not fit the rows.
    """
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        rows = np.memmap(folder / _ROWS, dtype=index["dtype"], mode="r", shape=(index["rows"], index["row_tokens"]))
    except (OSError, ValueError, KeyError) as error:
        raise RunError(
            f"the training rows in {folder} are broken ({error}); delete the folder and run again"
        ) from error
    return Shard(rows=rows, index=index)


def shard_exists(folder: Path) -> bool:
    """Say whether a shard was written to its end."""
    return (folder / _INDEX).exists()
