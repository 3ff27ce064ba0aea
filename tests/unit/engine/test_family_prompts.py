"""The prompt of every family, id by id, as its paper, model card or reference code lays it out."""

from dataclasses import dataclass

import pytest

from engine.fim_formats import FORMATS, by_name, recognise
from engine.prompt import PromptParts, PromptSettings, build, end_ids, read_settings
from engine.tokenizer import Tokenizer
from tests.support.families import FAMILIES, write_family


@dataclass(frozen=True)
class File:
    path: str
    text: str
    comment: str = "#"


OTHERS = (File("b.py", "B = 1\n"), File("a.py", "A = 2\n"))
PREFIX, SUFFIX = "def f(x):\n    return ", "\n\nprint(f(1))\n"


# A layout is what its source prints: marks as (mark,), texts as strings; every string is encoded on its own.
ALONE = {
    "deepseek-coder": [
        ("<｜begin▁of▁sentence｜>",), ("<｜fim▁begin｜>",), "#main.py\n", PREFIX, ("<｜fim▁hole｜>",), SUFFIX,
        ("<｜fim▁end｜>",),
    ],
    "qwen2.5-coder": [("<|fim_prefix|>",), PREFIX, ("<|fim_suffix|>",), SUFFIX, ("<|fim_middle|>",)],
    "starcoder2": [("<fim_prefix>",), PREFIX, ("<fim_suffix>",), SUFFIX, ("<fim_middle>",)],
    "starcoder": [("<fim_prefix>",), "#main.py\n", PREFIX, ("<fim_suffix>",), SUFFIX, ("<fim_middle>",)],
    "granite-code": [("<fim_prefix>",), "#main.py\n", PREFIX, ("<fim_suffix>",), SUFFIX, ("<fim_middle>",)],
    "santacoder": [("<fim-prefix>",), "#main.py\n", PREFIX, ("<fim-suffix>",), SUFFIX, ("<fim-middle>",)],
    "granite-4": [("<|fim_prefix|>",), "#main.py\n", PREFIX, ("<|fim_suffix|>",), SUFFIX, ("<|fim_middle|>",)],
    "codegemma": [
        ("<bos>",), ("<|fim_prefix|>",), "#main.py\n", PREFIX, ("<|fim_suffix|>",), SUFFIX, ("<|fim_middle|>",),
    ],
    "code-llama": [("<s>",), ("▁<PRE>",), " #main.py\n", PREFIX, ("▁<SUF>",), SUFFIX, ("▁<MID>",)],
    "codestral": [("<s>",), ("[SUFFIX]",), SUFFIX, ("[PREFIX]",), " " + PREFIX],
    "seed-coder": [
        ("<[begin▁of▁sentence]>",), ("<[fim-suffix]>",), SUFFIX, ("<[fim-prefix]>",), "#main.py\n", PREFIX,
        ("<[fim-middle]>",),
    ],
    "jetbrains-mellum": [("<fim_suffix>",), SUFFIX, ("<fim_prefix>",), PREFIX, ("<fim_middle>",)],
    "a model without holes": [("<|begin_of_text|>",), "#main.py\n", PREFIX],
}  # fmt: skip

