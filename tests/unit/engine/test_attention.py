"""Attention in blocks, which training compiles for a CPU, beside torch's own: the same values and gradients."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from engine.model.attention import attend, attend_in_blocks


@pytest.mark.parametrize(
    ("batch", "heads", "shared", "length", "width"),
    [(2, 6, 2, 64, 8), (1, 4, 4, 128, 16), (2, 3, 1, 129, 8), (1, 8, 2, 300, 4), (1, 2, 1, 1100, 4), (1, 1, 1, 1, 2)],
)
def test_blocks_give_the_values_and_gradients_of_the_whole(
    batch: int, heads: int, shared: int, length: int, width: int
) -> None:
    generator = torch.Generator().manual_seed(1)
    shapes = ((batch, heads), (batch, shared), (batch, shared))
    inputs = [torch.randn(*shape, length, width, generator=generator, requires_grad=True) for shape in shapes]
    upstream = torch.randn(batch, heads, length, width, generator=generator)
    whole = F.scaled_dot_product_attention(*inputs, is_causal=True, enable_gqa=True)
    blocks = attend_in_blocks(*inputs)
    torch.testing.assert_close(blocks, whole, rtol=0, atol=1e-5)
    wanted, found = (torch.autograd.grad(output, inputs, upstream) for output in (whole, blocks))
    torch.testing.assert_close(found, wanted, rtol=0, atol=2e-5)


def test_a_position_never_sees_what_follows_it() -> None:
    query, key, value = (torch.randn(1, 2, 200, 8) for _ in range(3))
    before = attend_in_blocks(query, key, value)
    key[:, :, 150:], value[:, :, 150:] = 9.0, 9.0
    after = attend_in_blocks(query, key, value)
    torch.testing.assert_close(after[:, :, :150], before[:, :, :150], rtol=0, atol=0)
    assert not torch.allclose(after[:, :, 150:], before[:, :, 150:])


def test_bf16_stays_as_close_to_fp32_as_rounded_scores_allow() -> None:
    query, key, value = (torch.randn(2, 4, 256, 32) for _ in range(3))
    exact = attend(query, key, value)
    rounded = attend_in_blocks(query.bfloat16(), key.bfloat16(), value.bfloat16())
    torch.testing.assert_close(rounded.float(), exact, rtol=0, atol=3e-2)


@pytest.mark.parametrize("attention", [attend, attend_in_blocks])
@pytest.mark.parametrize("lengths", [(5, 11, 1, 3), (150, 7, 143), (20,)])
def test_segments_attend_as_if_each_stood_alone(attention: Callable[..., Tensor], lengths: Sequence[int]) -> None:
    generator = torch.Generator().manual_seed(2)
    inputs = [torch.randn(2, heads, sum(lengths), 8, generator=generator, requires_grad=True) for heads in (4, 2, 2)]
    segments = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths)).expand(2, -1)
    alone = zip(*(states.split(lengths, dim=2) for states in inputs), strict=True)
    wanted = torch.cat([F.scaled_dot_product_attention(*one, is_causal=True, enable_gqa=True) for one in alone], 2)
    found = attention(*inputs, segments=segments)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    upstream = torch.randn(wanted.shape, generator=generator)
    gradients = (torch.autograd.grad(output, inputs, upstream) for output in (found, wanted))
    torch.testing.assert_close(*gradients, rtol=0, atol=2e-5)
