"""From documents to rows: nothing lost, nothing repeated, holes that fit together again."""

import dataclasses
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.fim_formats import DEEPSEEK_CODER
from engine.prompt import PromptSettings, path_header
from engine.tokenizer import Tokenizer
from repo_context.repository import Repository
from repo_context.snippet import Cursor, Snippet
from train.config import DataConfig, load
from train.data.cut_holes import Hole, Sample, choose_hole, cut_holes
from train.data.document import SourceDocument
from train.data.pack import pack
from train.data.pipeline import snippet_finder
from train.data.shards import read_shard, write_shard
from train.errors import RunError
from train.tokenizer import train_tokenizer

CONFIG = load("tiny_cpu").data
SETTINGS = PromptSettings(fim=DEEPSEEK_CODER, context_length=512)
SOURCE = "".join(f"def f_{i}(x):\n    # Größe №{i}\n    return x * {i}\n\n" for i in range(60))
TOKENIZER = Tokenizer(train_tokenizer([SOURCE], vocab_size=400, sample_bytes=100_000))
MARKS = {mark: TOKENIZER.control_id(mark) for mark in DEEPSEEK_CODER.marks}


def _document(text: str, repository: str = "r", path: str = "pkg/a.py") -> SourceDocument:
    return SourceDocument(repository=repository, path=path, language="python", comment="#", text=text)


def _with(config: DataConfig, **changes: Any) -> DataConfig:
    return dataclasses.replace(config, **changes)


@given(st.text(min_size=1), st.integers(0, 10_000))
@settings(max_examples=300, deadline=None)
def test_a_hole_lies_inside_its_document(text: str, seed: int) -> None:
    hole = choose_hole(_document(text), CONFIG, random.Random(seed))
    assert 0 <= hole.start <= hole.end <= len(text)
    assert hole.end - hole.start <= max(CONFIG.longest_middle, len(text))


def test_line_holes_end_with_their_line_and_never_start_in_its_indentation() -> None:
    config = _with(CONFIG, line_middles=1.0)
    chance = random.Random(5)
    for _ in range(500):
        hole = choose_hole(_document(SOURCE), config, chance)
        assert SOURCE[hole.end : hole.end + 1] in ("\n", "")
        assert "\n" not in SOURCE[hole.start : hole.end]
        line_so_far = SOURCE[SOURCE.rfind("\n", 0, hole.start) + 1 : hole.start]
        assert SOURCE[hole.start : hole.start + 1] != " " or line_so_far.strip()


@given(st.text(min_size=1), st.integers(0, 10_000), st.sampled_from(["characters", "syntax"]))
@settings(max_examples=200, deadline=None)
def test_other_middles_lie_inside_too_and_are_no_longer_than_allowed(text: str, seed: int, middles: str) -> None:
    config = _with(CONFIG, middles=middles, line_middles=0.0, longest_middle=7)
    hole = choose_hole(_document(text), config, random.Random(seed))
    assert 0 <= hole.start <= hole.end <= len(text)
    assert hole.end - hole.start <= 7


def test_syntax_middles_are_nodes_of_the_tree() -> None:
    config = _with(CONFIG, middles="syntax", line_middles=0.0, longest_middle=40)
    chance = random.Random(2)
    source = "größe = 1\n\n\ndef f(größe):\n    return größe + 1\n"
    found = set()
    for _ in range(300):
        hole = choose_hole(_document(source), config, chance)
        found.add(source[hole.start : hole.end])
    assert {"größe", "größe = 1", "größe + 1", "(größe)", "return größe + 1", "1", "f"} <= found


def _random_document(chance: random.Random) -> SourceDocument:
    letters = "ab_ (=:\n\n    xyz01#é変数🙂\u200d\u0301\t\r<｜fim▁hole｜>"
    text = "".join(chance.choices(letters, k=chance.randint(1, 60)))
    if chance.random() < 0.1:
        text += "<｜fim▁begin｜><｜end▁of▁sentence｜>"
    return _document(text, path=f"p{chance.randrange(9)}/größe.py")


