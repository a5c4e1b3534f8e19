"""What a policy changes in the gate: what is claimed, required, waived, and who has to approve."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from acclimate.core.gate import GateInputs, Waiver, judge
from acclimate.core.gate_inputs import Reliability
from acclimate.core.licences import Grade
from tests.policies import MEDICAL, STANDARD, STRICT
from tests.unit.core.test_gate import GOOD, result, sliced, with_comparison, with_primary

UNRELIABLE = replace(GOOD, reliability=Reliability(0.2, 0.3, 0.9, 0.5))
WEAK_SLICE = replace(GOOD, slices=(sliced("channel = mail", 300, 0.5, 0.45, 0.55, "channel"),))
PATIENTS = replace(GOOD, grouped=True, test_groups=60, slices=(sliced("site = north", 300, 0.85, 0.81, 0.89, "site"),))


def test_non_inferiority_promotes_what_is_worse_by_at_most_the_margin() -> None:
    policy = replace(STANDARD, claim="non_inferiority")
    bounds = {(0.001, 0.02): "PROMOTE", (-0.01, 0.02): "PROMOTE", (-0.011, 0.02): "HOLD", (-0.02, -0.001): "REJECT"}
    assert {b: judge(with_primary(*b), policy).verdict for b in bounds} == bounds
    assert judge(with_primary(-0.01, 0.02), STANDARD).verdict == "SHADOW"
    primary = result(judge(with_primary(-0.01, 0.02), policy), "primary")
    assert (primary.outcome, "as the policy asks" in primary.says) == ("passed", True)


def test_a_later_look_that_still_shows_the_claim_warns_of_nothing() -> None:
    seen_often = replace(with_primary(0.001, 0.02), look=5)
    assert result(judge(seen_often, STANDARD), "reuse").outcome == "warned"
    not_worse = replace(STANDARD, claim="non_inferiority", margin=0.5)
    assert result(judge(seen_often, not_worse), "reuse").outcome == "passed"


def test_a_policy_may_judge_each_look_at_its_own_error_rate() -> None:
    policy = replace(STANDARD, corrects_looks=True)
    verdicts = [judge(replace(with_primary(0.001, 0.099), look=k), policy).verdict for k in (1, 2, 5)]
    assert verdicts == ["SHADOW", "HOLD", "HOLD"], "it was just significant at 5 %"
    assert judge(replace(GOOD, look=5), policy).verdict == "PROMOTE"
    alphas = [result(judge(replace(GOOD, look=k), policy), "primary").numbers["alpha"] for k in (1, 3)]
    assert alphas == pytest.approx([0.05 * 6 / math.pi**2, 0.05 * 6 / (3 * math.pi) ** 2])
    assert result(judge(replace(GOOD, look=5), policy), "reuse").outcome == "passed"
    unknown = judge(replace(GOOD, look=0), policy)
    assert (unknown.verdict, result(unknown, "primary").outcome) == ("REJECT", "missing")


@pytest.mark.parametrize(("inputs", "check"), [(UNRELIABLE, "calibration"), (WEAK_SLICE, "slices")])
def test_what_standard_tells_of_strict_refuses(inputs: GateInputs, check: str) -> None:
    lenient, strict = judge(inputs, STANDARD), judge(inputs, STRICT)
    assert (lenient.verdict, result(lenient, check).outcome) == ("PROMOTE", "warned")
    assert (strict.verdict, result(strict, check).outcome) == ("REJECT", "failed")
    assert strict.reasons[0].startswith(f"{check}: ")


def test_a_good_model_passes_every_policy() -> None:
    assert judge(GOOD, STRICT).verdict == "PROMOTE"
    assert judge(replace(PATIENTS, approved_by="Dr. A"), MEDICAL).verdict == "PROMOTE"


@pytest.mark.parametrize(
    ("changes", "check", "outcome"),
    [
        ({"grouped": False}, "leakage", "failed"),
        ({"slices": GOOD.slices}, "slices", "missing"),
        ({"slices": ()}, "slices", "missing"),
        ({"test_groups": 19}, "primary", "missing"),
        ({"reference_given": True}, "retention", "missing"),
        ({"reliability": None}, "calibration", "missing"),
        ({"licences": {"source model": None}}, "licence", "failed"),
        ({"comparisons": tuple(d for d in GOOD.comparisons if d.other != "scratch")}, "controls", "missing"),
    ],
)
def test_medical_blocks_what_it_asks_for_and_does_not_get(changes: dict[str, Any], check: str, outcome: str) -> None:
    changes = {"expected_controls": frozenset({"random_features"}), **changes}
    judged = judge(replace(PATIENTS, **changes), MEDICAL)
    assert (judged.verdict, result(judged, check).outcome) == ("REJECT", outcome)
    assert judged.if_approved is None, "no approval mends a rejection"


def test_scratch_is_asked_of_trained_candidates_only() -> None:
    frozen = replace(
        PATIENTS,
        strategy="frozen",
        expected_controls=frozenset({"random_features"}),
        comparisons=tuple(d for d in GOOD.comparisons if d.other != "scratch"),
    )
    assert result(judge(frozen, MEDICAL), "controls").outcome == "passed"


def test_an_approval_alone_missing_holds_and_says_what_it_would_become() -> None:
    wide = replace(MEDICAL, margin=0.05)
    held = judge(PATIENTS, MEDICAL)
    assert (held.verdict, held.if_approved) == ("HOLD", "PROMOTE")
    assert any("has to approve it" in reason for reason in held.reasons)
    assert "approve" in held.next_step
    not_worse = judge(with_primary(-0.002, 0.1, PATIENTS), wide)
    assert (not_worse.verdict, not_worse.if_approved) == ("HOLD", "SHADOW")
    undecided = judge(with_primary(-0.1, 0.1, PATIENTS), MEDICAL)
    assert (undecided.verdict, undecided.if_approved) == ("HOLD", None), "an approval would not settle it"


@pytest.mark.parametrize(
    ("by", "may", "verdict"),
    [("Dr. A", (), "PROMOTE"), ("Dr. A", ("Dr. A",), "PROMOTE"), ("me", ("Dr. A",), "HOLD")],
)
def test_only_whom_the_policy_names_may_approve(by: str, may: tuple[str, ...], verdict: str) -> None:
    assert judge(replace(PATIENTS, approved_by=by), replace(MEDICAL, approved_by=frozenset(may))).verdict == verdict


def test_a_waiver_lets_a_failed_check_pass_and_is_kept_with_its_reason() -> None:
    policy = replace(STRICT, waived_by={"calibration": frozenset({"ann"})})
    waiver = Waiver("calibration", "ann", "scores are only ranked")
    judged = judge(UNRELIABLE, policy, [waiver])
    check = result(judged, "calibration")
    assert (judged.verdict, check.outcome, check.waived) == ("PROMOTE", "failed", "ann: scores are only ranked")
    assert any("waived by ann: scores are only ranked" in reason for reason in judged.reasons)


@pytest.mark.parametrize(
    "waiver",
    [
        Waiver("calibration", "bob", "I am not asked"),
        Waiver("slices", "ann", "this is another check"),
    ],
)
def test_a_waiver_the_policy_does_not_name_changes_nothing(waiver: Waiver) -> None:
    policy = replace(STRICT, waived_by={"calibration": frozenset({"ann"})})
    judged = judge(UNRELIABLE, policy, [waiver])
    assert (judged.verdict, result(judged, "calibration").waived) == ("REJECT", None)
    assert judge(UNRELIABLE, STRICT, [replace(waiver, by="ann")]).verdict == "REJECT", "strict lets nobody waive"


def test_a_waiver_of_what_passed_is_not_claimed() -> None:
    policy = replace(STRICT, waived_by={"calibration": frozenset({"ann"})})
    assert result(judge(GOOD, policy, [Waiver("calibration", "ann", "just in case")]), "calibration").waived is None


def test_no_waiver_makes_a_worse_model_better() -> None:
    everything = {entry: frozenset({"ann"}) for entry in STANDARD.required | {"primary"}}
    worse = with_primary(-0.05, -0.01)
    waivers = [Waiver(check, "ann", "I want it") for check in everything]
    assert judge(worse, replace(STANDARD, waived_by=everything), waivers).verdict == "REJECT"


@pytest.mark.parametrize(
    ("most", "outcome"), [(None, "not_applicable"), (90_000_000, "passed"), (89_999_999, "failed")]
)
def test_a_model_may_be_too_large(most: float | None, outcome: str) -> None:
    assert result(judge(GOOD, replace(STANDARD, size_bytes_at_most=most)), "cost").outcome == outcome


@pytest.mark.parametrize(
    ("seen", "outcome"), [(20.0, "passed"), (20.1, "failed"), (None, "missing"), (float("nan"), "missing")]
)
def test_a_model_may_be_too_slow(seen: float | None, outcome: str) -> None:
    limited = replace(STANDARD, latency_p95_ms_at_most=20.0)
    assert result(judge(replace(GOOD, latency_p95_ms=seen), limited), "cost").outcome == outcome
    found = result(judge(replace(GOOD, latency_p95_ms=seen), STANDARD), "cost")
    assert (found.outcome, "latency_p95_ms" in found.numbers) == ("not_applicable", False), "nothing that differs"


@pytest.mark.parametrize(("seen", "outcome"), [(512_000_000, "passed"), (512_000_001, "failed"), (None, "missing")])
def test_a_model_may_take_too_much_memory(seen: int | None, outcome: str) -> None:
    limited = replace(STANDARD, memory_bytes_at_most=512e6)
    assert result(judge(replace(GOOD, memory_bytes=seen), limited), "cost").outcome == outcome
    found = result(judge(replace(GOOD, memory_bytes=seen), STANDARD), "cost")
    assert (found.outcome, "memory_bytes" in found.numbers) == ("not_applicable", False), "nothing that differs"


@pytest.mark.parametrize(
    ("most", "slowest", "memory"), [(1.0, 20.0, 9e9), (90_000_000, 1.0, 9e9), (1.0, 1.0, 1.0), (90_000_000, 20.0, 1.0)]
)
def test_either_limit_is_enough_to_fail(most: float, slowest: float, memory: float) -> None:
    limited = replace(STANDARD, size_bytes_at_most=most, latency_p95_ms_at_most=slowest, memory_bytes_at_most=memory)
    seen = replace(GOOD, latency_p95_ms=10.0, memory_bytes=400_000_000)
    assert result(judge(seen, limited), "cost").outcome == "failed"
    enough = replace(STANDARD, size_bytes_at_most=9e7, latency_p95_ms_at_most=20.0, memory_bytes_at_most=4e8)
    assert result(judge(seen, enough), "cost").outcome == "passed"


@pytest.mark.parametrize(
    ("licence", "most", "outcome"),
    [
        ("GPL-3.0-only", Grade.COPYLEFT, "warned"),
        ("GPL-3.0-only", Grade.PERMISSIVE, "failed"),
        ("CC-BY-NC-4.0", Grade.COPYLEFT, "failed"),
        ("CC-BY-NC-4.0", None, "warned"),
        ("OpenRAIL", None, "warned"),
        ("OpenRAIL", Grade.USE_RESTRICTED, "warned"),
        ("OpenRAIL", Grade.COPYLEFT, "failed"),
        ("My-Own-1.0", Grade.NON_COMMERCIAL, "failed"),
        ("My-Own-1.0", None, "failed"),
        ("MIT", Grade.PERMISSIVE, "passed"),
    ],
)
def test_a_licence_may_ask_for_too_much(licence: str, most: Grade | None, outcome: str) -> None:
    inputs = replace(GOOD, licences={"source model": licence, "target data": "own data"})
    assert result(judge(inputs, replace(STANDARD, licence_at_most=most)), "licence").outcome == outcome


@pytest.mark.parametrize("stated", [None, "LicenseRef-house-terms", "see LICENSE"])
def test_an_unknown_licence_passes_only_where_the_policy_names_it(stated: str | None) -> None:
    unknown = replace(GOOD, licences={"source model": stated, "target data": stated})
    named = frozenset({"source model", "target data"})
    assert judge(unknown, replace(STANDARD, unknown_licences=named)).verdict == "PROMOTE"
    assert judge(unknown, replace(STANDARD, unknown_licences=frozenset({"source model"}))).verdict == "REJECT"


def test_a_stated_licence_that_is_not_known_here_is_named() -> None:
    inputs = replace(GOOD, licences={"source model": "llama3", "target data": "CC-BY-SA-4.0"})
    found = result(judge(inputs, STANDARD), "licence")
    assert "source model (llama3: none that is known here)" in found.says
    allowed = replace(STANDARD, unknown_licences=frozenset({"source model"}), licence_at_most=Grade.PERMISSIVE)
    assert result(judge(inputs, allowed), "licence").outcome == "failed", "what is known still counts"


def test_a_stricter_comparison_does_not_overlook_weak_slices() -> None:
    weak = replace(GOOD, slices=(sliced("weak", 40, 0.75, 0.64, 0.86, "site"),))  # one-sided p of about .037
    assert result(judge(weak, STANDARD), "slices").outcome == "warned"
    assert judge(weak, STRICT).verdict == "REJECT"
    assert result(judge(weak, replace(STANDARD, alpha=0.001)), "slices").outcome == "warned"
    assert result(judge(weak, replace(STANDARD, slice_alpha=0.001)), "slices").outcome == "passed"


def test_warnings_of_controls_block_where_the_policy_says_so() -> None:
    doubtful = with_comparison("random_features", low=-0.01, point=0.01, high=0.03)
    assert judge(doubtful, STANDARD).verdict == "PROMOTE"
    assert judge(doubtful, STRICT).verdict == "REJECT"
