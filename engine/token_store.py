"""Token ids of a collection's files on disk, so that a restarted engine need not encode a repository again."""

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EncodedFile:
    """The ids of one file, and what it looked like on disk when it was encoded."""

    path: Path
    size: int
    """Bytes."""
    mtime_ns: int
    ids: npt.NDArray[np.int32]


def save(store: Path, files: Mapping[str, EncodedFile], *, fingerprint: str) -> None:
    """Write all files of a collection, by name, in one step: a reader sees the old file or the new one.

    Args:
        store: the file to write; open to this user only.
        files: by name in the collection.
        fingerprint: of the tokenizer that made the ids.

    Raises:
        OSError: the disk is full, say.
    """
    meta = {
        "version": _VERSION,
        "fingerprint": fingerprint,
        "files": [
            [name, str(file.path), file.size, file.mtime_ns, len(file.ids)] for name, file in sorted(files.items())
        ],
    }
    ids = [files[name].ids for name in sorted(files)]
    temporary = store.with_name(f".{store.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            np.savez(
                out,
                allow_pickle=False,
                meta=np.frombuffer(json.dumps(meta).encode(), np.uint8),
                ids=np.concatenate(ids).astype(np.int32) if ids else np.zeros(0, np.int32),
            )
        temporary.replace(store)
    finally:
        temporary.unlink(missing_ok=True)


def load(store: Path, *, fingerprint: str, vocabulary_size: int) -> dict[str, EncodedFile]:
    """Read what `save` wrote; nothing when it is missing, broken, or from another tokenizer.

    A broken file is no error: whatever it held is in the user's files and is encoded again.
    """
    try:
        # Reading a member checks its CRC-32. The file is opened here because np.load leaks it when it is no archive.
        with store.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            meta = json.loads(stored["meta"].tobytes())
            ids = stored["ids"]
        if meta["version"] != _VERSION or meta["fingerprint"] != fingerprint:
            return {}
        if ids.dtype != np.int32 or (len(ids) and not 0 <= ids.min() <= ids.max() < vocabulary_size):
            return {}
        return _split(meta["files"], ids)
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return {}


def _split(rows: list[tuple[str, str, int, int, int]], ids: npt.NDArray[np.int32]) -> dict[str, EncodedFile]:
    files = {}
    start = 0
    for name, path, size, mtime_ns, length in rows:
        end = start + length
        files[str(name)] = EncodedFile(path=Path(path), size=int(size), mtime_ns=int(mtime_ns), ids=ids[start:end])
        start = end
    if start != len(ids):
        raise ValueError("lengths do not add up")
    return files
