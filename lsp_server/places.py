"""Files as editors name them (URIs) and as a repository does (paths relative to its root)."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from repo_context.languages import language_of

_CELL: Final = "vscode-notebook-cell:"
_EXTENSIONS: Final = {
    "python": "py", "javascript": "js", "typescript": "ts", "typescriptreact": "tsx", "markdown": "md", "rust": "rs",
    "csharp": "cs", "fsharp": "fs", "julia": "jl", "shellscript": "sh", "powershell": "ps1", "ruby": "rb",
    "kotlin": "kt",
}  # fmt: skip
"""By language id, of those that are not their own extension (as `r`, `go` and `sql` are)."""


@lru_cache(maxsize=256)
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


def notebook_of_cell(uri: str) -> str | None:
    """Return the URI of the notebook that VS Code's URI of a cell names; None when it is no such URI.

    >>> notebook_of_cell("vscode-notebook-cell:/tmp/a%20b.ipynb#W0sZmlsZQ%3D%3D")
    'file:///tmp/a%20b.ipynb'
    """
    if not uri.startswith(_CELL):
        return None
    notebook = uri.removeprefix(_CELL).partition("#")[0]
    if not notebook.startswith("/"):
        return f"untitled:{notebook}"
    return f"file:{notebook}" if notebook.startswith("//") else f"file://{notebook}"


def uri_of(path: Path) -> str:
    """Return the URI of an absolute path."""
    return "file://" + quote(str(path))


def holder_of(path: Path, roots: Iterable[Path]) -> Path | None:
    """Return the innermost root that holds a file."""
    holding = [root for root in roots if path.is_relative_to(root)]
    return max(holding, key=lambda root: len(root.parts), default=None)


@lru_cache(maxsize=256)
def name_of(uri: str, roots: tuple[Path, ...]) -> tuple[str, Path | None]:
    """Return a document's path as a prompt shows it, and the root it is relative to; a bare name outside of any."""
    path = path_of(uri)
    if path is None:
        return unquote(uri.rsplit("/", 1)[-1].rsplit(":", 1)[-1]) or "untitled", None
    root = holder_of(path, roots)
    return (path.relative_to(root).as_posix(), root) if root is not None else (path.name, None)


def with_extension(name: str, language_id: str) -> str:
    """Return a name that says its language: what is no file, as a notebook's cell, has no extension that does.

    >>> with_extension("Untitled-1", "python"), with_extension("a.ipynb", "python"), with_extension("a.ipynb", "r")
    ('Untitled-1.py', 'a.ipynb', 'a.ipynb.r')
    """
    is_notebook = name.endswith(".ipynb")
    if not language_id or (is_notebook and language_id == "python") or (language_of(name) and not is_notebook):
        return name
    named = f"{name}.{_EXTENSIONS.get(language_id, language_id)}"
    return named if is_notebook or language_of(named) else name


def refusal_to_index(root: Path) -> str | None:
    """Return why a folder should not be indexed on an editor's word alone; None when it may be."""
    if root == Path(root.anchor) or root == Path.home():
        return f"{root} is no repository: open the project's own folder for completions that know it"
    return None if root.is_dir() else f"{root} is no folder"
