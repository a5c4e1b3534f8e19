"""The gate: verdicts at every boundary, and refusal of everything that could not be computed."""

from __future__ import annotations

import math
import statistics
from dataclasses import fields, replace

import pytest

from acclimate.core.gate import (
    CheckResult,
    Difference,
    GateInputs,
    GateOutcome,
    Integrity,
    Reliability,
    SliceResult,
    judge,
)
from acclimate.core.gate_checks import CHECKS
from tests.policies import STANDARD

BASELINE = Difference("baseline", 0.80, 0.05, 0.03, 0.07, rows_needed=90, detectable_effect=0.02, mcnemar_p=0.001)
CHAMPION = replace(BASELINE, other="champion")


def sliced(
    name: str, rows: int, point: float | None, low: float | None, high: float | None, column: str = ""
) -> SliceResult:
    """A slice whose rows are served worse than the others by as much as its score lies below .85."""
    if point is None or low is None or high is None or not math.isfinite(point):
        return SliceResult(name, rows, point, low, high, column)
    error = (high - low) / 3.92 or 1e-9
    return SliceResult(
        name, rows, point, low, high, column, point - 0.85, statistics.NormalDist().cdf((point - 0.85) / error)
    )


GOOD = GateInputs(
    strategy="lora",
    test_rows=600,
    overlap_rows=0,
    near_duplicates=0,
    integrity=Integrity(0.0, changes_outputs=True, same_model=True),
    score=0.85,
    score_low=0.82,
    at_least=0.84,
    at_least_by="point",
    comparator="baseline",
    primary=BASELINE,
    comparisons=(
        BASELINE,
        Difference("tfidf", 0.75, 0.10, 0.08, 0.12),
        Difference("majority", 0.33, 0.52, 0.50, 0.54),
        Difference("random_features", 0.64, 0.21, 0.19, 0.23),
        Difference("scratch", 0.70, 0.15, 0.13, 0.17),
    ),
    expected_controls=frozenset({"random_features", "scratch"}),
    slices=(sliced("channel = mail", 300, 0.85, 0.81, 0.89),),
    reliability=Reliability(0.02, 0.05, 0.4, 0.2),
    size_bytes=90_000_000,
    licences={"source model": "Apache-2.0", "target data": "own data"},
    seed_scores=(0.86, 0.83),
)


def verdict(inputs: GateInputs, **policy: float) -> str:
    return judge(inputs, replace(STANDARD, **policy)).verdict


def result(outcome: GateOutcome, name: str) -> CheckResult:
    return next(check for check in outcome.checks if check.name == name)


def with_primary(low: float | None, high: float | None, inputs: GateInputs = GOOD) -> GateInputs:
    point = None if low is None or high is None else (low + high) / 2
    primary = Difference("baseline", 0.8, point, low, high, rows_needed=2500, detectable_effect=0.1, mcnemar_p=0.3)
    return replace(inputs, primary=primary, comparisons=(primary, *inputs.comparisons[1:]))


def with_comparison(other: str, **changes: float | None) -> GateInputs:
    comparisons = tuple(replace(d, **changes) if d.other == other else d for d in GOOD.comparisons)
    return replace(GOOD, comparisons=comparisons)


def test_a_sure_gain_with_everything_in_order_is_promoted() -> None:
    outcome = judge(GOOD, STANDARD)
    assert outcome.verdict == "PROMOTE"
    assert [c.number for c in outcome.checks] == list(range(1, 14))
    assert {c.name for c in outcome.checks if c.required} == {
        "leakage", "integrity", "primary", "controls", "at_least", "licence"
    }  # fmt: skip
    assert {c.outcome for c in outcome.checks} <= {"passed", "not_applicable"}
    assert "may be promoted" in outcome.next_step
    assert outcome.reasons == ("primary: better: +0.050 (+0.030 to +0.070) against baseline",)


