"""A process that parses files for `parse_pool`: batches of jobs come in on stdin, their results go out on stdout.

It is a plain child process, not one of `multiprocessing`: nothing of the parent's `__main__` is imported again, and it
can be started from a process that is itself a worker. It ends when its stdin does.
"""

import gc
import os
import pickle
import sys
from typing import IO

from repo_context.file_record import record_named

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
    while (batch := receive(sys.stdin.buffer)) is not None:
        jobs = pickle.loads(batch)  # noqa: S301 -- from our own parent, through a pipe nobody else holds
        send(results, pickle.dumps([record_named(*job) for job in jobs], protocol=5))


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
