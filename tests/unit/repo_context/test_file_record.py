import os

import pytest

from repo_context.chunk_terms import TermCounter
from repo_context.file_record import (
    MAX_LINE_CHARACTERS,
    FileRecord,
    Job,
    Skipped,
    SkipReason,
    Unchanged,
    record_files,
    reject_text,
)
from repo_context.languages import language_named

PYTHON = language_named("python")


def record_file(path, absolute, language, digest=None):
    (result,) = record_files([Job(path, str(absolute), language.name, digest, 0)], TermCounter({}))
    return result


def record(tmp_path, content, language=PYTHON, digest=None):
    file = tmp_path / "x.py"
    file.write_bytes(content)
    return record_file("x.py", file, language, digest)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x00\x01", SkipReason.BINARY),
        ("x = 1".encode("utf-16"), SkipReason.BINARY),
        ("name = 'ü'".encode("latin-1"), SkipReason.NOT_UTF8),
        (b"x" * 1_048_577, SkipReason.TOO_LARGE),
        (b"x = '" + b"y" * 5_000_000 + b"'", SkipReason.TOO_LARGE),
        (b"x = '" + b"y" * 6_000 + b"'\n" + b"z = 1\n" * 10_000, SkipReason.LONG_LINES),
        (b"\n".join([b"var a=" + b"1+" * 200] * 20), SkipReason.LONG_LINES),
        (b"KEY = '''-----BEGIN RSA PRIVATE KEY-----\nabc'''", SkipReason.SECRET),
    ],
    ids=["nul", "utf-16", "latin-1", "large", "5 MB line", "long line", "minified", "private key"],
)
def test_content_that_is_no_source_text_is_left_out_with_its_reason(tmp_path, content, reason):
    found = record(tmp_path, content)
    assert isinstance(found, Skipped)
    assert found.reason is reason


def test_a_file_that_is_gone_vanished(tmp_path):
    found = record_file("x.py", tmp_path / "x.py", PYTHON)
    assert found == Skipped(path="x.py", reason=SkipReason.VANISHED)


def test_a_file_that_became_a_link_or_a_pipe_is_not_read(tmp_path):
    (tmp_path / "link.py").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe.py")
    assert record_file("x", tmp_path / "link.py", PYTHON) == Skipped(path="x", reason=SkipReason.UNREADABLE)
    assert record_file("x", tmp_path / "pipe.py", PYTHON) == Skipped(path="x", reason=SkipReason.NOT_A_FILE)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_read_permission_is_counted(tmp_path):
    (tmp_path / "x.py").write_text("")
    (tmp_path / "x.py").chmod(0)
    assert record_file("x", tmp_path / "x.py", PYTHON) == Skipped(path="x", reason=SkipReason.UNREADABLE)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_line_numbers_are_the_same_with_any_line_ends(tmp_path, end):
    found = record(tmp_path, end.join(["import a", "", "def f():", "    pass", ""]).encode())
    assert isinstance(found, FileRecord)
    assert [(item.name, item.start_line) for item in found.syntax.definitions] == [("f", 2)]
    assert [item.line for item in found.syntax.imports] == [0]


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    found = record(tmp_path, b"\xef\xbb\xbfdef f(): pass\n")
    assert isinstance(found, FileRecord)
    assert [item.signature for item in found.syntax.definitions] == ["def f():"]


def test_content_that_is_known_is_not_parsed_again(tmp_path):
    first = record(tmp_path, b"x = 1\n")
    assert isinstance(first, FileRecord)
    assert isinstance(record(tmp_path, b"x = 1\n", digest=first.digest), Unchanged)
    assert isinstance(record(tmp_path, b"x = 2\n", digest=first.digest), FileRecord)


def test_other_text_is_chunked_but_not_parsed(tmp_path):
    (tmp_path / "x.md").write_text("# Title\n\nSome words.\n")
    counter = TermCounter({})
    (found,) = record_files([Job("x.md", str(tmp_path / "x.md"), "markdown", None, 0)], counter)
    assert isinstance(found, FileRecord)
    assert found.syntax.definitions == ()
    assert [list(counter.vocabulary)[term] for term in found.chunks.term_ids] == ["title", "some", "words"]
    assert found.unparsed == ""


def test_a_file_that_cannot_be_parsed_is_kept_as_text_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr("repo_context.syntax.MAX_PARSE_SECONDS", 0.0)
    found = record(tmp_path, b"x = [1, 2, 3]\n" * 20_000)
    assert isinstance(found, FileRecord)
    assert "more than 0 s" in found.unparsed
    assert len(found.chunks.starts) > 1_000


@pytest.mark.parametrize("length", range(4_990, 5_012))
def test_a_long_line_is_seen_wherever_line_ends_fall(length):
    # Many short lines beside it, so that the mean length says nothing.
    text = "\n".join(["a" * 3_000, "b" * length, *["c"] * 60, "d" * length])
    longest = max(map(len, text.split("\n")))
    assert (reject_text(text) is SkipReason.LONG_LINES) == (longest > MAX_LINE_CHARACTERS)
