"""Trains the byte-level BPE with DeepSeek-Coder's pre-tokenizer sequence and marks, and encodes in bulk.

What is trained and saved is a `tokenizer.json`; `BulkTokenizer` gives its ids several times faster, for training data.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import tiktoken
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from engine.fim_formats import DEEPSEEK_CODER
from engine.tokenizer import Tokenizer as EngineTokenizer

# DeepSeek-Coder's released pre-tokenizer: each split works on the pieces of the one before. A line end is always a
# token of its own, so a prefix that ends with one, or with indentation, ends at a token boundary.
_CJK = "[一-龥ࠀ-一가-퟿]"
_SPLITS = (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", f"{_CJK}+", r"\p{N}")

# The same pieces in one expression, as tiktoken wants it: a later split must not take what an earlier one would have.
_TAKEN = r"[^\S\r\n]?\p{L}|[^\S\r\n]?\p{P}"
_ONE_SPLIT = "|".join(
    (
        r"[\r\n]",
        r"[^\S\r\n]?\p{L}+",
        r"[^\S\r\n]?\p{P}+",
        rf"(?:(?!{_TAKEN}){_CJK})+",
        r"\p{N}",
        rf"(?:(?!{_TAKEN}|{_CJK}|\p{{N}})[^\r\n])+",
    )
)

SPLITS = ("deepseek-coder", "starcoder", "gpt-2")
"""Pre-tokenizers to compare; the first is the one that is served."""


def train_tokenizer(texts: Iterable[str], *, vocab_size: int, sample_bytes: int, splits: str = "deepseek-coder") -> str:
    """Learn merges from the first `sample_bytes` of `texts`; return the text of a `tokenizer.json`.

    Ids 0 to `vocab_size` - 1 are ordinary tokens; the DeepSeek-Coder marks follow.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(_pre_tokenizers(splits))
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        max_token_length=32,
    )
    tokenizer.train_from_iterator(_up_to(texts, sample_bytes), trainer=trainer)
    marks = (*DEEPSEEK_CODER.marks, "<pad>", "<|User|>", "<|Assistant|>", "<|EOT|>")
    tokenizer.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in marks])
    definition: str = tokenizer.to_str(pretty=True)
    return definition


def bytes_per_token(definition: str, texts: Sequence[str]) -> float:
    """Return how many bytes of `texts` a token stands for on average."""
    tokenizer = EngineTokenizer(definition)
    tokens = sum(map(len, tokenizer.encode_batch(texts)))
    return sum(len(text.encode("utf-8", errors="ignore")) for text in texts) / max(tokens, 1)


class BulkTokenizer(EngineTokenizer):
    """The tokenizer of a `tokenizer.json` with DeepSeek-Coder's splits, encoding with tiktoken: the same ids, faster.

    A definition with other splits encodes as `engine.tokenizer` does.
    """

    def __init__(self, definition: str) -> None:
        super().__init__(definition)
        self._definition = definition
        raw = json.loads(definition)
        self._fast = _encoding(raw, self) if _has_our_splits(raw) else None

    def __reduce__(self) -> tuple[Any, ...]:
        return BulkTokenizer, (self._definition,)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; none of them is a control token."""
        if self._fast is None:
            return super().encode(text)
        try:
            return self._fast.encode_ordinary(text)
        except ValueError:  # a text on which the regular expression gives up: hundreds of thousands of like characters
            return super().encode(text)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode many texts."""
        return [self.encode(text) for text in texts]


def _encoding(raw: dict[str, Any], tokenizer: EngineTokenizer) -> tiktoken.Encoding:
    """Build the encoding: tokens were numbered in the order of their merges, so an id is a rank."""
    ranks = {tokenizer.token_bytes(number): number for number in raw["model"]["vocab"].values()}
    return tiktoken.Encoding("midfill", pat_str=_ONE_SPLIT, mergeable_ranks=ranks, special_tokens={})


def _has_our_splits(raw: dict[str, Any]) -> bool:
    pieces = (raw.get("pre_tokenizer") or {}).get("pretokenizers") or []
    patterns = tuple((piece.get("pattern") or {}).get("Regex") for piece in pieces[:-1])
    return patterns == _SPLITS and pieces[-1].get("type") == "ByteLevel" and not raw.get("normalizer")


def _pre_tokenizers(splits: str) -> list[Any]:
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=splits != "deepseek-coder")
    if splits == "deepseek-coder":
        return [*(pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in _SPLITS), byte_level]
    if splits == "starcoder":
        return [pre_tokenizers.Digits(individual_digits=True), byte_level]
    if splits == "gpt-2":
        return [byte_level]
    raise ValueError(f"unknown splits {splits!r}; known: {', '.join(SPLITS)}")


def _up_to(texts: Iterable[str], sample_bytes: int) -> Iterator[str]:
    for text in texts:
        if sample_bytes <= 0:
            return
        yield text
        sample_bytes -= len(text.encode("utf-8", errors="ignore"))
