"""Decision rules: both sides of each, the boundary included."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from acclimate.core.evidence import ArmEstimate, Block, Evidence
from acclimate.core.rules import POLICY_V1, RuleFinding, Settlement, settle
from acclimate.errors import DataError, ModelError

ESTIMATES = {
    name: ArmEstimate(name, 20, seconds) for name, seconds in (("lora", 10.0), ("full", 12.0), ("scratch", 12.0))
}
PRETRAINED = {**ESTIMATES, "tapt": ArmEstimate("tapt", 20, 12.0, pretraining_seconds=600.0)}
OPEN = Evidence(
    setting="supervised adaptation",
    gap_verdict="SMALL",
    target_labels=True,
    train_rows=1800,
    validation_rows=600,
    rows_per_class={"negative": 900, "positive": 900},
    probe_score=0.80,
    probe_low=0.78,
    probe_high=0.82,
    best_control="tfidf",
    best_control_score=0.75,
    gain=0.05,
    gain_low=0.03,
    gain_high=0.07,
    disagreement=0.15,
    slope_per_doubling=0.01,
    at_least=0.9,
    min_gain=0.01,
    estimates=ESTIMATES,
    budget_seconds=3600.0,
)


def finding(settled: Settlement, rule: str) -> RuleFinding:
    return next(f for f in settled.findings if f.rule == rule)


def test_open_question_trains_the_policys_arms_by_r5() -> None:
    settled = settle(OPEN)
    assert (settled.action, settled.rule, settled.strategy) == ("finetune", "R5", "lora+full")
    assert settled.arms == ("lora", "full")
    assert settled.controls == ()
    assert settled.label_more is None
    assert [f.rule for f in settled.findings] == ["R0", "R2", "R3", "R4", "R5", "R6", "R7"]
    assert [f.rule for f in settled.findings if f.fired] == ["R2", "R5"]


def test_every_rule_logs_inputs_threshold_source_and_outcome() -> None:
    for f in settle(OPEN).findings:
        assert f.inputs
        assert f.threshold
        assert f.says
        assert "acclimate policy v1" in f.source


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"probe_low": 0.95}, "R3"),
        ({"probe_low": 0.9}, "R3"),  # equal to the requirement is enough
        ({"probe_low": math.nextafter(0.9, 0)}, "R5"),
        ({"probe_low": 0.95, "gain": 0.0}, "R3"),  # a control as good does not beat it
        ({"probe_low": 0.95, "gain": -0.001}, "R5"),
        ({"probe_low": 0.98, "at_least": None}, "R5"),
        ({"probe_low": 0.99, "at_least": None}, "R3"),  # no gain of min_gain fits above it
        ({"probe_low": 0.99, "at_least": 0.995}, "R5"),
    ],
)
def test_r3_freezes_a_baseline_that_is_surely_enough(changes: dict[str, float | None], rule: str) -> None:
    settled = settle(replace(OPEN, **changes))
    assert settled.rule == rule
    assert finding(settled, "R3").fired == (rule == "R3")
    assert settled.action == ("freeze" if rule == "R3" else "finetune")


def test_r3_rejects_the_arms_with_a_reason() -> None:
    settled = settle(replace(OPEN, probe_low=0.95))
    assert settled.strategy == "frozen"
    assert settled.arms == ()
    assert [text.split(":")[0] for text in finding(settled, "R3").rejected] == ["lora", "full"]
    assert not finding(settled, "R5").fired


# (z_.95 + z_.80)^2 from tables: 1.644854 + 0.841621
Z2 = (1.644854 + 0.841621) ** 2


def succession(disagreement: float, rows: int = OPEN.train_rows) -> float:
    """What is to be expected after so many of ``rows`` disagreed."""
    return (disagreement * rows + 1) / (rows + 2)


@pytest.mark.parametrize(
    ("rows", "disagreement", "at_least", "min_gain", "fires"),
    [
        (600, 0.15, 0.9, 0.01, False),  # shows .039, wanted .10
        (20, 0.15, None, 0.01, True),  # shows .215, wanted .2
        (15, 0.15, 1.0, 0.01, True),  # shows .249, wanted .2: the requirement is not farther
        (20, 0.15, 0.70, 0.01, True),  # requirement below the baseline asks for nothing
        (20, 0.15, None, 0.22, False),  # wanted .22 by min_gain
        (60, 0.15, None, 0.01, False),  # shows .124
    ],
)
def test_r4_freezes_when_validation_is_too_small(
    rows: int, disagreement: float, at_least: float | None, min_gain: float, fires: bool
) -> None:
    evidence = replace(
        OPEN, validation_rows=rows, disagreement=disagreement, at_least=at_least, min_gain=min_gain, probe_low=0.6
    )
    settled = settle(evidence)
    wanted = max(min_gain, 0.2, (at_least or 0.0) - 0.8)
    shown = math.sqrt(Z2 * succession(disagreement) / rows)
    assert fires == (shown > wanted)
    assert settled.detectable_effect == pytest.approx(shown, rel=1e-5)
    assert settled.rule == ("R4" if fires else "R5")
    assert settled.action == ("freeze" if fires else "finetune")


def test_r4_does_not_fire_when_the_detectable_effect_equals_the_wanted_gain() -> None:
    evidence = replace(OPEN, validation_rows=20, probe_low=0.5, at_least=None)
    shown = settle(evidence).detectable_effect
    assert settle(replace(evidence, min_gain=shown)).rule == "R5"
    assert settle(replace(evidence, min_gain=math.nextafter(shown, 0))).rule == "R4"


def test_r4_says_how_many_labels_would_make_validation_large_enough() -> None:
    settled = settle(replace(OPEN, validation_rows=15, at_least=None))
    assert settled.label_more is not None
    # 6.18 x .15 / .2^2 = 24 validation rows; 9 are missing, and validation gets a fifth of new labels
    assert settled.label_more == 5 * (math.ceil(Z2 * succession(0.15) / 0.2**2) - 15)
    assert f"label about {settled.label_more} more" in settled.reason
    enough = settle(replace(OPEN, validation_rows=15 + settled.label_more // 5, at_least=None))
    assert enough.rule == "R5"
    short = settle(replace(OPEN, validation_rows=15 + settled.label_more // 5 - 1, at_least=None))
    assert short.rule == "R4"


@pytest.mark.parametrize("rows", [6, 14])
def test_r4_does_not_take_agreement_on_a_few_rows_for_certainty(rows: int) -> None:
    tiny = replace(OPEN, train_rows=rows, validation_rows=rows // 2, disagreement=0.0, at_least=None)
    settled = settle(tiny)
    assert settled.rule == "R4"
    assert settled.detectable_effect == pytest.approx(math.sqrt(Z2 / (rows + 2) / (rows // 2)), rel=1e-5)
    assert settle(replace(tiny, train_rows=4000, validation_rows=1000)).rule == "R5", "on many it is"


def test_r4_never_expects_less_disagreement_than_was_seen() -> None:
    settled = settle(replace(OPEN, train_rows=10, validation_rows=60, disagreement=0.8, at_least=None))
    assert settled.detectable_effect == pytest.approx(math.sqrt(Z2 * 0.8 / 60), rel=1e-5)


def test_r3_settles_before_r4() -> None:
    settled = settle(replace(OPEN, probe_low=0.95, validation_rows=10, at_least=0.9, probe_score=0.96))
    assert settled.rule == "R3"
    assert finding(settled, "R4").fired
    assert settled.label_more is None


@pytest.mark.parametrize(
    ("budget", "arms"),
    [
        (199.9, ()),
        (200.0, ("lora",)),  # 20 epochs of 10 s, exactly the budget
        (459.0, ("lora",)),
        (460.0, ("lora", "full")),  # a rung of 10 epochs each, then 20 epochs of the dearer one
    ],
)
def test_r5_takes_the_cheapest_arms_that_fit_the_budget(budget: float, arms: tuple[str, ...]) -> None:
    settled = settle(replace(OPEN, budget_seconds=budget))
    assert settled.arms == arms
    assert settled.rule == "R5"
    assert settled.action == ("finetune" if arms else "freeze")
    rejected = finding(settled, "R5").rejected
    assert [text.split(":")[0] for text in rejected] == [a for a in ("lora", "full") if a not in arms]
    assert all("budget" in text for text in rejected)
    assert {c.strategy: c.affordable for c in settled.costs} == {
        "frozen": True, "lora": "lora" in arms, "full": "full" in arms
    }  # fmt: skip


def test_costs_count_the_rungs_of_halving() -> None:
    costs = {c.strategy: c.seconds for c in settle(OPEN).costs}
    assert costs == {"frozen": 0.0, "lora": (20 + 10) * 10.0, "full": (20 + 10) * 12.0}
    alone = settle(replace(OPEN, requested_arms=("lora",)))
    assert {c.strategy: c.seconds for c in alone.costs} == {"frozen": 0.0, "lora": 200.0}


@pytest.mark.parametrize(
    ("requested", "arms", "controls", "action"),
    [
        (("full",), ("full",), (), "finetune"),
        (("full", "lora"), ("full", "lora"), (), "finetune"),
        (("frozen", "lora"), ("lora",), (), "finetune"),
        (("lora", "scratch"), ("lora",), ("scratch",), "finetune"),
        (("frozen",), (), (), "freeze"),
        (("scratch",), (), (), "freeze"),
        ((), (), (), "freeze"),
    ],
)
def test_the_users_own_arms_replace_r5s_list(
    requested: tuple[str, ...], arms: tuple[str, ...], controls: tuple[str, ...], action: str
) -> None:
    settled = settle(replace(OPEN, requested_arms=requested))
    assert (settled.arms, settled.controls, settled.action, settled.rule) == (arms, controls, action, "R5")
    if requested == ("scratch",):
        assert "needs an arm" in finding(settled, "R7").rejected[0]


def test_the_users_own_arms_do_not_overrule_r3_and_r4() -> None:
    assert settle(replace(OPEN, requested_arms=("full",), probe_low=0.95)).rule == "R3"
    assert settle(replace(OPEN, requested_arms=("full",), validation_rows=20)).rule == "R4"


@pytest.mark.parametrize(
    ("changes", "fires"),
    [
        ({"gap_verdict": "LARGE", "train_rows": 5000}, True),
        ({"gap_verdict": "LARGE", "train_rows": 4999}, False),
        ({"gap_verdict": "SMALL", "train_rows": 50_000}, False),
        ({"gap_verdict": "NO_REFERENCE", "train_rows": 50_000}, False),
        ({"gain_low": 0.0}, True),  # the interval reaches 0
        ({"gain_low": 1e-9}, False),
        ({"gain_low": -0.02}, True),
    ],
)
def test_r7_adds_scratch_as_a_control(changes: dict[str, float | str], fires: bool) -> None:
    settled = settle(replace(OPEN, **changes))
    assert finding(settled, "R7").fired == fires
    assert settled.controls == (("scratch",) if fires else ())
    assert "scratch" not in settled.arms
    assert settled.strategy == "lora+full"


def test_r7_control_is_rejected_by_cost_after_the_arms() -> None:
    doubtful = replace(OPEN, gain_low=-0.01)
    assert settle(replace(doubtful, budget_seconds=460.0 + 240.0)).controls == ("scratch",)
    settled = settle(replace(doubtful, budget_seconds=460.0 + 239.9))
    assert settled.arms == ("lora", "full")
    assert settled.controls == ()
    assert finding(settled, "R7").fired
    assert "budget" in finding(settled, "R7").rejected[0]


def test_r7_trains_nothing_beside_a_frozen_baseline() -> None:
    settled = settle(replace(OPEN, gain_low=-0.01, validation_rows=20))
    assert (settled.rule, settled.controls) == ("R4", ())
    assert finding(settled, "R7").fired
    assert finding(settled, "R7").rejected


@pytest.mark.parametrize(
    ("kind", "code", "error"),
    [
        ("schema", "E-DECIDE-001", DataError),
        ("leakage", "E-DECIDE-002", DataError),
        ("licence", "E-DECIDE-003", ModelError),
    ],
)
def test_r0_stops_the_run(kind: str, code: str, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        settle(replace(OPEN, blocks=(Block(kind, "it is wrong", "mend it"),)))
    assert caught.value.code == code
    assert caught.value.hint == "mend it"


def test_r0_names_all_blocks_at_once() -> None:
    blocks = (Block("leakage", "copies", "group"), Block("licence", "unknown", "state it"))
    with pytest.raises(DataError) as caught:
        settle(replace(OPEN, blocks=blocks))
    assert [p.code for p in caught.value.problems] == ["E-DECIDE-002", "E-DECIDE-003"]


@pytest.mark.parametrize(
    "changes",
    [{"target_labels": False}, {"setting": "transductive"}, {"setting": "zero-shot"}, {"setting": "unsupervised"}],
)
def test_a_target_without_labels_is_refused(changes: dict[str, str | bool]) -> None:
    with pytest.raises(DataError, match="not built yet") as caught:
        settle(replace(OPEN, **changes))
    assert caught.value.code == "E-DECIDE-004"


@pytest.mark.parametrize("name", [n for n, v in vars(OPEN).items() if isinstance(v, float)])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_evidence_that_is_not_finite_is_refused(name: str, value: float) -> None:
    with pytest.raises(DataError) as caught:
        settle(replace(OPEN, **{name: value}))
    assert caught.value.code == "E-DECIDE-005"
    assert name in str(caught.value)


@pytest.mark.parametrize("name", ["train_rows", "validation_rows"])
def test_no_rows_are_refused(name: str) -> None:
    with pytest.raises(DataError) as caught:
        settle(replace(OPEN, **{name: 0}))
    assert caught.value.code == "E-DECIDE-005"


def test_thresholds_come_from_the_policy() -> None:
    strict = replace(POLICY_V1, smallest_wanted_gain=0.01, name="acclimate policy v2")
    evidence = replace(OPEN, at_least=None)
    assert settle(evidence).rule == "R5"
    assert settle(evidence, strict).rule == "R4"
    assert "v2" in finding(settle(evidence, strict), "R4").source


@pytest.mark.parametrize(("rarest", "few"), [(99, True), (100, False)])
def test_r5_notes_few_labels(rarest: int, few: bool) -> None:
    settled = settle(replace(OPEN, rows_per_class={"negative": 900, "positive": rarest}))
    assert finding(settled, "R5").inputs["labels_are_few"] is few


@pytest.mark.parametrize(
    ("rarest", "asked", "expected"),
    [
        (100, None, {}),
        (99, None, {"l2_sp": POLICY_V1.few_labels_l2_sp}),
        (99, 0.0, {}),
        (100, 0.5, {"l2_sp": 0.5}),
    ],
)
def test_l2_sp_comes_with_few_labels_unless_the_user_says_otherwise(
    rarest: int, asked: float | None, expected: dict[str, float]
) -> None:
    evidence = replace(
        OPEN,
        rows_per_class={"negative": 900, "positive": rarest},
        requested_penalties={"l2_sp": asked, "bss": 0.0, "lwf": 1.0},
    )
    settled = settle(evidence)
    assert settled.penalties == {**expected, "lwf": 1.0}
    assert settled.penalties.items() <= finding(settled, "R5").inputs.items()
    assert "lwf 1" in settled.reason


def test_what_is_not_trained_has_no_penalties() -> None:
    settled = settle(replace(OPEN, train_rows=1, validation_rows=1, requested_penalties={"lwf": 1.0}))
    assert settled.penalties == {}


def test_one_row_is_enough_to_ask() -> None:
    assert settle(replace(OPEN, train_rows=1, validation_rows=1)).rule == "R4"


MANY_FAR = {"unlabelled_rows": 18_000, "gap_verdict": "LARGE", "estimates": PRETRAINED}


@pytest.mark.parametrize(
    ("changes", "fires"),
    [
        ({}, True),  # ten times the training rows
        ({"unlabelled_rows": 17_999}, False),
        ({"unlabelled_rows": 0, "train_rows": 1}, False),
        ({"gap_verdict": "SMALL"}, False),
        ({"gap_verdict": "NO_REFERENCE"}, False),
        ({"gap_verdict": "UNDERPOWERED"}, False),
        ({"probe_low": math.nextafter(0.9, 0)}, True),
        ({"probe_low": 0.9, "gain": -0.01}, False),  # enough, though a control is better
        ({"at_least": None, "probe_low": 0.98}, True),
    ],
)
def test_r6_adds_in_domain_pretraining_as_an_arm(changes: dict[str, float | str | None], fires: bool) -> None:
    settled = settle(replace(OPEN, **{**MANY_FAR, **changes}))
    assert finding(settled, "R6").fired == fires
    assert ("tapt" in settled.arms) == (fires and settled.rule == "R5")
    assert ("tapt" in {cost.strategy for cost in settled.costs}) == fires


def test_r6_keeps_r5s_own_arms() -> None:
    settled = settle(replace(OPEN, **MANY_FAR))
    assert settled.arms == ("lora", "full", "tapt")
    assert "further arm" in finding(settled, "R6").says


def test_r6_adds_nothing_to_the_users_own_arms() -> None:
    settled = settle(replace(OPEN, **MANY_FAR, requested_arms=("full",)))
    assert settled.arms == ("full",)
    assert finding(settled, "R6").fired
    assert finding(settled, "R6").rejected == ("tapt: not in finetune.arms",)
    asked = settle(replace(OPEN, requested_arms=("tapt",), estimates=PRETRAINED))
    assert asked.arms == ("tapt",)
    assert not finding(asked, "R6").fired
    assert "because finetune.arms asks for it" in finding(asked, "R6").says


def test_r6_pretrains_nothing_beside_a_frozen_baseline_or_over_budget() -> None:
    settled = settle(replace(OPEN, **MANY_FAR, validation_rows=20))
    assert (settled.rule, settled.arms) == ("R4", ())
    assert finding(settled, "R6").rejected == ("tapt: nothing is trained",)
    # a rung of 10 epochs of the two dearest, 5 of all three, 20 epochs of one, and the pretraining
    needed = 5 * 34.0 + 10 * 24.0 + 20 * 12.0 + 600.0
    assert settle(replace(OPEN, **MANY_FAR, budget_seconds=needed)).arms == ("lora", "full", "tapt")
    short = settle(replace(OPEN, **MANY_FAR, budget_seconds=needed - 0.1))
    assert short.arms == ("lora", "full")
    assert "budget" in finding(short, "R6").rejected[0]


def test_pretraining_is_a_part_of_the_expected_cost() -> None:
    costs = {c.strategy: c.seconds for c in settle(replace(OPEN, requested_arms=("tapt",), estimates=PRETRAINED)).costs}
    assert costs["tapt"] == 600.0 + 20 * 12.0


def test_scores_of_rows_the_source_was_fitted_on_settle_nothing() -> None:
    """R3 does not freeze by them, and R6 does not take them for a baseline that needs no help."""
    remembered = replace(OPEN, probe_low=0.99, from_memory=True)
    settled = settle(remembered)
    assert (settled.rule, settled.action) == ("R5", "finetune")
    assert finding(settled, "R3").inputs["from_memory"] is True
    assert "fitted on these rows itself" in finding(settled, "R3").says
    assert "tfidf scores" in finding(settle(replace(remembered, gain=-0.1)), "R3").says
    many = replace(remembered, estimates=PRETRAINED, gap_verdict="LARGE", unlabelled_rows=18_000, train_rows=1800)
    assert finding(settle(many), "R6").fired
    assert not finding(settle(replace(many, from_memory=False)), "R6").fired
