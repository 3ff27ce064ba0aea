"""A prompt that was laid out as the one before it, next to the one that would be laid out anew."""

from dataclasses import replace

import pytest

from engine import model_folder
from engine.api import CompletionRequest
from engine.completer import Completer, Source
from engine.fim_formats import DEEPSEEK_CODER
from engine.prompt import PromptMode, PromptParts, PromptSettings, TypedText, build
from engine.prompt_memory import PromptMemory
from engine.tokenizer import Tokenizer
from tests.support.tiny_model import CORPUS, train_tokenizer, write_tiny_model

TOKENIZER = Tokenizer(train_tokenizer())
TYPED = "    def clear(self) -> None:\n        self.values = {}\n"
LEFT_TO_RIGHT = PromptSettings(fim=DEEPSEEK_CODER, context_length=512, mode=PromptMode.LEFT_TO_RIGHT)
SUFFIX_FIRST = replace(LEFT_TO_RIGHT, mode=PromptMode.SUFFIX_FIRST)
AS_MIDDLE = replace(LEFT_TO_RIGHT, mode=PromptMode.FILL_IN_THE_MIDDLE, typed_text=TypedText.MIDDLE)
CURSOR = CORPUS.index("    def save")


def parts(prefix, suffix=CORPUS[CURSOR:]):
    return PromptParts(path="a.py", comment="#", prefix=prefix, suffix=suffix)


def common(one, other):
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


@pytest.mark.parametrize("settings", [LEFT_TO_RIGHT, SUFFIX_FIRST, AS_MIDDLE], ids=lambda s: s.mode.value)
@pytest.mark.parametrize("budget", [200, 460])
def test_a_keystroke_in_the_middle_of_a_file_changes_few_tokens(settings, budget):
    """Of all tokens of the prompts, a twentieth is read anew at most, the first prompt left out."""
    memory = PromptMemory(settings, TOKENIZER)
    read = total = 0
    before = memory.build("d", parts(CORPUS[:CURSOR]), budget=budget).ids
    for end in range(1, len(TYPED) + 1):
        ids = memory.build("d", parts(CORPUS[:CURSOR] + TYPED[:end]), budget=budget).ids
        assert len(ids) <= budget
        read, total = read + len(ids) - common(before, ids), total + len(ids)
        before = ids
    assert read <= 0.1 * total if budget == 200 else read <= 0.05 * total


@pytest.mark.parametrize("settings", [LEFT_TO_RIGHT, SUFFIX_FIRST], ids=lambda s: s.mode.value)
def test_where_everything_fits_the_ids_are_those_of_a_new_layout(settings):
    memory = PromptMemory(settings, TOKENIZER)
    for end in range(len(TYPED)):
        asked = parts(CORPUS[:CURSOR] + TYPED[:end])
        assert memory.build("d", asked, budget=460).ids == build(asked, settings, TOKENIZER, budget=460).ids


def test_typed_text_stands_behind_the_middle_mark():
    memory = PromptMemory(AS_MIDDLE, TOKENIZER)
    anchor = memory.build("d", parts(CORPUS[:CURSOR]), budget=460).ids
    typed = memory.build("d", parts(CORPUS[:CURSOR] + TYPED[:9]), budget=460).ids
    assert typed == (*anchor, *TOKENIZER.encode(TYPED[:9]))


CHANGES = {
    "deleted before the anchor": parts(CORPUS[: CURSOR - 1]),
    "edited elsewhere": parts("x" + CORPUS[:CURSOR]),
    "another suffix": parts(CORPUS[:CURSOR], suffix="x = 1\n"),
    "another file": replace(parts(CORPUS[:CURSOR]), path="b.py"),
    "too long": parts(CORPUS[:CURSOR] + "x y z\n" * 40),
}


@pytest.mark.parametrize("name", CHANGES)
def test_any_other_change_lays_the_prompt_out_anew(name):
    memory = PromptMemory(AS_MIDDLE, TOKENIZER)
    memory.build("d", parts(CORPUS[:CURSOR]), budget=490)
    expected = build(CHANGES[name], AS_MIDDLE, TOKENIZER, budget=490).ids
    slack = build(CHANGES[name], AS_MIDDLE, TOKENIZER, budget=490 - 490 // 8).ids
    assert memory.build("d", CHANGES[name], budget=490).ids in (expected, slack)


def test_a_suffix_that_barely_changes_stays_as_it_was():
    memory = PromptMemory(SUFFIX_FIRST, TOKENIZER)
    suffix = "\n" + CORPUS[CURSOR:]
    first = memory.build("d", parts(CORPUS[:CURSOR], suffix), budget=460)
    changed = memory.build(
        "d", parts(CORPUS[:CURSOR] + "x", suffix.replace("settings.load()", "settings.load(1)")), budget=460
    )
    assert changed.suffix_ids == first.suffix_ids
    anew = memory.build("d", parts(CORPUS[:CURSOR] + "x", "\n" + suffix[200:]), budget=460)
    assert anew.suffix_ids != first.suffix_ids


def test_a_suffix_that_is_not_read_does_not_matter():
    memory = PromptMemory(LEFT_TO_RIGHT, TOKENIZER)
    first = memory.build("d", parts(CORPUS[:CURSOR]), budget=200).ids
    further = memory.build("d", parts(CORPUS[:CURSOR] + "x", suffix="\ny = 1\n"), budget=200).ids
    assert further[: len(first) - 2] == first[:-2]


@pytest.mark.parametrize("settings", [LEFT_TO_RIGHT, SUFFIX_FIRST], ids=lambda s: s.mode.value)
def test_a_cursor_that_has_moved_up_gets_as_much_text_before_it_as_any_other(settings):
    memory = PromptMemory(settings, TOKENIZER)
    text = CORPUS * 3
    cut = TOKENIZER.decode(memory.build("d", parts(text), budget=300).prefix_ids)
    moved = parts(text[: len(text) - len(cut) + 40])
    slack = build(moved, settings, TOKENIZER, budget=300 - 300 // 8).ids
    assert len(slack) > 300 // 2
    assert memory.build("d", moved, budget=300).ids == slack


def test_documents_do_not_mix():
    memory = PromptMemory(LEFT_TO_RIGHT, TOKENIZER)
    one = memory.build("one", parts("a = 1\n"), budget=100).ids
    other = memory.build("other", parts("b = 2\n"), budget=100).ids
    assert memory.build("one", parts("a = 1\n"), budget=100).ids == one != other


def test_typing_with_the_middle_reused_reads_only_what_was_typed(tmp_path):
    model = model_folder.read(write_tiny_model(tmp_path))
    settings = replace(model.prompt_settings, typed_text=TypedText.MIDDLE)
    completer = Completer(replace(model, prompt_settings=settings), source=Source.NETWORK)
    for end in range(1, 30):
        asked = CompletionRequest(
            document="d", path="a.py", comment="#", prefix=CORPUS[:CURSOR] + TYPED[:end], suffix=CORPUS[CURSOR:],
            max_tokens=2,
        )  # fmt: skip
        *_, completion = completer.complete(asked)
        assert end == 1 or completion.prompt_tokens_read <= 0.05 * completion.prompt_tokens
