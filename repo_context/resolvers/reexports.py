"""Follows a name through files that only pass it on, to the file that defines it."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from repo_context.resolvers.file_table import FileTable, ResolvedImport
from repo_context.syntax import Import, ImportedName

MAX_STEPS = 8
"""Files that a name is followed through."""
MAX_LOOKS = 200
"""Files that are looked into for one name: wildcards fan out."""


class Reexports:
    """Knows which names each file passes on; `resolve` finds a statement's files by paths alone."""

    def __init__(self, table: FileTable, resolve: Callable[[str, Import], list[ResolvedImport]]) -> None:
        self._table = table
        self._resolve = resolve
        self._passed: dict[str, _Passed] = {}

    def follow(
        self, statement: Import, owner: str | None, otherwise: Callable[[ImportedName], str | None]
    ) -> list[ResolvedImport]:
        """Resolve each name of a statement to the file that defines it.

        `owner` is the file that the statement names. A name that it neither defines nor passes on leads to what
        `otherwise` returns (a submodule, say), else to the owner.
        """
        by_target: dict[tuple[str, tuple[str, ...]], list[ImportedName]] = {}
        for imported in statement.names:
            origin = self._origin(owner, imported.name) if owner is not None else None
            if origin is not None:
                renamed = imported._replace(name=origin.name)
                by_target.setdefault((origin.path, origin.through), []).append(renamed)
            elif (target := otherwise(imported) or owner) is not None:
                by_target.setdefault((target, ()), []).append(imported)
        return [
            ResolvedImport(target=target, statement=statement._replace(names=tuple(names)), through=through)
            for (target, through), names in by_target.items()
        ]

    def _origin(self, owner: str, name: str) -> "_Place | None":
        """Return where a name is defined; None when the owner does not know it."""
        seen = {owner}
        front = [_Place(owner, name, ())]
        last: _Place | None = None
        for _ in range(MAX_STEPS):
            further: list[_Place] = []
            for place in front:
                file = self._table.files.get(place.path)
                if file is None or place.name in file.names:
                    return place
                self._table.looked_into.add(place.path)
                for target, other, certain in self._passers(place.path, place.name):
                    origin = _Place(target, other, (*place.through, place.path))
                    if certain:
                        last = origin
                    if target not in seen and len(seen) < MAX_LOOKS:
                        seen.add(target)
                        further.append(origin)
            front = further
            if not front:
                break
        return last

    def _passers(self, path: str, name: str) -> list[tuple[str, str, bool]]:
        """Return (file, name there, whether the name was named) for each import of `path` that may bring `name`."""
        passed = self._passed_by(path)
        if name in passed.named:
            statement, imported = passed.named[name]
            single = statement._replace(names=(imported,))
            return [(item.target, imported.name, True) for item in self._resolve(path, single) if item.target != path]
        if name == "default":
            return []
        return [(target, name, False) for target in passed.wildcards]

    def _passed_by(self, path: str) -> "_Passed":
        imports = self._table.files[path].imports
        known = self._passed.get(path)
        if known is None or known.imports is not imports or known.version != self._table.version:
            named = {imported.alias: (item, imported) for item in imports for imported in item.names}
            wildcards = [found.target for item in imports if item.wildcard for found in self._resolve(path, item)]
            known = _Passed(imports, self._table.version, named, tuple(dict.fromkeys(wildcards)))
            self._passed[path] = known
        return known


class _Place(NamedTuple):
    """A name in a file, and the files that passed it on before."""

    path: str
    name: str
    through: tuple[str, ...]


class _Passed(NamedTuple):
    """What one file passes on, and what that was read from."""

    imports: tuple[Import, ...]
    version: int
    named: Mapping[str, tuple[Import, ImportedName]]
    wildcards: tuple[str, ...]
    """Files all of whose names it passes on."""
