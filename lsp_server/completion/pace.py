"""How fast the user types and how fast the engine answers, and the pause that follows from both."""

from typing import Final

_WEIGHT: Final = 0.2
"""Of the newest value in a running mean."""
_LONGEST_KEY_PAUSE: Final = 1.0
"""Seconds; a longer pause is thinking, not typing."""
_LONGEST_WAIT: Final = 0.25
_USUAL_KEY: Final = 0.2


class Pace:
    """Learns the two speeds of one editor; times are in seconds."""

    def __init__(self) -> None:
        self._key = _USUAL_KEY
        self._engine = 0.0
        self._last_edit: float | None = None

    def note_edit(self, now: float) -> None:
        """Learn from an edit; `now` is any steady clock."""
        if self._last_edit is not None and 0 < now - self._last_edit <= _LONGEST_KEY_PAUSE:
            self._key += _WEIGHT * (now - self._last_edit - self._key)
        self._last_edit = now

    def note_answer(self, seconds: float) -> None:
        """Learn from an answer of the engine that was asked afresh."""
        self._engine += (_WEIGHT if self._engine else 1.0) * (seconds - self._engine)

    def pause(self, now: float) -> float:
        """Return how long to wait before the engine is asked.

        Nothing while the engine answers between two keys: it is free again before the next one. Otherwise every key
        would make it begin a prompt that the next key makes void, so wait until the next key is overdue. What an
        editor has waited already counts.
        """
        if self._engine <= self._key:
            return 0.0
        waited = now - self._last_edit if self._last_edit is not None else _LONGEST_WAIT
        return max(0.0, min(1.2 * self._key, _LONGEST_WAIT) - waited)
