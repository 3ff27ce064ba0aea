"""Trains the byte-level BPE with DeepSeek-Coder's pre-tokenizer sequence and marks."""

from collections.abc import Iterable, Iterator

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from engine.fim_formats import DEEPSEEK_CODER

# DeepSeek-Coder's released pre-tokenizer: each split works on the pieces of the one before. A line end is always a
# token of its own, so a prefix that ends with one, or with indentation, ends at a token boundary.
_SPLITS = (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"\p{N}")


def train_tokenizer(texts: Iterable[str], *, vocab_size: int, sample_bytes: int) -> str:
    """Learn merges from the first `sample_bytes` of `texts`; return the text of a `tokenizer.json`.

    Ids 0 to `vocab_size` - 1 are ordinary tokens; the DeepSeek-Coder marks follow.
    """
    tokenizer = Tokenizer(models.BPE())
    splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in _SPLITS]
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*splits, byte_level])
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


def _up_to(texts: Iterable[str], sample_bytes: int) -> Iterator[str]:
    for text in texts:
        if sample_bytes <= 0:
            return
        yield text
        sample_bytes -= len(text.encode("utf-8", errors="ignore"))