JUST_BELOW = math.nextafter(-0.01, -1)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1e-9, 0.1, "PROMOTE"),
        (0.0, 0.1, "SHADOW"),
        (-0.01, 0.1, "SHADOW"),
        (-0.01, 0.0, "SHADOW"),
        (0.0, 0.0, "SHADOW"),  # the very same predictions
        (JUST_BELOW, 0.1, "HOLD"),
        (JUST_BELOW, 0.0, "HOLD"),
        (-0.2, 0.2, "HOLD"),
        (-0.005, -1e-9, "REJECT"),  # surely worse, though within the margin
        (-0.2, -0.1, "REJECT"),
        (0.1, -0.1, "REJECT"),  # no interval
    ],
)
def test_the_verdict_follows_from_where_the_interval_lies(low: float, high: float, expected: str) -> None:
    assert verdict(with_primary(low, high)) == expected


def test_warnings_of_required_checks_are_among_the_reasons() -> None:
    outcome = judge(replace(with_primary(-0.005, 0.1), near_duplicates=2, seed_scores=()), STANDARD)
    assert [reason.split(":")[0] for reason in outcome.reasons] == ["primary", "leakage"]


def test_no_margin_leaves_shadow_for_equals_only() -> None:
    assert verdict(with_primary(0.0, 0.1), margin=0.0) == "SHADOW"
    assert verdict(with_primary(-1e-9, 0.1), margin=0.0) == "HOLD"


def test_every_verdict_says_what_to_do_next() -> None:
    steps = {v: judge(with_primary(*b), STANDARD).next_step for v, b in {
        "PROMOTE": (0.01, 0.1), "SHADOW": (-0.005, 0.1), "HOLD": (-0.1, 0.1), "REJECT": (-0.2, -0.1)
    }.items()}  # fmt: skip
    assert len(set(steps.values())) == 4
    assert "2500 test rows" in steps["HOLD"]
    assert "2500 test rows" in steps["SHADOW"]
    assert "beside baseline" in steps["SHADOW"]
    assert "Don't use it" in steps["HOLD"]


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({"overlap_rows": 1}, "leakage"),
        ({"near_duplicates": 7}, "leakage"),
        ({"overlap_rows": -1}, "leakage"),
        ({"integrity": Integrity(1.1e-4, True, True)}, "integrity"),
        ({"integrity": Integrity(-1.1e-4, True, True)}, "integrity"),
        ({"integrity": Integrity(0.0, False, True)}, "integrity"),
        ({"integrity": Integrity(0.0, True, False)}, "integrity"),
        ({"score": 0.8399}, "at_least"),
        ({"at_least_by": "lower"}, "at_least"),
        ({"test_rows": 29}, "primary"),
    ],
)
def test_a_required_check_that_fails_rejects(changes: dict[str, object], failing: str) -> None:
    outcome = judge(replace(GOOD, **changes), STANDARD)
    assert outcome.verdict == "REJECT"
    blocking = [c.name for c in outcome.checks if c.required and c.outcome in ("failed", "missing")]
    assert blocking == [failing]
    assert outcome.reasons[0].startswith(f"{failing}: ")
    assert outcome.next_step == next(entry.remedy for entry in CHECKS if entry.name == failing)


@pytest.mark.parametrize(
    "changes",
    [
        {"near_duplicates": 6},  # 1 % of 600
        {"integrity": Integrity(1e-4, True, True)},
        {"score": 0.84},
        {"score": 0.1, "at_least": None},
        {"at_least_by": "lower", "score_low": 0.84},
        {"strategy": "frozen", "integrity": Integrity(0.0, None, True)},
        {"test_rows": 30},
    ],
)
def test_the_other_side_of_each_threshold_passes(changes: dict[str, object]) -> None:
    assert verdict(replace(GOOD, **changes)) == "PROMOTE"


