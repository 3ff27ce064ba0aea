"""Fetches the sources that a manifest names: repositories at a commit, published packages at a version.

Nothing of a corpus is kept in a repository; its manifest is. A manifest is TOML:

    [[repository]]
    name = "pallets/flask"
    commit = "2ac89889f4cc330eabd50f295dcef02828522c69"
    licence = "BSD-3-Clause"
    held_out = true            # goes to held-out/: measured on, never trained on

    [[package]]
    name = "anyio"
    version = "4.16.0"
    licence = "MIT"
"""

import json
import shutil
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from train.data.licences import PERMISSIVE, UNKNOWN, identify, is_licence_file
from train.data.programs import git_command, run_program
from train.errors import CorpusError

HOST = "https://github.com"
"""Where repositories are fetched from unless another place is given."""
_DEEPEST = 3
"""Folders below which a licence file speaks of something vendored and not of the whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One entry of a manifest."""

    name: str
    """`owner/name` of a repository, or a package's name."""
    revision: str
    """A repository's commit, or a package's version."""
    licence: str
    """SPDX identifiers, joined by AND."""
    kind: str
    """`repository` or `package`."""
    held_out: bool

    @property
    def folder(self) -> str:
        """Its name on disk."""
        return self.name.replace("/", "+")


def manifest_names() -> list[str]:
    """Return the manifests that come with midfill."""
    folder = resources.files("train") / "corpora"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def read_manifest(name: str) -> list[Source]:
    """Read a manifest by name or path.

    Raises:
        CorpusError: there is none, or an entry is incomplete, named twice, or under a licence that is not permissive.
    """
    path = Path(name) if name.endswith(".toml") else Path(str(resources.files("train") / "corpora" / f"{name}.toml"))
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        known = ", ".join(manifest_names())
        raise CorpusError(f"cannot read the manifest {path} ({error.strerror}); known: {known}") from error
    except ValueError as error:
        raise CorpusError(f"{path} is no TOML: {error}") from error
    sources = [_source(path, kind, entry) for kind in ("repository", "package") for entry in raw.get(kind, ())]
    names = [source.folder.lower() for source in sources]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not sources:
        raise CorpusError(f"{path} names {', '.join(twice)} twice" if twice else f"{path} names no source")
    return sources


def _source(path: Path, kind: str, entry: Any) -> Source:
    revision = "commit" if kind == "repository" else "version"
    wanted = {"name", "licence", revision}
    if not isinstance(entry, dict) or not wanted <= set(entry) <= wanted | {"held_out"}:
        raise CorpusError(f"{path}: a [[{kind}]] needs {', '.join(sorted(wanted))}, and may say held_out: {entry}")
    refused = [part for part in str(entry["licence"]).split(" AND ") if part not in PERMISSIVE]
    if refused:
        raise CorpusError(f"{path}: {entry['name']} is under {refused[0]}, which is not permissive; leave it out")
    return Source(
        name=str(entry["name"]),
        revision=str(entry[revision]),
        licence=str(entry["licence"]),
        kind=kind,
        held_out=bool(entry.get("held_out", False)),
    )


def fetch_corpus(sources: Sequence[Source], folder: Path, *, host: str, tell: Callable[[str], None]) -> list[Path]:
    """Fetch what is not there yet into `training/` and `held-out/`; return the training sources.

    `corpus.json` says what was fetched, how large it is and under which licence its own files say that it is.

    Args:
        sources: of a manifest.
        folder: for the corpus.
        host: a URL or folder that `/owner/name` is appended to.
        tell: told of each source.

    Raises:
        CorpusError: a source cannot be fetched, or its licence files name other licences than the manifest.
    """
    report = []
    for number, source in enumerate(sources, start=1):
        place = folder / ("held-out" if source.held_out else "training") / source.folder
        if not place.exists():
            tell(f"{number}/{len(sources)}: {source.name} {source.revision}")
            partial = place.with_name(f".{place.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            if source.kind == "repository":
                _clone(source, partial, host)
            else:
                _unpack(source, partial)
            _check_licence(source, partial)
            partial.rename(place)
        size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
        report.append({"name": source.name, "revision": source.revision, "licence": source.licence, "bytes": size})
    (folder / "corpus.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return sorted((folder / "training").iterdir())


def _clone(source: Source, folder: Path, host: str) -> None:
    """Check out one commit without its history, then forget that it was a clone."""
    _run(source, *git_command(folder, "init", "-q"))
    address = f"{host.rstrip('/')}/{source.name}"
    _run(source, *git_command(folder, "fetch", "-q", "--depth=1", address, source.revision))
    _run(source, *git_command(folder, "checkout", "-q", "FETCH_HEAD"))
    shutil.rmtree(folder / ".git")


def _unpack(source: Source, folder: Path) -> None:
    """Download a package with pip and unpack it: a wheel where there is one, else the source archive."""
    wanted = f"{source.name}=={source.revision}"
    download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--disable-pip-version-check"]
    try:
        _run(source, *download, "--only-binary=:all:", "-d", str(folder), wanted)
    except CorpusError:
        _run(source, *download, "--no-binary=:all:", "--no-build-isolation", "-d", str(folder), wanted)
    for archive in list(folder.iterdir()):
        if archive.name.endswith((".whl", ".zip")):
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(folder)  # noqa: S202 -- zipfile lets no member out of the folder
        elif archive.name.endswith((".tar.gz", ".tar.bz2")):
            with tarfile.open(archive) as packed_tar:
                packed_tar.extractall(folder, filter="data")
        else:
            continue
        archive.unlink()


def _check_licence(source: Source, folder: Path) -> None:
    """Read the licence files near the top: the manifest must name what they say, or one of them where they differ."""
    found = set(_licences(folder))
    named = set(source.licence.split(" AND "))
    unlisted = sorted(found - named - set(PERMISSIVE))
    if not found & named or unlisted:
        says = ", ".join(sorted(found)) or "no licence that is known here"
        raise CorpusError(f"{source.name} {source.revision} is listed as {source.licence}, but its files say {says}")


def _licences(folder: Path) -> Iterable[str]:
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        near = len(relative.parts) <= _DEEPEST and not any("vendor" in part for part in relative.parts)
        if near and path.is_file() and is_licence_file(relative.as_posix()):
            licence = identify(path.read_text(encoding="utf-8", errors="replace"))
            if licence != UNKNOWN:
                yield licence


def _run(source: Source, *command: str) -> None:
    run_program(command, failure=f"cannot fetch {source.name} {source.revision}")
