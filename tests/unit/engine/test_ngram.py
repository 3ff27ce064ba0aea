"""The sorted n-gram model against a dictionary of counters that follows the formula word for word."""

import random
import tokenize
from collections import Counter, defaultdict

import numpy as np
import pytest

from engine import ngram
from engine.ngram import MAX_CONTEXT, NgramCollection, NgramModel


class ReferenceModel:
    """Witten-Bell interpolation over plain dictionaries."""

    def __init__(self, documents, vocabulary_size):
        self.size = vocabulary_size
        self.counts = defaultdict(Counter)
        for ids in documents:
            for position, token in enumerate(ids):
                for length in range(min(position, MAX_CONTEXT) + 1):
                    self.counts[tuple(ids[position - length : position])][token] += 1

    def distribution(self, context):
        probabilities = np.full(self.size, 1 / self.size)
        longest = 0
        for length in range(min(len(context), MAX_CONTEXT) + 1):
            seen = self.counts.get(tuple(context[len(context) - length :]))
            if not seen:
                break
            longest = length
            total, distinct = sum(seen.values()), len(seen)
            probabilities = probabilities * distinct / (total + distinct)
            for token, count in seen.items():
                probabilities[token] += count / (total + distinct)
        return probabilities, longest


def random_documents(seed, *, documents, length, vocabulary_size):
    rng = random.Random(seed)
    phrases = [[rng.randrange(vocabulary_size) for _ in range(rng.randint(1, 25))] for _ in range(12)]
    made = {}
    for number in range(documents):
        ids = []
        while len(ids) < length:
            ids += rng.choice(phrases) if rng.random() < 0.7 else [rng.randrange(vocabulary_size)]
        made[f"file_{number}.py"] = ids
    return made


def source_documents():
    """Real code, one id for each word of it."""
    vocabulary = {}
    made = {}
    for module in (tokenize, random):
        with tokenize.open(module.__file__) as file:
            words = [token.string for token in tokenize.generate_tokens(file.readline)]
        made[module.__name__] = [vocabulary.setdefault(word, len(vocabulary)) for word in words]
    return made, len(vocabulary)


def contexts_of(documents, seed, count):
    rng = random.Random(seed)
    texts = list(documents.values())
    for _ in range(count):
        ids = rng.choice(texts)
        end = rng.randint(0, len(ids))
        context = ids[max(0, end - rng.randint(0, 20)) : end]
        if context and rng.random() < 0.3:
            context[rng.randrange(len(context))] = rng.choice(rng.choice(texts))
        yield context


def assert_same(model, reference, contexts):
    for context in contexts:
        probabilities, longest = model.distribution(context)
        expected, expected_longest = reference.distribution(context)
        assert longest == expected_longest
        assert probabilities.dtype == np.float32
        np.testing.assert_allclose(probabilities, expected, atol=1e-6)
        assert probabilities.sum() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(("seed", "vocabulary_size"), [(1, 3), (2, 50), (3, 5000), (4, 40_000)])
def test_probabilities_equal_the_reference_on_random_tokens(seed, vocabulary_size):
    documents = random_documents(seed, documents=6, length=400, vocabulary_size=vocabulary_size)
    model = NgramModel.of_documents(documents.values(), vocabulary_size)
    reference = ReferenceModel(documents.values(), vocabulary_size)
    assert_same(model, reference, contexts_of(documents, seed, 150))


def test_probabilities_equal_the_reference_on_source_code():
    documents, vocabulary_size = source_documents()
    model = NgramModel.of_documents(documents.values(), vocabulary_size)
    reference = ReferenceModel(documents.values(), vocabulary_size)
    assert_same(model, reference, contexts_of(documents, 5, 300))


def test_long_ranges_are_counted_once_and_right(monkeypatch):
    monkeypatch.setattr(ngram, "_COUNT_IN_PYTHON", 4)
    monkeypatch.setattr(ngram, "_MEMO_ENTRIES", 8)
    documents = random_documents(6, documents=4, length=300, vocabulary_size=9)
    collection = NgramCollection(9)
    collection.learn(documents)
    rest = {name: ids for name, ids in documents.items() if name != "file_2.py"}
    reference = ReferenceModel(rest.values(), 9)
    model = collection.model(excluding="file_2.py")
    contexts = list(contexts_of(documents, 6, 60))
    assert_same(model, reference, contexts)
    assert_same(model, reference, contexts)


def test_a_collection_without_tokens_knows_nothing():
    probabilities, longest = NgramCollection(10).distribution([1, 2, 3])
    assert longest == 0
    np.testing.assert_allclose(probabilities, 0.1)


def test_no_context_reaches_across_the_hole_or_from_file_to_file():
    model = NgramModel.of_documents([[1, 2], [3, 4]], 10)
    _, longest = model.distribution([1, 2])
    assert longest == 0  # nothing followed 2
    _, longest = model.distribution([2, 3])
    assert longest == 1


def test_the_edited_files_own_line_never_answers():
    secret = [7, 8, 9, 7, 8, 9, 7, 8]
    collection = NgramCollection(100)
    collection.learn({"edited.py": secret, "other.py": [1, 2, 3, 4, 5, 6]})
    probabilities, longest = collection.distribution([7, 8], excluding="edited.py")
    assert longest == 0
    without = NgramModel.of_documents([[1, 2, 3, 4, 5, 6]], 100)
    np.testing.assert_allclose(probabilities, without.distribution([7, 8])[0], atol=1e-7)


@pytest.mark.parametrize("excluded", [None, "file_0.py", "file_5.py", "added.py", "unknown.py"])
def test_after_any_edits_a_collection_equals_one_learned_at_once(excluded):
    vocabulary_size = 40
    documents = random_documents(8, documents=12, length=200, vocabulary_size=vocabulary_size)
    collection = NgramCollection(vocabulary_size)
    collection.learn(documents)
    changes = random_documents(9, documents=3, length=150, vocabulary_size=vocabulary_size)
    for edits in (
        {"file_0.py": changes["file_0.py"]},
        {"file_0.py": changes["file_1.py"], "added.py": changes["file_2.py"]},
        {},
    ):
        collection.learn(edits)
        documents |= edits
        left = {name: ids for name, ids in documents.items() if name != excluded}
        reference = ReferenceModel(left.values(), vocabulary_size)
        assert_same(collection.model(excluding=excluded), reference, contexts_of(documents, 10, 40))
    for name in ("file_3.py", "added.py", "never learned.py"):
        collection.forget([name])
        documents.pop(name, None)
        left = {name: ids for name, ids in documents.items() if name != excluded}
        reference = ReferenceModel(left.values(), vocabulary_size)
        assert_same(collection.model(excluding=excluded), reference, contexts_of(documents, 11, 40))
    assert collection.tokens == sum(len(ids) for ids in documents.values())
    assert collection.names() == set(documents)


def test_forgetting_everything_leaves_nothing():
    documents = random_documents(12, documents=5, length=100, vocabulary_size=20)
    collection = NgramCollection(20)
    collection.learn(documents)
    collection.forget(documents)
    assert collection.tokens == 0
    assert collection.model().tokens == 0


def test_a_full_collection_says_which_files_it_left_out(monkeypatch):
    monkeypatch.setattr(ngram, "MAX_COLLECTION_TOKENS", 100)
    collection = NgramCollection(20)
    assert collection.learn({"a.py": [1] * 60, "b.py": [2] * 60, "c.py": [3] * 40}) == {"b.py"}
    assert collection.learn({"a.py": [1] * 30, "b.py": [2] * 30}) == set()
    assert collection.tokens == 100
    assert collection.model().tokens == 100
