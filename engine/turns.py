"""Whose turn it is to compute: several requests go on step by step on one thread, and none holds up another's start.

Requests that have shown nothing yet come before those that have, in each group one after another. So a window in the
middle of a long answer delays another window's first token by the one step that is under way.
"""

import threading
from collections import deque
from typing import Generic, Protocol, TypeVar


class Work(Protocol):
    """Something that is done in steps."""

    @property
    def has_started(self) -> bool:
        """Whether a step was taken."""

    @property
    def has_shown(self) -> bool:
        """Whether any text was sent."""


W = TypeVar("W", bound=Work)


class Turns(Generic[W]):
    """The requests under way; called from the loop and from the computing thread."""

    def __init__(self, *, at_once: int) -> None:
        """Have at most `at_once` requests started: each holds keys and values."""
        self._at_once = at_once
        self._lock = threading.Lock()
        self._queue: deque[W] = deque()
        self._taken: W | None = None

    def add(self, work: W) -> None:
        """Let a request take turns."""
        with self._lock:
            self._queue.append(work)

    def remove_unstarted(self, work: W) -> bool:
        """Take out a request if nothing was done for it yet; return whether that was so."""
        with self._lock:
            if work not in self._queue or work.has_started:
                return False
            self._queue.remove(work)
            return True

    def all(self) -> list[W]:
        """Return every request, the one whose turn it is included."""
        with self._lock:
            return [*self._queue, *([self._taken] if self._taken else [])]

    def take(self) -> W | None:
        """Take out the request whose turn it is; None when there is none."""
        with self._lock:
            started = sum(work.has_started for work in self._queue)
            ready = [work for work in self._queue if work.has_started or started < self._at_once]
            chosen = next((work for work in ready if not work.has_shown), ready[0] if ready else None)
            if chosen is not None:
                self._queue.remove(chosen)
            self._taken = chosen
            return chosen

    def put_back(self, work: W) -> None:
        """Let a request that was taken wait for its next turn."""
        with self._lock:
            self._taken = None
            self._queue.append(work)

    def drop(self) -> None:
        """Say that the request that was taken has ended."""
        with self._lock:
            self._taken = None
