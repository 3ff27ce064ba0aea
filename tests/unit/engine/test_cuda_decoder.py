import gc

import pytest
import torch

from engine.model.cuda_decoder import CudaDecoder, SingleTokenStep
from tests.support.tiny_shapes import SHAPES, ids, network


@pytest.mark.parametrize("name", SHAPES)
def test_the_fixed_shape_step_equals_the_reference(name):
    config = SHAPES[name]
    transformer, tokens = network(config), ids(config, 12)
    decoder = CudaDecoder(transformer)
    cache, expected = decoder.new_cache(20), transformer.new_cache(20)
    decoder.logits(tokens[:, :8], cache)
    transformer.logits(tokens[:, :8], expected)
    for position in range(8, 12):
        token = tokens[:, position : position + 1]
        torch.testing.assert_close(decoder.next_logits(token, cache), transformer.next_logits(token, expected))
    cache.truncate(9)
    assert decoder.next_logits(tokens[:, 9:], cache).shape == (1, config.vocab_size)


def test_a_full_cache_refuses():
    config = SHAPES["grouped_tied"]
    transformer = network(config)
    cache = transformer.new_cache(2)
    transformer.logits(ids(config, 2), cache)
    with pytest.raises(ValueError, match="do not fit"):
        SingleTokenStep(transformer, cache).run(ids(config, 1), position=2)


def test_a_step_goes_with_its_cache():
    decoder = CudaDecoder(network(SHAPES["grouped_tied"]))
    cache = decoder.new_cache(4)
    decoder.next_logits(torch.tensor([[1]]), cache)
    assert len(decoder._steps) == 1
    del cache
    gc.collect()
    assert len(decoder._steps) == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_graph_equals_the_reference():
    config = SHAPES["grouped_tied"]
    reference, tokens = network(config).cuda(), ids(config, 30).cuda()
    decoder = CudaDecoder(reference)
    cache, expected = decoder.new_cache(64), reference.new_cache(64)
    decoder.logits(tokens[:, :20], cache)
    reference.logits(tokens[:, :20], expected)
    for position in range(20, 30):
        token = tokens[:, position : position + 1]
        logits = decoder.next_logits(token, cache)
        torch.testing.assert_close(logits, reference.next_logits(token, expected), atol=1e-3, rtol=1e-3)
