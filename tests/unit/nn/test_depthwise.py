"""Depthwise convolutions in bfloat16: torch's own values, and gradients nearer to the exact ones than torch's."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from acclimate.nn.depthwise import depthwise
from acclimate.nn.step_kernels import step_kernels

CPU = torch.device("cpu")


def _gradients(
    layer: torch.nn.Conv2d, images: torch.Tensor, seen: torch.Tensor, *, ours: bool
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The layer's output, and gradients of its input and parameters for a gradient of the output."""
    images = images.clone().requires_grad_(True)
    if ours:
        with step_kernels(CPU):
            out = layer(images)
    else:
        out = layer(images)
    return out.detach(), list(torch.autograd.grad(out, [images, *layer.parameters()], seen.to(out.dtype)))


@given(
    channels=st.integers(2, 9),
    kernel=st.sampled_from([1, 3, 5, 7]),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    bias=st.booleans(),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=40, deadline=None)
def test_gradients_are_those_of_double_precision(
    channels: int, kernel: int, stride: int, dilation: int, bias: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    layer = torch.nn.Conv2d(
        channels, channels, kernel, stride, kernel // 2 * dilation, dilation, channels, bias=bias
    ).bfloat16()
    images = torch.randn(3, channels, 11, 9).bfloat16()
    shape = layer(images).shape
    seen = torch.randn(shape).bfloat16()
    out, found = _gradients(layer, images, seen, ours=True)
    assert torch.equal(out, layer(images)), "forward is torch's"
    _, exact = _gradients(layer.double(), images.double(), seen.double(), ours=False)
    for one, other in zip(found, exact, strict=True):
        assert one.dtype == torch.bfloat16
        assert one.shape == other.shape
        # rounding of the result alone: 8 bits
        torch.testing.assert_close(one.double(), other, rtol=2**-8, atol=1e-4)


def test_only_what_is_asked_for_is_computed() -> None:
    layer = torch.nn.Conv2d(4, 4, 3, groups=4, bias=False).bfloat16().requires_grad_(False)
    images = torch.randn(2, 4, 8, 8).bfloat16().requires_grad_(True)
    with step_kernels(CPU):
        layer(images).float().sum().backward()
    assert images.grad is not None
    assert layer.weight.grad is None


@pytest.mark.parametrize(
    "layer",
    [
        torch.nn.Conv2d(4, 8, 3, padding=1),
        torch.nn.Conv2d(4, 4, 3, groups=2),
        torch.nn.Conv2d(4, 8, 3, groups=4),
        torch.nn.Conv2d(4, 4, 3, groups=4, padding="same"),
    ],
    ids=["dense", "grouped", "two filters a channel", "named padding"],
)
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_other_convolutions_are_torchs_own(layer: torch.nn.Conv2d, kind: torch.dtype) -> None:
    layer = layer.to(kind)
    images = torch.randn(2, 4, 8, 8).to(kind)
    seen = torch.randn(layer(images).shape)
    for one, other in zip(
        _gradients(layer, images, seen, ours=True), _gradients(layer, images, seen, ours=False), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=2**-7, atol=1e-3)


def test_padding_that_wraps_around_is_torchs_own_padding() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(4, 4, 3, groups=4, padding="same", padding_mode="circular").bfloat16()
    images = torch.randn(2, 4, 8, 8).bfloat16()
    seen = torch.randn(layer(images).shape).bfloat16()
    out, found = _gradients(layer, images, seen, ours=True)
    assert torch.equal(out, layer(images))
    _, exact = _gradients(layer.double(), images.double(), seen.double(), ours=False)
    for one, other in zip(found, exact, strict=True):
        # what comes back from the edges is added up in bfloat16, up to four terms
        torch.testing.assert_close(one.double(), other, rtol=2**-6, atol=0.05)


def test_without_gradients_nothing_is_kept() -> None:
    images, weight = torch.randn(2, 4, 8, 8).bfloat16(), torch.randn(4, 1, 3, 3).bfloat16().requires_grad_(True)
    with torch.no_grad():
        found = depthwise(images, weight, groups=4)
    assert not found.requires_grad
    assert torch.equal(found, F.conv2d(images, weight, groups=4))
