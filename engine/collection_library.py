"""The collections (repositories) an engine has learned: reads their files, counts them, keeps their ids on disk."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG

import numpy as np

from engine import token_store
from engine.ngram import NgramCollection
from engine.token_store import EncodedFile
from engine.tokenizer import Tokenizer

_LARGEST_FILE = 1 << 20
"""Bytes; longer files are data or generated."""
_BATCH_CHARACTERS = 1 << 18
"""Characters encoded at a time: a tenth of a second."""
_FIRST_COUNT = 200_000
"""Tokens after which a collection being learned is counted for the first time, and again whenever it has doubled."""


@dataclass(slots=True)
class _Shelf:
    ngrams: NgramCollection
    files: dict[str, EncodedFile] = field(default_factory=dict)
    unsaved: bool = False


class CollectionLibrary:
    """Collections by name.

    One thread may call `learn`, `forget`, `restore` and `save` while others call `find` and `tokens`.
    """

    def __init__(self, tokenizer: Tokenizer, *, vocabulary_size: int, folder: Path | None) -> None:
        """Start with no collections in memory.

        Args:
            tokenizer: makes the ids.
            vocabulary_size: of the network whose distribution the counts are mixed with.
            folder: where ids are kept between runs; None keeps nothing.
        """
        self._tokenizer = tokenizer
        self._vocabulary_size = vocabulary_size
        self._folder = folder
        self._shelves: dict[str, _Shelf] = {}
        self._stopping = False

    def find(self, name: str) -> NgramCollection | None:
        """Return a collection's counts, or None when nothing of it was learned or restored."""
        shelf = self._shelves.get(name)
        return shelf.ngrams if shelf else None

    def tokens(self) -> dict[str, int]:
        """Return the number of tokens learned, by collection."""
        return {name: shelf.ngrams.tokens for name, shelf in self._shelves.copy().items()}

    def learn(self, name: str, files: Mapping[str, Path]) -> int:
        """Add or refresh files; return the collection's tokens.

        Files that did not change since they were encoded are not read again. A file that is missing, unreadable, not
        UTF-8, binary or larger than 1 MiB is left out, and forgotten if it was known.
        """
        shelf = self._shelf(name)
        gone: list[str] = []
        batch: list[_ReadFile] = []
        pending: dict[str, EncodedFile] = {}
        for file_name, path in files.items():
            if self._stopping:
                break
            stamp = _stamp(path)
            if _is_known(shelf.files.get(file_name), path, stamp):
                continue
            text = None if stamp is None else _read(path, stamp)
            if stamp is None or text is None:
                gone.append(file_name)
                continue
            batch.append(_ReadFile(name=file_name, path=path, stamp=stamp, text=text))
            if sum(len(file.text) for file in batch) >= _BATCH_CHARACTERS:
                pending |= self._encode(batch)
                batch = []
            if sum(len(file.ids) for file in pending.values()) >= max(_FIRST_COUNT, shelf.ngrams.tokens):
                self._count(shelf, pending)
                pending = {}
        self._count(shelf, pending | self._encode(batch))
        self._remove(shelf, gone)
        return shelf.ngrams.tokens

    def forget(self, name: str, file_names: Iterable[str]) -> None:
        """Remove files from a collection."""
        self._remove(self._shelf(name), file_names)

    def stop(self) -> None:
        """Make a running `learn` return after the file it is at; called from any thread."""
        self._stopping = True

    def restore(self, name: str) -> None:
        """Load a collection from disk if it is there and not in memory."""
        self._shelf(name)

    def save(self) -> None:
        """Write every collection that changed.

        Raises:
            OSError: the disk is full, say.
        """
        for name, shelf in self._shelves.items():
            if shelf.unsaved and self._folder is not None:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                token_store.save(self._store(name), shelf.files, fingerprint=self._tokenizer.fingerprint)
                shelf.unsaved = False

    def _shelf(self, name: str) -> _Shelf:
        shelf = self._shelves.get(name)
        if shelf is None:
            shelf = _Shelf(NgramCollection(self._vocabulary_size))
            if self._folder is not None:
                stored = token_store.load(
                    self._store(name),
                    fingerprint=self._tokenizer.fingerprint,
                    vocabulary_size=self._tokenizer.vocab_size,
                )
                self._count(
                    shelf,
                    {key: file for key, file in stored.items() if _is_known(file, file.path, _stamp(file.path))},
                )
                shelf.unsaved = False
            self._shelves[name] = shelf
        return shelf

    def _store(self, name: str) -> Path:
        assert self._folder is not None
        digest = sha256(f"{self._tokenizer.fingerprint}\0{name}".encode()).hexdigest()[:32]
        return self._folder / f"{digest}.npz"

    def _encode(self, batch: Sequence["_ReadFile"]) -> dict[str, EncodedFile]:
        encoded = self._tokenizer.encode_batch([file.text for file in batch])
        return {
            file.name: EncodedFile(
                path=file.path, size=file.stamp.size, mtime_ns=file.stamp.mtime_ns, ids=np.array(ids, np.int32)
            )
            for file, ids in zip(batch, encoded, strict=True)
        }

    def _count(self, shelf: _Shelf, files: Mapping[str, EncodedFile]) -> None:
        if files:
            shelf.ngrams.learn({name: file.ids for name, file in files.items()})
            shelf.files.update(files)
            shelf.unsaved = True

    def _remove(self, shelf: _Shelf, file_names: Iterable[str]) -> None:
        known = [name for name in file_names if name in shelf.files]
        if known:
            shelf.ngrams.forget(known)
            for name in known:
                del shelf.files[name]
            shelf.unsaved = True


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What tells two versions of a file apart without reading them."""

    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReadFile:
    name: str
    path: Path
    stamp: _Stamp
    text: str


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return _Stamp(found.st_size, found.st_mtime_ns) if S_ISREG(found.st_mode) else None


def _is_known(known: EncodedFile | None, path: Path, stamp: _Stamp | None) -> bool:
    return known is not None and known.path == path and _Stamp(known.size, known.mtime_ns) == stamp


def _read(path: Path, stamp: _Stamp) -> str | None:
    """Return the text of a file worth learning."""
    if stamp.size > _LARGEST_FILE:
        return None
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return None if "\0" in text else text
