"""Values under strings, found by any longer string: the entries whose key begins it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

V = TypeVar("V")


@dataclass(slots=True)
class _Node(Generic[V]):
    children: dict[str, "_Node[V]"] = field(default_factory=dict)
    values: list[V] = field(default_factory=list)


class PrefixTrie(Generic[V]):
    """A trie of characters; several values may stand under one key."""

    def __init__(self) -> None:
        self._root: _Node[V] = _Node()

    def add(self, key: str, value: V) -> None:
        """Put a value under a key, behind those that stand there."""
        node = self._root
        for character in key:
            node = node.children.setdefault(character, _Node())
        node.values.append(value)

    def remove(self, key: str, value: V) -> None:
        """Take a value from under a key; nothing happens when it is not there."""
        path = [self._root]
        for character in key:
            child = path[-1].children.get(character)
            if child is None:
                return
            path.append(child)
        if value in path[-1].values:
            path[-1].values.remove(value)
        for parent, character, node in zip(path[-2::-1], reversed(key), path[:0:-1], strict=True):
            if node.values or node.children:
                return
            del parent.children[character]

    def along(self, text: str) -> Iterator[V]:
        """Yield the values whose key begins `text`, the shortest key first."""
        node: _Node[V] | None = self._root
        assert node is not None
        yield from node.values
        for character in text:
            node = node.children.get(character)
            if node is None:
                return
            yield from node.values
