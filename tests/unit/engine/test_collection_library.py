"""Files on disk to collections in memory, and back after a restart."""

import os
import stat

import pytest

from engine import collection_library
from engine.collection_library import CollectionLibrary
from engine.tokenizer import Tokenizer
from tests.support.tiny_model import CORPUS, train_tokenizer

DEFINITION = train_tokenizer()


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    folder.mkdir()
    lines = CORPUS.splitlines(keepends=True)
    for number in range(6):
        (folder / f"file_{number}.py").write_text("".join(lines[number * 4 :]))
    return folder


def files_of(repository):
    return {path.name: path for path in sorted(repository.iterdir())}


def open_library(tmp_path, definition=DEFINITION):
    tokenizer = Tokenizer(definition)
    return CollectionLibrary(tokenizer, vocabulary_size=tokenizer.vocab_size, folder=tmp_path / "store")


class CountingTokenizer(Tokenizer):
    texts = 0

    def encode_batch(self, texts):
        self.texts += len(texts)
        return super().encode_batch(texts)


def test_all_tokens_of_all_files_are_learned(tmp_path, repository):
    library = open_library(tmp_path)
    tokenizer = Tokenizer(DEFINITION)
    expected = sum(len(tokenizer.encode(path.read_text())) for path in repository.iterdir())
    assert library.learn("r", files_of(repository)) == expected
    assert library.tokens() == {"r": expected}
    assert library.find("r").names() == set(files_of(repository))
    assert library.find("other") is None


def test_counting_in_steps_learns_the_same(tmp_path, repository, monkeypatch):
    whole = open_library(tmp_path / "a").learn("r", files_of(repository))
    monkeypatch.setattr(collection_library, "_FIRST_COUNT", 10)
    monkeypatch.setattr(collection_library, "_BATCH_CHARACTERS", 100)
    library = open_library(tmp_path / "b")
    assert library.learn("r", files_of(repository)) == whole
    assert library.find("r").names() == set(files_of(repository))


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_bytes(b"\xff\xfe broken utf-8"),
        lambda path: path.write_bytes(b"text\0binary"),
        lambda path: path.write_text("x = 1\n" * 200_000),
        lambda path: path.mkdir(),
        lambda path: path.symlink_to("nowhere"),
        os.mkfifo,
    ],
    ids=["not utf-8", "binary", "too large", "folder", "dangling link", "pipe"],
)
def test_a_file_that_is_no_source_text_is_left_out(tmp_path, repository, make):
    library = open_library(tmp_path)
    before = library.learn("r", files_of(repository))
    make(repository / "odd.py")
    assert library.learn("r", files_of(repository)) == before


def test_a_file_that_became_unreadable_is_forgotten(tmp_path, repository):
    library = open_library(tmp_path)
    files = files_of(repository)
    library.learn("r", files)
    files["file_0.py"].unlink()
    library.learn("r", files)
    assert "file_0.py" not in library.find("r").names()


def test_only_changed_files_are_encoded_again(tmp_path, repository):
    tokenizer = CountingTokenizer(DEFINITION)
    library = CollectionLibrary(tokenizer, vocabulary_size=tokenizer.vocab_size, folder=None)
    files = files_of(repository)
    library.learn("r", files)
    files["file_2.py"].write_text("changed = True\n")
    tokens = library.learn("r", files)
    assert tokenizer.texts == len(files) + 1
    assert tokens == library.tokens()["r"] == sum(len(tokenizer.encode(path.read_text())) for path in files.values())


def test_a_restart_encodes_nothing_again(tmp_path, repository):
    library = open_library(tmp_path)
    before = library.learn("r", files_of(repository))
    library.forget("r", ["file_5.py"])
    library.save()
    (repository / "file_1.py").write_text("changed = True\n")
    tokenizer = CountingTokenizer(DEFINITION)
    restarted = CollectionLibrary(tokenizer, vocabulary_size=tokenizer.vocab_size, folder=tmp_path / "store")
    restarted.restore("r")
    assert restarted.find("r").names() == set(files_of(repository)) - {"file_5.py", "file_1.py"}
    assert tokenizer.texts == 0
    restarted.learn("r", files_of(repository))
    assert tokenizer.texts == 2
    assert restarted.tokens()["r"] < before


def test_the_store_is_open_to_its_owner_only(tmp_path, repository):
    library = open_library(tmp_path)
    library.learn("r", files_of(repository))
    library.save()
    (store,) = (tmp_path / "store").iterdir()
    assert stat.S_IMODE(store.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"nonsense",
        lambda data: data[: len(data) // 2],
        lambda data: data[:700] + bytes([data[700] ^ 255]) + data[701:],
        lambda data: data[:-400] + bytes([data[-400] ^ 255]) + data[-399:],
    ],
    ids=["empty", "nonsense", "half", "a bit in front", "a bit at the end"],
)
def test_a_broken_store_is_made_again(tmp_path, repository, damage):
    library = open_library(tmp_path)
    before = library.learn("r", files_of(repository))
    library.save()
    (store,) = (tmp_path / "store").iterdir()
    store.write_bytes(damage(store.read_bytes()))
    restarted = open_library(tmp_path)
    assert restarted.learn("r", files_of(repository)) == before
    restarted.save()
    again = open_library(tmp_path)
    again.restore("r")
    assert again.tokens()["r"] == before


def test_another_tokenizer_does_not_see_the_ids(tmp_path, repository):
    library = open_library(tmp_path)
    library.learn("r", files_of(repository))
    library.save()
    other = open_library(tmp_path, train_tokenizer(size=300))
    other.restore("r")
    assert other.tokens()["r"] == 0