@pytest.mark.parametrize(
    ("other", "changes", "outcome"),
    [
        ("tfidf", {"low": 1e-9}, "passed"),
        ("tfidf", {"low": 0.0}, "failed"),
        ("tfidf", {"low": -0.1}, "failed"),
        ("majority", {"low": -0.1}, "passed"),  # not the best trivial control
        ("majority", {"low": -0.1, "other_score": 0.9}, "failed"),
        ("random_features", {"low": -0.1, "high": -1e-9}, "failed"),
        ("random_features", {"low": -0.1, "high": 0.0}, "warned"),
        ("scratch", {"low": -0.1, "high": -0.01}, "failed"),
        ("scratch", {"low": 0.0}, "warned"),
        ("scratch", {"low": 1e-9}, "passed"),
        ("baseline", {"low": -0.1, "high": -0.05}, "passed"),  # shown, judged by the primary comparison
    ],
)
def test_controls_and_negative_transfer(other: str, changes: dict[str, float], outcome: str) -> None:
    judged = judge(with_comparison(other, **changes), STANDARD)
    assert result(judged, "controls").outcome == outcome
    assert judged.verdict == ("REJECT" if outcome == "failed" else "PROMOTE")


@pytest.mark.parametrize("other", ["tfidf", "majority", "random_features", "scratch"])
def test_a_control_that_was_not_run_rejects(other: str) -> None:
    outcome = judge(replace(GOOD, comparisons=tuple(d for d in GOOD.comparisons if d.other != other)), STANDARD)
    assert outcome.verdict == "REJECT"
    assert other in result(outcome, "controls").says


def test_images_have_trivial_controls_of_their_own() -> None:
    words = next(one for one in GOOD.comparisons if one.other == "tfidf")
    others = tuple(one for one in GOOD.comparisons if one is not words)
    images = replace(
        GOOD, trivial=("pixels", "histogram", "majority"), comparisons=(*others, replace(words, other="pixels"))
    )
    outcome = judge(images, STANDARD)
    assert outcome.verdict == "REJECT"
    assert "histogram" in result(outcome, "controls").says
    both = (*images.comparisons, replace(words, other="histogram"))
    assert verdict(replace(images, comparisons=both)) == "PROMOTE"


def test_a_control_that_nobody_asked_for_is_not_needed() -> None:
    inputs = replace(GOOD, expected_controls=frozenset({"random_features"}), comparisons=GOOD.comparisons[:-1])
    assert verdict(inputs) == "PROMOTE"


def beside_a_champion(*others: Difference, **changes: object) -> GateInputs:
    """The candidate where a champion is in use: other differences than those to baseline and source."""
    comparisons = (CHAMPION, *others, *GOOD.comparisons[1:])
    before = frozenset({"baseline"})
    changes = {"expected_before": before, **changes}
    return replace(GOOD, comparator="champion mail/3", primary=CHAMPION, comparisons=comparisons, **changes)


AS_IS = Difference("source_as_is", 0.6, 0.25, 0.2, 0.3)


@pytest.mark.parametrize("before", [BASELINE, AS_IS], ids=lambda one: one.other)
@pytest.mark.parametrize(("high", "outcome"), [(-1e-9, "failed"), (0.0, "passed"), (0.1, "passed")])
def test_whatever_the_champion_is_what_was_adapted_must_not_be_surely_better(
    before: Difference, high: float, outcome: str
) -> None:
    known = [one for one in (BASELINE, AS_IS) if one.other != before.other]
    judged = judge(beside_a_champion(*known, replace(before, low=-0.1, point=-0.05, high=high)), STANDARD)
    assert result(judged, "controls").outcome == outcome
    assert judged.verdict == ("REJECT" if outcome == "failed" else "PROMOTE")
    if outcome == "failed":
        assert f"adapting made it worse: {before.other} is better" in judged.reasons[0]


