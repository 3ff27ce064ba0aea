"""Parses many files in several processes: tree-sitter holds the interpreter's lock, so threads would not help."""

import marshal
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from repo_context.chunk_terms import TermCounter
from repo_context.compiled_terms import prepare
from repo_context.file_record import Job, Result, Skipped, SkipReason, record_files
from repo_context.parse_worker import READY, AnswerReader, receive, send

IN_PROCESS_BELOW = 50
"""So few files are parsed here: a process takes longer to start than they to parse."""
MAX_PROCESSES = 8
BATCH_BYTES = 400_000
BATCH_FILES = 64
PIPE_BYTES = 1 << 20
"""What Linux grants anyone by default."""
COMPILE_WAIT_SECONDS = 0.6
"""How long the first batches wait for the compiler; it takes half as long when nothing else runs."""

_Answer: TypeAlias = tuple["_Worker", bytes]
"""A batch's results as a process sent them."""


def parse_files(jobs: Sequence[Job], counter: TermCounter) -> Generator[Result, None, None]:
    """Yield one result a job, in no particular order; closing the iterator ends the processes.

    New terms and names get their numbers in `counter` as results are taken from the iterator.
    """
    if len(jobs) < IN_PROCESS_BELOW:
        for job in jobs:
            yield from record_files([job], counter)
        return
    yield from _Pool(_batches(jobs)).results(counter)


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
        self._done: queue.SimpleQueue[_Answer | Job | Skipped | BaseException] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._workers: set[_Worker] = set()
        self._counting = prepare(sum(job.size for batch in batches for job in batch))
        self._threads = [
            threading.Thread(target=self._feed, daemon=True, name=f"parse-{number}")
            for number in range(min(_processors(), MAX_PROCESSES, len(batches)))
        ]

    def results(self, counter: TermCounter) -> Iterator[Result]:
        for thread in self._threads:
            thread.start()
        try:
            received = 0
            while received < self._expected:
                # Only here are answers read: what terms they bring goes into one vocabulary, one after another.
                for result in _read_answer(self._done.get(), counter):
                    received += 1
                    yield result
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
            self._counting.ready.wait(COMPILE_WAIT_SECONDS)
            while not self._closing.is_set():
                try:
                    batch = self._waiting.get_nowait()
                except queue.Empty:
                    return
                if worker is None:
                    for job in batch:
                        self._done.put(job)
                elif answer := worker.parse(batch):
                    self._done.put((worker, answer))
                elif not self._closing.is_set():
                    worker = self._replace(worker)
                    for job in batch:
                        worker = self._parse_alone(worker, job)
        except Exception as error:  # noqa: BLE001 -- a thread's boundary: the consumer raises it
            self._done.put(error)
        finally:
            if worker is not None:
                self._workers.discard(worker)
                worker.kill()

    def _start(self) -> "_Worker | None":
        """Start a process; None when this machine cannot, and files are then parsed in this one."""
        try:
            worker = _Worker(self._counting.library)
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

    def _parse_alone(self, worker: "_Worker | None", job: Job) -> "_Worker | None":
        """Parse one file of a batch that killed its process, to find the one that did it; returns the next process."""
        if not self._closing.is_set() and worker is not None:
            answer = worker.parse([job])
            if answer is not None:
                self._done.put((worker, answer))
                return worker
            worker = self._replace(worker)
        self._done.put(Skipped(path=job.path, reason=SkipReason.CRASHED, size=job.size))
        return worker


def _read_answer(answer: _Answer | Job | Skipped | BaseException, counter: TermCounter) -> Iterator[Result]:
    """Yield the results in what a thread handed over; a job stands for one that no process could be started for."""
    if isinstance(answer, BaseException):
        raise answer
    if isinstance(answer, Skipped):
        yield answer
    elif isinstance(answer, Job):
        yield from record_files([answer], counter)
    else:
        worker, message = answer
        yield from worker.reader.read(message, counter)


class _Worker:
    """One process that runs `repo_context.parse_worker`; `library` counts terms, if it is there when work comes."""

    def __init__(self, library: Path) -> None:
        self.reader = AnswerReader()
        packages = str(Path(__file__).resolve().parent.parent)
        inherited = os.environ.get("PYTHONPATH")
        path = os.pathsep.join([packages, inherited]) if inherited else packages
        self._process = subprocess.Popen(
            # -P: the working directory is the user's, and may hold modules with the names of ours.
            [sys.executable, "-P", "-m", "repo_context.parse_worker", str(library)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # It multiplies no matrices, and threads made for that spin for a while.
            env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
            # A whole answer fits in, so that a process need not wait while this one stores another's.
            pipesize=PIPE_BYTES if sys.platform == "linux" else -1,
            # An interrupt at the terminal is for the parent, which ends its children.
            start_new_session=True,
        )

    def is_ready(self) -> bool:
        assert self._process.stdout is not None
        return receive(self._process.stdout) == READY

    def parse(self, batch: Sequence[Job]) -> bytes | None:
        """Return one answer, with a result a job; None when the process died on the way."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            send(self._process.stdin, marshal.dumps([tuple(job) for job in batch]))
        except OSError:
            return None
        return receive(self._process.stdout)

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
