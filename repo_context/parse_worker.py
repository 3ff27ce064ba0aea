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
from typing import IO, Any

import numpy as np

from repo_context.chunk_terms import ChunkTable, Ints, TermCounter
from repo_context.file_record import (
    FileRecord,
    Job,
    Result,
    Skipped,
    SkipReason,
    Unchanged,
    record_files,
    unpack_syntax,
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
    counter = TermCounter({})
    terms_sent = names_sent = 0
    while (batch := receive(sys.stdin.buffer)) is not None:
        jobs = [Job(*fields) for fields in marshal.loads(batch)]  # noqa: S302 -- from our own parent
        answers = list(map(_to_wire, record_files(jobs, counter)))
        # Terms and names go out once a process; after that both sides know them by their number.
        new_terms = list(islice(counter.vocabulary, terms_sent, None))
        new_names = list(islice(counter.names, names_sent, None))
        terms_sent += len(new_terms)
        names_sent += len(new_names)
        send(results, marshal.dumps((new_terms, new_names, answers)))


class AnswerReader:
    """Reads the answers of one process, whose numbers of terms and names are its own."""

    def __init__(self) -> None:
        self._terms: Ints = np.zeros(0, np.int32)
        self._names: Ints = np.zeros(0, np.int32)

    def read(self, message: bytes, counter: TermCounter) -> Iterator[Result]:
        """Yield the results of one batch, with terms and names by their numbers in `counter`, which learns new ones."""
        new_terms, new_names, answers = marshal.loads(message)  # noqa: S302 -- from our own child, through our own pipe
        self._terms = np.concatenate([self._terms, _numbers(new_terms, counter.vocabulary)])
        self._names = np.concatenate([self._names, _numbers(new_names, counter.names)])
        for answer in answers:
            yield self._from_wire(*answer)

    def _from_wire(self, kind: str, fields: Sequence[Any], arrays: Sequence[bytes]) -> Result:
        if kind == "skipped":
            path, reason, mtime_ns, size = fields
            return Skipped(path=path, reason=SkipReason[reason], mtime_ns=mtime_ns, size=size)
        if kind == "unchanged":
            path, mtime_ns, size = fields
            return Unchanged(path=path, mtime_ns=mtime_ns, size=size)
        path, language, mtime_ns, size, digest, packed, unparsed = fields
        found = unpack_syntax(packed)
        starts, ends, pointers, term_ids, counts, names = (np.frombuffer(data, np.int32) for data in arrays)
        return FileRecord(
            path=path,
            language=language,
            mtime_ns=mtime_ns,
            size=size,
            digest=digest,
            definitions=found.definitions,
            imports=found.imports,
            packages=found.packages,
            packed=packed,
            chunks=ChunkTable(
                starts=starts, ends=ends, pointers=pointers, term_ids=self._terms[term_ids], counts=counts
            ),
            names=self._names[names],
            unparsed=unparsed,
        )


def _numbers(new: Sequence[str], known: dict[str, int]) -> Ints:
    return np.array([known.setdefault(word, len(known)) for word in new], np.int32)


def _to_wire(result: Result) -> tuple[str, tuple[Any, ...], tuple[bytes, ...]]:
    """Return a result in plain values, which `marshal` writes several times faster than `pickle` does objects."""
    if isinstance(result, Skipped):
        return "skipped", (result.path, result.reason.name, result.mtime_ns, result.size), ()
    if isinstance(result, Unchanged):
        return "unchanged", (result.path, result.mtime_ns, result.size), ()
    table = result.chunks
    fields = (
        result.path,
        result.language,
        result.mtime_ns,
        result.size,
        result.digest,
        result.packed,
        result.unparsed,
    )
    arrays = (table.starts, table.ends, table.pointers, table.term_ids, table.counts, result.names)
    return "record", fields, tuple(array.tobytes() for array in arrays)


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
