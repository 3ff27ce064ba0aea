"""Runs independent pieces of work on all cores of one machine, or on a Ray cluster: the same functions either way."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol, TypeVar

from train.errors import CorpusError, TrainError

T = TypeVar("T")


class Executor(Protocol):
    """Where pieces of work run."""

    def run(self, function: Callable[..., T], jobs: Sequence[tuple[Any, ...]]) -> Iterator[T]:
        """Call `function(*job)` for every job; yield the results as they come, in any order.

        Function, arguments and results must pickle. The first error ends the run.
        """
        ...


class LocalExecutor:
    """Processes of this machine; one process means this one."""

    def __init__(self, processes: int | None = None) -> None:
        self._processes = processes or len(os.sched_getaffinity(0))

    def run(self, function: Callable[..., T], jobs: Sequence[tuple[Any, ...]]) -> Iterator[T]:
        """See `Executor.run`."""
        if self._processes == 1 or len(jobs) <= 1:
            for job in jobs:
                yield function(*job)
            return
        # Started afresh, not forked: the caller may have loaded torch and its threads.
        with ProcessPoolExecutor(min(self._processes, len(jobs)), mp_context=get_context("spawn")) as pool:
            futures = [pool.submit(function, *job) for job in jobs]
            try:
                for future in as_completed(futures):
                    yield future.result()
            finally:
                for future in futures:
                    future.cancel()


class RayExecutor:
    """The machines of a Ray cluster. All of them must see the sources and the output folder under the same paths."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray

    def run(self, function: Callable[..., T], jobs: Sequence[tuple[Any, ...]]) -> Iterator[T]:
        """See `Executor.run`."""
        remote = self._ray.remote(function)
        pending = [remote.remote(*job) for job in jobs]
        while pending:
            done, pending = self._ray.wait(pending, num_returns=1)
            try:
                yield self._ray.get(done[0])
            except self._ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, TrainError):
                    raise error.cause from None
                raise


@contextmanager
def open_executor(ray_address: str | None = None, processes: int | None = None) -> Iterator[Executor]:
    """Yield this machine's processes, or with an address (`auto`, `host:port`) a Ray cluster's.

    Raises:
        CorpusError: Ray is not installed, or there is no cluster at the address.
    """
    if ray_address is None:
        yield LocalExecutor(processes)
        return
    try:
        import ray
    except ImportError as error:
        raise CorpusError("--ray needs Ray: run `pip install 'midfill[distributed]'` on every machine") from error
    packages = str(Path(__file__).resolve().parents[2])
    # Workers import our packages from where this process did, and may be as strict about the working directory.
    environment = {"env_vars": {"PYTHONPATH": os.pathsep.join([packages, *filter(None, sys.path)])}}
    try:
        ray.init(address=ray_address, runtime_env=environment, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        message = str(error).strip().splitlines()[0]
        raise CorpusError(f"there is no Ray cluster at {ray_address}: {message}") from error
    try:
        yield RayExecutor(ray)
    finally:
        ray.shutdown()
