"""Files as editors name them (URIs) and as a repository does (paths relative to its root)."""

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit


def path_of(uri: str) -> Path | None:
    """Return the file that a URI names, or None when it names none (`untitled:`, `git:`).

    >>> path_of("file:///tmp/a%20b.py")
    PosixPath('/tmp/a b.py')
    >>> path_of("untitled:Untitled-1") is None
    True
    """
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    path = unquote(parts.path)
    if parts.scheme != "file" or not path.startswith("/") or "\0" in path:
        return None
    return Path(path)


def uri_of(path: Path) -> str:
    """Return the URI of an absolute path."""
    return "file://" + quote(str(path))


def holder_of(path: Path, roots: Iterable[Path]) -> Path | None:
    """Return the innermost root that holds a file."""
    holding = [root for root in roots if path.is_relative_to(root)]
    return max(holding, key=lambda root: len(root.parts), default=None)


def name_of(uri: str, roots: Iterable[Path]) -> tuple[str, Path | None]:
    """Return a document's path as a prompt shows it, and the root it is relative to; a bare name outside of any."""
    path = path_of(uri)
    if path is None:
        return unquote(uri.rsplit("/", 1)[-1].rsplit(":", 1)[-1]) or "untitled", None
    root = holder_of(path, roots)
    return (path.relative_to(root).as_posix(), root) if root is not None else (path.name, None)


def refusal_to_index(root: Path) -> str | None:
    """Return why a folder should not be indexed on an editor's word alone; None when it may be."""
    if root == Path(root.anchor) or root == Path.home():
        return f"{root} is no repository: open the project's own folder for completions that know it"
    return None if root.is_dir() else f"{root} is no folder"
