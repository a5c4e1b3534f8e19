"""Dropout on processors with cheaper random numbers.

torch draws a number for each element there, one after another, which is a good part of a training step of a small
encoder. Here one 64-bit draw serves four elements. The numbers still come from torch's generator, so that its seed
decides them; they are others than torch's own.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F  # noqa: N812 - the field's name for it

# of a 16-bit number, less the sign that torch does not draw
LEVELS = 1 << 15


def dropout(values: torch.Tensor, share: float) -> torch.Tensor:
    """Zero each element with a probability and scale the others up, so that the mean stays.

    Args:
        values: any shape and float type, on a processor.
        share: probability to be zeroed, 0 <= share < 1; rounded to a multiple of 1/32768, and the scale fits that.
    """
    zeroed = round(share * LEVELS)
    n = values.numel()
    draws = torch.empty(math.ceil(n / 4), dtype=torch.int64).random_().view(torch.int16)[:n]
    kept = (draws.bitwise_and_(LEVELS - 1) >= zeroed).view(values.shape)
    return values * kept.to(values.dtype).mul_(LEVELS / (LEVELS - zeroed))


def module_dropout(
    input: torch.Tensor,  # noqa: A002 - torch's name
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,  # noqa: ARG001
) -> torch.Tensor:
    """``torch.nn.functional.dropout``, with :func:`dropout` for what is drawn."""
    if not training or not 0 < p < 1:
        return F.dropout(input, p, training)
    return dropout(input, p)


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """Attention of queries [..., T, d] to keys [..., S, d] with values [..., S, e]; True in a mask is what is seen."""
    if is_causal or enable_gqa or not 0 < dropout_p < 1:
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    scores = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.transpose(-2, -1)  # [..., T, S]
    if attn_mask is not None:
        if attn_mask.dtype == torch.bool:
            attn_mask = torch.zeros(attn_mask.shape, dtype=scores.dtype).masked_fill_(
                ~attn_mask, torch.finfo(scores.dtype).min
            )
        scores = scores + attn_mask
    return dropout(scores.softmax(dim=-1), dropout_p) @ value
