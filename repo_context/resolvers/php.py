r"""PHP: classes by namespace and by the PSR-4 roots of composer.json, files by `require` and `include`."""

from collections.abc import Collection, Iterator

from repo_context.resolvers.file_table import (
    FileTable,
    ResolvedImport,
    SourceFile,
    grouped,
    join,
    nearest,
    used_names,
    whole,
)
from repo_context.resolvers.reach import Reach
from repo_context.resolvers.settings_text import mapping, read_json, texts
from repo_context.syntax import Import, ImportedName


class PhpResolver:
    """Finds classes as composer's autoloader does, else by the namespaces that files declare."""

    def __init__(self, table: FileTable) -> None:
        self._table = table
        self._roots = _psr4_roots(table)

    def resolve(self, path: str, statement: Import) -> list[ResolvedImport]:
        """Resolve a literal path from the file's folder or its end, and each class of a `use`."""
        if statement.module.startswith("."):
            target = join(path.rpartition("/")[0], statement.module)
            if target not in self._table.files:
                tail = join("", statement.module.lstrip("./"))
                target = self._table.ending_with(tail, path) if tail and "/" in tail else None
            return whole(statement, target)
        module = statement.module.strip("\\")
        if statement.names:
            return grouped(statement, [(name, self._class(f"{module}\\{name.name}", path)) for name in statement.names])
        last = module.rpartition("\\")[2]
        return grouped(statement, [(ImportedName(last, statement.alias or last), self._class(module, path))])

    def implied(self, path: str, bound: Collection[str]) -> list[ResolvedImport]:
        """Resolve names of the file's own namespace."""
        file = self._table.files.get(path)
        if file is None:
            return []
        own = file.packages or ("",)

        def find(name: str) -> str | None:
            if name in bound:
                return None
            for namespace in own:
                paths = self._table.exporters("php", namespace, name)
                if paths:
                    return path if path in paths else nearest(paths, path)
            return None

        return used_names(file, find, own[0])

    def moved(self, _files: Collection[SourceFile], _reach: Reach) -> None:
        """A class is found by its name, in a file that is named after it or declares it."""

    def _class(self, name: str, near: str) -> str | None:
        namespace, _, last = name.rpartition("\\")
        for prefix, folders in self._roots:
            if name.startswith(prefix):
                rest = name[len(prefix) :].replace("\\", "/")
                found = self._table.first_of(join(folder, f"{rest}.php") for folder in folders)
                if found is not None:
                    return found
        declared = nearest(self._table.exporters("php", namespace, last), near)
        return declared or next(self._by_path(name.split("\\"), near), None)

    def _by_path(self, parts: list[str], near: str) -> Iterator[str]:
        """Yield files whose paths end like the name, with or without its first two parts, which PSR-4 may drop."""
        for start in range(min(len(parts) - 1, 3)):
            found = self._table.ending_with("/".join(parts[start:]) + ".php", near)
            if found is not None and len(parts) - start >= 2:
                yield found


def _psr4_roots(table: FileTable) -> list[tuple[str, tuple[str, ...]]]:
    """Return (namespace prefix, folders) of every composer.json, the longest prefix first."""
    roots: dict[str, list[str]] = {}
    for folder, content in table.settings_named("composer.json"):
        read = mapping(read_json(content))
        for section in ("autoload", "autoload-dev"):
            for prefix, places in mapping(mapping(read.get(section)).get("psr-4")).items():
                for place in [places] if isinstance(places, str) else texts(places):
                    joined = join(folder, place or ".")
                    if joined is not None:
                        roots.setdefault(prefix, []).append(joined)
    return sorted(((prefix, tuple(places)) for prefix, places in roots.items()), key=lambda item: (-len(item[0]), item))
