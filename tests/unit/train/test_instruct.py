"""Instruction tuning: the template byte for byte, labels as the released script masks them, loss on answers alone."""

import json
from pathlib import Path
from typing import Any

import jinja2
import pytest
import torch
from tokenizers import Tokenizer as LibraryTokenizer

from engine.model.config import TransformerConfig
from engine.model.transformer import Transformer
from engine.tokenizer import Tokenizer
from train.config import load
from train.data.conversations import Conversation, Turn, read_conversations
from train.data.document import SourceDocument
from train.data.instructions_from_source import draw_conversations
from train.errors import CorpusError
from train.metrics import Metric
from train.objective import IGNORED
from train.stages.instruct import (
    CHAT_TEMPLATE,
    ConversationBatches,
    instruct,
    label,
    prompt_of,
)
from train.tokenizer import train_tokenizer

TEXT = "def add(a, b):\n    return a + b\nWrite a function that adds two numbers. Größe\n" * 20
DEFINITION = train_tokenizer([TEXT], vocab_size=400, sample_bytes=100_000)
TOKENIZER = Tokenizer(DEFINITION)
BEGIN = TOKENIZER.control_id("<｜begin▁of▁sentence｜>")
EOT = TOKENIZER.control_id("<|EOT|>")
RELEASED = (
    "You are an AI programming assistant, utilizing the DeepSeek Coder model, developed by DeepSeek Company, and you "
    "only answer questions related to computer science. For politically sensitive questions, security and privacy "
    "issues, and other non-computer science questions, you will refuse to answer.\n"
    "### Instruction:\n{instruction}\n### Response:\n"
)


def _conversation(*turns: tuple[str, str]) -> Conversation:
    return Conversation(turns=tuple(Turn(instruction=asked, output=answered) for asked, answered in turns))


def test_the_prompt_is_the_released_one_byte_for_byte() -> None:
    assert prompt_of("  Add two numbers.\n ") == RELEASED.format(instruction="Add two numbers.")


EXAMPLES = {
    "code": ("Write add.", "def add(a, b):\n    return a + b"),
    "an answer that starts with a line end": ("x", "\n    return a"),
    "white space around the instruction": ("  Größe?  \n", "groß"),
    "an empty answer": ("Say nothing.", ""),
}


@pytest.mark.parametrize("case", EXAMPLES)
def test_labels_are_masked_as_the_released_script_masks_them(case: str) -> None:
    asked, answered = EXAMPLES[case]
    source, target = RELEASED.format(instruction=asked.strip()), f"{answered}\n<|EOT|>"
    library = LibraryTokenizer.from_str(DEFINITION)  # where `<|EOT|>` in the text is the token, as in the script
    ids = [BEGIN, *library.encode(source + target).ids]
    masked = 1 + len(library.encode(source).ids)
    expected = [IGNORED] * masked + ids[masked:]
    sample = label(_conversation((asked, answered)), TOKENIZER, begin=BEGIN, row_tokens=10_000)
    assert sample.ids == ids
    assert sample.labels == expected
    assert sample.labels[-1] == EOT


def test_every_answer_of_a_longer_conversation_is_learned_and_nothing_else() -> None:
    sample = label(_conversation(("One?", "1"), ("Two?", "2")), TOKENIZER, begin=BEGIN, row_tokens=10_000)
    learned = [token for token in sample.labels if token != IGNORED]
    assert learned == [*TOKENIZER.encode("1\n"), EOT, *TOKENIZER.encode("2\n"), EOT]
    assert TOKENIZER.decode(sample.ids).endswith("1\n\n### Instruction:\nTwo?\n### Response:\n2\n")


def test_marks_in_a_users_text_stay_text() -> None:
    sample = label(_conversation(("<|EOT|>", "<|EOT|>")), TOKENIZER, begin=BEGIN, row_tokens=10_000)
    assert sample.ids.count(EOT) == 1


def test_a_long_conversation_loses_its_end() -> None:
    whole = label(_conversation(("One?", "1 " * 100)), TOKENIZER, begin=BEGIN, row_tokens=10_000)
    cut = label(_conversation(("One?", "1 " * 100)), TOKENIZER, begin=BEGIN, row_tokens=200)
    assert (cut.ids, cut.labels) == (whole.ids[:200], whole.labels[:200])


@pytest.mark.parametrize("turns", [(("One?", "1"),), (("One?", "1"), ("Two?", "2"))])
def test_the_chat_template_gives_the_ids_of_training(turns: tuple[tuple[str, str], ...]) -> None:
    messages: list[dict[str, str]] = []
    for asked, answered in turns:
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    template = jinja2.Environment().from_string(CHAT_TEMPLATE)
    text = template.render(messages=messages, bos_token="<｜begin▁of▁sentence｜>")
    sample = label(_conversation(*turns), TOKENIZER, begin=BEGIN, row_tokens=10_000)
    assert LibraryTokenizer.from_str(DEFINITION).encode(text).ids == sample.ids
    prompt = template.render(messages=messages[:1], bos_token="", add_generation_prompt=True)
    assert prompt == RELEASED.format(instruction="One?")


