"""From records to the verdict record."""

from __future__ import annotations

from pathlib import Path

import pytest

from acclimate.config_file import built_in_policy
from acclimate.judging import Integrity, judge_records
from acclimate.records import (
    Arm,
    CalibrationScore,
    Comparison,
    DataCard,
    Decision,
    Evaluation,
    FinetuneReport,
    Interval,
    RuleRecord,
    SliceScore,
    SourceCard,
    Verdict,
)

DIGEST = "c" * 64
SOURCE = SourceCard(
    name="minilm",
    revision="0.1.0",
    digest="d" * 64,
    licence="Apache-2.0",
    model_type="bert",
    parameters=22_700_000,
    labels=None,
)
RULE = RuleRecord(rule="R8", fired=True, inputs={}, threshold="", source="", says="")
SOUND = Integrity(0.0, changes_outputs=True, same_model=True)


def decision(controls: list[str]) -> Decision:
    return Decision(
        action="finetune",
        strategy="lora",
        rule="R5",
        reason="",
        arms=["lora"],
        controls=controls,
        rules=[],
        costs=[],
        detectable_effect=0.03,
        label_more=None,
    )


def arm(strategy: str, digest: str | None) -> Arm:
    return Arm(
        strategy=strategy,
        role="arm",
        score=Interval(point=0.8, low=0.8, high=0.8),
        rung_scores=[],
        trained_fully=True,
        epochs=1,
        best_epoch=1,
        curve=[],
        trained_parameters=1,
        total_parameters=1,
        settings={},
        expected_seconds=1.0,
        against_best=None,
        chosen=strategy == "lora",
        model_digest=digest,
    )


def finetuned(chosen: str = "lora", digest: str | None = DIGEST) -> FinetuneReport:
    return FinetuneReport(
        metric="macro_f1",
        arms=[arm("lora", digest), arm("full", "f" * 64), arm("frozen", None)],
        chosen=chosen,
        rule=RULE,
        workers=1,
    )


def comparison(other: str, role: str, score: float, low: float, high: float) -> Comparison:
    return Comparison(
        other=other,
        role=role,
        other_score=Interval(point=score, low=score, high=score),
        difference=Interval(point=(low + high) / 2, low=low, high=high),
        low_one_sided=low,
        high_one_sided=high,
        mcnemar_p=0.01,
        only_candidate_right=30,
        only_other_right=5,
        detectable_effect=0.02,
        rows_needed=300,
        underpowered=False,
    )


COMPARISONS = [
    comparison("tfidf", "trivial", 0.75, 0.05, 0.15),
    comparison("majority", "trivial", 0.33, 0.45, 0.55),
    comparison("random_features", "control", 0.64, 0.15, 0.25),
    comparison("baseline", "comparator", 0.80, 0.03, 0.07),
]


def evaluated(strategy: str = "lora", comparisons: list[Comparison] = COMPARISONS, overlap: int = 0) -> Evaluation:
    return Evaluation(
        metric="macro_f1",
        rows=600,
        strategy=strategy,
        score=Interval(point=0.85, low=0.82, high=0.88),
        comparator="baseline",
        comparisons=comparisons,
        classes=[],
        slices=[SliceScore(column="channel", value="mail", rows=300, score=Interval(point=0.85, low=0.8, high=0.9))],
        labels=["negative", "positive"],
        confusion=[[250, 50], [40, 260]],
        calibration=CalibrationScore(temperature=1.2, ece=0.02, ece_before=0.05, nll=0.4, brier=0.2, bins=[]),
        errors=[],
        model_digest=DIGEST,
        size_bytes=90_000_000,
        test_digest="t" * 64,
        overlap_rows=overlap,
        near_duplicates=0,
    )


@pytest.fixture
def card(toy_data: Path) -> DataCard:
    return DataCard.read(toy_data)


def judge(
    card: DataCard,
    *,
    controls: tuple[str, ...] = (),
    finetune: FinetuneReport | None = None,
    evaluation: Evaluation | None = None,
    integrity: Integrity = SOUND,
    source: SourceCard = SOURCE,
    at_least: float | None = 0.84,
) -> Verdict:
    return judge_records(
        data=card,
        source=source,
        decision=decision(list(controls)),
        finetune=finetune,
        evaluation=evaluation or evaluated(),
        integrity=integrity,
        at_least=at_least,
        at_least_by="point",
        policy=built_in_policy("standard"),
        run_key="r" * 64,
        name="support-mail",
    )


def outcome(verdict: Verdict, name: str) -> str:
    return next(check.outcome for check in verdict.checks if check.name == name)


