"""The chunks of a text index as parallel arrays: one slot a chunk, alive or dead."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repo_context.chunk_terms import ChunkTable, Ints
from repo_context.postings import Base, joined


@dataclass(slots=True, kw_only=True)
class ChunkSlots:
    """Parallel arrays over all chunk slots, alive or dead, with room to grow."""

    used: int
    alive: NDArray[np.bool_]
    owners: Ints
    """Places in `paths`."""
    starts: Ints
    ends: Ints
    lengths: Ints
    """Terms in the chunk."""
    paths: list[str]

    @classmethod
    def empty(cls) -> "ChunkSlots":
        """Return slots without chunks."""
        return cls(
            used=0,
            alive=np.zeros(0, np.bool_),
            owners=np.zeros(0, np.int32),
            starts=np.zeros(0, np.int32),
            ends=np.zeros(0, np.int32),
            lengths=np.zeros(0, np.int32),
            paths=[],
        )

    @classmethod
    def of_base(cls, base: Base, paths: Mapping[int, str]) -> "ChunkSlots":
        """Return the slots of a base; those of files whose number in it has no entry in `paths` are dead."""
        sizes = np.diff(base.firsts)
        alive = np.zeros(len(sizes), np.bool_)
        alive[list(paths)] = True
        return cls(
            used=len(base.lengths),
            alive=np.repeat(alive, sizes),
            owners=np.repeat(np.arange(len(sizes), dtype=np.int32), sizes),
            starts=base.starts,
            ends=base.ends,
            lengths=base.lengths,
            paths=[paths.get(number, "") for number in range(len(sizes))],
        )

    def extend(self, tables: Mapping[str, ChunkTable]) -> None:
        """Append the chunks of files, one file after another."""
        chunks = [len(table.starts) for table in tables.values()]
        first_owner = len(self.paths)
        self.paths += tables
        end = self.used + sum(chunks)
        if end == self.used:  # nothing to write, and what is mapped from disk can be written to only once it has grown
            return
        if end > len(self.alive):
            self._grow(max(1024, end + end // 4))
        new = slice(self.used, end)
        self.alive[new] = True
        self.owners[new] = np.repeat(np.arange(first_owner, len(self.paths)), chunks)
        self.starts[new] = joined([table.starts for table in tables.values()])
        self.ends[new] = joined([table.ends for table in tables.values()])
        totals = np.concatenate([[0], np.cumsum(joined([table.counts for table in tables.values()]))])
        sizes = joined([table.sizes() for table in tables.values()])
        # Not reduceat: it takes a chunk without terms for one that has the next one's first.
        bounds = np.concatenate([[0], np.cumsum(sizes)])
        self.lengths[new] = np.diff(totals[bounds])
        self.used = end

    def _grow(self, capacity: int) -> None:
        more = capacity - len(self.alive)
        self.alive = np.concatenate([self.alive, np.zeros(more, np.bool_)])
        for name in ("owners", "starts", "ends", "lengths"):
            setattr(self, name, np.concatenate([getattr(self, name), np.zeros(more, np.int32)]))
