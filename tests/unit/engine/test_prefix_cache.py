import pytest
import torch

from engine.decoding.generate import decode, prefill
from engine.decoding.prefix_cache import PrefixCache
from engine.model.config import TransformerConfig
from engine.model.transformer import Transformer

CONFIG = TransformerConfig(
    vocab_size=50,
    hidden_size=16,
    intermediate_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=8,
    max_position_embeddings=1024,
    initializer_range=0.5,
)


@pytest.fixture(scope="module")
def transformer():
    made = Transformer(CONFIG)
    made.initialise(torch.Generator().manual_seed(0))
    return made.eval()


def prefixes(memory_bytes=1 << 20):
    made = Transformer(CONFIG)
    return PrefixCache(made, memory_bytes=memory_bytes)


def take(cache, document, ids=(), *, capacity):
    kept = cache.take(document, ids, capacity=capacity)
    cache.give_back(kept)
    return kept


def never():
    return False


PROMPTS = [
    [1, 2, 3],
    [1, 2, 3, 4],
    [1, 2, 9, 4],
    [1, 2, 9, 4],
    [7],
    list(range(1, 50)) * 4,
    [*(list(range(1, 50)) * 4)[:150], 3],
    [1],
]


def test_whatever_was_read_before_the_logits_are_those_of_the_whole_prompt(transformer):
    kept = take(prefixes(), "d", capacity=256)
    for ids in PROMPTS:
        logits = prefill(transformer, kept, ids, never)
        with torch.inference_mode():
            expected = transformer(torch.tensor([ids]))[0, -1]
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
        assert kept.ids == ids
        assert kept.cache.length == len(ids)


def test_decoding_token_by_token_equals_reading_at_once(transformer):
    kept = take(prefixes(), "d", capacity=256)
    prefill(transformer, kept, [1, 2], never)
    for token in (3, 4, 5):
        logits = decode(transformer, kept, [token])
    with torch.inference_mode():
        expected = transformer(torch.tensor([[1, 2, 3, 4, 5]]))[0, -1]
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
    assert kept.ids == [1, 2, 3, 4, 5]


def test_a_cancelled_prefill_leaves_what_was_read(transformer):
    kept = take(prefixes(), "d", capacity=256)
    looks = iter([False, True])
    assert prefill(transformer, kept, list(range(1, 50)) * 3, lambda: next(looks)) is None
    assert 0 < len(kept.ids) == kept.cache.length < 147


def test_each_document_keeps_its_own(transformer):
    cache = prefixes()
    prefill(transformer, take(cache, "a", capacity=10), [1, 2, 3], never)
    prefill(transformer, take(cache, "b", capacity=10), [4, 5], never)
    assert take(cache, "a", [1, 2, 3], capacity=10).ids == [1, 2, 3]
    assert take(cache, "b", [4, 5], capacity=10).ids == [4, 5]


def test_a_prompt_that_outgrows_its_room_starts_anew():
    cache = prefixes()
    take(cache, "a", capacity=10).ids.append(1)
    kept = take(cache, "a", capacity=2000)
    assert kept.ids == []
    assert kept.cache.capacity >= 2000


def test_the_longest_unused_document_makes_room():
    one = take(prefixes(), "a", capacity=10).cache.memory_bytes
    cache = prefixes(memory_bytes=2 * one)
    for document in ("a", "b"):
        take(cache, document, capacity=10).ids.append(1)
    take(cache, "a", capacity=10)
    take(cache, "c", capacity=512)
    assert cache.memory_bytes <= 2 * one
    assert take(cache, "a", capacity=10).ids == [1]
    assert take(cache, "b", capacity=10).ids == []


def test_a_document_beyond_the_limit_is_served_all_the_same():
    cache = prefixes(memory_bytes=1)
    assert take(cache, "a", capacity=10).cache.capacity >= 10
