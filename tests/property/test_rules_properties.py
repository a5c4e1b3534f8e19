"""Decision rules never turn the wrong way, whatever the evidence."""

from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
from hypothesis import given

from acclimate.core.evidence import ArmEstimate, Evidence
from acclimate.core.rules import ArmResult, Settlement, choose_arm, settle

shares = st.floats(0, 1)
STRATEGIES = ("lora", "full", "tapt", "scratch")


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    low, score, high = sorted(draw(st.tuples(shares, shares, shares)))
    gain_low, gain, gain_high = sorted(draw(st.tuples(*[st.floats(-1, 1)] * 3)))
    train = draw(st.integers(10, 20_000))
    return Evidence(
        setting=draw(st.sampled_from(["inductive", "supervised adaptation"])),
        gap_verdict=draw(st.sampled_from(["NONE", "SMALL", "LARGE", "UNDERPOWERED", "INCOMPARABLE", "NO_REFERENCE"])),
        target_labels=True,
        train_rows=train,
        validation_rows=draw(st.integers(2, 20_000)),
        rows_per_class={"a": train // 2, "b": train - train // 2},
        probe_score=score,
        probe_low=low,
        probe_high=high,
        best_control="tfidf",
        best_control_score=draw(shares),
        gain=gain,
        gain_low=gain_low,
        gain_high=gain_high,
        disagreement=draw(shares),
        slope_per_doubling=draw(st.floats(-0.1, 0.1)),
        at_least=draw(st.none() | shares),
        min_gain=draw(shares),
        estimates={
            name: ArmEstimate(name, draw(st.integers(1, 40)), draw(st.floats(0.01, 1000)), draw(st.floats(0, 1000)))
            for name in STRATEGIES
        },
        budget_seconds=draw(st.floats(1, 100_000)),
        requested_arms=draw(st.none() | st.lists(st.sampled_from(["frozen", *STRATEGIES]), unique=True).map(tuple)),
        unlabelled_rows=draw(st.sampled_from([0, 10, 20_000, 200_000])),
    )


def fired(settled: Settlement, rule: str) -> bool:
    return any(f.fired for f in settled.findings if f.rule == rule)


@given(evidences())
def test_a_decision_is_consistent(evidence: Evidence) -> None:
    settled = settle(evidence)
    assert settled.rule in ("R3", "R4", "R5")
    assert fired(settled, settled.rule)
    assert (settled.action == "finetune") == bool(settled.arms)
    assert settled.strategy == ("+".join(settled.arms) or "frozen")
    assert not {"frozen", "scratch"} & set(settled.arms)
    assert set(settled.controls) <= {"scratch"}
    assert (settled.label_more is not None) == (settled.rule == "R4")
    assert settle(evidence) == settled


@given(evidences(), st.integers(1, 20_000))
def test_more_validation_labels_never_make_r4_freeze(evidence: Evidence, more: int) -> None:
    after = settle(replace(evidence, validation_rows=evidence.validation_rows + more))
    assert fired(settle(evidence), "R4") or not fired(after, "R4")
    assert not (settle(evidence).action == "finetune" and after.action == "freeze")


@given(evidences(), st.integers(2, 30), st.floats(0.2, 1), st.floats(0, 0.2))
def test_the_labels_r4_asks_for_are_enough(evidence: Evidence, rows: int, disagreement: float, gain: float) -> None:
    few = {"validation_rows": rows, "disagreement": disagreement, "min_gain": gain}
    evidence = replace(evidence, **few, at_least=None, probe_low=0.0)
    settled = settle(evidence)
    assert settled.label_more is not None
    assert settled.label_more > 0
    grown = replace(evidence, validation_rows=evidence.validation_rows + (settled.label_more + 4) // 5)
    assert not fired(settle(grown), "R4")


@given(evidences(), shares, shares)
def test_raising_the_requirement_never_turns_finetune_into_freeze(evidence: Evidence, a: float, b: float) -> None:
    low, high = (settle(replace(evidence, at_least=x)) for x in sorted((a, b)))
    assert not (low.action == "finetune" and high.action == "freeze")
    assert fired(low, "R4") or not fired(high, "R4")
    assert fired(low, "R3") or not fired(high, "R3")


@given(evidences(), shares)
def test_a_larger_min_gain_never_makes_r4_freeze(evidence: Evidence, other: float) -> None:
    small, large = sorted((evidence.min_gain, other))
    assert fired(settle(replace(evidence, min_gain=small)), "R4") or not fired(
        settle(replace(evidence, min_gain=large)), "R4"
    )


@given(evidences(), shares)
def test_more_disagreement_never_turns_freeze_into_finetune(evidence: Evidence, other: float) -> None:
    few, many = (settle(replace(evidence, disagreement=d)) for d in sorted((evidence.disagreement, other)))
    assert not (few.action == "freeze" and many.action == "finetune")


@given(evidences(), shares)
def test_a_surer_baseline_never_turns_freeze_into_finetune(evidence: Evidence, other: float) -> None:
    less, more = (settle(replace(evidence, probe_low=x)) for x in sorted((evidence.probe_low, other)))
    assert not (less.action == "freeze" and more.action == "finetune")


@given(evidences(), st.floats(1, 100_000))
def test_a_larger_budget_never_removes_an_arm(evidence: Evidence, other: float) -> None:
    small, large = (settle(replace(evidence, budget_seconds=x)) for x in sorted((evidence.budget_seconds, other)))
    assert set(small.arms) <= set(large.arms)


@given(evidences(), st.integers(0, 200_000))
def test_more_unlabelled_texts_never_take_pretraining_away(evidence: Evidence, more: int) -> None:
    before, after = settle(evidence), settle(replace(evidence, unlabelled_rows=evidence.unlabelled_rows + more))
    assert fired(after, "R6") or not fired(before, "R6")
    assert before.action == after.action


@given(evidences(), st.floats(-1, 1))
def test_doubt_about_transfer_never_removes_the_control(evidence: Evidence, other: float) -> None:
    worse, better = (settle(replace(evidence, gain_low=x)) for x in sorted((evidence.gain_low, other)))
    assert fired(worse, "R7") or not fired(better, "R7")
    assert worse.arms == better.arms


results = st.lists(
    st.builds(ArmResult, st.uuids().map(str), st.floats(0, 1e5), shares, st.floats(-1, 0)), min_size=1, max_size=5
)


@given(results, shares, shares)
def test_a_larger_tolerance_never_chooses_a_dearer_arm(arms: list[ArmResult], a: float, b: float) -> None:
    top = max(arms, key=lambda arm: arm.score)
    arms = [replace(arm, against_best_low=0.0) if arm is top else arm for arm in arms]
    cost = {arm.strategy: arm.expected_seconds for arm in arms}
    strict, lenient = sorted((a, b))
    assert cost[choose_arm(arms, lenient).strategy] <= cost[choose_arm(arms, strict).strategy]


@given(results, shares, st.randoms())
def test_the_order_of_the_arms_does_not_matter(arms: list[ArmResult], tolerance: float, random: object) -> None:
    shuffled = list(arms)
    random.shuffle(shuffled)
    assert choose_arm(shuffled, tolerance).strategy == choose_arm(arms, tolerance).strategy