def test_records_become_a_verdict_that_can_be_written_and_read(card: DataCard, tmp_path: Path) -> None:
    verdict = judge(card, finetune=finetuned())
    assert (verdict.verdict, verdict.policy, verdict.name, verdict.run_key) == (
        "PROMOTE", "standard", "support-mail", "r" * 64
    )  # fmt: skip
    assert len(verdict.checks) == 13
    written = verdict.write(tmp_path).read_bytes()
    assert Verdict.read(tmp_path) == verdict
    assert judge(card, finetune=finetuned()).write(tmp_path).read_bytes() == written


def test_the_primary_comparison_is_the_one_with_the_comparators_role(card: DataCard) -> None:
    moved = [*COMPARISONS[:3], comparison("baseline", "comparator", 0.8, -0.005, 0.05)]
    assert judge(card, finetune=finetuned(), evaluation=evaluated(comparisons=moved)).verdict == "SHADOW"
    moved = [*COMPARISONS[:3], comparison("baseline", "comparator", 0.8, -0.05, 0.05)]
    assert judge(card, finetune=finetuned(), evaluation=evaluated(comparisons=moved)).verdict == "HOLD"
    for broken in (COMPARISONS[:3], [*COMPARISONS, comparison("champion", "comparator", 0.8, 0.1, 0.2)]):
        refused = judge(card, finetune=finetuned(), evaluation=evaluated(comparisons=broken))
        assert refused.verdict == "REJECT"
        assert outcome(refused, "primary") == "missing"


def test_a_frozen_candidate_is_judged_against_the_best_control(card: DataCard) -> None:
    comparisons = [comparison("tfidf", "comparator", 0.75, 0.05, 0.15), *COMPARISONS[1:3]]
    verdict = judge(card, evaluation=evaluated("frozen", comparisons), integrity=Integrity(0.0, None, True))
    assert verdict.verdict == "PROMOTE"
    assert outcome(verdict, "controls") == "passed"


def test_the_scratch_control_that_was_decided_must_have_been_compared(card: DataCard) -> None:
    verdict = judge(card, controls=("scratch",), finetune=finetuned())
    assert (verdict.verdict, outcome(verdict, "controls")) == ("REJECT", "missing")
    compared = evaluated(comparisons=[*COMPARISONS, comparison("scratch", "control", 0.9, -0.1, -0.02)])
    verdict = judge(card, controls=("scratch",), finetune=finetuned(), evaluation=compared)
    assert (verdict.verdict, outcome(verdict, "controls")) == ("REJECT", "failed")
    assert "negative transfer" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("trained", "verdict"),
    [
        (comparison("lora", "trained", 0.86, -0.03, 0.01), "PROMOTE"),
        (comparison("lora", "trained", 0.86, -0.03, -0.001), "REJECT"),  # it is shown to be better
        (comparison("full", "trained", 0.86, -0.03, 0.01), "REJECT"),  # not the one that was chosen
        (None, "REJECT"),
    ],
)
def test_the_frozen_model_may_stand_in_for_a_trained_one_that_is_not_shown_to_be_better(
    card: DataCard, trained: Comparison | None, verdict: str
) -> None:
    comparisons = [
        comparison("tfidf", "comparator", 0.75, 0.05, 0.15),
        *COMPARISONS[1:3],
        *([trained] if trained else []),
    ]
    evaluation = evaluated("frozen", comparisons)
    found = judge(card, finetune=finetuned(), evaluation=evaluation, integrity=Integrity(0.0, None, True))
    assert (found.verdict, outcome(found, "integrity") == "passed") == (verdict, verdict == "PROMOTE")


@pytest.mark.parametrize(
    ("finetune", "strategy"),
    [
        (finetuned(chosen="frozen"), "lora"),  # another arm was handed on
        (finetuned(digest="e" * 64), "lora"),  # other weights were evaluated
        (None, "lora"),  # nothing was trained
    ],
)
def test_evaluating_another_model_than_the_one_handed_on_rejects(
    card: DataCard, finetune: FinetuneReport | None, strategy: str
) -> None:
    verdict = judge(card, finetune=finetune, evaluation=evaluated(strategy))
    assert (verdict.verdict, outcome(verdict, "integrity")) == ("REJECT", "failed")


