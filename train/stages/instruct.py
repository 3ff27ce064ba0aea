"""Instruction tuning: conversations in DeepSeek-Coder's template, loss on the answers alone (section 3.7)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.fim_formats import DEEPSEEK_CODER
from engine.model.transformer import Transformer
from engine.tokenizer import Tokenizer
from train.config import InstructConfig, MachineConfig
from train.data.conversations import SYSTEM, Conversation
from train.errors import CorpusError
from train.loop import Batch, LoopSettings, shuffled, train
from train.metrics import Metric
from train.objective import IGNORED
from train.optimizer import OptimizerSettings
from train.schedule import Schedule
from train.stages.pretrain import trainable_copy

END_OF_TURN = "<|EOT|>"
END_OF_TEXT = DEEPSEEK_CODER.end_marks[0]

CHAT_TEMPLATE = (
    "{{ bos_token or '' }}"
    "{%- if messages[0]['role'] == 'system' -%}{{ messages[0]['content'].strip() + '\\n' }}"
    "{%- else -%}{{ '" + SYSTEM.replace("\n", "\\n") + "' }}{%- endif -%}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'user' -%}"
    "{{ '### Instruction:\\n' + message['content'].strip() + '\\n### Response:\\n' }}"
    "{%- elif message['role'] == 'assistant' -%}"
    "{{ message['content'] + '\\n" + END_OF_TURN + "' }}{%- if not loop.last -%}{{ '\\n' }}{%- endif -%}"
    "{%- endif -%}"
    "{%- endfor -%}"
)
"""The same layout as a Jinja template, for servers that speak chat. A question already ends with the answer's mark."""

_ROUND = 64
"""Rows are padded to a multiple of this many tokens, so that a compiled step meets few shapes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A conversation as ids, and what should be learned from it."""

    ids: list[int]
    labels: list[int]
    """Equal to `ids` inside the answers, `IGNORED` elsewhere; not shifted."""


