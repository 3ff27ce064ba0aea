"""A corpus by manifest: what is fetched, what is held out, and that licence files decide."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.files import write_files
from train.data.corpus import fetch_corpus, manifest_names, read_manifest
from train.errors import CorpusError

MIT = "Permission is hereby granted, free of charge, to any person obtaining a copy of this software\n"
GPL = "GNU GENERAL PUBLIC LICENSE Version 3\n"


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _repository(host: Path, name: str, files: dict[str, str]) -> str:
    folder = host / name
    folder.mkdir(parents=True)
    _git(folder, "init", "-q")
    write_files(folder, files)
    _git(folder, "add", ".")
    _git(folder, "commit", "-q", "-m", "first")
    return _git(folder, "rev-parse", "HEAD")


def _manifest(path: Path, *entries: str) -> str:
    path.write_text("\n".join(entries), encoding="utf-8")
    return str(path)


def _entry(name: str, commit: str, licence: str = "MIT", more: str = "") -> str:
    return f'[[repository]]\nname = "{name}"\ncommit = "{commit}"\nlicence = "{licence}"\n{more}\n'


def test_repositories_come_at_their_commit_and_held_out_ones_apart(tmp_path: Path) -> None:
    host = tmp_path / "host"
    first = _repository(host, "one/shop", {"LICENSE": MIT, "a.py": "a = 1\n"})
    (host / "one/shop/a.py").write_text("a = 2\n", encoding="utf-8")
    _git(host / "one/shop", "commit", "-q", "-a", "-m", "later")
    other = _repository(host, "two/shop", {"LICENSE.txt": MIT, "b.py": "b = 1\n"})
    manifest = _manifest(
        tmp_path / "m.toml", _entry("one/shop", first), _entry("two/shop", other, more="held_out = true")
    )
    told: list[str] = []
    training = fetch_corpus(read_manifest(manifest), tmp_path / "corpus", host=str(host), tell=told.append)
    assert training == [tmp_path / "corpus/training/one+shop"]
    assert (training[0] / "a.py").read_text(encoding="utf-8") == "a = 1\n"
    assert (tmp_path / "corpus/held-out/two+shop/b.py").exists()
    assert not (training[0] / ".git").exists()
    report = json.loads((tmp_path / "corpus/corpus.json").read_text(encoding="utf-8"))
    assert [(entry["name"], entry["revision"], entry["licence"]) for entry in report] == [
        ("one/shop", first, "MIT"),
        ("two/shop", other, "MIT"),
    ]
    assert len(told) == 2
    fetch_corpus(read_manifest(manifest), tmp_path / "corpus", host="/nowhere", tell=told.append)
    assert len(told) == 2, "what is there is not fetched again"


def test_licence_files_overrule_the_manifest(tmp_path: Path) -> None:
    commit = _repository(tmp_path / "host", "a/gpl", {"COPYING": GPL, "a.py": "a = 1\n"})
    manifest = _manifest(tmp_path / "m.toml", _entry("a/gpl", commit))
    with pytest.raises(CorpusError, match=r"a/gpl .* is listed as MIT, but its files say GPL-3\.0"):
        fetch_corpus(read_manifest(manifest), tmp_path / "c", host=str(tmp_path / "host"), tell=lambda _: None)
    assert not list((tmp_path / "c").rglob("a.py")) or not (tmp_path / "c/training/a+gpl").exists()


def test_a_commit_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    _repository(tmp_path / "host", "a/b", {"LICENSE": MIT})
    manifest = _manifest(tmp_path / "m.toml", _entry("a/b", "0" * 40))
    with pytest.raises(CorpusError, match="cannot fetch a/b"):
        fetch_corpus(read_manifest(manifest), tmp_path / "c", host=str(tmp_path / "host"), tell=lambda _: None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "names no source"),
        (_entry("a/b", "1", licence="GPL-3.0"), "not permissive"),
        (_entry("a/b", "1") + _entry("A/b", "2"), "twice"),
        ('[[package]]\nname = "x"\nlicence = "MIT"\n', "needs licence, name, version"),
        ("[[package]\n", "is no TOML"),
    ],
)
def test_a_manifest_with_a_fault_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(CorpusError, match=reason):
        read_manifest(_manifest(tmp_path / "m.toml", text))


def test_an_unknown_manifest_is_answered_with_those_there_are() -> None:
    with pytest.raises(CorpusError, match="known: default"):
        read_manifest("nonsense")


def test_the_default_models_manifest_is_permissive_and_holds_repositories_out() -> None:
    assert "default" in manifest_names()
    sources = read_manifest("default")
    assert len(sources) > 100
    assert {source.held_out for source in sources if source.kind == "repository"} == {True, False}
