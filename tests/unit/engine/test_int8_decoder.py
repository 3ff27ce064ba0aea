import pytest
import torch

from engine.model import int8_decoder
from engine.model.int8_decoder import Int8Decoder
from tests.support.tiny_shapes import SHAPES, ids, network, relative_error

TOLERANCE = 0.05
"""Of all logits together, relative; torch has one scale for a whole row of weights, and one for all activations."""


@pytest.mark.parametrize("name", SHAPES)
def test_logits_are_those_of_the_reference_within_the_stated_tolerance(name):
    config = SHAPES[name]
    transformer, tokens = network(config), ids(config, 330)
    decoder = Int8Decoder(transformer)
    cache = decoder.new_cache(330)
    ours = torch.cat([decoder.logits(piece, cache) for piece in tokens.split([270, 1, 8, 1, 50], dim=1)])
    assert relative_error(ours, transformer.logits(tokens, transformer.new_cache(330))) < TOLERANCE


def test_without_torch_script_the_logits_are_the_same(monkeypatch):
    config = SHAPES["grouped_tied"]
    transformer, tokens = network(config), ids(config, 90)
    scripted = Int8Decoder(transformer)
    monkeypatch.delattr(int8_decoder.torch.jit, "script")
    plain = Int8Decoder(transformer)
    caches = [decoder.new_cache(90) for decoder in (scripted, plain)]
    for piece in tokens.split([80, 1, 9], dim=1):
        ours, expected = (
            decoder.logits(piece, cache) for decoder, cache in zip((scripted, plain), caches, strict=True)
        )
        torch.testing.assert_close(ours, expected)


def test_the_next_logits_are_the_last_of_all():
    config = SHAPES["grouped_tied"]
    decoder, tokens = Int8Decoder(network(config)), ids(config, 20)
    last = decoder.next_logits(tokens, decoder.new_cache(20))
    torch.testing.assert_close(last, decoder.logits(tokens, decoder.new_cache(20))[-1:], rtol=0.05, atol=0.05)


def test_a_context_has_an_end():
    config = SHAPES["grouped_tied"]
    decoder = Int8Decoder(network(config))
    cache = decoder.new_cache(config.max_position_embeddings + 1)
    with pytest.raises(ValueError, match="context"):
        decoder.next_logits(ids(config, config.max_position_embeddings + 1), cache)


def test_sizes_are_stated_truly():
    config = SHAPES["odd_sizes"]
    decoder = Int8Decoder(network(config))
    assert decoder.new_cache(100).memory_bytes == decoder.cache_bytes(100)


def test_a_cache_tells_keys_and_values_as_the_reference_has_them():
    config = SHAPES["grouped_tied"]
    transformer, tokens = network(config), ids(config, 20)
    decoder = Int8Decoder(transformer)
    ours, exact = decoder.new_cache(20), transformer.new_cache(20)
    decoder.next_logits(tokens, ours)
    transformer.next_logits(tokens, exact)
    for held, expected in zip(ours.held(), exact.held(), strict=True):
        assert relative_error(held, expected) < TOLERANCE
