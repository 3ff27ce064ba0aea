"""Layout, budget and cuts of prompts; training and serving read the same ids."""

import json
import random
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ModelFolderError, PromptError
from engine.fim_formats import DEEPSEEK_CODER, FORMATS
from engine.prompt import (
    Prompt,
    PromptMode,
    PromptParts,
    PromptSettings,
    build,
    end_ids,
    path_header,
    read_settings,
    training_ids,
)
from engine.tokenizer import Tokenizer
from train.tokenizer import train_tokenizer

LINES = "".join(f"def function_{i}(value):\n    return value + {i}\n\n" for i in range(150))
TOKENIZER = Tokenizer(train_tokenizer([LINES], vocab_size=500, sample_bytes=100_000))
SETTINGS = PromptSettings(fim=DEEPSEEK_CODER, context_length=512)
BEGIN, PREFIX, SUFFIX, MIDDLE = (
    TOKENIZER.control_id(mark)
    for mark in (
        "<｜begin▁of▁sentence｜>",
        "<｜fim▁begin｜>",
        "<｜fim▁hole｜>",
        "<｜fim▁end｜>",
    )
)


@dataclass(frozen=True)
class Piece:
    path: str
    text: str
    comment: str = "#"


def _build(prefix: str, suffix: str, *, budget: int = 400, snippets: tuple[Piece, ...] = ()) -> Prompt:
    parts = PromptParts(path="a.py", comment="#", prefix=prefix, suffix=suffix, snippets=snippets)
    return build(parts, SETTINGS, TOKENIZER, budget=budget)


def _text(prompt: Prompt) -> tuple[str, str]:
    """What stands between prefix mark and suffix mark, and between suffix mark and middle mark."""
    ids = list(prompt.ids)
    hole = ids.index(SUFFIX)
    return TOKENIZER.decode(ids[2:hole]), TOKENIZER.decode(ids[hole + 1 : -1])


def test_parts_stand_in_prefix_suffix_middle_order_under_path_comments() -> None:
    prompt = _build("x = ", "\ny = 2\n", snippets=(Piece("lib/b.py", "def b(): ...\n"),))
    before = "#lib/b.py\ndef b(): ...\n\n#a.py\nx = "
    assert prompt.ids == (BEGIN, PREFIX, *_joined(before), SUFFIX, *TOKENIZER.encode("\ny = 2\n"), MIDDLE)
    assert prompt.snippets_used == 1


def _joined(text: str) -> list[int]:
    """The pieces are encoded one by one, and line ends never merge, so the whole encodes the same."""
    return TOKENIZER.encode(text)


@pytest.mark.parametrize("budget", [30, 100, 400])
def test_left_to_right_prompts_hold_no_mark_and_end_with_the_prefix(budget: int) -> None:
    settings = PromptSettings(fim=DEEPSEEK_CODER, context_length=512, mode=PromptMode.LEFT_TO_RIGHT)
    snippets = (Piece("b.py", "b = 1\n"),)
    parts = PromptParts(path="a.py", comment="#", prefix=LINES, suffix="suffix\n", snippets=snippets)
    prompt = build(parts, settings, TOKENIZER, budget=budget)
    assert len(prompt.ids) <= budget
    assert not TOKENIZER.control_ids.intersection(prompt.ids)
    text = TOKENIZER.decode(prompt.ids)
    assert "suffix" not in text
    assert LINES.endswith(text.partition("#a.py\n")[2] or text)
    assert text.endswith(LINES[-10:])


def test_a_left_to_right_prompt_of_nothing_is_still_something_to_read() -> None:
    settings = PromptSettings(fim=DEEPSEEK_CODER, context_length=512, mode=PromptMode.LEFT_TO_RIGHT)
    parts = PromptParts(path="x" * 400, comment="#", prefix="", suffix="")
    assert build(parts, settings, TOKENIZER, budget=64).ids