def test_what_was_adapted_has_to_be_compared_where_every_evaluation_does() -> None:
    for absent, expected in ((AS_IS, {"baseline"}), (BASELINE, {"source_as_is"})):
        outcome = judge(beside_a_champion(absent, expected_before=frozenset(expected)), STANDARD)
        assert (outcome.verdict, result(outcome, "controls").outcome) == ("REJECT", "missing")
        assert expected.pop() in result(outcome, "controls").says
    assert verdict(beside_a_champion(expected_before=frozenset(), strategy="frozen")) == "PROMOTE"
    unknown = judge(beside_a_champion(BASELINE, replace(AS_IS, high=math.nan)), STANDARD)
    assert result(unknown, "controls").outcome == "missing", "compared, and nothing came of it"


def test_what_was_adapted_is_the_primary_comparisons_alone_where_it_is_the_comparator() -> None:
    worse = replace(BASELINE, low=-0.07, point=-0.05, high=-0.03)
    outcome = judge(replace(GOOD, primary=worse, comparisons=(worse, *GOOD.comparisons[1:])), STANDARD)
    assert outcome.verdict == "REJECT"
    assert (result(outcome, "primary").outcome, result(outcome, "controls").outcome) == ("failed", "passed")


def test_no_comparator_rejects() -> None:
    assert verdict(replace(GOOD, primary=None)) == "REJECT"


BROKEN = [None, math.nan, math.inf, -math.inf]
REQUIRED = ["test_rows", "overlap_rows", "near_duplicates", "score"]


@pytest.mark.parametrize("value", BROKEN)
@pytest.mark.parametrize("name", REQUIRED)
def test_fails_closed_without_a_required_number(name: str, value: float | None) -> None:
    outcome = judge(replace(GOOD, **{name: value}), STANDARD)
    assert outcome.verdict == "REJECT"
    assert all(
        x is None or not isinstance(x, float) or math.isfinite(x) for c in outcome.checks for x in c.numbers.values()
    )


@pytest.mark.parametrize("value", BROKEN)
@pytest.mark.parametrize("name", [f.name for f in fields(Integrity)])
def test_fails_closed_without_integrity(name: str, value: float | None) -> None:
    assert verdict(replace(GOOD, integrity=replace(GOOD.integrity, **{name: value}))) == "REJECT"


@pytest.mark.parametrize("value", BROKEN)
@pytest.mark.parametrize("name", ["other_score", "point", "low", "high"])
@pytest.mark.parametrize("other", ["tfidf", "majority", "random_features", "scratch"])
def test_fails_closed_without_a_controls_numbers(other: str, name: str, value: float | None) -> None:
    assert verdict(with_comparison(other, **{name: value})) == "REJECT"


@pytest.mark.parametrize("value", BROKEN)
@pytest.mark.parametrize("name", ["other_score", "point", "low", "high"])
def test_fails_closed_without_the_primary_comparisons_numbers(name: str, value: float | None) -> None:
    assert verdict(replace(GOOD, primary=replace(BASELINE, **{name: value}))) == "REJECT"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_fails_closed_on_a_requirement_that_is_no_number(value: float) -> None:
    assert verdict(replace(GOOD, at_least=value)) == "REJECT"


@pytest.mark.parametrize("value", BROKEN)
def test_fails_closed_without_the_lower_end_where_the_goal_is_met_by_it(value: float | None) -> None:
    assert verdict(replace(GOOD, at_least_by="lower", at_least=0.8, score_low=value)) == "REJECT"


def test_fails_closed_on_a_margin_that_is_no_number() -> None:
    assert verdict(GOOD, margin=math.nan) == "REJECT"


