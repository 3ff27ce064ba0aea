"""From documents to rows: nothing lost, nothing repeated, holes that fit together again."""

import dataclasses
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.fim_formats import DEEPSEEK_CODER
from engine.prompt import PromptSettings, path_header
from engine.tokenizer import Tokenizer
from train.config import DataConfig, load
from train.data.cut_holes import Sample, choose_hole, cut_holes
from train.data.document import SourceDocument
from train.data.pack import pack
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
    hole = choose_hole(text, CONFIG, random.Random(seed))
    assert 0 <= hole.start <= hole.end <= len(text)
    assert hole.end - hole.start <= max(CONFIG.longest_middle, len(text))


def test_line_holes_end_with_their_line_and_never_start_in_its_indentation() -> None:
    config = _with(CONFIG, line_middles=1.0)
    chance = random.Random(5)
    for _ in range(500):
        hole = choose_hole(SOURCE, config, chance)
        assert SOURCE[hole.end : hole.end + 1] in ("\n", "")
        assert "\n" not in SOURCE[hole.start : hole.end]
        line_so_far = SOURCE[SOURCE.rfind("\n", 0, hole.start) + 1 : hole.start]
        assert SOURCE[hole.start : hole.start + 1] != " " or line_so_far.strip()


def test_a_hole_put_back_gives_the_document() -> None:
    config = _with(CONFIG, fim_rate=1.0, row_tokens=100_000)
    for i in range(50):
        document = _document(SOURCE[i * 7 : i * 7 + 500])
        (sample,) = cut_holes([document], _with(config, seed=i), SETTINGS, TOKENIZER)
        ids = sample.ids
        assert not sample.divisible
        begin, start, hole, end, eos = (
            ids.index(MARKS[mark])
            for mark in (
                "<｜begin▁of▁sentence｜>",
                "<｜fim▁begin｜>",
                "<｜fim▁hole｜>",
                "<｜fim▁end｜>",
                "<｜end▁of▁sentence｜>",
            )
        )
        assert (begin, start, eos) == (0, 1, len(ids) - 1)
        prefix, suffix, middle = (ids[start + 1 : hole], ids[hole + 1 : end], ids[end + 1 : eos])
        assert TOKENIZER.decode([*prefix, *middle, *suffix]) == path_header("pkg/a.py", "#") + document.text


def test_half_of_the_documents_are_fill_in_the_middle() -> None:
    documents = [_document(SOURCE[i : i + 200]) for i in range(2000)]
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
