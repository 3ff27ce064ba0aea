"""Puts files after what they depend on: Algorithm 1 of DeepSeek-Coder (arXiv 2401.14196, section 2.2)."""

import heapq
from collections.abc import Iterable, Mapping, Sequence


def order_files(files: Sequence[str], depends_on: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Return one list for each group of files that hang together, dependencies before dependents.

    In each group the next file is always one with the smallest number of dependencies still to come; that number, not
    zero, so that cycles cannot stall it. The paper leaves ties and the groups' order open: ties go to the smaller path,
    groups come in the order of their smallest path. `depends_on` gives the files that a file depends on; those
    not in `files`, repetitions, and a file's dependency on itself say nothing about order and are passed over.
    Runs in O((files + edges) log files).

    >>> order_files(["a.py", "b.py", "c.py", "z.py"], {"a.py": ["b.py"], "b.py": ["c.py"]})
    [['c.py', 'b.py', 'a.py'], ['z.py']]
    >>> order_files(["a.py", "b.py"], {"a.py": ["b.py"], "b.py": ["a.py"]})
    [['a.py', 'b.py']]
    """
    dependents: dict[str, list[str]] = {file: [] for file in files}
    in_degree: dict[str, int] = {}
    for file in dependents:
        needed = {other for other in depends_on.get(file, ()) if other in dependents and other != file}
        in_degree[file] = len(needed)
        for other in needed:
            dependents[other].append(file)
    return [_order_group(group, dependents, in_degree) for group in _groups(dependents)]


def _order_group(group: Sequence[str], dependents: Mapping[str, Sequence[str]], in_degree: dict[str, int]) -> list[str]:
    """Take the file of minimal in-degree until none is left.

    A file is pushed again when its in-degree falls; of its entries the lowest surfaces first, later ones are stale.
    """
    heap = [(in_degree[file], file) for file in group]
    heapq.heapify(heap)
    ordered: dict[str, None] = {}
    while heap:
        _, file = heapq.heappop(heap)
        if file in ordered:
            continue
        ordered[file] = None
        for dependent in dependents[file]:
            if dependent not in ordered:
                in_degree[dependent] -= 1
                heapq.heappush(heap, (in_degree[dependent], dependent))
    return list(ordered)


def _groups(dependents: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Return the weakly connected components, each and all in order of path."""
    leader = {file: file for file in dependents}

    def find(file: str) -> str:
        while leader[file] != file:
            leader[file] = leader[leader[file]]
            file = leader[file]
        return file

    for file, others in dependents.items():
        for other in others:
            leader[find(other)] = find(file)
    groups: dict[str, list[str]] = {}
    for file in sorted(dependents):
        groups.setdefault(find(file), []).append(file)
    return list(groups.values())
