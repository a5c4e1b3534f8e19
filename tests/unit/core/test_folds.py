"""Folds: stratified, whole groups, and refused where a class could not be learned."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from acclimate.core.folds import assign_folds, stratified_part
from acclimate.errors import DataError


@settings(deadline=None)
@given(counts=st.lists(st.integers(2, 40), min_size=2, max_size=4), folds=st.integers(2, 6), seed=st.integers(0, 99))
def test_folds_are_stratified(counts: list[int], folds: int, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    fold = assign_folds(labels, None, folds=folds, seed=seed)
    number = int(fold.max()) + 1
    assert number == min(folds, *counts)
    for label, count in enumerate(counts):
        held_out = np.bincount(fold[labels == label], minlength=number)
        assert held_out.max() - held_out.min() <= 1
        assert held_out.sum() == count
    assert np.array_equal(fold, assign_folds(labels, None, folds=folds, seed=seed))


@settings(deadline=None)
@given(groups=st.lists(st.integers(0, 15), min_size=40, max_size=80), seed=st.integers(0, 99))
def test_a_group_is_never_split(groups: list[int], seed: int) -> None:
    # both classes in every group: no fold can lack one
    labels = np.arange(2 * len(groups)) % 2
    names = [f"g{group}" for group in groups for _ in range(2)]
    assume(len(set(names)) > 1)
    fold = assign_folds(labels, names, folds=5, seed=seed)
    for name in set(names):
        assert len({int(fold[i]) for i in range(len(names)) if names[i] == name}) == 1
    assert sorted(set(fold.tolist())) == list(range(int(fold.max()) + 1))


def test_groups_that_are_the_classes_are_refused() -> None:
    labels = np.repeat([0, 1], 20)
    with pytest.raises(DataError) as caught:
        assign_folds(labels, [f"g{label}" for label in labels], folds=5, seed=0)
    assert caught.value.code == "E-BASELINE-001"
    assert "group" in caught.value.hint


def test_a_single_group_is_refused() -> None:
    with pytest.raises(DataError) as caught:
        assign_folds(np.arange(20) % 2, ["one"] * 20, folds=5, seed=0)
    assert caught.value.code == "E-BASELINE-001"


@given(
    counts=st.lists(st.integers(2, 60), min_size=2, max_size=4), share=st.floats(0.05, 0.95), seed=st.integers(0, 99)
)
def test_a_part_keeps_the_mix_of_classes(counts: list[int], share: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    rows = stratified_part(labels, share, seed=seed)
    assert np.all(np.diff(rows) > 0)
    for label, count in enumerate(counts):
        assert int((labels[rows] == label).sum()) == max(2, round(share * count))
    assert set(stratified_part(labels, share / 2, seed=seed)) <= set(rows)
