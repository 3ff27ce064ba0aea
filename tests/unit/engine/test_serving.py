import pytest
import torch

from engine.daemon_start import PRECISIONS
from engine.model.int8_decoder import Int8Decoder
from engine.model.kernels import build
from engine.model.kernels.decoder import KernelDecoder
from engine.model.serving import Precision, WarmingDecoder, cores_to_use, describe, fastest_threads, on_cpu
from engine.model.transformer import Transformer
from tests.support.tiny_shapes import SHAPES, ids, network, relative_error
from tests.support.tiny_v2 import v2_shape

CONFIG = SHAPES["grouped_tied"]


@pytest.fixture(autouse=True)
def native_kernels(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setenv("MIDFILL_KERNELS", "native")
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIDFILL_KERNELS", "native")
        try:
            build.build(build.recipe(folder))
        except build.KernelError as error:
            pytest.skip(str(error))
    return folder


def served(kernels, precision, threads=1):
    return on_cpu(network(CONFIG), precision=precision, threads=threads, kernels=kernels)


def test_compiled_kernels_serve_at_once(kernels):
    for precision, name in ((Precision.AUTO, "int8"), (Precision.INT8, "int8"), (Precision.INT4, "int4")):
        decoder = served(kernels, precision)
        assert isinstance(decoder, KernelDecoder)
        assert (decoder.precision, decoder.threads) == (name, 1)


def test_the_reference_is_served_where_it_is_asked_for(kernels):
    decoder = served(kernels, Precision.FLOAT32)
    assert isinstance(decoder, Transformer)
    assert decoder.precision == "float32"


def test_without_kernels_torch_serves(tmp_path, monkeypatch):
    monkeypatch.setenv("MIDFILL_KERNELS", "off")
    decoder = served(tmp_path, Precision.INT4)
    assert isinstance(decoder, Int8Decoder)
    assert "MIDFILL_KERNELS is off" in describe(tmp_path)


def test_torch_serves_until_the_kernels_are_compiled_and_hands_on_what_it_read(kernels, tmp_path):
    transformer, tokens = network(CONFIG), ids(CONFIG, 80)
    decoder = on_cpu(transformer, precision=Precision.INT8, threads=1, kernels=tmp_path)
    assert isinstance(decoder, WarmingDecoder)
    cache = decoder.new_cache(100)
    before = decoder.logits(tokens[:, :40], cache)
    decoder.wait()
    after = decoder.logits(tokens[:, 40:], cache)
    assert (cache.length, cache.capacity >= 100) == (80, True)
    assert decoder.path.startswith("C++ kernels")
    assert "compiled" not in decoder.path
    expected = transformer.logits(tokens, transformer.new_cache(100))
    assert relative_error(torch.cat([before, after]), expected) < 0.04
    cache.truncate(3)
    assert cache.length == 3


def test_a_compiler_that_fails_leaves_torch_serving(tmp_path, monkeypatch):
    compiler = tmp_path / "g++"
    compiler.write_text('#!/bin/sh\n[ "$1" = --version ] && exit 0\nexit 1\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    decoder = served(tmp_path / "kernels", Precision.AUTO)
    assert isinstance(decoder, WarmingDecoder)
    decoder.wait()
    assert decoder.path == "torch"
    assert decoder.next_logits(ids(CONFIG, 5), decoder.new_cache(5)).shape == (1, CONFIG.vocab_size)


def test_4_bits_are_taken_where_8_do_not_fit(kernels, monkeypatch):
    monkeypatch.setattr("engine.model.serving._free_memory", lambda: 1000)
    assert served(kernels, Precision.AUTO).precision == "int4"
    assert served(kernels, Precision.INT8).precision == "int8"


def test_most_greedy_tokens_agree_on_both_paths(kernels, tmp_path, monkeypatch):
    fast = served(kernels, Precision.INT8)
    monkeypatch.setenv("MIDFILL_KERNELS", "off")
    torch_alone = served(tmp_path, Precision.INT8)
    same = sum(greedy(fast, seed) == greedy(torch_alone, seed) for seed in range(20))
    assert same >= 14


def greedy(decoder, seed, count=4):
    cache, tokens = decoder.new_cache(40), []
    read = ids(CONFIG, 20, seed=seed)
    for _ in range(count):
        tokens.append(int(decoder.next_logits(read, cache).argmax()))
        read = torch.tensor([tokens[-1:]])
    return tokens


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [({1: 1.0, 2: 0.5, 4: 0.3, 7: 0.29}, 4), ({1: 1.0, 2: 0.9}, 1), ({1: 1.0, 2: 0.6, 4: 0.35, 7: 0.2}, 7)],
)
def test_threads_are_added_while_they_pay(monkeypatch, seconds, chosen):
    monkeypatch.setattr("engine.model.serving.cores_to_use", lambda: 7)
    assert fastest_threads(seconds.__getitem__) == chosen


def test_a_core_is_left_to_the_editor(monkeypatch):
    for cores, used in ((1, 1), (2, 2), (3, 2), (8, 7)):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        assert cores_to_use() == used


def test_threads_are_measured_where_none_are_given(kernels):
    assert 1 <= served(kernels, Precision.INT8, threads=None).threads <= cores_to_use()


def test_a_shape_without_a_fast_form_runs_as_the_reference(kernels):
    config = v2_shape()
    made = Transformer(config)
    made.initialise(torch.Generator().manual_seed(0))
    assert on_cpu(made.eval(), precision=Precision.AUTO, threads=1, kernels=kernels) is made


def test_clients_know_every_precision():
    assert [precision.value for precision in Precision] == [*PRECISIONS]
