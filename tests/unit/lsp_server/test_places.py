from pathlib import Path

import pytest

from lsp_server.places import holder_of, name_of, path_of, refusal_to_index, uri_of


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///a/b.py", Path("/a/b.py")),
        ("file:///a%20b/%C3%A9.py", Path("/a b/é.py")),
        ("file:///a%23b.py", Path("/a#b.py")),
        ("untitled:Untitled-1", None),
        ("git:/a/b.py?x", None),
        ("vscode-notebook-cell:/a.ipynb#x", None),
        ("file:", None),
        ("", None),
        ("file:///a%00b", None),
        ("http://[", None),
    ],
)
def test_only_file_uris_name_files(uri, path):
    assert path_of(uri) == path


@pytest.mark.parametrize("path", ["/a/b.py", "/a b/é#?.py", "/a%20b"])
def test_a_path_survives_its_uri(path):
    assert path_of(uri_of(Path(path))) == Path(path)


def test_the_innermost_root_holds_a_file():
    roots = [Path("/w"), Path("/w/inner"), Path("/w/inn")]
    assert holder_of(Path("/w/inner/a.py"), roots) == Path("/w/inner")
    assert holder_of(Path("/w/innermost/a.py"), roots) == Path("/w")
    assert holder_of(Path("/x/a.py"), roots) is None


@pytest.mark.parametrize(
    ("uri", "name", "root"),
    [
        ("file:///w/pkg/a.py", "pkg/a.py", Path("/w")),
        ("file:///x/pkg/a.py", "a.py", None),
        ("untitled:Untitled-1", "Untitled-1", None),
    ],
)
def test_a_document_is_named_as_its_repository_names_it(uri, name, root):
    assert name_of(uri, (Path("/w"),)) == (name, root)


def test_the_whole_disk_and_the_home_folder_are_not_indexed_unasked(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert refusal_to_index(Path("/"))
    assert refusal_to_index(tmp_path)
    assert refusal_to_index(tmp_path / "missing")
    (tmp_path / "project").mkdir()
    assert refusal_to_index(tmp_path / "project") is None
