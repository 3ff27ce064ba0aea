import os
from pathlib import Path

import pytest
import torch

from engine.model.kernels import build
from engine.model.kernels.decoder import KernelCache, KernelDecoder, weight_bytes
from engine.model.key_value_cache import KeyValueCache
from engine.model.quantize import quantize
from tests.support.tiny_shapes import SHAPES, ids, network, relative_error

LEVELS = ["native", "avx2", "plain"]
TOLERANCE = {8: 0.04, 4: 0.35}
"""Of all logits together, relative; random weights of few columns are the worst case for 4 bits."""


def recipe_for(level, folder, monkeypatch):
    monkeypatch.setenv("MIDFILL_KERNELS", level)
    try:
        return build.recipe(folder)
    except build.KernelError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernels")
    loaded = {}

    def library(level):
        if level not in loaded:
            with pytest.MonkeyPatch.context() as patch:
                plan = recipe_for(level, folder, patch)
            if level == "avx2" and not has_avx2():
                pytest.skip("this processor has no AVX2")
            build.build(plan)
            loaded[level] = build.load(plan)
        return loaded[level]

    return library


def has_avx2():
    try:
        return "avx2" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


def rounded(transformer, bits):
    """The reference with the weights that the kernels really multiply by."""
    exact = network(transformer.config)
    for name, parameter in exact.named_parameters():
        if parameter.dim() == 2:
            is_table = "embed" in name or "head" in name
            parameter.data = quantize(parameter.data, bits=8 if is_table else bits).dequantize()
    return exact


def read_in_pieces(decoder, tokens, cuts):
    cache = decoder.new_cache(tokens.shape[1])
    return torch.cat([decoder.logits(piece, cache) for piece in tokens.split(cuts, dim=1)])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", SHAPES)
def test_logits_are_those_of_the_reference_within_the_stated_tolerance(libraries, level, bits, name):
    transformer = network(SHAPES[name])
    decoder = KernelDecoder(libraries(level), transformer, bits=bits, threads=1)
    tokens = ids(SHAPES[name], 330)
    ours = read_in_pieces(decoder, tokens, [270, 1, 8, 1, 50])
    cache = transformer.new_cache(330)
    assert relative_error(ours, transformer.logits(tokens, cache)) < TOLERANCE[bits]
    # What is left when the weights are the same: the rounding of activations, and of keys and values.
    exact = rounded(transformer, bits)
    assert relative_error(ours, exact.logits(tokens, exact.new_cache(330))) < 0.04


@pytest.mark.parametrize("level", ["native", "avx2"])
@pytest.mark.parametrize("bits", [8, 4])
def test_every_level_computes_what_plain_code_computes(libraries, level, bits):
    for config in SHAPES.values():
        transformer, tokens = network(config), ids(config, 60)
        plain, fast = (
            read_in_pieces(KernelDecoder(libraries(name), transformer, bits=bits, threads=1), tokens, [52, 8])
            for name in ("plain", level)
        )
        # Integer products are exact; sums of floats differ in order, which a rounding of activations can magnify.
        assert relative_error(fast, plain) < 0.02


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_change_nothing(libraries, threads):
    config = SHAPES["grouped_tied"]
    transformer, tokens = network(config), ids(config, 300)
    alone = KernelDecoder(libraries("native"), transformer, bits=8, threads=1)
    together = KernelDecoder(libraries("native"), transformer, bits=8, threads=threads)
    torch.testing.assert_close(
        read_in_pieces(together, tokens, [299, 1]), read_in_pieces(alone, tokens, [299, 1]), rtol=0, atol=0
    )
    together.use_threads(1)
    assert together.threads == 1
    torch.testing.assert_close(read_in_pieces(together, tokens, [300]), read_in_pieces(alone, tokens, [300]))


def test_how_a_prompt_is_cut_changes_nothing(libraries):
    config = SHAPES["odd_sizes"]
    decoder, tokens = KernelDecoder(libraries("native"), network(config), bits=8, threads=1), ids(config, 300)
    whole = read_in_pieces(decoder, tokens, [300])
    for cuts in ([1] * 300, [7, 255, 38], [260, 40]):
        torch.testing.assert_close(read_in_pieces(decoder, tokens, cuts), whole, rtol=0, atol=0)


