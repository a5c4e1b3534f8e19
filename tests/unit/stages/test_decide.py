"""Stage decide: from records to a record."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from acclimate.config import Budget, Goal
from acclimate.config_finetune import FinetuneSpec
from acclimate.errors import DataError, IntegrityError, ModelError
from acclimate.records import (
    BaselineReport,
    Calibration,
    Control,
    DataCard,
    Decision,
    GapReport,
    Interval,
    Record,
    SourceCard,
)
from acclimate.stages.decide import decide

AnyRecord = TypeVar("AnyRecord", bound=Record)
CALIBRATION = Calibration(
    machine="two cores",
    source_digest="d" * 64,
    precision=dict.fromkeys(("features", "lora", "full", "scratch"), "bf16"),
    gemm_tflops={"fp32": 0.3, "bf16": 1.7},
    rows_per_second={"features": 800.0, "lora": 90.0, "full": 80.0, "scratch": 80.0},
)
GAP = GapReport(
    setting="supervised adaptation",
    verdict="SMALL",
    units=2.0,
    p_value=0.01,
    rows_compared=300,
    detectable_shift=0.2,
    measures=[],
    input_side={},
    furthest=[],
    map=[],
    notes=[],
)
BASELINE = BaselineReport(
    metric="macro_f1",
    train_rows=1800,
    validation_rows=600,
    rows_per_class={"negative": 900, "positive": 900},
    feature_dim=384,
    near_constant_dims=1,
    score=Interval(point=0.80, low=0.78, high=0.82),
    probe_c=0.1,
    neighbours=5,
    knn_score=Interval(point=0.75, low=0.73, high=0.77),
    disagreement=0.15,
    controls=[
        Control(name="random_features", trivial=False, score=Interval(point=0.64, low=0.62, high=0.66)),
        Control(name="tfidf", trivial=True, score=Interval(point=0.75, low=0.73, high=0.77)),
        Control(name="majority", trivial=True, score=Interval(point=0.33, low=0.33, high=0.33)),
        Control(name="source_as_is", trivial=False, score=None, reason="no head"),
    ],
    best_control="tfidf",
    best_trivial="tfidf",
    transfer_gain=Interval(point=0.05, low=0.03, high=0.07),
    learning_curve=[],
    slope_per_doubling=0.01,
    score_at_double=0.81,
    validation_score=Interval(point=0.79, low=0.76, high=0.82),
    precision="bf16",
    model_digest="m" * 64,
)
NOTHING_SET = FinetuneSpec()
GOAL = Goal(at_least=0.9)
SOURCE = SourceCard(
    name="minilm",
    revision="0.1.0",
    digest="d" * 64,
    licence=None,
    model_type="bert",
    parameters=22_700_000,
    labels=None,
)


def changed(record: AnyRecord, **changes: object) -> AnyRecord:
    return type(record).model_validate({**record.model_dump(), **changes})


@pytest.fixture
def run(toy_data: Path, tmp_path: Path) -> Callable[..., Decision]:
    def run(
        gap: GapReport = GAP,
        baseline: BaselineReport = BASELINE,
        calibration: Calibration = CALIBRATION,
        finetune: FinetuneSpec = NOTHING_SET,
        goal: Goal = GOAL,
        minutes: float = 60.0,
        near_duplicates: int = 0,
        source_card: SourceCard | None = None,
        labels: list[str] | None = ["negative", "positive"],  # noqa: B006
        pool: int | None = None,
        pool_licence: str | None = "CC0-1.0",
        licence: str | None = None,
    ) -> Decision:
        for name in ("gap", "baseline", "out"):
            (tmp_path / name).mkdir(exist_ok=True)
        card = DataCard.read(toy_data)
        target = changed(card.target, near_duplicates_across_splits=near_duplicates, labels=labels, licence=licence)
        texts = None if pool is None else changed(card.target, rows_kept=pool, labels=None, licence=pool_licence)
        changed(card, target=target, pool=texts).write(toy_data)
        gap.write(tmp_path / "gap")
        baseline.write(tmp_path / "baseline")
        return decide(
            toy_data,
            tmp_path / "gap",
            tmp_path / "baseline",
            calibration,
            goal=goal,
            budget=Budget(train_minutes=minutes),
            finetune=finetune,
            out=tmp_path / "out",
            source_card=source_card,
        )

    return run


def test_decision_is_written_and_the_same_bytes_each_time(run: Callable[..., Decision], tmp_path: Path) -> None:
    decision = run()
    written = (tmp_path / "out" / "decision.json").read_bytes()
    assert Decision.read(tmp_path / "out") == decision
    assert (decision.action, decision.rule, decision.arms) == ("finetune", "R5", ["lora", "full"])
    run()
    assert (tmp_path / "out" / "decision.json").read_bytes() == written
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["decision.json"]


def test_costs_come_from_the_calibration(run: Callable[..., Decision]) -> None:
    decision = run(finetune=FinetuneSpec(max_epochs={"lora": 6, "full": 4}))
    costs = {cost.strategy: cost for cost in decision.costs}
    # one rung of half the smallest cap, then the full schedule
    assert costs["lora"].seconds == pytest.approx((2 + 6) * 1800 / 90)
    assert costs["full"].seconds == pytest.approx((2 + 4) * 1800 / 80)
    assert costs["frozen"].seconds == 0
    assert all(cost.affordable for cost in decision.costs)


def test_each_arm_says_what_it_trains_and_what_it_risks(run: Callable[..., Decision]) -> None:
    says = {cost.strategy: (cost.trains, cost.forgets) for cost in run().costs}
    assert says == {
        "frozen": ("nothing", "nothing"),
        "lora": ("low-rank changes of linear layers", "some"),
        "full": ("all weights", "much"),
    }


def test_an_epoch_cap_that_is_not_given_keeps_its_default(run: Callable[..., Decision]) -> None:
    costs = {cost.strategy: cost.epochs for cost in run(finetune=FinetuneSpec(max_epochs={"lora": 3})).costs}
    assert costs == {"frozen": 0, "lora": 3, "full": 20}


def test_arms_over_budget_are_rejected_and_the_frozen_baseline_handed_on(run: Callable[..., Decision]) -> None:
    decision = run(minutes=1.0)
    assert (decision.action, decision.strategy, decision.rule) == ("freeze", "frozen", "R5")
    assert "budget" in decision.reason
    assert not any(cost.affordable for cost in decision.costs if cost.strategy != "frozen")


def test_own_arms_and_controls(run: Callable[..., Decision]) -> None:
    decision = run(finetune=FinetuneSpec(arms=["frozen", "full", "scratch"]))
    assert (decision.arms, decision.controls, decision.strategy) == (["full"], ["scratch"], "full")


def test_requirement_met_freezes_by_r3(run: Callable[..., Decision]) -> None:
    assert run(goal=Goal(at_least=0.78)).rule == "R3"


def test_few_rows_freeze_by_r4(run: Callable[..., Decision]) -> None:
    decision = run(baseline=changed(BASELINE, validation_rows=20))
    assert (decision.rule, decision.action) == ("R4", "freeze")
    assert decision.label_more
    # sqrt(6.18 x (.15 x 1800 + 1) / 1802 / 20)
    assert decision.detectable_effect == pytest.approx(0.2156, abs=1e-4)


def test_large_gap_and_many_rows_add_the_scratch_control(run: Callable[..., Decision]) -> None:
    decision = run(gap=changed(GAP, verdict="LARGE"), baseline=changed(BASELINE, train_rows=5000), minutes=600)
    assert decision.controls == ["scratch"]


def test_near_duplicates_across_splits_stop_the_run_above_one_percent_of_test_rows(
    run: Callable[..., Decision], toy_data: Path, make_toy_data: Callable[..., Path]
) -> None:
    with pytest.raises(DataError) as caught:
        run(near_duplicates=1)  # of 40 test rows
    assert caught.value.code == "E-DECIDE-002"
    large = make_toy_data("large", test=100)
    (large / "data_card.json").rename(toy_data / "data_card.json")
    assert run(near_duplicates=1).rule == "R5"
    with pytest.raises(DataError):
        run(near_duplicates=2)


def test_an_unknown_source_licence_stops_the_run(run: Callable[..., Decision]) -> None:
    with pytest.raises(ModelError) as caught:
        run(source_card=SOURCE)
    assert caught.value.code == "E-DECIDE-003"
    decision = run(source_card=changed(SOURCE, licence="Apache-2.0"))
    assert decision.rule == "R5"
    assert decision.rules[0].inputs["source_licence_checked"] is True
    assert run().rules[0].inputs["source_licence_checked"] is False


def test_a_pool_of_unknown_licence_stops_the_run(run: Callable[..., Decision]) -> None:
    with pytest.raises(ModelError, match="pool") as caught:
        run(pool=100, pool_licence=None, calibration=WITH_TAPT)
    assert caught.value.code == "E-DECIDE-003"
    assert run(pool=100, calibration=WITH_TAPT).rule == "R5"


def test_a_stated_licence_that_nobody_knows_stops_the_run_too(run: Callable[..., Decision]) -> None:
    for given in (
        {"source_card": changed(SOURCE, licence="house-terms")},
        {"pool": 100, "pool_licence": "house-terms", "calibration": WITH_TAPT},
        {"licence": "house-terms"},
    ):
        with pytest.raises(ModelError, match="house-terms, is none that is known here") as caught:
            run(**given)
        assert caught.value.code == "E-DECIDE-003"
    assert run(licence="CC-BY-SA-4.0").rule == "R5"


WITH_TAPT = changed(CALIBRATION, rows_per_second={**CALIBRATION.rows_per_second, "tapt": 80.0, "pretraining": 100.0})


def test_a_large_pool_far_from_the_source_is_pretrained_on(run: Callable[..., Decision]) -> None:
    far = changed(GAP, verdict="LARGE")
    decision = run(gap=far, pool=18_000, calibration=WITH_TAPT, minutes=600.0)
    assert decision.arms == ["lora", "full", "tapt"]
    (record,) = (rule for rule in decision.rules if rule.rule == "R6")
    assert (record.fired, record.inputs["unlabelled_rows"]) == (True, 18_000)
    assert run(gap=far, pool=17_999, calibration=WITH_TAPT, minutes=600.0).arms == ["lora", "full"]


def test_pretraining_costs_its_epochs_and_the_features_of_the_probe(run: Callable[..., Decision]) -> None:
    alone = FinetuneSpec.model_validate(
        {"arms": ["tapt"], "max_epochs": {"tapt": 4}, "tapt": {"pretraining_epochs": 3}}
    )
    for pool in (None, 5000, 300_000):
        decision = run(finetune=alone, pool=pool, calibration=WITH_TAPT, minutes=10_000.0)
        cost = next(cost for cost in decision.costs if cost.strategy == "tapt")
        # of a larger pool a sample is read
        before = (1800 + min(pool or 0, 200_000)) * 3 / 100.0 + 1800 / 800.0
        assert cost.seconds == pytest.approx(before + 4 * 1800 / 80.0)
    with pytest.raises(IntegrityError, match="pretraining") as caught:
        run(
            finetune=alone,
            calibration=changed(CALIBRATION, rows_per_second={**CALIBRATION.rows_per_second, "tapt": 1.0}),
        )
    assert caught.value.code == "E-DECIDE-006"


def test_one_class_stops_the_run(run: Callable[..., Decision]) -> None:
    with pytest.raises(DataError) as caught:
        run(labels=["positive"])
    assert caught.value.code == "E-DECIDE-001"


def test_a_target_without_labels_is_not_built_yet(run: Callable[..., Decision]) -> None:
    with pytest.raises(DataError, match="not built yet") as caught:
        run(labels=None, gap=changed(GAP, setting="transductive"))
    assert caught.value.code == "E-DECIDE-004"


def test_a_report_without_the_best_controls_score_is_refused(run: Callable[..., Decision]) -> None:
    with pytest.raises(DataError) as caught:
        run(baseline=changed(BASELINE, best_control="source_as_is"))
    assert caught.value.code == "E-DECIDE-005"


@pytest.mark.parametrize("rates", [{"lora": 90.0, "scratch": 80.0}, {"lora": 90.0, "full": 0.0, "scratch": 80.0}])
def test_a_calibration_that_lacks_a_strategy_is_refused(run: Callable[..., Decision], rates: dict[str, float]) -> None:
    with pytest.raises(IntegrityError) as caught:
        run(calibration=changed(CALIBRATION, rows_per_second=rates))
    assert caught.value.code == "E-DECIDE-006"


def test_a_missing_record_is_named(toy_data: Path, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError) as caught:
        decide(
            toy_data,
            tmp_path,
            tmp_path,
            CALIBRATION,
            goal=Goal(),
            budget=Budget(),
            finetune=FinetuneSpec(),
            out=tmp_path,
        )
    assert caught.value.code == "E-RECORD-001"


def test_importing_the_stage_loads_no_framework() -> None:
    code = "import sys, acclimate.stages.decide; print({'torch', 'transformers', 'peft', 'sklearn'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