@pytest.mark.parametrize(
    ("changes", "name", "outcome"),
    [
        ({"seed_scores": ()}, "seeds", "warned"),
        ({"seed_scores": (0.86,)}, "seeds", "warned"),
        ({"seed_scores": (0.86, 0.80)}, "seeds", "warned"),
        ({"seed_scores": (0.86, 0.801)}, "seeds", "passed"),
        ({"seeds_diverged": 1}, "seeds", "warned"),
        ({"seed_scores": (0.86, None)}, "seeds", "missing"),
        ({"seed_scores": (0.86, math.nan)}, "seeds", "missing"),
        ({"strategy": "frozen"}, "seeds", "not_applicable"),
        ({"slices": ()}, "slices", "not_applicable"),
        ({"slices": (SliceResult("length = 1", 600, 0.85, 0.8, 0.9, "length"),)}, "slices", "not_applicable"),
        ({"slices": (SliceResult("site = a", 40, 0.85, 0.85, 0.85, "site"),)}, "slices", "missing"),
        ({"slices": (), "slice_columns": ("site",)}, "slices", "missing"),
        ({"slices": (sliced("a", 40, 0.6, 0.5, 0.7),)}, "slices", "warned"),
        ({"slices": (sliced("a", 40, 0.83, 0.7, 0.9),)}, "slices", "passed"),
        ({"slices": (sliced("a", 40, 1.0, 1.0, 1.0),)}, "slices", "passed"),
        ({"slices": (sliced("a", 40, 0.85, 0.85, 0.85),)}, "slices", "passed"),
        ({"slices": (sliced("a", 40, 0.0, 0.0, 0.0),)}, "slices", "warned"),
        ({"slices": (sliced("a", 40, math.nan, 0.5, 0.7),)}, "slices", "missing"),
        ({"reliability": None}, "calibration", "missing"),
        ({"reliability": Reliability(math.nan, 0.1, 0.1, 0.1)}, "calibration", "missing"),
        ({"reliability": Reliability(0.051, 0.1, 0.1, 0.1)}, "calibration", "warned"),
        ({"reliability": Reliability(0.05, 0.1, 0.1, 0.1)}, "calibration", "passed"),
        ({"retention_low": -0.02}, "retention", "warned"),
        ({"retention_low": -0.01}, "retention", "passed"),
        ({"retention_low": math.nan}, "retention", "missing"),
        ({"retention_low": None}, "retention", "not_applicable"),
        ({"retention_low": None, "reference_given": True}, "retention", "missing"),
        ({"size_bytes": None}, "cost", "missing"),
        ({"look": 0}, "reuse", "missing"),
    ],
)
def test_what_is_not_required_is_reported_and_blocks_nothing(
    changes: dict[str, object], name: str, outcome: str
) -> None:
    judged = judge(replace(GOOD, **changes), STANDARD)
    assert result(judged, name).outcome == outcome
    assert not result(judged, name).required
    assert judged.verdict == "PROMOTE"


@pytest.mark.parametrize(
    ("licences", "outcome", "promotion"),
    [
        ({"source model": None, "target data": "own data"}, "failed", "REJECT"),
        ({"source model": "MIT", "target data": None}, "failed", "REJECT"),
        ({"source model": "CC-BY-NC-4.0", "target data": "MIT"}, "warned", "PROMOTE"),
        ({"source model": "MIT", "target data": "MPL-2.0"}, "warned", "PROMOTE"),
        ({"source model": "MIT", "target data": "own data"}, "passed", "PROMOTE"),
        ({}, "missing", "REJECT"),
    ],
)
def test_licences_have_to_be_known(licences: dict[str, str | None], outcome: str, promotion: str) -> None:
    judged = judge(replace(GOOD, licences=licences), STANDARD)
    assert (result(judged, "licence").outcome, judged.verdict) == (outcome, promotion)


@pytest.mark.parametrize("entry", [one for one in CHECKS if one.name != "approval"], ids=lambda entry: entry.name)
def test_any_check_a_policy_requires_blocks_when_it_fails(entry: object) -> None:
    changes: dict[str, dict[str, object]] = {
        "leakage": {"overlap_rows": 3},
        "integrity": {"integrity": Integrity(None, None, None)},
        "primary": {"primary": None},
        "seeds": {"seed_scores": (0.86, None)},
        "controls": {"comparisons": ()},
        "slices": {"slices": (sliced("a", 40, None, None, None),)},
        "calibration": {"reliability": None},
        "retention": {"retention_low": math.nan},
        "cost": {"size_bytes": None},
        "licence": {"licences": {"source model": None}},
        "reuse": {"look": 0},
        "at_least": {"score": 0.0},
    }
    policy = replace(STANDARD, required=frozenset({entry.name, "primary"}), unknown_licences=frozenset())
    assert judge(GOOD, policy).verdict == "PROMOTE"
    assert judge(replace(GOOD, **changes[entry.name]), policy).verdict == "REJECT"