def prompt_of(instruction: str, *, system: str = SYSTEM) -> str:
    """Return what stands in front of a first answer, as the released script builds it.

    >>> prompt_of(" Sort a list. ", system="You help.\\n")
    'You help.\\n### Instruction:\\nSort a list.\\n### Response:\\n'
    """
    return f"{system}### Instruction:\n{instruction.strip()}\n### Response:\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """How conversations are laid out for a family of models."""

    jinja: str
    """The same for servers that speak chat."""
    end: str
    """The mark that ends an answer."""
    lead: str
    """In front of a first question, without a system text of its own."""
    asked: str
    """Around a question."""
    answered: str
    """Around an answer, up to the mark."""

    def prompt(self, instruction: str, *, lead: str | None = None) -> str:
        """Return what stands in front of an answer, behind the mark that begins a sequence or ends a turn."""
        return (self.lead if lead is None else lead) + self.asked.format(instruction.strip())

    def answer(self, output: str) -> str:
        """Return an answer up to its end mark."""
        return self.answered.format(output)


TEMPLATES = {
    "deepseek-coder": Template(
        jinja=CHAT_TEMPLATE,
        end=END_OF_TURN,
        lead=SYSTEM,
        asked="### Instruction:\n{}\n### Response:\n",
        answered="{}\n",
    ),
    # No space behind the last "Assistant:"; the answer brings it (README of DeepSeek-Coder-V2).
    "deepseek-coder-v2": Template(
        jinja=(
            "{{ bos_token or '' }}"
            "{%- for message in messages -%}"
            "{%- if message['role'] == 'system' -%}{{ message['content'].strip() + '\n\n' }}"
            "{%- elif message['role'] == 'user' -%}{{ 'User: ' + message['content'].strip() + '\n\nAssistant:' }}"
            "{%- else -%}{{ ' ' + message['content'] + '" + END_OF_TEXT + "' }}{%- endif -%}"
            "{%- endfor -%}"
        ),
        end=END_OF_TEXT,
        lead="",
        asked="User: {}\n\nAssistant:",
        answered=" {}",
    ),
}


def label(
    conversation: Conversation,
    tokenizer: Tokenizer,
    *,
    begin: int | None,
    row_tokens: int,
    template: Template = TEMPLATES["deepseek-coder"],
) -> Labelled:
    """Encode a conversation: loss on each answer, its line end and its end mark, and on nothing else.

    Args:
        conversation: its text never becomes a control token.
        tokenizer: must know the template's end mark.
        begin: the id that starts a sequence, if the model knows one.
        row_tokens: what is longer loses its end, as in the released script.
        template: how the conversation is laid out.

    Raises:
        CorpusError: the tokenizer does not know the end mark.
    """
    end = tokenizer.control_id(template.end)
    if end is None:
        raise CorpusError(f"the tokenizer has no {template.end}; instruction tuning needs it to end an answer")
    ids = [] if begin is None else [begin]
    labels = [IGNORED] * len(ids)
    for number, turn in enumerate(conversation.turns):
        lead = _between(template) if number else _lead(template, conversation)
        asked = tokenizer.encode(template.prompt(turn.instruction, lead=lead))
        answered = [*tokenizer.encode(template.answer(turn.output)), end]
        ids += [*asked, *answered]
        labels += [IGNORED] * len(asked) + answered
    return Labelled(ids=ids[:row_tokens], labels=labels[:row_tokens])


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationBatches:
    """Labelled conversations in random order, one a row, padded on the right."""

    samples: Sequence[Labelled]
    batch_rows: int
    row_tokens: int
    passes: int
    pad: int
    seed: int

    @property
    def steps(self) -> int:
        """See `Batches`; the last batch of a pass is filled up with samples of the next, or from the start."""
        return -(-len(self.samples) * self.passes // self.batch_rows)

    @property
    def tokens_per_step(self) -> int:
        """See `Batches`: the mean, padding left out."""
        return max(1, round(self.batch_rows * sum(len(sample.ids) for sample in self.samples) / len(self.samples)))

    def batch(self, step: int) -> Batch:
        """See `Batches`."""
        chosen = [self.samples[index] for index in self._indices(step * self.batch_rows)]
        width = -(-(max(len(sample.ids) for sample in chosen) - 1) // _ROUND) * _ROUND
        width = max(1, min(width, self.row_tokens - 1))
        ids = np.full((self.batch_rows, width + 1), self.pad, np.int64)
        labels = np.full((self.batch_rows, width + 1), IGNORED, np.int64)
        for row, sample in enumerate(chosen):
            ids[row, : len(sample.ids)] = sample.ids
            labels[row, : len(sample.ids)] = sample.labels
        # Padding stands on the right, so with causal attention no real token ever sees it.
        return Batch(ids=ids[:, :-1], targets=labels[:, 1:])

    def held_out(self) -> Sequence[Batch]:
        """See `Batches`: none, for there are few conversations."""
        return []

    def _indices(self, start: int) -> Iterator[int]:
        for position in range(start, start + self.batch_rows):
            one_pass, place = divmod(position, len(self.samples))
            yield int(shuffled(len(self.samples), self.seed, one_pass)[place])


def instruct(
    network: Transformer,
    conversations: Iterable[Conversation],
    tokenizer: Tokenizer,
    recipe: InstructConfig,
    machine: MachineConfig,
    folder: Path,
    *,
    seed: int,
    on_step: Callable[[Metric], None],
) -> Transformer:
    """Train a base network on conversations.

    Raises:
        CorpusError: no conversation leaves an answer to learn within `recipe.row_tokens`.
        RunError: whatever `train.loop.train` raises.
    """
    config = network.config
    row_tokens, template = min(recipe.row_tokens, config.max_position_embeddings), TEMPLATES[recipe.template]
    labelled = (
        label(conversation, tokenizer, begin=config.bos_token_id, row_tokens=row_tokens, template=template)
        for conversation in conversations
    )
    samples = [sample for sample in labelled if any(target != IGNORED for target in sample.labels)]
    if not samples:
        raise CorpusError(f"no conversation has an answer within {row_tokens} tokens; raise instruct.row_tokens")
    batches = ConversationBatches(
        samples=samples,
        batch_rows=recipe.batch_rows,
        row_tokens=row_tokens,
        passes=recipe.passes,
        pad=config.eos_token_id or 0,
        seed=seed,
    )
    settings = LoopSettings(
        schedule=Schedule(
            shape="cosine",
            peak=recipe.learning_rate,
            steps=batches.steps,
            warmup_steps=recipe.warmup_steps,
            final_share=0.0,
        ),
        # The released script leaves AdamW's decay at zero.
        optimizer=OptimizerSettings(weight_decay=0.0),
        machine=machine,
    )
    trainable = trainable_copy(network)
    return train(trainable, batches, settings, folder, on_step=on_step)


def _lead(template: Template, conversation: Conversation) -> str:
    """Return what stands before the first question: a system text of the conversation's own, or the template's."""
    if conversation.system == SYSTEM:
        return template.lead
    return conversation.system if template.lead else f"{conversation.system}\n"


def _between(template: Template) -> str:
    return "\n" if template.lead else ""
