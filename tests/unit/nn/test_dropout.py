"""Dropout with cheaper random numbers is dropout: shares, means, gradients; and attention is torch's own but for it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from acclimate.nn.dropout import dropout
from acclimate.nn.step_kernels import step_kernels

CPU = torch.device("cpu")
N = 200_000
# rounds to no dropout at all, but takes the way of attention with dropout
NEARLY_NONE = 1e-9


@given(share=st.floats(0.001, 0.95), seed=st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_the_share_is_zeroed_and_the_others_are_scaled_so_that_the_mean_stays(share: float, seed: int) -> None:
    torch.manual_seed(seed)
    found = dropout(torch.ones(N), share)
    zeros = float((found == 0).float().mean())
    # 6 standard deviations, and the rounding of the share to 1/32768
    assert abs(zeros - share) < 6 * (share * (1 - share) / N) ** 0.5 + 1 / 65_536
    assert len(set(found[found != 0].tolist())) == 1
    assert float(found.max()) * (1 - share) == pytest.approx(1.0, abs=1e-3)


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(0)
    zeroed = (dropout(torch.ones(N), 0.5) == 0).float()
    # four neighbours come from one draw
    for lag in (1, 2, 3, 4):
        together = float((zeroed[:-lag] * zeroed[lag:]).mean())
        assert together == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 3, 7)])
def test_gradients_pass_where_values_did(shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    values = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    found = dropout(values, 0.4)
    assert found.shape == values.shape
    (slope,) = torch.autograd.grad(found.sum(), values)
    torch.testing.assert_close(slope * values, found)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_torchs_seed_decides_and_modules_take_it(kind: torch.dtype) -> None:
    layer, values = torch.nn.Dropout(0.25), torch.ones(40, 50, dtype=kind)
    found = []
    for _ in range(2):
        torch.manual_seed(7)
        with step_kernels(CPU):
            found.append(layer(values))
    torch.manual_seed(7)
    assert torch.equal(*found)
    assert torch.equal(found[0], dropout(values, 0.25))
    assert found[0].dtype == kind
    assert not torch.equal(layer(values), found[0]), "left, it is torch's own again"


def test_nothing_is_dropped_in_evaluation_or_without_a_share() -> None:
    values = torch.randn(20, 20)
    with step_kernels(CPU):
        assert torch.equal(torch.nn.Dropout(0.5).eval()(values), values)
        assert torch.equal(torch.nn.Dropout(0.0)(values), values)
        assert not torch.nn.Dropout(1.0)(values).any()


@pytest.mark.parametrize("masked", ["bool", "float", None])
def test_attention_is_torchs(masked: str | None) -> None:
    torch.manual_seed(2)
    query, key, value = (torch.randn(3, 2, 5, 4, dtype=torch.float64, requires_grad=True) for _ in range(3))
    seen = torch.rand(3, 1, 5, 5) < 0.7
    seen[..., 0] = True
    mask = {"bool": seen, "float": torch.randn(3, 1, 5, 5, dtype=torch.float64), None: None}[masked]
    wanted = scaled_dot_product_attention(query, key, value, mask, scale=0.3)
    with step_kernels(CPU):
        found = scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=NEARLY_NONE, scale=0.3)
        plain = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.3)
    torch.testing.assert_close(found, wanted)
    assert torch.equal(plain, wanted)
    for own, other in zip(
        *(torch.autograd.grad((out**2).sum(), (query, key, value)) for out in (found, wanted)), strict=True
    ):
        torch.testing.assert_close(own, other)


def test_attention_drops_weights_not_values() -> None:
    torch.manual_seed(3)
    query = key = torch.zeros(1, 1, 2000, 4)
    value = torch.ones(1, 1, 2000, 1)
    with step_kernels(CPU):
        found = scaled_dot_product_attention(query, key, value, dropout_p=0.5)
    # a mean of 2,000 weights, half of them zeroed and the others doubled
    assert float(found.mean()) == pytest.approx(1.0, abs=0.01)
    assert float(found.std()) == pytest.approx(2000**-0.5, rel=0.1)


def test_causal_and_grouped_attention_stay_torchs() -> None:
    torch.manual_seed(4)
    query, key, value = torch.randn(1, 4, 6, 8), torch.randn(1, 2, 6, 8), torch.randn(1, 2, 6, 8)
    with step_kernels(CPU):
        found = scaled_dot_product_attention(query, key, value, dropout_p=NEARLY_NONE, is_causal=True, enable_gqa=True)
    torch.testing.assert_close(found, scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True))