def _put_together(ids: list[int]) -> str:
    """Read a sample back, whichever order its parts have; the marks' places say."""
    begin, start, hole, end, eos = (
        ids.index(MARKS[mark]) if MARKS[mark] in ids else -1
        for mark in (
            "<｜begin▁of▁sentence｜>",
            "<｜fim▁begin｜>",
            "<｜fim▁hole｜>",
            "<｜fim▁end｜>",
            "<｜end▁of▁sentence｜>",
        )
    )
    assert (begin, start, eos) == (0, 1, len(ids) - 1)
    if hole == start + 1:  # SPM: prefix and middle are one text
        return TOKENIZER.decode([*ids[end + 1 : eos], *ids[hole + 1 : end]])
    return TOKENIZER.decode([*ids[start + 1 : hole], *ids[end + 1 : eos], *ids[hole + 1 : end]])


@pytest.mark.parametrize("order", ["psm", "spm", "joint"])
def test_ten_thousand_documents_come_back_from_their_samples(order: str) -> None:
    chance = random.Random(7)
    config = _with(CONFIG, fim_rate=1.0, row_tokens=5_000, fim_order=order, line_middles=0.3)
    orders = set()
    for number in range(10_000 if order == "joint" else 1_000):
        document = _random_document(chance)
        (sample,) = cut_holes([document], _with(config, seed=number), SETTINGS, TOKENIZER)
        assert not sample.divisible
        text = TOKENIZER.decode(TOKENIZER.encode(path_header(document.path, "#") + document.text))
        assert text == path_header(document.path, "#") + document.text
        orders.add(sample.ids[2] == MARKS["<｜fim▁hole｜>"])
        assert _put_together(sample.ids) == text
    assert True in orders or order == "psm"


@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0])
def test_context_level_holes_lose_no_text(rate: float) -> None:
    config = _with(CONFIG, fim_level="context", fim_rate=rate, row_tokens=64, longest_middle=20)
    documents = [_document(SOURCE[i * 50 : i * 50 + 400], path=f"m{i}.py") for i in range(20)]
    samples = list(cut_holes(documents, config, SETTINGS, TOKENIZER))
    assert any(sample.divisible for sample in samples) or rate == 1.0
    assert any(not sample.divisible for sample in samples) == (rate > 0)
    assert all(len(sample.ids) <= 64 for sample in samples)
    text = "".join(
        TOKENIZER.decode(sample.ids) if sample.divisible else _put_together(sample.ids) for sample in samples
    )
    for document in documents:
        text = text.replace(path_header(document.path, "#"), "")
    assert text == "".join(document.text for document in documents)


def test_files_of_a_sample_are_one_text_with_one_end() -> None:
    files = [dataclasses.replace(_document("x = 1\n", path=path), sample=3) for path in ("b.py", "a.py")]
    (sample,) = cut_holes(files, _with(CONFIG, fim_rate=0.0), SETTINGS, TOKENIZER)
    assert TOKENIZER.decode(sample.ids) == "#b.py\nx = 1\n#a.py\nx = 1\n"
    assert sample.ids.count(MARKS["<｜end▁of▁sentence｜>"]) == 1


def test_repository_level_holes_see_what_serving_would_send(tmp_path: Path) -> None:
    shop = "class Shop:\n    def total(self, prices):\n        return sum(prices)\n"
    cart = "from shop import Shop\n\nshop = Shop()\nprint(shop.total([1, 2]))\n"
    documents = [_document(shop, path="shop.py"), _document(cart, path="cart.py"), _document("x = 1\n", "other")]
    config = _with(CONFIG, fim_rate=1.0, snippets="repository", row_tokens=256)
    with snippet_finder(documents, config, SETTINGS, TOKENIZER, tmp_path / "trees") as finder:
        samples = list(cut_holes(documents, config, SETTINGS, TOKENIZER, finder))
        (tmp_path / "served").mkdir()
        for document in documents[:2]:
            (tmp_path / "served" / document.path).write_text(document.text)
        hole = Hole(start=cart.index("shop.total"), end=len(cart) - 1)
        with Repository.open(tmp_path / "served", index_folder=tmp_path / "index") as repository:
            budget = int(config.row_tokens * SETTINGS.snippet_share)
            cursor = Cursor(path="cart.py", prefix=cart[: hole.start], suffix=cart[hole.end :])
            served = repository.snippets_for(cursor, budget=budget, count_tokens=lambda s: len(TOKENIZER.encode(s)))
        found = finder(documents[1], hole)
    assert [(item.path, item.text) for item in found] == [(item.path, item.text) for item in served]
    assert "shop.py" in {item.path for item in found}
    assert "cart.py" not in {item.path for item in found}
    assert "#shop.py\n" in TOKENIZER.decode(samples[1].ids)
    assert "sum(prices)" not in TOKENIZER.decode(samples[2].ids)
    assert not (tmp_path / "trees").exists()