def test_the_spread_between_seeds_is_shown() -> None:
    check = result(judge(GOOD, STANDARD), "seeds")
    assert check.numbers == {
        "seeds": 3,
        "lowest": 0.83,
        "highest": 0.86,
        "standard_deviation": pytest.approx(statistics.stdev([0.85, 0.86, 0.83])),
    }
    assert check.says == "3 training seeds: 0.830 to 0.860, standard deviation 0.015, each better than baseline"


def test_a_seed_that_would_not_have_done_is_named() -> None:
    check = result(judge(replace(GOOD, seed_scores=(0.86, 0.795)), STANDARD), "seeds")
    assert "1 of them is not better than baseline" in check.says
    within = judge(replace(GOOD, seed_scores=(0.86, 0.795)), replace(STANDARD, claim="non_inferiority", margin=0.01))
    assert result(within, "seeds").outcome == "passed"


def test_the_most_restrictive_licence_is_named() -> None:
    licences = {"source model": "Apache-2.0", "target data": "CC-BY-SA-4.0", "pool": "CC0-1.0"}
    check = result(judge(replace(GOOD, licences=licences), STANDARD), "licence")
    assert check.numbers["most_restrictive"] == "CC-BY-SA-4.0"


def test_slices_are_corrected_for_their_number() -> None:
    weak = sliced("weak", 40, 0.75, 0.64, 0.86)  # one-sided p of about .037 against the whole's .85
    strong = tuple(sliced(str(i), 40, 0.9, 0.8, 1.0) for i in range(9))
    assert result(judge(replace(GOOD, slices=(weak,)), STANDARD), "slices").outcome == "warned"
    assert result(judge(replace(GOOD, slices=(*strong, weak)), STANDARD), "slices").outcome == "passed"


def slices_of(*parts: tuple[str, float, float]) -> tuple[SliceResult, ...]:
    """Slices by name, score and half the width of its interval."""
    return tuple(sliced(name, 40, point, point - half, point + half) for name, point, half in parts)


def test_the_worst_slice_is_the_one_that_might_be_lowest_where_none_is_shown_to_be() -> None:
    found = slices_of(("a", 0.86, 0.05), ("b", 0.84, 0.04), ("c", 0.85, 0.2), ("d", 0.9, 0.01))
    check = result(judge(replace(GOOD, slices=found), STANDARD), "slices")
    assert check.outcome == "passed"
    assert (check.numbers["worst"], check.numbers["worst_low"]) == ("c", pytest.approx(0.65))


def test_the_worst_slice_is_the_surest_of_those_that_are_shown_to_be_behind() -> None:
    # Holm gives both the same p: the first one's times three is below the second's times two
    found = slices_of(("a", 0.84, 0.3), ("b", 0.7, 0.1), ("c", 0.6985, 0.1))
    check = result(judge(replace(GOOD, slices=found), STANDARD), "slices")
    assert check.outcome == "warned"
    assert check.numbers["worst"] == "c"
    tied = slices_of(("a", 0.80, 0.0499), ("b", 0.7991, 0.05), ("c", 0.5, 0.9))
    check = result(judge(replace(GOOD, slices=tied), replace(STANDARD, slice_alpha=0.2)), "slices")
    assert (check.outcome, check.numbers["worst"]) == ("warned", "b"), "not the one whose interval begins lowest"


