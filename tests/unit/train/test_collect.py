"""Collecting: every kind of source gives the same documents, and nothing that must not be read."""

import gzip
import json
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from train.data.collect import collect, name_sources
from train.data.document import SourceDocument
from train.data.licences import identify, licence_rule, nearest_licence
from train.data.tally import Tally
from train.errors import CorpusError

MIT = "MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy\nof this software"
FILES = {
    "a.py": b"a = 1\r\n",
    "pkg/b.py": "größe = 2\n".encode(),
    "pkg/c.go": b"package c\n",
    "LICENSE": MIT.encode(),
    "pkg/COPYING": b"GNU GENERAL PUBLIC LICENSE Version 2",
    "broken.py": b"\xff\xfe\xfa = 1",
    "secrets.py/.env": b"TOKEN=1\n",
    "node_modules/x.js": b"x\n",
    "package-lock.json": b"{}",
    "binary.py": b"\0\0",
    "key.py": b"-----BEGIN RSA PRIVATE KEY-----\nabc",
}
EXPECTED = [("a.py", "a = 1\n", "MIT"), ("pkg/b.py", "größe = 2\n", "GPL-2.0")]


def _tree(root: Path) -> Path:
    for path, content in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def _git(folder: Path, *arguments: str) -> str:
    environment = os.environ | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    for role in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{role}_NAME": "a", f"GIT_{role}_EMAIL": "a@b"}
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()


def _folder(tmp_path: Path) -> str:
    return str(_tree(tmp_path / "shop"))


def _git_commit(tmp_path: Path) -> str:
    root = _tree(tmp_path / "shop")
    _git(root, "init", "-q")
    _git(root, "add", "-A")
    _git(root, "commit", "-q", "-m", "one")
    commit = _git(root, "rev-parse", "HEAD")
    (root / "a.py").write_text("later\n")
    _git(root, "commit", "-q", "-a", "-m", "two")
    return f"{root}@{commit}"


def _bare(tmp_path: Path) -> str:
    root = _tree(tmp_path / "work")
    _git(root, "init", "-q")
    _git(root, "add", "-A")
    _git(root, "commit", "-q", "-m", "one")
    _git(tmp_path, "clone", "-q", "--bare", str(root), str(tmp_path / "shop.git"))
    return str(tmp_path / "shop.git")


def _tar(tmp_path: Path) -> str:
    with tarfile.open(tmp_path / "shop.tar.gz", "w:gz") as archive:
        archive.add(_tree(tmp_path / "tree"), "shop-main")
    return str(tmp_path / "shop.tar.gz")


def _zip(tmp_path: Path) -> str:
    with zipfile.ZipFile(tmp_path / "shop.zip", "w") as archive:
        for path, content in FILES.items():
            archive.writestr(f"shop-main/{path}", content)
    return str(tmp_path / "shop.zip")


@pytest.mark.parametrize("make", [_folder, _git_commit, _bare, _tar, _zip])
def test_every_kind_of_repository_gives_the_same_documents(make, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    tally = Tally()
    documents = list(collect([make(tmp_path)], ["python"], tally))
    assert [(item.path, item.text, item.licence) for item in documents] == EXPECTED
    assert {item.repository for item in documents} == {"shop"}
    reasons = tally.reasons()
    assert {"not UTF-8", "binary", "may hold secrets (.env, keys, credentials)"} <= set(reasons)
    assert "a_secret" not in json.dumps(tally.to_json())


def test_a_clone_that_lacks_objects_gives_what_it_has(tmp_path: Path) -> None:
    root = Path(_bare(tmp_path))
    blob = _git(root, "rev-parse", "HEAD:a.py")
    packed = list((root / "objects" / "pack").glob("*.pack"))
    for pack in packed:  # loose objects can be taken away one by one
        moved = pack.rename(tmp_path / pack.name)
        with moved.open("rb") as stream:
            subprocess.run(["git", "-C", str(root), "unpack-objects", "-q"], check=True, stdin=stream)
    (root / "objects" / blob[:2] / blob[2:]).unlink()
    tally = Tally()
    assert [item.path for item in collect([root], ["python"], tally)] == ["pkg/b.py"]
    assert tally.reasons()["missing from the git repository"] == 1


def _rows(names: tuple[str, str, str]) -> list[dict[str, str]]:
    repository, path, text = names
    return [
        {repository: "me/one", path: "a.py", text: "a = 1\r\n", "size": "7"},
        {repository: "me/two", path: "x.py", text: "x = 1\n", "size": "6"},
        {repository: "me/one", path: "deep/b.py", text: "b = 2\n", "size": "6"},
        {repository: "me/one", path: "deep/b.go", text: "package b\n", "size": "6"},
        {repository: "me/one", path: "deep/.env", text: "A=1\n", "size": "6"},
        {repository: "me/one", path: "../up.py", text: "A=1\n", "size": "6"},
    ]


IN_TABLES = [("me/one", "a.py", "a = 1\n"), ("me/two", "x.py", "x = 1\n"), ("me/one", "deep/b.py", "b = 2\n")]
THE_STACK_V1 = ("max_stars_repo_name", "max_stars_repo_path", "content")


@pytest.mark.parametrize("names", [THE_STACK_V1, ("repo_name", "path", "content"), ("repository", "file_path", "text")])
@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".parquet"])
def test_tables_are_read_by_the_names_their_fields_usually_have(
    names: tuple[str, str, str], ending: str, tmp_path: Path
) -> None:
    path = tmp_path / f"part{ending}"
    lines = "".join(json.dumps(row) + "\n" for row in _rows(names))
    if ending == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(_rows(names)), path)
    elif ending == ".jsonl.gz":
        path.write_bytes(gzip.compress(lines.encode()))
    else:
        path.write_text(lines)
    documents = list(collect([path], ["python"], Tally()))
    assert [(item.repository, item.path, item.text) for item in documents] == IN_TABLES


