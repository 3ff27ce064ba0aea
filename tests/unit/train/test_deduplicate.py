"""Near-duplicates: planted copies are found, unlike texts stay, and datasketch finds the same."""

import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.data.deduplicate import UnionFind, digest, near_duplicates, optimal_bands, signatures
from train.data.shingles import jaccard, n_grams, shingles_of, words_of

WORDS = [f"{verb}_{noun}" for verb in ("get", "set", "load", "save", "find", "make") for noun in "abcdefghijklmnop"]


def _text(chance: random.Random, words: int = 400) -> list[str]:
    return [chance.choice(WORDS) + chance.choice(("(", " = ", ".\n", "[0] ")) for _ in range(words)]


def _changed(chance: random.Random, words: list[str], changes: int) -> list[str]:
    copy = list(words)
    for _ in range(changes):
        copy[chance.randrange(len(copy))] = f"changed_{chance.randrange(10**6)} "
    return copy


def _plain_shingles(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"[A-Za-z0-9_]+", text)
    size = min(5, len(words))
    return {tuple(words[i : i + size]) for i in range(len(words) - size + 1)} if words else set()


def _firsts(texts: list[str], threshold: float = 0.7) -> list[int]:
    encoded = [text.encode() for text in texts]
    return near_duplicates(signatures(texts), lambda i: shingles_of(encoded[i]), threshold=threshold).tolist()


def _corpus(seed: int, originals: int = 60) -> list[str]:
    chance = random.Random(seed)
    texts = []
    for number in range(originals):
        words = _text(chance)
        texts.append("".join(words))
        if number % 3 == 0:
            texts.append("".join(_changed(chance, words, chance.randint(1, 6))))
    chance.shuffle(texts)
    return texts


@given(st.text(alphabet=st.sampled_from("ab_1 (\n.é"), max_size=120), st.text(alphabet="ab (", max_size=60))
@settings(max_examples=300, deadline=None)
def test_hashed_shingles_are_those_of_a_plain_split(one: str, other: str) -> None:
    plain = [_plain_shingles(text) for text in (one, other)]
    hashed = [shingles_of(text.encode()) for text in (one, other)]
    assert [len(item) for item in hashed] == [len(item) for item in plain]
    if all(plain):
        expected = len(plain[0] & plain[1]) / len(plain[0] | plain[1])
        assert jaccard(*hashed) == pytest.approx(expected)


@given(st.binary(max_size=200), st.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_a_words_hash_does_not_depend_on_its_place(content: bytes, size: int) -> None:
    words = words_of(content)
    for start, end, value in zip(words.starts, words.ends, words.hashes, strict=True):
        alone = words_of(content[start:end])
        assert alone.hashes.tolist() == [value]
    assert len(n_grams(words.hashes, size)) == max(0, len(words.hashes) - size + 1)


def test_case_is_ignored_when_asked_for() -> None:
    assert words_of(b"Foo", ignore_case=True).hashes == words_of(b"fOO", ignore_case=True).hashes
    assert words_of(b"Foo").hashes != words_of(b"foo").hashes


def test_signatures_estimate_the_jaccard_similarity() -> None:
    chance = random.Random(5)
    errors = []
    for changes in range(0, 60, 2):
        words = _text(chance)
        pair = ["".join(words), "".join(_changed(chance, words, changes))]
        table = signatures(pair)
        errors.append(float((table[0] == table[1]).mean()) - jaccard(*(shingles_of(text.encode()) for text in pair)))
    assert np.sqrt(np.mean(np.square(errors))) < 0.05


def test_planted_near_copies_are_found_and_nothing_else() -> None:
    texts = _corpus(1)
    encoded = [shingles_of(text.encode()) for text in texts]
    union = UnionFind(len(texts))
    planted = 0
    for i in range(len(texts)):
        for j in range(i):
            similarity = jaccard(encoded[i], encoded[j])
            if similarity >= 0.7:
                union.join(i, j)
            planted += similarity >= 0.85
    firsts = _firsts(texts)
    exact = union.firsts().tolist()
    assert planted >= 15
    missed = [i for i, first in enumerate(exact) if first != i and firsts[i] == i]
    assert len(missed) <= 0.05 * planted
    assert not [i for i, first in enumerate(firsts) if first != i and exact[i] == i]


def test_datasketch_keeps_the_same_texts() -> None:
    datasketch = pytest.importorskip("datasketch")
    texts = _corpus(2)
    lsh = datasketch.MinHashLSH(threshold=0.7, num_perm=256)
    union = UnionFind(len(texts))
    for index, text in enumerate(texts):
        sketch = datasketch.MinHash(num_perm=256)
        for shingle in _plain_shingles(text):
            sketch.update(" ".join(shingle).encode())
        for other in lsh.query(sketch):
            if jaccard(shingles_of(text.encode()), shingles_of(texts[other].encode())) >= 0.7:
                union.join(index, other)
        lsh.insert(index, sketch)
    ours = {index for index, first in enumerate(_firsts(texts)) if index == first}
    theirs = {index for index, first in enumerate(union.firsts()) if index == first}
    assert len(ours & theirs) / len(ours | theirs) >= 0.98


@pytest.mark.parametrize(("threshold", "permutations"), [(0.7, 256), (0.5, 128), (0.9, 256)])
def test_bands_are_those_that_datasketch_would_take(threshold: float, permutations: int) -> None:
    datasketch = pytest.importorskip("datasketch")
    lsh = datasketch.MinHashLSH(threshold=threshold, num_perm=permutations)
    bands = optimal_bands(threshold, permutations)
    assert (bands.count, bands.rows) == (lsh.b, lsh.r)


def test_chains_of_near_copies_are_one_cluster_and_its_first_stays() -> None:
    chance = random.Random(9)
    words = _text(chance, 600)
    chain = [words]
    for _ in range(6):
        chain.append(_changed(chance, chain[-1], 12))
    texts = ["".join(item) for item in chain]
    assert jaccard(shingles_of(texts[0].encode()), shingles_of(texts[-1].encode())) < 0.7
    assert _firsts(texts) == [0] * 7


def test_texts_without_words_are_like_no_other() -> None:
    assert _firsts(["", "((", "()", "...", "a b c"]) == [0, 1, 2, 3, 4]
    assert near_duplicates(signatures([]), lambda i: shingles_of(b"")).tolist() == []


def test_copies_may_differ_in_trailing_space() -> None:
    assert digest("a = 1\n") == digest("a = 1  \n") != digest("a = 2\n")