def test_what_was_truncated_is_forgotten(libraries):
    config = SHAPES["multi_head_untied"]
    decoder, tokens = KernelDecoder(libraries("native"), network(config), bits=8, threads=1), ids(config, 100)
    cache = decoder.new_cache(128)
    decoder.logits(ids(config, 90, seed=5), cache)
    cache.truncate(0)
    decoder.logits(tokens[:, :40], cache)
    cache.truncate(30)
    ours = decoder.next_logits(tokens[:, 30:], cache)
    torch.testing.assert_close(ours[0], read_in_pieces(decoder, tokens, [100])[-1], rtol=0, atol=0)
    assert cache.length == 100


def test_what_cannot_be_read_is_refused(libraries):
    config = SHAPES["multi_head_untied"]
    decoder = KernelDecoder(libraries("native"), network(config), bits=8, threads=1)
    cache = decoder.new_cache(10)
    assert cache.capacity == 32
    for wrong in (ids(config, 33), torch.tensor([[config.vocab_size]]), torch.tensor([[-1]]), ids(config, 0)):
        with pytest.raises(ValueError, match=r"fit|vocabulary"):
            decoder.logits(wrong, cache)
    assert cache.length == 0
    with pytest.raises(ValueError, match="truncate"):
        cache.truncate(1)


@pytest.mark.parametrize("name", ["grouped_tied", "odd_sizes", "heads_of_64_scaled_rope"])
def test_what_another_form_has_read_is_taken_over(libraries, name):
    config = SHAPES[name]
    transformer, tokens = network(config), ids(config, 90)
    read = KeyValueCache(config, capacity=90)
    transformer.logits(tokens[:, :70], read)
    decoder = KernelDecoder(libraries("native"), transformer, bits=8, threads=1)
    ours = decoder.logits(tokens[:, 70:], KernelCache.of(config, read))
    assert relative_error(ours, transformer.logits(tokens[:, 70:], read)) < 0.04


def test_sizes_are_stated_truly(libraries):
    config = SHAPES["odd_sizes"]
    decoder = KernelDecoder(libraries("native"), network(config), bits=4, threads=1)
    assert decoder.new_cache(100).memory_bytes == decoder.cache_bytes(100)
    assert weight_bytes(config, bits=4) < weight_bytes(config, bits=8)
    assert decoder.parameter_count() == network(config).parameter_count()


def test_a_library_is_compiled_once(tmp_path, monkeypatch):
    plan = recipe_for("plain", tmp_path / "kernels", monkeypatch)
    left = tmp_path / "kernels" / "unfinished-by-another"
    left.mkdir(parents=True)
    os.utime(left, (0, 0))
    build.build(plan)
    made = plan.library.stat().st_mtime_ns
    build.build(plan)
    assert plan.library.stat().st_mtime_ns == made
    assert [path.name for path in plan.library.parent.iterdir()] == [plan.library.name]
    assert build.level(build.load(plan)) == "plain C++"


@pytest.mark.parametrize(("level", "said"), [("off", "is off"), ("mmx", "not one of")])
def test_kernels_can_be_forbidden(tmp_path, monkeypatch, level, said):
    monkeypatch.setenv("MIDFILL_KERNELS", level)
    with pytest.raises(build.KernelError, match=said):
        build.recipe(tmp_path)


def test_without_a_compiler_there_are_no_kernels(tmp_path, monkeypatch):
    monkeypatch.setenv("MIDFILL_KERNELS", "native")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(build.KernelError, match="no C\\+\\+ compiler"):
        build.recipe(tmp_path)


def test_a_compiler_that_fails_is_named(tmp_path, monkeypatch):
    compiler = tmp_path / "g++"
    compiler.write_text('#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "no such header" >&2\nexit 1\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("MIDFILL_KERNELS", "native")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    with pytest.raises(build.KernelError, match="no such header"):
        build.build(build.recipe(tmp_path / "kernels"))
    assert list((tmp_path / "kernels").iterdir()) == []


def test_a_broken_library_is_told(tmp_path, monkeypatch):
    plan = recipe_for("plain", tmp_path, monkeypatch)
    plan.library.write_bytes(b"not a library")
    with pytest.raises(build.KernelError, match="cannot be loaded"):
        build.load(plan)
