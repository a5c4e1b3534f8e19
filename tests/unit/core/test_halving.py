from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acclimate.core.halving import rung_epochs, successive_halving

caps_of_arms = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=2), st.integers(1, 30), min_size=1, max_size=9)


def test_two_arms_take_one_rung_of_half_the_smaller_cap() -> None:
    asked: list[tuple[str, int]] = []

    def train(arm: str, epochs: int) -> float:
        asked.append((arm, epochs))
        return {"lora": 0.85, "full": 0.87}[arm]

    result = successive_halving({"lora": 5, "full": 4}, train)
    assert asked == [("lora", 2), ("full", 2)]
    assert result.survivor == "full"
    assert result.rung_scores == {"lora": [0.85], "full": [0.87]}


def test_one_arm_needs_no_rung() -> None:
    result = successive_halving({"lora": 5}, lambda arm, epochs: pytest.fail("trained"))
    assert result.survivor == "lora"
    assert result.rung_scores == {"lora": []}


def test_equal_scores_keep_the_order() -> None:
    assert successive_halving({"b": 3, "a": 3}, lambda arm, epochs: 0.5).survivor == "b"


def test_four_arms_take_two_rungs_of_growing_length() -> None:
    scores = {"a": 0.1, "b": 0.4, "c": 0.3, "d": 0.2}
    result = successive_halving(dict.fromkeys(scores, 20), lambda arm, epochs: scores[arm])
    assert rung_epochs(dict.fromkeys(scores, 20)) == [5, 10]
    assert result.survivor == "b"
    assert [len(result.rung_scores[arm]) for arm in "abcd"] == [1, 2, 2, 1]


def test_a_rung_is_never_empty() -> None:
    assert rung_epochs({"a": 1, "b": 9}) == [1]


@pytest.mark.parametrize("caps", [{}, {"a": 0}])
def test_arms_without_epochs_are_refused(caps: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least one epoch"):
        successive_halving(caps, lambda arm, epochs: 0.0)


@given(caps_of_arms, st.randoms(use_true_random=False))
def test_the_best_arm_wins_when_scores_do_not_change(caps: dict[str, int], random: object) -> None:
    order = list(caps)
    random.shuffle(order)  # type: ignore[attr-defined]
    scores = {arm: float(i) for i, arm in enumerate(order)}
    result = successive_halving(caps, lambda arm, epochs: scores[arm])
    assert result.survivor == order[-1]


@given(caps_of_arms)
def test_rungs_cost_less_than_full_training_of_all(caps: dict[str, int]) -> None:
    spent = dict.fromkeys(caps, 0)

    def train(arm: str, epochs: int) -> float:
        assert 1 <= epochs <= min(caps.values())
        spent[arm] += epochs
        return float(len(arm))

    result = successive_halving(caps, train)
    assert result.survivor in caps
    assert all(spent[arm] >= 1 for arm in caps) or len(caps) == 1