@given(
    prefix=st.integers(0, len(LINES)),
    suffix=st.integers(0, len(LINES)),
    snippets=st.lists(st.integers(1, 2000), max_size=5),
    budget=st.integers(8, 700),
)
@settings(max_examples=150, deadline=None)
def test_any_prompt_fits_its_budget_and_keeps_every_mark(
    prefix: int, suffix: int, snippets: list[int], budget: int
) -> None:
    pieces = tuple(Piece(f"{i}.py", LINES[:length]) for i, length in enumerate(snippets))
    prompt = _build(LINES[:prefix], LINES[-suffix:] if suffix else "", budget=budget, snippets=pieces)
    assert len(prompt.ids) <= budget
    controls = [token for token in prompt.ids if token in TOKENIZER.control_ids]
    assert controls == [BEGIN, PREFIX, SUFFIX, MIDDLE]
    assert LINES[:prefix].endswith(TOKENIZER.decode(prompt.prefix_ids))
    assert (LINES[-suffix:] if suffix else "").startswith(TOKENIZER.decode(prompt.suffix_ids))


@pytest.mark.parametrize("budget", [40, 80, 200, 400])
def test_the_text_nearest_the_cursor_is_kept(budget: int) -> None:
    before, after = _text(_build(LINES, LINES, budget=budget))
    assert LINES.endswith(before.removeprefix("#a.py\n"))
    assert LINES.startswith(after)
    assert before.removeprefix("#a.py\n")
    assert after


def test_a_cut_prefix_starts_at_a_line_and_stays_there_while_the_line_is_typed() -> None:
    heads = set()
    for typed in ("", "r", "re", "return", "return function_", "return function_12(value)"):
        before, _ = _text(_build(LINES + typed, "", budget=300))
        heads.add(before.removeprefix("#a.py\n")[:40])
    assert len(heads) == 1, "a changed first byte would throw the cached keys and values away"
    assert heads.pop().startswith(("def ", "    return", "\n"))


def test_a_short_file_is_never_cut() -> None:
    before, after = _text(_build("a = 1\nb = ", "\nc = 3\n"))
    assert (before, after) == ("#a.py\na = 1\nb = ", "\nc = 3\n")


def test_room_that_one_part_leaves_goes_to_the_others() -> None:
    long_suffix = len(_build("", LINES).suffix_ids)
    assert long_suffix > 0.9 * 400
    assert len(_build(LINES, "").prefix_ids) > 0.8 * 400
    fitting = tuple(Piece(f"{i}.py", "x = 1\n" * 5) for i in range(30))
    assert _build("", "", snippets=fitting).snippets_used * 20 > 0.3 * 400, "more than their share"


def test_snippets_are_taken_by_rank_and_laid_out_by_path() -> None:
    best = Piece("z.py", "first = 1\n" * 5)
    second = Piece("b.py", "second = 2\n" * 5)
    too_long = Piece("c.py", LINES)
    prompt = _build(LINES, "", snippets=(best, too_long, second), budget=700)
    before, _ = _text(prompt)
    assert before.index("#b.py") < before.index("#z.py") < before.index("#a.py")
    assert "#c.py" not in before
    swapped = _build(LINES, "", snippets=(second, too_long, best), budget=700)
    assert swapped.ids == prompt.ids, "a change of rank alone changes nothing"


def test_a_budget_without_room_for_the_marks_is_refused() -> None:
    with pytest.raises(PromptError, match="cannot hold the marks"):
        _build("x", "y", budget=4)


def test_training_and_serving_read_the_same_prompt() -> None:
    chance = random.Random(3)
    for _ in range(50):
        start, end = sorted(chance.randrange(len(LINES)) for _ in range(2))
        middle = LINES[start : min(end, start + 100)]
        parts = PromptParts(
            path="pkg/a.py",
            comment="#",
            prefix=LINES[:start],
            suffix=LINES[start + len(middle) :],
            snippets=(Piece("b.py", "b = 1\n"),),
        )
        trained = training_ids(parts, middle, SETTINGS, TOKENIZER, budget=512)
        assert trained is not None
        answer = [*TOKENIZER.encode(middle), TOKENIZER.control_id("<｜end▁of▁sentence｜>")]
        served = build(parts, SETTINGS, TOKENIZER, budget=512 - len(answer))
        assert trained == [*served.ids, *answer]


