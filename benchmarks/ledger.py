"""Keeps what was measured, one line of JSON each, so that a measurement that is stopped goes on where it was."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

Metrics = Mapping[str, float]


class Ledger:
    """Metrics by key, in a file; without one they are kept nowhere."""

    def __init__(self, path: Path | None) -> None:
        """Read what is on file; a line that a kill cut short is passed over, and measured again."""
        self._path = path
        self._known: dict[str, Metrics] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    key, metrics = json.loads(line)
                except ValueError:
                    continue
                self._known[key] = metrics

    def metrics(self, key: str, measure: Callable[[], Metrics]) -> Metrics:
        """Return what is on file under `key`, else measure it and write it down."""
        if key not in self._known:
            self._known[key] = metrics = measure()
            if self._path is not None:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write("\n" + json.dumps([key, metrics]))  # the last line may have been cut short
        return self._known[key]