def test_what_it_was_adapted_from_must_have_been_compared_where_every_evaluation_does_that(card: DataCard) -> None:
    champion = comparison("champion", "comparator", 0.8, 0.03, 0.07)
    alone = [*COMPARISONS[:3], champion]
    both = [*alone, comparison("baseline", "control", 0.8, -0.01, 0.07)]
    assert outcome(judge(card, finetune=finetuned(), evaluation=evaluated(comparisons=alone)), "controls") == "missing"
    assert outcome(judge(card, finetune=finetuned(), evaluation=evaluated(comparisons=both)), "controls") == "passed"
    own_head = SOURCE.model_copy(update={"labels": list(reversed(card.target.labels or []))})
    judged = judge(card, finetune=finetuned(), evaluation=evaluated(comparisons=both), source=own_head)
    assert outcome(judged, "controls") == "missing"
    worse = [*both, comparison("source_as_is", "control", 0.9, -0.1, -0.02)]
    judged = judge(card, finetune=finetuned(), evaluation=evaluated(comparisons=worse), source=own_head)
    assert (judged.verdict, outcome(judged, "controls")) == ("REJECT", "failed")
    frozen = evaluated("frozen", alone)
    assert outcome(judge(card, evaluation=frozen, integrity=Integrity(0.0, None, True)), "controls") == "passed"


def test_power_groups_slices_and_reference_reach_the_gate(card: DataCard) -> None:
    weak = COMPARISONS[3].model_copy(update={"low_one_sided": -0.02, "detectable_effect": 0.09, "rows_needed": 4000})
    evaluation = evaluated(comparisons=[*COMPARISONS[:3], weak])
    evaluation = evaluation.model_copy(update={"groups": 12, "slices_left_out": 3, "slices": []})
    columns = card.target.model_copy(update={"slices": ["site"]})
    found = judge(
        card.model_copy(update={"target": columns, "reference": card.target}),
        finetune=finetuned(),
        evaluation=evaluation,
    )
    numbers = {check.name: check.numbers for check in found.checks}
    assert (numbers["primary"]["detectable_effect"], numbers["primary"]["rows_needed"]) == (0.09, 4000)
    assert (numbers["primary"]["mcnemar_p"], numbers["primary"]["test_groups"]) == (0.01, 12)
    assert "UNDERPOWERED" in found.reasons[0]
    assert (outcome(found, "slices"), numbers["slices"]["left_out"]) == ("missing", 3)
    assert outcome(found, "retention") == "missing"
    assert outcome(judge(card.model_copy(update={"reference": None}), finetune=finetuned()), "retention") == (
        "not_applicable"
    )


def test_an_evaluation_of_before_is_still_judged(card: DataCard) -> None:
    stored = evaluated().model_dump(mode="json")
    for name in ("groups", "slices_left_out"):
        del stored[name]
    verdict = judge(card, finetune=finetuned(), evaluation=Evaluation.model_validate(stored))
    assert verdict.verdict == "PROMOTE"


def test_integrity_overlap_and_requirement_reach_the_gate(card: DataCard) -> None:
    unmeasured = judge(card, finetune=finetuned(), integrity=Integrity(None, None, None))
    assert (unmeasured.verdict, outcome(unmeasured, "integrity")) == ("REJECT", "missing")
    leaked = judge(card, finetune=finetuned(), evaluation=evaluated(overlap=1))
    assert (leaked.verdict, outcome(leaked, "leakage")) == ("REJECT", "failed")
    before = evaluated().model_copy(update={"earlier_overlap_rows": {"source": 60}})
    inherited = judge(card, finetune=finetuned(), evaluation=before)
    assert (inherited.verdict, outcome(inherited, "leakage")) == ("REJECT", "failed")
    low = judge(card, finetune=finetuned(), at_least=0.86)
    assert (low.verdict, outcome(low, "at_least")) == ("REJECT", "failed")


def test_target_data_without_licence_count_as_ones_own(card: DataCard) -> None:
    assert card.target.licence is None
    assert outcome(judge(card, finetune=finetuned()), "licence") == "passed"
    unknown = SOURCE.model_copy(update={"licence": None})
    judged = judge(card, finetune=finetuned(), source=unknown)
    assert (judged.verdict, outcome(judged, "licence")) == ("REJECT", "failed")


def test_the_pools_licence_and_its_overlap_with_test_rows_reach_the_gate(card: DataCard) -> None:
    def with_pool(licence: str | None) -> DataCard:
        return card.model_copy(update={"pool": card.target.model_copy(update={"licence": licence})})

    for licence, verdict in (("CC0-1.0", "PROMOTE"), (None, "REJECT")):
        found = judge(with_pool(licence), finetune=finetuned())
        check = next(one for one in found.checks if one.name == "licence")
        assert (check.required, check.numbers["pool.licence"], found.verdict) == (True, licence, verdict)
    leaked = judge(
        with_pool("MIT"), finetune=finetuned(), evaluation=evaluated().model_copy(update={"pool_overlap_rows": 1})
    )
    assert leaked.verdict == "REJECT"
    assert any("pool" in reason for reason in leaked.reasons)