def test_suffix_first_prefix_and_middle_are_one_text_behind_snippets_and_suffix() -> None:
    suffix_first = replace(SETTINGS, mode=PromptMode.SUFFIX_FIRST)
    snippet = Piece("b.py", "b = 1\n")
    parts = PromptParts(path="a.py", comment="#", prefix="value = fo", suffix="\nend\n", snippets=(snippet,))
    trained = training_ids(parts, "o(bar)", suffix_first, TOKENIZER, budget=200)
    snippets, suffix = TOKENIZER.encode("#b.py\nb = 1\n\n"), TOKENIZER.encode("\nend\n")
    text = [*TOKENIZER.encode("#a.py\n"), *TOKENIZER.encode("value = foo(bar)")]
    start, end = TOKENIZER.control_id("<｜begin▁of▁sentence｜>"), TOKENIZER.control_id("<｜end▁of▁sentence｜>")
    assert trained == [start, PREFIX, *snippets, SUFFIX, *suffix, MIDDLE, *text, end]
    served = build(replace(parts, prefix="value ="), suffix_first, TOKENIZER, budget=200)
    assert list(served.ids) == trained[: len(served.ids)]


def test_a_middle_longer_than_half_the_row_makes_no_sample() -> None:
    parts = PromptParts(path="a.py", comment="#", prefix="", suffix="")
    assert training_ids(parts, LINES, SETTINGS, TOKENIZER, budget=256) is None


def test_every_mark_that_opens_another_part_ends_a_completion() -> None:
    ends = end_ids(DEEPSEEK_CODER, TOKENIZER)
    assert ends[0] == TOKENIZER.control_id("<｜end▁of▁sentence｜>")
    assert {PREFIX, SUFFIX, MIDDLE} <= set(ends)


def test_a_folder_without_prompt_json_is_recognised_by_its_tokenizer(tmp_path: Path) -> None:
    assert read_settings(tmp_path, TOKENIZER, context_length=2048) == PromptSettings(
        fim=DEEPSEEK_CODER, context_length=2048
    )


def test_settings_survive_the_file(tmp_path: Path) -> None:
    written = PromptSettings(
        fim=DEEPSEEK_CODER, context_length=512, snippet_share=0.4, suffix_share=0.1, mode=PromptMode.LEFT_TO_RIGHT
    )
    (tmp_path / "prompt.json").write_text(json.dumps(written.to_json()))
    assert read_settings(tmp_path, TOKENIZER, context_length=512) == written


BROKEN = {
    "not json": "{",
    "no format": "{}",
    "not an object": "[]",
    "unknown format": '{"format": "nonsense", "context_length": 5}',
    "marks the tokenizer lacks": '{"format": "starcoder", "context_length": 5}',
    "shares above one": '{"format": "deepseek-coder", "context_length": 5, "snippet_share": 0.9, "suffix_share": 0.2}',
    "unknown mode": '{"format": "deepseek-coder", "context_length": 5, "mode": "backwards"}',
    "longer than the network": '{"format": "deepseek-coder", "context_length": 4096}',
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_prompt_json_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "prompt.json").write_text(content)
    with pytest.raises(ModelFolderError):
        read_settings(tmp_path, TOKENIZER, context_length=512)


def test_formats_have_distinct_names_and_marks() -> None:
    assert len({fim.name for fim in FORMATS}) == len(FORMATS)
    for fim in FORMATS:
        assert len(set(fim.marks)) == len(fim.marks)


@pytest.mark.parametrize("comment", ["#", "//", "--"])
def test_headers_are_comments(comment: str) -> None:
    assert path_header("src/a.py", comment) == f"{comment}src/a.py\n"