@pytest.mark.parametrize(("floor", "outcome"), [(None, "passed"), (0.65, "passed"), (0.651, "failed")])
def test_a_policy_may_say_what_every_slice_must_reach(floor: float | None, outcome: str) -> None:
    inputs = replace(GOOD, slices=(sliced("a", 40, 0.8, 0.7, 0.9), sliced("b", 40, 0.85, 0.65, 1.0)))
    policy = replace(STANDARD, required=STANDARD.required | {"slices"}, slice_low_at_least=floor)
    judged = judge(inputs, policy)
    check = result(judged, "slices")
    assert (check.outcome, check.numbers["worst"]) == (outcome, "b")
    assert judged.verdict == ("REJECT" if outcome == "failed" else "PROMOTE")


def test_slices_that_were_left_out_are_counted() -> None:
    check = result(judge(replace(GOOD, slices_left_out=4), STANDARD), "slices")
    assert check.numbers["left_out"] == 4
    assert check.says.endswith("left out for too few test rows: 4")
    assert "left_out" not in result(judge(GOOD, STANDARD), "slices").numbers, "nobody counted them"


def test_what_the_test_rows_could_show_is_among_the_primary_comparisons_numbers() -> None:
    numbers = result(judge(with_primary(-0.03, 0.05), STANDARD), "primary").numbers
    expected = {"detectable_effect": 0.1, "rows_needed": 2500, "mcnemar_p": 0.3, "underpowered": True}
    assert {name: numbers[name] for name in expected} == expected


def test_a_smaller_error_rate_needs_more_rows() -> None:
    numbers = result(judge(with_primary(-0.03, 0.05), replace(STANDARD, alpha=0.025)), "primary").numbers
    grows = (1.959964 + 0.841621) / (1.644854 + 0.841621)
    assert numbers["detectable_effect"] == pytest.approx(0.1 * grows, rel=1e-5)
    assert numbers["rows_needed"] == math.ceil(2500 * grows**2)
    assert str(numbers["rows_needed"]) in judge(with_primary(-0.03, 0.05), replace(STANDARD, alpha=0.025)).next_step


@pytest.mark.parametrize(
    ("low", "high", "effect", "said"),
    [
        (-0.03, 0.05, 0.1, True),
        (-0.03, 0.05, 0.011, True),  # more than the margin and the observed difference
        (-0.03, 0.05, 0.0099, False),  # one as large as the margin would have been seen
        (-0.03, 0.13, 0.04, False),  # one as large as the observed would have
        (-0.005, 0.05, 0.1, True),
        (0.01, 0.05, 0.1, False),  # shown
        (-0.05, -0.01, 0.1, False),  # shown to be worse
        (-0.03, 0.05, None, False),
    ],
)
def test_underpowered_is_said_where_what_matters_would_be_missed(
    low: float, high: float, effect: float | None, said: bool
) -> None:
    inputs = with_primary(low, high)
    assert inputs.primary is not None
    judged = judge(replace(inputs, primary=replace(inputs.primary, detectable_effect=effect)), STANDARD)
    primary = result(judged, "primary")
    assert primary.numbers["underpowered"] == said
    assert ("UNDERPOWERED: 600 test rows find a difference of" in primary.says) == said
    assert ("2500 are needed" in judged.reasons[0]) == said


@pytest.mark.parametrize(
    ("grouped", "groups", "outcome"),
    [(True, 20, "passed"), (True, 19, "missing"), (True, None, "missing"), (False, None, "passed")],
)
def test_a_policy_may_ask_for_a_number_of_groups(grouped: bool, groups: int | None, outcome: str) -> None:
    inputs = replace(GOOD, grouped=grouped, test_groups=groups)
    judged = judge(inputs, replace(STANDARD, min_test_groups=20))
    assert result(judged, "primary").outcome == outcome
    assert judged.verdict == ("PROMOTE" if outcome == "passed" else "REJECT")
    assert [verdict(replace(GOOD, grouped=True, test_groups=one)) for one in (9, 10)] == ["REJECT", "PROMOTE"]


