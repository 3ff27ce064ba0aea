import numpy as np
import pytest

from engine.compiled_code import build
from repo_context import native_library
from repo_context.native_library import COMPILE_FROM_BYTES, library, prepare, recipe
from repo_context.repository import Repository
from tests.support.files import write_files
from tests.support.native_library import compiled


@pytest.fixture
def allowed(tmp_path, monkeypatch):
    monkeypatch.setenv("MIDFILL_KERNELS", "native")
    monkeypatch.setenv("MIDFILL_HOME", str(tmp_path / "home"))
    library.cache_clear()
    yield
    library.cache_clear()


@pytest.mark.parametrize("problem", ["off", "no compiler", "a folder that cannot be written"])
def test_what_cannot_be_compiled_is_not_waited_for(allowed, tmp_path, monkeypatch, problem):
    if problem == "off":
        monkeypatch.setenv("MIDFILL_KERNELS", "off")
    elif problem == "no compiler":
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        (tmp_path / "home").write_text("a file")
    assert prepare(COMPILE_FROM_BYTES).wait(60)
    assert library() is None


def test_a_little_text_is_not_worth_compiling(allowed, tmp_path):
    assert prepare(COMPILE_FROM_BYTES - 1).is_set()
    assert not (tmp_path / "home").exists()


def test_what_is_compiled_meanwhile_is_used_next(allowed):
    assert prepare(COMPILE_FROM_BYTES).wait(60)
    if not recipe().library.exists():
        pytest.skip("no compiler")
    assert library() is not None
    assert prepare(COMPILE_FROM_BYTES).is_set()


@pytest.mark.parametrize("problem", ["no library", "others may write it"])
def test_a_library_that_cannot_be_trusted_is_not_loaded(allowed, monkeypatch, problem):
    path = recipe().library
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a library")
    if problem == "others may write it":
        path.unlink()
        build(recipe())
        path.chmod(0o777)
    assert library() is None


def test_an_index_is_the_same_with_and_without_compiled_code(tmp_path, monkeypatch):
    texts = {
        f"f{number}.py": f"def readFile{number}(größe):\n    return HTTPServer_{number}.x\n" for number in range(60)
    }
    write_files(tmp_path / "root", {**texts, "A.java": "class A { B b = new B(); void c() { D.e(); } }\n"})

    def indexed(name):
        with Repository.open(tmp_path / "root", index_folder=tmp_path / name) as repository:
            index = repository.ranking_index()
            words = sorted(index.text.vocabulary)
            names = {path: index.graph.uses.used_in(path) for path in [*texts, "A.java"]}
            return words, np.round(index.text.scores(words), 9).tolist(), index.text.alive_slots(), names

    with compiled(tmp_path / "home"):
        with_library = indexed("one")
    assert native_library.library() is None
    assert indexed("two") == with_library
    assert with_library[3]["A.java"] == ["B", "D", "e"]
