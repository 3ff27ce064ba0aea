import random

import numpy as np
import pytest
from rank_bm25 import BM25Okapi

from repo_context.chunk_terms import TermCounter
from repo_context.terms import terms_of
from repo_context.text_index import SMALL, TextIndex


def table(index, lines, size=3):
    """The chunks of `size` lines of a text, in the index's vocabulary."""
    ranges = [(start, min(start + size, len(lines))) for start in range(0, len(lines), size)]
    return next(TermCounter(index.vocabulary).count([(lines, ranges)]))


class Corpus:
    """An index and, beside it, the plain texts that it should hold."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.words = [f"{a}{b}" for a in "abcdefghij" for b in ("x", "Node", "_path", "List", "y")]
        self.index = TextIndex()
        self.texts = {}

    def lines(self):
        return [
            " ".join(self.rng.choices(self.words, weights=range(1, len(self.words) + 1), k=self.rng.randint(0, 8)))
            + (" the" if self.rng.random() < 0.8 else "")
            for _ in range(self.rng.randint(1, 30))
        ]

    def put(self, paths):
        self.texts.update({path: self.lines() for path in paths})
        self.index.add({path: table(self.index, self.texts[path]) for path in paths})

    def drop(self, paths):
        for path in paths:
            self.texts.pop(path, None)
        self.index.remove(paths)

    def check(self):
        """Every score equals that of rank-bm25 built from nothing over the same chunks."""
        chunks = {
            (path, number): terms_of("\n".join(lines[3 * number : 3 * number + 3]))
            for path, lines in self.texts.items()
            for number in range((len(lines) + 2) // 3)
        }
        slots = {(path, number): slot for slot, path, number in self.index.alive_slots()}
        assert slots.keys() == chunks.keys()
        assert len(self.index) == len(chunks)
        if not any(chunks.values()):
            return
        reference = BM25Okapi(list(chunks.values()))
        for _ in range(3):
            query = terms_of(" ".join([*self.rng.choices(self.words, k=6), "the", "unknown"])) * self.rng.randint(1, 2)
            scores = self.index.scores(query)
            found = np.array([scores[slots[key]] for key in chunks])
            np.testing.assert_allclose(found, reference.get_scores(query), rtol=1e-6, atol=1e-9)
            dead = np.ones(len(scores), bool)
            dead[list(slots.values())] = False
            assert not scores[dead].any()


@pytest.mark.parametrize("files", [1, 5, 150], ids=["one file", "small", "postings"])
def test_scores_equal_rank_bm25_before_and_after_edits(files):
    corpus = Corpus(files)
    paths = [f"f{number}.py" for number in range(files)]
    corpus.put(paths)
    corpus.check()
    for step in range(40):
        if step % 7 == 3:
            corpus.drop([corpus.rng.choice(paths)])
        corpus.put([corpus.rng.choice(paths)])
        if step % 8 == 0:
            corpus.check()
    corpus.check()


@pytest.mark.parametrize("most", [0, 200, 1_000_000], ids=["none", "some", "all"])
def test_what_is_kept_of_frequent_terms_changes_no_score(monkeypatch, most):
    monkeypatch.setattr("repo_context.text_index.FREQUENT", 50)
    monkeypatch.setattr("repo_context.text_index.MAX_KEPT", most)
    corpus = Corpus(5)
    paths = [f"f{number}.py" for number in range(150)]
    corpus.put(paths)
    corpus.check()
    corpus.index.compact()
    for path in paths[:6]:
        corpus.check()
        corpus.put([path])
        corpus.check()


def test_both_scorers_are_exercised():
    small, large = Corpus(0), Corpus(1)
    small.put([f"f{number}" for number in range(5)])
    large.put([f"f{number}" for number in range(150)])
    assert len(small.index) < SMALL <= len(large.index)


def test_compaction_changes_no_score(monkeypatch):
    monkeypatch.setattr("repo_context.text_index.COMPACT_FROM", 0)
    corpus = Corpus(3)
    paths = [f"f{number}.py" for number in range(150)]
    corpus.put(paths)
    for _ in range(6):
        corpus.put(paths[:75])
        corpus.check()
    assert len(corpus.index.scores(["x"])) <= 2 * len(corpus.index)


def test_an_emptied_index_answers_nothing_and_fills_again():
    corpus = Corpus(4)
    corpus.put(["a", "b"])
    corpus.drop(["a", "b", "never"])
    assert corpus.index.search(["the"], limit=5, boosts={}, without="") == []
    corpus.put(["c"])
    corpus.check()


def search(texts, query, **options):
    index = TextIndex()
    index.add({path: table(index, text.split("\n")) for path, text in texts.items()})
    options = {"limit": 10, "boosts": {}, "without": "", **options}
    return [(hit.path, hit.start_line, hit.end_line) for hit in index.search(terms_of(query), **options)]


TEXTS = {
    "b.py": "load the tree\n\n\nnothing here",
    "a.py": "load the tree\n\n\nnothing here",
    "c.py": "grow flowers\nwater\nsun\nsow seeds",
    "d.py": "bark\nmoss\nroots\nleaves and more",
}


def test_equal_scores_come_in_order_of_path():
    assert search(TEXTS, "load tree") == [("a.py", 0, 3), ("b.py", 0, 3)]


def test_the_limit_cuts_ties_in_order_of_path():
    assert search(TEXTS, "load tree", limit=1) == [("a.py", 0, 3)]


def test_the_file_asked_from_is_left_out():
    assert search(TEXTS, "load tree", without="a.py") == [("b.py", 0, 3)]


def test_a_boost_moves_a_file_up():
    assert search(TEXTS, "load tree", boosts={"b.py": 1.5, "unknown": 2.0})[0] == ("b.py", 0, 3)


def test_chunks_that_share_no_term_do_not_come_back():
    assert search(TEXTS, "zebra") == []
    assert search({}, "load") == []
    assert search({"a.py": "+ - *\n\n"}, "load") == []


@pytest.mark.parametrize("limit", [1, 7, 50, 400, 5_000])
def test_the_best_are_those_of_sorting_all_by_score_path_and_line(limit):
    rng = random.Random(limit)
    # Few different chunks, so that hundreds tie, some in the base and some that came after it.
    chunks = [
        "the licence\nof this\nfile",
        "load the tree\nof moss\n",
        "a tree\n\n",
        "bark\nmoss\nroots",
        "tree\ntree\nx",
    ]
    paths = [f"{rng.choice('abc')}/{number}.py" for number in range(200)]
    index = TextIndex()

    def put(chosen):
        index.add({path: table(index, "\n".join(rng.choices(chunks, k=5)).split("\n")) for path in chosen})

    put(paths)
    index.compact()
    put([*rng.sample(paths, 30), "a/new.py", "z/new.py"])
    assert len(index) >= SMALL
    for query in ("licence", "load the tree", "tree moss", "the of file tree bark"):
        scores, lines = index.scores(terms_of(query)), index.chunk_lines()
        found = [(round(float(scores[slot]), 9), path, lines[slot][0]) for slot, path, _ in index.alive_slots()]
        expected = sorted((-score, path, line) for score, path, line in found if score > 0)[:limit]
        hits = index.search(terms_of(query), limit=limit, boosts={}, without="")
        assert [(-hit.score, hit.path, hit.start_line) for hit in hits] == expected
