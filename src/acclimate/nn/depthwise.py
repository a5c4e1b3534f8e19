"""Gradients of filters of a single channel (depthwise convolutions) on processors, in float32.

In bfloat16 torch's processor kernels have none of their own for the inputs of a strided one and for the weights of one
of 5 x 5: both take several times as long as in float32. The forward pass stays in bfloat16, where it is faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812 - the field's name for it

Shape = Sequence[int]


def depthwise(
    input: torch.Tensor,  # noqa: A002 - torch's name
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: int | Shape = 1,
    padding: int | str | Shape = 0,
    dilation: int | Shape = 1,
    groups: int = 1,
) -> torch.Tensor:
    """``torch.nn.functional.conv2d``; gradients of a depthwise one in bfloat16 are computed in float32.

    Args:
        input: [B, C, H, W].
        weight: [C', C / groups, h, w].
        bias: [C'], or none.
        stride: as conv2d takes it, and so are ``padding``, ``dilation`` and ``groups``.
        padding: zeros around the input, or their name.
        dilation: steps between the weights.
        groups: C for a depthwise one.

    Returns:
        [B, C', H', W'] of the input's type.
    """
    is_depthwise = groups > 1 and groups == input.shape[1] == weight.shape[0]
    if not is_depthwise or weight.dtype != torch.bfloat16 or isinstance(padding, str) or not torch.is_grad_enabled():
        return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
    shape = _pair(stride), _pair(padding), _pair(dilation)
    found: torch.Tensor = _Depthwise.apply(input, weight, bias, *shape)  # type: ignore[no-untyped-call]  # torch's
    return found


def _pair(sizes: int | Shape) -> list[int]:
    return [sizes, sizes] if isinstance(sizes, int) else list(sizes)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        values: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        stride: list[int],
        padding: list[int],
        dilation: list[int],
    ) -> torch.Tensor:
        ctx.save_for_backward(values, weight)
        ctx.shape = stride, padding, dilation
        ctx.bias_sizes = None if bias is None else list(bias.shape)
        return F.conv2d(values, weight, bias, stride, padding, dilation, len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        values, weight = ctx.saved_tensors
        found = torch.ops.aten.convolution_backward(
            gradient.float(),
            values.float(),
            weight.float(),
            ctx.bias_sizes,
            *ctx.shape,
            False,
            [0, 0],
            len(weight),
            list(ctx.needs_input_grad[:3]),
        )
        return *(None if one is None else one.to(torch.bfloat16) for one in found), None, None, None
