"""A process that parses files for `parse_pool`: batches of jobs come in on stdin, their results go out on stdout.

It is a plain child process, not one of `multiprocessing`: nothing of the parent's `__main__` is imported again, and it
can be started from a process that is itself a worker. It ends when its stdin does.
"""

import gc
import marshal
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from repo_context.chunk_terms import ChunkTable, Ints, TermCounter
from repo_context.compiled_terms import term_counter
from repo_context.file_record import (
    FileRecord,
    Job,
    Result,
    Skipped,
    SkipReason,
    Unchanged,
    record_files,
)

READY = b"ready"


def main() -> None:
    """Answer batches until the parent goes away."""
    results = os.fdopen(os.dup(1), "wb")
    # Whatever a library prints must not end up between the results.
    os.dup2(2, 1)
    os.nice(5)
    # What is made here goes out at once and holds no cycles; collecting costs and frees nothing.
    gc.disable()
    send(results, READY)
    counter: TermCounter | None = None
    terms_sent = names_sent = 0
    while (batch := receive(sys.stdin.buffer)) is not None:
        # Not earlier: the library may just be being compiled.
        counter = counter or term_counter(Path(sys.argv[1]))
        jobs = [Job(*fields) for fields in marshal.loads(batch)]  # noqa: S302 -- from our own parent
        results_of_batch = record_files(jobs, counter)
        # Terms and names go out once a process; after that both sides know them by their number.
        new_terms = _after(counter.vocabulary, terms_sent)
        new_names = _after(counter.names, names_sent)
        terms_sent += len(new_terms)
        names_sent += len(new_names)
        answers, arrays = list(map(_to_wire, results_of_batch)), _arrays_to_wire(results_of_batch)
        send(results, marshal.dumps((new_terms, new_names, answers, arrays)))


def _after(words: dict[str, int], count: int) -> list[str]:
    """Return what came after the first `count`, without a walk over those."""
    return list(islice(reversed(words), len(words) - count))[::-1]


class AnswerReader:
    """Reads the answers of one process, whose numbers of terms and names are its own."""

    def __init__(self) -> None:
        self._terms: Ints = np.zeros(0, np.int32)
        self._names: Ints = np.zeros(0, np.int32)

    def read(self, message: bytes, counter: TermCounter) -> Iterator[Result]:
        """Yield the results of one batch, with terms and names by their numbers in `counter`, which learns new ones."""
        # From our own child, through our own pipe.
        new_terms, new_names, answers, arrays = marshal.loads(message)  # noqa: S302
        self._terms = np.concatenate([self._terms, _numbers(new_terms, counter.vocabulary)])
        self._names = np.concatenate([self._names, _numbers(new_names, counter.names)])
        starts, ends, pointers, term_ids, counts, names = (np.frombuffer(data, np.int32) for data in arrays)
        tables = _Tables(starts, ends, pointers, self._terms[term_ids], counts, self._names[names])
        for answer in answers:
            yield _from_wire(tables, *answer)


class _Tables:
    """The arrays of all files of a batch, one file after another; a file takes what is its own."""

    def __init__(self, starts: Ints, ends: Ints, pointers: Ints, term_ids: Ints, counts: Ints, names: Ints) -> None:
        self._starts, self._ends, self._pointers = starts, ends, pointers
        self._term_ids, self._counts, self._names = term_ids, counts, names
        self._chunk = self._pointer = self._posting = self._name = 0

    def take(self, chunks: int, postings: int, names: int) -> tuple[ChunkTable, Ints]:
        chunk, pointer, posting, name = self._chunk, self._pointer, self._posting, self._name
        self._chunk, self._pointer = chunk + chunks, pointer + chunks + 1
        self._posting, self._name = posting + postings, name + names
        table = ChunkTable(
            starts=self._starts[chunk : chunk + chunks],
            ends=self._ends[chunk : chunk + chunks],
            pointers=self._pointers[pointer : self._pointer],
            term_ids=self._term_ids[posting : self._posting],
            counts=self._counts[posting : self._posting],
        )
        return table, self._names[name : self._name]


def _from_wire(tables: _Tables, kind: str, fields: Sequence[Any]) -> Result:
    if kind == "skipped":
        path, reason, mtime_ns, size = fields
        return Skipped(path=path, reason=SkipReason[reason], mtime_ns=mtime_ns, size=size)
    if kind == "unchanged":
        path, mtime_ns, size = fields
        return Unchanged(path=path, mtime_ns=mtime_ns, size=size)
    path, language, mtime_ns, size, digest, packed, symbols, unparsed, sizes = fields
    table, names = tables.take(*sizes)
    return FileRecord(
        path=path,
        language=language,
        mtime_ns=mtime_ns,
        size=size,
        digest=digest,
        packed=packed,
        symbols=symbols,
        chunks=table,
        names=names,
        unparsed=unparsed,
    )


def _numbers(new: Sequence[str], known: dict[str, int]) -> Ints:
    return np.array([known.setdefault(word, len(known)) for word in new], np.int32)


def _to_wire(result: Result) -> tuple[str, tuple[Any, ...]]:
    """Return a result in plain values, which `marshal` writes several times faster than `pickle` does objects."""
    if isinstance(result, Skipped):
        return "skipped", (result.path, result.reason.name, result.mtime_ns, result.size)
    if isinstance(result, Unchanged):
        return "unchanged", (result.path, result.mtime_ns, result.size)
    return "record", (
        result.path,
        result.language,
        result.mtime_ns,
        result.size,
        result.digest,
        result.packed,
        result.symbols,
        result.unparsed,
        (len(result.chunks), len(result.chunks.term_ids), len(result.names)),
    )


def _arrays_to_wire(results: Sequence[Result]) -> tuple[bytes, ...]:
    """Return the arrays of all files, those of one kind together: a batch is taken over in a few steps."""
    records = [result for result in results if isinstance(result, FileRecord)]
    columns = zip(
        *(
            (table.starts, table.ends, table.pointers, table.term_ids, table.counts, record.names)
            for record in records
            for table in [record.chunks]
        ),
        strict=True,
    )
    return tuple(np.concatenate(column).astype(np.int32, copy=False).tobytes() for column in columns) or (b"",) * 6


def send(stream: IO[bytes], message: bytes) -> None:
    """Write one message: its length in eight bytes, then itself."""
    stream.write(len(message).to_bytes(8, "little"))
    stream.write(message)
    stream.flush()


def receive(stream: IO[bytes]) -> bytes | None:
    """Read one message; None when the other side is gone."""
    header = stream.read(8)
    if len(header) < 8:
        return None
    length = int.from_bytes(header, "little")
    message = stream.read(length)
    return message if len(message) == length else None


if __name__ == "__main__":
    main()