# Chosen by rank, laid out by path: a.py comes before b.py.
WITH_OTHERS = {
    "deepseek-coder": [
        ("<｜begin▁of▁sentence｜>",), ("<｜fim▁begin｜>",), "#a.py\nA = 2\n\n", "#b.py\nB = 1\n\n", "#main.py\n",
        PREFIX, ("<｜fim▁hole｜>",), SUFFIX, ("<｜fim▁end｜>",),
    ],
    "qwen2.5-coder": [
        ("<|repo_name|>",), "shop\n", ("<|file_sep|>",), "a.py\nA = 2\n", ("<|file_sep|>",), "b.py\nB = 1\n",
        ("<|file_sep|>",), "main.py\n", ("<|fim_prefix|>",), PREFIX, ("<|fim_suffix|>",), SUFFIX, ("<|fim_middle|>",),
    ],
    "starcoder2": [
        ("<repo_name>",), "shop", ("<file_sep>",), "a.py\nA = 2\n", ("<file_sep>",), "b.py\nB = 1\n",
        ("<file_sep>",), ("<fim_prefix>",), "main.py\n", PREFIX, ("<fim_suffix>",), SUFFIX, ("<fim_middle>",),
    ],
    "codestral": [
        ("<s>",), ("[SUFFIX]",), SUFFIX, ("[PREFIX]",), " +++++ a.py\nA = 2\n\n", "+++++ b.py\nB = 1\n\n",
        "+++++ main.py\n", PREFIX,
    ],
    "code-llama": [
        ("<s>",), ("▁<PRE>",), " #a.py\nA = 2\n\n", "#b.py\nB = 1\n\n", "#main.py\n", PREFIX, ("▁<SUF>",), SUFFIX,
        ("▁<MID>",),
    ],
    "jetbrains-mellum": [
        ("<filename>",), "a.py\nA = 2\n", ("<filename>",), "b.py\nB = 1\n", ("<filename>",), "main.py\n",
        ("<fim_suffix>",), SUFFIX, ("<fim_prefix>",), PREFIX, ("<fim_middle>",),
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    known: dict[str, tuple[PromptSettings, Tokenizer]] = {}

    def settings_and_tokenizer(family: str) -> tuple[PromptSettings, Tokenizer]:
        if family not in known:
            folder = tmp_path_factory.mktemp("families") / family.replace(" ", "-")
            write_family(folder, family)
            tokenizer = Tokenizer.load(folder)
            known[family] = read_settings(folder, tokenizer, context_length=512), tokenizer
        return known[family]

    return settings_and_tokenizer


def _ids(layout: list[tuple[str] | str], tokenizer: Tokenizer) -> list[int]:
    ids: list[int] = []
    for piece in layout:
        if isinstance(piece, tuple):
            mark = tokenizer.control_id(piece[0])
            assert mark is not None, piece
            ids.append(mark)
        else:
            ids += tokenizer.encode(piece)
    return ids


def _prompt(read, family: str, others: tuple[File, ...]) -> tuple[list[int], Tokenizer]:
    settings, tokenizer = read(family)
    parts = PromptParts(
        path="main.py", comment="#", prefix=PREFIX, suffix=SUFFIX, snippets=others, repository="shop"
    )  # fmt: skip
    return list(build(parts, settings, tokenizer, budget=400).ids), tokenizer


def test_every_family_is_laid_out() -> None:
    assert set(ALONE) == set(FAMILIES)
    assert {FAMILIES[family].format for family in ALONE} == {fim.name for fim in FORMATS} | {"none"}
    with_a_layout = {fim.name for fim in FORMATS if fim.repository is not None}
    assert with_a_layout <= {FAMILIES[family].format for family in WITH_OTHERS}


@pytest.mark.parametrize("family", ALONE)
def test_one_file_is_laid_out_as_the_family_was_trained(family: str, read) -> None:
    ids, tokenizer = _prompt(read, family, ())
    assert ids == _ids(ALONE[family], tokenizer)


@pytest.mark.parametrize("family", WITH_OTHERS)
def test_several_files_are_laid_out_as_the_family_was_trained(family: str, read) -> None:
    ids, tokenizer = _prompt(read, family, OTHERS)
    assert ids == _ids(WITH_OTHERS[family], tokenizer)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("budget", [12, 20, 33, 60, 120])
def test_any_budget_is_kept_and_every_mark_with_it(family: str, budget: int, read) -> None:
    settings, tokenizer = read(family)
    parts = PromptParts(path="main.py", comment="#", prefix=PREFIX * 9, suffix=SUFFIX * 9, snippets=OTHERS)
    prompt = build(parts, settings, tokenizer, budget=budget)
    assert len(prompt.ids) <= budget
    assert all(prompt.ids.count(tokenizer.control_id(mark)) == 1 for mark in settings.fim.hole_marks)


ENDS = {
    "deepseek-coder": {"<｜end▁of▁sentence｜>", "<|EOT|>", "<｜fim▁hole｜>", "<｜fim▁begin｜>", "<｜fim▁end｜>"},
    "qwen2.5-coder": {
        "<|endoftext|>", "<|im_end|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>",
        "<|file_sep|>", "<|repo_name|>",
    },
    "starcoder2": {"<|endoftext|>", "<file_sep>", "<repo_name>", "<fim_prefix>", "<fim_suffix>", "<fim_middle>"},
    "code-llama": {"▁<EOT>", "</s>", "▁<PRE>", "▁<SUF>", "▁<MID>"},
    "codegemma": {"<|file_separator|>", "<eos>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"},
    "codestral": {"</s>", "[PREFIX]", "[SUFFIX]"},
    "seed-coder": {"<[end▁of▁sentence]>", "<[fim-prefix]>", "<[fim-suffix]>", "<[fim-middle]>"},
}  # fmt: skip


@pytest.mark.parametrize("family", ENDS)
def test_every_end_of_a_family_ends_a_completion(family: str, read) -> None:
    settings, tokenizer = read(family)
    assert set(end_ids(settings.fim, tokenizer)) == {tokenizer.control_id(mark) for mark in ENDS[family]}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_users_text_holds_no_mark_and_comes_back_whole(family: str, read) -> None:
    _, tokenizer = read(family)
    text = f"x = '{' '.join(FAMILIES[family].marks)}'\n\té = \"→\"\n"
    ids = tokenizer.encode(text)
    assert not tokenizer.control_ids.intersection(ids)
    # SentencePiece itself cannot tell a ▁ from a space.
    assert tokenizer.decode(ids) == (text.replace("▁", " ") if FAMILIES[family].sentencepiece else text)
    assert tokenizer.begins_with_space is FAMILIES[family].sentencepiece


def test_families_of_equal_marks_are_told_apart_by_name() -> None:
    def knows(mark: str) -> bool:
        return mark in {*by_name("starcoder").marks, "<filename>"}

    assert recognise(knows, "/hub/models--JetBrains--Mellum-4b-base/snapshots/1") == by_name("mellum")
    assert recognise(knows, "/models/granite-3b-code-base") == by_name("starcoder")
    assert recognise(lambda mark: False, "mellum") is None
