"""Parses many files in several processes: tree-sitter holds the interpreter's lock, so threads would not help."""

import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from repo_context.file_record import FileRecord, Skipped, SkipReason, Unchanged, record_named
from repo_context.parse_worker import READY, receive, send

IN_PROCESS_BELOW = 50
"""So few files are parsed here: a process takes longer to start than they to parse."""
MAX_PROCESSES = 8
BATCH_BYTES = 400_000
BATCH_FILES = 64

Result: TypeAlias = FileRecord | Skipped | Unchanged


class Job(NamedTuple):
    """One file to read and parse: the arguments of `record_named`, then its size."""

    path: str
    absolute: str
    language: str
    known_digest: bytes | None
    size: int


def parse_files(jobs: Sequence[Job]) -> Generator[Result, None, None]:
    """Yield one result a job, in no particular order; closing the iterator ends the processes."""
    if len(jobs) < IN_PROCESS_BELOW:
        for job in jobs:
            yield _parse_here(job)
        return
    yield from _Pool(_batches(jobs)).results()


def _parse_here(job: Job) -> Result:
    return record_named(*job[:4])


def _batches(jobs: Sequence[Job]) -> list[list[Job]]:
    """Group jobs into batches of like size, the largest files first so that none is left for the end alone."""
    batches: list[list[Job]] = []
    filled = BATCH_BYTES
    for job in sorted(jobs, key=lambda job: (-job.size, job.path)):
        if filled >= BATCH_BYTES or len(batches[-1]) >= BATCH_FILES:
            batches.append([])
            filled = 0
        batches[-1].append(job)
        filled += job.size
    return batches


class _Pool:
    """Processes, each with a thread here that hands it batches and waits for its results."""

    def __init__(self, batches: Sequence[Sequence[Job]]) -> None:
        self._waiting: queue.SimpleQueue[Sequence[Job]] = queue.SimpleQueue()
        for batch in batches:
            self._waiting.put(batch)
        self._expected = sum(len(batch) for batch in batches)
        self._done: queue.SimpleQueue[Sequence[Result] | BaseException] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._workers: set[_Worker] = set()
        self._threads = [
            threading.Thread(target=self._feed, daemon=True, name=f"parse-{number}")
            for number in range(min(_processors(), MAX_PROCESSES, len(batches)))
        ]

    def results(self) -> Iterator[Result]:
        for thread in self._threads:
            thread.start()
        try:
            received = 0
            while received < self._expected:
                results = self._done.get()
                if isinstance(results, BaseException):
                    raise results
                received += len(results)
                yield from results
        finally:
            self._closing.set()
            for worker in list(self._workers):
                worker.kill()
            for thread in self._threads:
                thread.join()

    def _feed(self) -> None:
        """Run one process until there is no batch left."""
        worker: _Worker | None = None
        try:
            worker = self._start()
            while not self._closing.is_set():
                try:
                    batch = self._waiting.get_nowait()
                except queue.Empty:
                    return
                results = worker.parse(batch) if worker else [_parse_here(job) for job in batch]
                if results is None and not self._closing.is_set():
                    worker = self._replace(worker)
                    results = []
                    for job in batch:
                        answer, worker = self._parse_alone(worker, job)
                        results.append(answer)
                if results is not None:
                    self._done.put(results)
        except Exception as error:  # noqa: BLE001 -- a thread's boundary: the consumer raises it
            self._done.put(error)
        finally:
            if worker is not None:
                self._workers.discard(worker)
                worker.kill()

    def _start(self) -> "_Worker | None":
        """Start a process; None when this machine cannot, and files are then parsed in this one."""
        try:
            worker = _Worker()
        except OSError:
            return None
        self._workers.add(worker)
        if worker.is_ready():
            return worker
        self._workers.discard(worker)
        worker.kill()
        return None

    def _replace(self, worker: "_Worker | None") -> "_Worker | None":
        if worker is not None:
            self._workers.discard(worker)
            worker.kill()
        return self._start()

    def _parse_alone(self, worker: "_Worker | None", job: Job) -> tuple[Result, "_Worker | None"]:
        """Parse one file of a batch that killed its process, to find the one that did it."""
        if self._closing.is_set() or worker is None:
            return Skipped(path=job.path, reason=SkipReason.CRASHED), worker
        results = worker.parse([job])
        if results is not None:
            return results[0], worker
        return Skipped(path=job.path, reason=SkipReason.CRASHED, size=job.size), self._replace(worker)


class _Worker:
    """One process that runs `repo_context.parse_worker`."""

    def __init__(self) -> None:
        packages = str(Path(__file__).resolve().parent.parent)
        inherited = os.environ.get("PYTHONPATH")
        path = os.pathsep.join([packages, inherited]) if inherited else packages
        self._process = subprocess.Popen(
            # -P: the working directory is the user's, and may hold modules with the names of ours.
            [sys.executable, "-P", "-m", "repo_context.parse_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
            # An interrupt at the terminal is for the parent, which ends its children.
            start_new_session=True,
        )

    def is_ready(self) -> bool:
        assert self._process.stdout is not None
        return receive(self._process.stdout) == READY

    def parse(self, batch: Sequence[Job]) -> list[Result] | None:
        """Return one result a job; None when the process died on the way."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            send(self._process.stdin, pickle.dumps([job[:4] for job in batch], protocol=5))
        except OSError:
            return None
        answer = receive(self._process.stdout)
        if answer is None:
            return None
        results: list[Result] = pickle.loads(answer)  # noqa: S301 -- from our own child, through our own pipe
        return results

    def kill(self) -> None:
        """End the process and take in what is left of it; may be called twice."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    continue


def _processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
