"""What must hold of every decision to train again, and of every comparison of fresh rows."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from acclimate.core.drift import rows_needed, without_copies
from acclimate.core.retrain_rules import RetrainEvidence, RetrainPolicy, decide_retraining

numbers = st.floats(-1000, 1000)
maybe = st.none() | st.booleans()
policies = st.builds(
    RetrainPolicy,
    every_days=st.none() | st.integers(1, 400),
    data_version=st.booleans(),
    new_rows=st.none() | st.integers(1, 1000),
    gap_alpha=st.none() | st.floats(0.002, 0.5),
    source_revision=st.booleans(),
    cool_down_hours=st.integers(0, 200),
)
known = st.builds(
    RetrainEvidence,
    has_champion=st.booleans(),
    champion_days=st.none() | numbers,
    same_data=maybe,
    new_rows=st.none() | st.integers(0, 2000),
    drift_p=st.none() | st.floats(0.002, 1),
    drift_units=st.none() | numbers,
    same_source=maybe,
    hours_since_attempt=st.none() | numbers,
    forced=st.booleans(),
)


@given(evidence=known, policy=policies, more=st.integers(0, 1000))
def test_more_evidence_never_turns_retrain_into_nothing(
    evidence: RetrainEvidence, policy: RetrainPolicy, more: int
) -> None:
    if decide_retraining(evidence, policy).action != "retrain":
        return
    changes = [
        {"new_rows": (evidence.new_rows or 0) + more},
        {"champion_days": None if evidence.champion_days is None else evidence.champion_days + more},
        {"drift_p": None if evidence.drift_p is None else evidence.drift_p / (1 + more)},
        {"forced": True},
    ]
    for change in changes:
        assert decide_retraining(replace(evidence, **change), policy).action == "retrain"


@given(evidence=known, policy=policies, share=st.floats(0, 1, exclude_max=True))
def test_within_the_cool_down_only_force_trains(evidence: RetrainEvidence, policy: RetrainPolicy, share: float) -> None:
    recent = replace(evidence, hours_since_attempt=share * policy.cool_down_hours)
    found = decide_retraining(recent, policy)
    if policy.cool_down_hours and not evidence.forced:
        assert found.action == "nothing"
    assert found.cooling == (found.action == "nothing" and any(one.fired for one in found.triggers))


@given(evidence=known, policy=policies)
def test_no_champion_trains_unless_it_is_cooling(evidence: RetrainEvidence, policy: RetrainPolicy) -> None:
    found = decide_retraining(replace(evidence, has_champion=False), policy)
    assert (found.action == "nothing") == found.cooling


@given(evidence=known, policy=policies)
def test_it_trains_only_for_a_reason(evidence: RetrainEvidence, policy: RetrainPolicy) -> None:
    found = decide_retraining(evidence, policy)
    fired = [one.says for one in found.triggers if one.fired]
    if found.action == "retrain":
        assert found.reason == ("it was asked for" if evidence.forced else fired[0])
    assert found == decide_retraining(evidence, policy)


digests = st.lists(st.integers(0, 30), max_size=30)


@settings(deadline=None)
@given(fresh=digests, held=digests.map(set), train=digests.map(set))
def test_no_text_is_compared_with_itself(fresh: list[int], held: set[int], train: set[int]) -> None:
    stored = np.array(sorted(held - train), dtype=np.int64)
    seen = np.array(sorted(held | train), dtype=np.int64)
    rows = np.array(fresh, dtype=np.int64)
    found = without_copies(rows, stored, seen)
    left = rows[found.fresh].tolist()
    assert len(left) == len(set(left))
    assert not set(left) & set(seen.tolist())
    assert 2 * found.held.size >= stored.size


@given(statistic=st.floats(-10, 100), limit=st.floats(-1, 20), fresh=st.integers(1, 2000), held=st.integers(2, 1000))
def test_more_rows_are_never_fewer(statistic: float, limit: float, fresh: int, held: int) -> None:
    found = rows_needed(statistic, limit, fresh, held)
    assert found is None or found >= fresh