def test_later_looks_at_one_test_split_need_more_evidence() -> None:
    inputs = with_primary(0.001, 0.099)
    looks = [result(judge(replace(inputs, look=k), STANDARD), "reuse") for k in (1, 2, 5)]
    alphas = [check.numbers["alpha"] for check in looks]
    assert alphas == pytest.approx([0.05 * 6 / (math.pi**2 * k**2) for k in (1, 2, 5)])
    assert looks[-1].outcome == "warned"
    assert result(judge(replace(GOOD, look=2), STANDARD), "reuse").outcome == "passed"


def test_another_error_rate_moves_the_bounds() -> None:
    inputs = with_primary(0.001, 0.099)
    assert verdict(inputs, alpha=0.05) == "PROMOTE"
    assert verdict(inputs, alpha=0.01) == "HOLD"
    low = result(judge(inputs, replace(STANDARD, alpha=0.01)), "primary").numbers["low_one_sided"]
    assert low == pytest.approx(0.05 - 0.049 * 2.326348 / 1.644854, abs=1e-6)


@pytest.mark.parametrize(("rows", "outcome"), [(0, "passed"), (1, "failed"), (None, "missing"), (-1, "missing")])
def test_a_test_row_in_the_pool_blocks(rows: int | None, outcome: str) -> None:
    found = judge(replace(GOOD, pool_overlap_rows=rows), STANDARD)
    assert result(found, "leakage").outcome == outcome
    assert (found.verdict == "REJECT") == (outcome != "passed")
    assert result(found, "leakage").numbers["pool_overlap_rows"] == rows


@pytest.mark.parametrize(
    ("rows", "outcome", "says"),
    [
        ({"champion": 0, "source": 0}, "passed", "no test row was seen in training"),
        ({"champion": 600}, "warned", "the champion was trained on, so the comparison favours it"),
        ({"champion": None}, "warned", "the champion does not remember what it was trained on"),
        ({"source": 6}, "warned", "6 test rows look like ones that the source model was trained on"),
        ({"source": 7}, "failed", "more than 1% of 600 test rows: adapt what that was made from instead"),
        ({"source": None}, "warned", "the source model does not remember what it was trained on"),
        ({"champion": -1}, "missing", "not known"),
        ({"source": math.nan}, "missing", "not known"),
    ],
)
def test_test_rows_that_source_or_champion_were_trained_on_before(
    rows: dict[str, int | None], outcome: str, says: str
) -> None:
    """What the source knows flatters the candidate; what the champion knows does not."""
    found = judge(replace(GOOD, earlier_overlap_rows=rows), STANDARD)
    leakage = result(found, "leakage")
    assert (leakage.outcome, found.verdict) == (outcome, "PROMOTE" if outcome in ("passed", "warned") else "REJECT")
    assert says in leakage.says
    assert (leakage.says in " ".join(found.reasons)) == (outcome != "passed")
    assert all(f"{name}_overlap_rows" in leakage.numbers for name in rows)


def test_all_that_is_to_know_of_leakage_is_said() -> None:
    says = result(
        judge(replace(GOOD, near_duplicates=2, earlier_overlap_rows={"champion": 3}), STANDARD), "leakage"
    ).says
    assert "favours it" in says
    assert "2 test rows have a near-duplicate in training" in says


@pytest.mark.parametrize(("licence", "outcome"), [(None, "failed"), ("CC0-1.0", "passed"), ("GPL-3.0-only", "warned")])
def test_an_unknown_licence_of_the_pool_blocks(licence: str | None, outcome: str) -> None:
    found = judge(replace(GOOD, licences={**GOOD.licences, "pool": licence}), STANDARD)
    assert result(found, "licence").required, "whoever learns from a pool must know that it may"
    assert result(found, "licence").outcome == outcome
    assert (found.verdict == "REJECT") == (outcome == "failed")
    if outcome != "passed":
        assert any("pool" in reason for reason in found.reasons)