WRONG = {
    "missing": "give a folder that exists",
    "notes.docx": "is no source",
    "bad.jsonl": "is no JSON",
    "list.jsonl": "is no JSON object",
    "fields.jsonl": "none of the text fields",
    "bad.zip": "cannot read the archive",
    "bad.tar.gz": "cannot read the archive",
    "bad.parquet": "cannot read",
    "bad.jsonl.gz": "cannot read",
    "plain@HEAD": "git cannot read",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_source_that_cannot_be_read_is_named_in_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    contents = {"list.jsonl": "[1]\n", "fields.jsonl": '{"path": "a.py"}\n'}
    if name not in ("missing", "plain@HEAD"):
        (tmp_path / name).write_text(contents.get(name, "nonsense\n"))
    with pytest.raises(CorpusError, match=WRONG[name]) as caught:
        list(collect([tmp_path / name], ["python"], Tally()))
    assert "\n" not in str(caught.value)


def test_sources_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder / "src").mkdir(parents=True)
        (tmp_path / folder / "src" / "a.py").write_text(f"{folder} = 1\n")
    sources = [tmp_path / "one" / "src", tmp_path / "two" / "src"]
    assert [item.repository for item in collect(sources, [], Tally())] == ["src", "src-2"]
    assert name_sources(["/x/shop/.git@v1.2"]) == [("shop", "/x/shop/.git@v1.2")]


TEXTS = {
    "MIT": MIT,
    "Apache-2.0": "Apache License\n                    Version 2.0, January 2004\n http://www.apache.org/licenses/",
    "BSD-3-Clause": "Redistribution and use in source and binary forms, with or without modification ... Neither the "
    "name of the author nor the names of its contributors may be used to endorse or promote products",
    "BSD-2-Clause": "Redistribution and use in source and binary forms, with or without\nmodification, are permitted",
    "GPL-3.0": "GNU GENERAL PUBLIC LICENSE\n Version 3, 29 June 2007",
    "GPL-2.0": "GNU GENERAL PUBLIC LICENSE\n Version 2, June 1991",
    "AGPL-3.0": "GNU AFFERO GENERAL PUBLIC LICENSE\nVersion 3 ... the GNU General Public License",
    "LGPL-3.0": "GNU LESSER GENERAL PUBLIC LICENSE\n Version 3, 29 June 2007",
    "LGPL-2.1": "GNU LESSER GENERAL PUBLIC LICENSE\n Version 2.1, February 1999",
    "MPL-2.0": "Mozilla Public License Version 2.0",
    "Unlicense": "This is free and unencumbered software released into the public domain.",
    "ISC": "Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is "
    "hereby granted, provided that the above copyright notice",
    "unknown": "You may look at this, but not on Sundays.",
}


@pytest.mark.parametrize("name", TEXTS)
def test_licence_texts_are_recognised(name: str) -> None:
    assert identify(TEXTS[name]) == name
    assert identify("\n".join(f" * {line}" for line in TEXTS[name].split("\n"))) == name


def _licensed(licence: str, text: str = "x = 1\n") -> SourceDocument:
    return SourceDocument(repository="r", path="a.py", language="python", comment="#", text=text, licence=licence)


JUDGED = {
    ("MIT", "permissive"): True,
    ("GPL-3.0", "permissive"): False,
    ("GPL-3.0", "GPL-3.0"): True,
    ("Apache-2.0 AND MIT", "permissive"): True,
    ("GPL-2.0 AND MIT", "permissive"): False,
    ("", "permissive"): False,
    ("unknown", "permissive"): False,
    ("unknown", "unknown"): True,
}
HEADERS = {
    "# SPDX-License-Identifier: MIT": True,
    "# SPDX-License-Identifier: GPL-2.0-only": False,
    "/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */": True,
    "# SPDX-License-Identifier: GPL-2.0 AND MIT": False,
    "# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception": True,
}


@pytest.mark.parametrize("case", JUDGED)
def test_a_file_needs_every_licence_around_it_on_the_list(case: tuple[str, str]) -> None:
    licence, allowed = case
    assert (licence_rule([allowed])(_licensed(licence)) is None) == JUDGED[case]


@pytest.mark.parametrize("header", HEADERS)
def test_a_files_own_header_decides_before_the_licence_file(header: str) -> None:
    rule = licence_rule(["permissive"])
    assert (rule(_licensed("GPL-3.0", f"{header}\nx = 1\n")) is None) == HEADERS[header]


def test_the_nearest_licence_file_decides() -> None:
    licences = {"": ["MIT", "Apache-2.0"], "vendor/x": ["GPL-2.0"]}
    assert nearest_licence("src/a.py", licences) == "Apache-2.0 AND MIT"
    assert nearest_licence("vendor/x/y/a.py", licences) == "GPL-2.0"
    assert nearest_licence("a.py", {}) == ""
