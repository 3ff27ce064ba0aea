import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.compiled_code import KernelError, build
from repo_context import compiled_terms
from repo_context.chunk_terms import TermCounter
from repo_context.compiled_terms import COMPILE_FROM_BYTES, CompiledTermCounter, prepare, recipe, term_counter
from repo_context.repository import Repository
from tests.support.files import write_files

WORDS = st.sampled_from(
    [
        "readFile",
        "HTTPServer",
        "__init__",
        "_x",
        "x1",
        "1_a",
        "0xFFu",
        "aB",
        "ABc",
        "A",
        "größe_wert",
        "名前",
        "ß",
        "é9",
        "_",
    ]
)
SEPARATORS = st.sampled_from([" ", "\n", ".", "\0", "", "(", "\ud800", "\x7f", "\xa0"])
PIECES = st.tuples(WORDS | st.text(st.characters(exclude_categories=[]), max_size=8), SEPARATORS)
TEXTS = st.lists(PIECES).map(lambda pieces: "".join(word + separator for word, separator in pieces))
BATCHES = st.lists(st.lists(TEXTS, max_size=3), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIDFILL_KERNELS", "native")
        patch.setenv("MIDFILL_HOME", str(tmp_path_factory.mktemp("home")))
        try:
            plan = recipe()
            build(plan)
        except KernelError as error:
            pytest.skip(str(error))
        return plan.library


def counted(counter, batches):
    return [[array.tolist() for array in counter.count_chunks(chunks)] for chunks in batches], list(counter.vocabulary)


@given(batches=BATCHES)
def test_compiled_code_counts_and_numbers_as_python_does(library, batches):
    assert counted(term_counter(library), batches) == counted(TermCounter({}), batches)


def test_many_words_and_long_ones_are_counted_alike(library):
    source = np.random.default_rng(7)
    letters = np.array(list("abcXYZ_019ä "))
    batches = [["".join(source.choice(letters, 4_000)), "a" * 100_000 + " b" * 3_000] for _ in range(20)]
    assert isinstance(term_counter(library), CompiledTermCounter)
    assert counted(term_counter(library), batches) == counted(TermCounter({}), batches)


def test_without_a_usable_library_python_counts(tmp_path):
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"not a library")
    open_to_all = tmp_path / "open.so"
    open_to_all.write_bytes(b"")
    open_to_all.chmod(0o666)
    for path in (broken, open_to_all, tmp_path / "missing.so", tmp_path):
        assert type(term_counter(path)) is TermCounter


@pytest.mark.parametrize("problem", ["off", "no compiler", "a folder that cannot be written"])
def test_what_cannot_be_compiled_is_not_waited_for(tmp_path, monkeypatch, problem):
    monkeypatch.setenv("MIDFILL_KERNELS", "off" if problem == "off" else "native")
    home = tmp_path / "home"
    if problem == "no compiler":
        monkeypatch.setenv("PATH", str(tmp_path))
    elif problem.startswith("a folder"):
        home.write_text("a file")
    monkeypatch.setenv("MIDFILL_HOME", str(home))
    prepared = prepare(COMPILE_FROM_BYTES)
    assert prepared.ready.wait(60)
    assert type(term_counter(prepared.library)) is TermCounter


def test_a_little_text_is_not_worth_compiling(tmp_path, monkeypatch):
    monkeypatch.setenv("MIDFILL_KERNELS", "native")
    monkeypatch.setenv("MIDFILL_HOME", str(tmp_path))
    assert prepare(COMPILE_FROM_BYTES - 1).ready.is_set()
    assert not any(tmp_path.iterdir())


def test_an_index_is_the_same_with_and_without_compiled_code(library, tmp_path, monkeypatch):
    texts = {
        f"file{number}.py": f"def readFile{number}(größe):\n    return HTTPServer_{number}.x\n" for number in range(60)
    }
    write_files(tmp_path / "root", texts)
    found = []
    for setting in ("off", "native"):
        monkeypatch.setenv("MIDFILL_KERNELS", setting)
        monkeypatch.setattr(compiled_terms, "_folder", lambda: library.parent)
        with Repository.open(tmp_path / "root", index_folder=tmp_path / setting) as repository:
            index = repository.ranking_index().text
            words = sorted(index.vocabulary)
            found.append((words, np.round(index.scores(words), 9).tolist(), index.alive_slots()))
    assert found[0] == found[1]