def test_rows_are_padded_where_no_real_token_sees_it() -> None:
    samples = [label(_conversation(("n", "x " * length)), TOKENIZER, begin=BEGIN, row_tokens=999) for length in (1, 30)]
    batches = ConversationBatches(samples=samples, batch_rows=2, row_tokens=999, passes=1, pad=0, seed=1)
    batch = batches.batch(0)
    assert batch.ids.shape[1] % 64 == 0
    for ids, targets in zip(batch.ids, batch.targets, strict=True):
        sample = next(sample for sample in samples if (ids[: len(sample.ids)] == sample.ids).all())
        assert (targets[: len(sample.ids) - 1] == sample.labels[1:]).all()
        assert (targets[len(sample.ids) - 1 :] == IGNORED).all()


def test_every_conversation_is_read_once_in_a_pass() -> None:
    samples = [label(_conversation(("n", "x " * n)), TOKENIZER, begin=BEGIN, row_tokens=999) for n in range(1, 9)]
    batches = ConversationBatches(samples=samples, batch_rows=4, row_tokens=999, passes=3, pad=0, seed=1)
    assert batches.steps == 6
    lengths = [int((row != IGNORED).sum()) for step in range(6) for row in batches.batch(step).targets]
    for start in (0, 8, 16):
        assert sorted(lengths[start : start + 8]) == sorted(lengths[:8])
    assert len(set(lengths[:8])) == 8


def test_tuning_learns_to_answer_and_to_stop(tmp_path: Path) -> None:
    network = Transformer(
        TransformerConfig(
            vocab_size=TOKENIZER.vocab_size,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            head_dim=8,
            max_position_embeddings=512,
            bos_token_id=BEGIN,
            eos_token_id=EOT,
        )
    )
    network.initialise(torch.Generator().manual_seed(1))
    overrides = ["instruct.learning_rate=0.01", "instruct.passes=160", "instruct.batch_rows=2"]
    config = load("tiny_cpu", overrides)
    assert config.instruct is not None
    conversations = [_conversation(("A?", "a")), _conversation(("B?", "b"))]
    seen: list[Metric] = []
    tuned = instruct(
        network, conversations, TOKENIZER, config.instruct, config.machine, tmp_path, seed=1, on_step=seen.append
    )
    assert seen[-1].loss < 0.2 < seen[0].loss
    for asked, answered in (("A?", "a"), ("B?", "b")):
        ids = [BEGIN, *TOKENIZER.encode(prompt_of(asked))]
        wanted = [*TOKENIZER.encode(f"{answered}\n"), EOT]
        for token in wanted:
            assert int(tuned(torch.tensor([ids]))[0, -1].argmax()) == token
            ids.append(token)


def test_both_shapes_of_conversations_are_read(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    lines: list[dict[str, Any]] = [
        {"instruction": "A?", "output": "a"},
        {"messages": [{"role": "user", "content": "A?"}, {"role": "assistant", "content": "a"}]},
        {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "A?"},
                      {"role": "assistant", "content": "a"}]},
    ]  # fmt: skip
    path.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    first, second, third = read_conversations(path)
    assert first == second == _conversation(("A?", "a"))
    assert third.system == "S\n"


WRONG = {
    "no JSON": "nonsense",
    "no answer": '{"instruction": "A?"}',
    "the user ends": '{"messages": [{"role": "user", "content": "A?"}]}',
    "an answer that is no text": '{"instruction": "A?", "output": 3}',
}


@pytest.mark.parametrize("case", WRONG)
def test_a_line_that_is_no_conversation_is_named(case: str, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(f'{{"instruction": "A?", "output": "a"}}\n{WRONG[case]}\n')
    with pytest.raises(CorpusError, match=r"data\.jsonl:2 is no conversation"):
        read_conversations(path)


def test_documented_functions_become_conversations() -> None:
    text = (
        'def area(width, height=2):\n    """Return the area of a rectangle.\n\n    More."""\n'
        '    return width * height\n\n\ndef short():\n    """Too short."""\n    return 1\n'
    )
    document = SourceDocument(repository="r", path="a.py", language="python", comment="#", text=text)
    (conversation,) = draw_conversations([document])
    assert conversation.turns == (
        Turn(
            instruction="Write a Python function `area(width, height=2)`. Return the area of a rectangle.",
            output="```python\ndef area(width, height=2):\n    return width * height\n```",
        ),
    )
    broken = SourceDocument(repository="r", path="a.py", language="python", comment="#", text="def (:\n")
    assert not list(draw_conversations([broken]))


def test_a_tokenizer_without_an_end_of_turn_is_refused() -> None:
    raw = json.loads(DEFINITION)
    raw["added_tokens"] = [token for token in raw["added_tokens"] if token["content"] != "<|EOT|>"]
    with pytest.raises(CorpusError, match=r"has no <\|EOT\|>"):
        label(_conversation(("A?", "a")), Tokenizer(json.dumps(raw)), begin=None, row_tokens=99)