def test_half_of_the_documents_are_fill_in_the_middle() -> None:
    documents = [_document(SOURCE[i : i + 200], path=f"{i}.py") for i in range(2000)]
    samples = list(cut_holes(documents, CONFIG, SETTINGS, TOKENIZER))
    share = sum(not sample.divisible for sample in samples) / len(samples)
    assert abs(share - 0.5) < 0.04


SAMPLES = st.lists(
    st.tuples(st.booleans(), st.integers(1, 40)).map(lambda pair: (pair[0], pair[1])),
    max_size=60,
)


@given(SAMPLES, st.integers(40, 64))
@settings(max_examples=300, deadline=None)
def test_packing_repeats_no_token_and_never_cuts_a_hole(shapes: list[tuple[bool, int]], row_tokens: int) -> None:
    next_id, samples = 0, []
    for divisible, length in shapes:
        samples.append(Sample(ids=list(range(next_id, next_id + length)), divisible=divisible))
        next_id += length
    plenty = row_tokens * (len(samples) + 2)
    samples.append(Sample(ids=list(range(next_id, next_id + plenty)), divisible=True))
    rows = list(pack(samples, row_tokens))
    assert all(len(row) == row_tokens for row in rows)
    packed = [token for row in rows for token in row]
    assert len(set(packed)) == len(packed)
    for sample in samples:
        if not sample.divisible:
            home = next(row for row in rows if sample.ids[0] in row)
            at = home.index(sample.ids[0])
            assert home[at : at + len(sample.ids)] == sample.ids
    texts = {token for sample in samples if sample.divisible for token in sample.ids}
    placed = [token for token in packed if token in texts]
    assert placed == sorted(placed), "text is laid out in order"


@given(SAMPLES, st.integers(40, 64))
@settings(max_examples=100, deadline=None)
def test_packing_leaves_less_than_a_row_over(shapes: list[tuple[bool, int]], row_tokens: int) -> None:
    samples = [Sample(ids=[0] * length, divisible=divisible) for divisible, length in shapes]
    packed = sum(map(len, pack(samples, row_tokens)))
    assert sum(len(sample.ids) for sample in samples) - packed < 2 * row_tokens


def test_packing_goes_on_where_there_is_no_text_between_holes() -> None:
    rows = list(pack((Sample(ids=[i] * 50, divisible=False) for i in range(1000)), 128))
    assert len(rows) > 250


def test_rows_survive_the_file(tmp_path: Path) -> None:
    rows = [[1, 2, 3], [4, 5, 65_535]]
    write_shard(tmp_path, rows, vocab_size=65_536, limit=100, about={"documents": 2})
    shard = read_shard(tmp_path)
    assert shard.rows.tolist() == rows
    assert shard.rows.dtype == np.uint16
    assert shard.index["documents"] == 2


def test_writing_stops_at_the_limit(tmp_path: Path) -> None:
    write_shard(tmp_path, ([i] * 4 for i in range(1000)), vocab_size=100_000, limit=40, about={})
    shard = read_shard(tmp_path)
    assert shard.rows.shape == (10, 4)
    assert shard.rows.dtype == np.uint32


def test_a_shard_that_was_not_finished_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "rows.bin").write_bytes(b"\0" * 64)
    with pytest.raises(RunError, match="delete the folder"):
        read_shard(tmp_path)


def test_snippets_are_found_one_repository_after_the_other_and_samples_keep_their_order() -> None:
    documents = [_document(f"x = {i}\n", repository=f"r{i % 3}", path=f"f{i}.py") for i in range(12)]
    asked: list[str] = []

    def finder(document: SourceDocument, _hole: Hole) -> Sequence[Snippet]:
        asked.append(document.repository)
        path = f"of_{document.path}"
        return [Snippet(path=path, comment="#", text="y = 1\n", start_line=0, end_line=1, score=1.0, reason="test")]

    samples = list(cut_holes(documents, _with(CONFIG, fim_rate=1.0), SETTINGS, TOKENIZER, finder))
    assert asked == sorted(asked)
    for document, sample in zip(documents, samples, strict=True):
        assert f"#of_{document.path}\ny = 1\n" in TOKENIZER.decode(sample.ids)
