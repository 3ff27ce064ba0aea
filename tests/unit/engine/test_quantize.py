import pytest
import torch

from engine.model.kernels.packing import BLOCK, pack, packed_bytes
from engine.model.quantize import GROUP, quantize


@pytest.mark.parametrize(("bits", "worst"), [(8, 0.0102), (4, 0.1)])
@pytest.mark.parametrize("columns", [64, 100, 512])
def test_the_error_is_small_for_the_number_of_bits(bits, worst, columns):
    weight = torch.randn(70, columns, generator=torch.Generator().manual_seed(0))
    restored = quantize(weight, bits=bits).dequantize()
    assert restored.shape == weight.shape
    assert (restored - weight).norm() / weight.norm() < worst


def test_8_bits_round_to_half_a_step():
    weight = torch.randn(5, 200, generator=torch.Generator().manual_seed(0))
    made = quantize(weight, bits=8)
    steps = made.scales.float().repeat_interleave(GROUP, 1)[:, :200]
    assert ((made.dequantize() - weight).abs() <= steps * 0.51).all()


def test_zeros_stay_zeros():
    for bits in (4, 8):
        assert (quantize(torch.zeros(3, 65), bits=bits).dequantize() == 0).all()


def test_other_numbers_of_bits_are_refused():
    with pytest.raises(ValueError, match="not 3"):
        quantize(torch.zeros(1, 1), bits=3)


@pytest.mark.parametrize("bits", [4, 8])
def test_packing_keeps_every_weight_where_the_kernels_look_for_it(bits):
    made = quantize(torch.randn(37, 130, generator=torch.Generator().manual_seed(0)), bits=bits)
    packed, scales = pack(made)
    assert (packed.size, scales.size) == packed_bytes(37, 130, bits)
    quads = GROUP // 4 // (8 // bits)
    stored = torch.from_numpy(packed).view(-1, 3, quads, BLOCK, 4)
    for row, column in [(0, 0), (31, 63), (32, 64), (36, 129), (5, 40)]:
        group, within = divmod(column, GROUP)
        quad, high = (within // 4 % quads, within // 4 >= quads)
        byte = int(stored[row // BLOCK, group, quad, row % BLOCK, within % 4])
        value = byte - 128 if bits == 8 else (byte >> 4 if high else byte & 15) - 8
        assert value == int(made.values[row, group, within])
