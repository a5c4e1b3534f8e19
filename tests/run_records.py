"""Factory of the records of one finished adaptation, for tests of what comes after evaluation."""

from __future__ import annotations

import hashlib
from typing import Any

from acclimate.config import Adaptation
from acclimate.records import (
    Arm,
    BaselineReport,
    CalibrationScore,
    Comparison,
    Control,
    DataCard,
    Decision,
    EpochPoint,
    Evaluation,
    FinetuneReport,
    GapMeasure,
    GapReport,
    Interval,
    Pretraining,
    RuleRecord,
    SourceCard,
    SplitCard,
    TableCard,
    Verdict,
)
from acclimate.registry import FinishedStage, RunRecords

LABELS = ["negative", "positive"]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def interval(point: float, half: float = 0.02) -> Interval:
    return Interval(point=point, low=point - half, high=point + half)


SOURCE = SourceCard(
    name="tiny-bert",
    revision="0.1.0",
    digest=digest("source"),
    licence="Apache-2.0",
    model_type="bert",
    parameters=12_345,
    labels=None,
)
RULE = RuleRecord(rule="R8", fired=True, inputs={}, threshold="", source="policy v1", says="the cheapest of the best")


PRETRAINING = Pretraining(
    rows=2000,
    pool_rows=2000,
    held_out_rows=100,
    epochs=5,
    best_epoch=4,
    loss_before=9.25,
    loss_after=2.5,
    new_head=True,
    start_digest=digest("start"),
)


def table(name: str) -> TableCard:
    splits = {
        split: SplitCard(rows=40, label_counts={"negative": 20, "positive": 20})
        for split in ("train", "validation", "test")
    }
    return TableCard(
        digest=digest(name),
        files=[],
        rows_read=120,
        rows_kept=120,
        exact_copies_dropped=0,
        conflicting_rows_dropped=0,
        unlabelled_rows_dropped=0,
        near_duplicates_across_splits=0,
        labels=LABELS,
        splits=splits,
        grouped=False,
        given_splits=False,
        slices=[],
        licence=None,
        warnings=[],
    )


def gap_report() -> GapReport:
    measure = GapMeasure(
        name="mmd",
        statistic=0.4,
        null_median=0.0,
        null_q95=0.1,
        units=interval(4.0, 0.5),
        p_value=0.005,
        p_holm=0.01,
        null_sample=[0.0, 0.1],
    )
    return GapReport(
        setting="supervised adaptation",
        verdict="LARGE",
        units=4.0,
        p_value=0.01,
        rows_compared=200,
        detectable_shift=0.2,
        measures=[measure],
        input_side={},
        furthest=[],
        map=[],
        notes=[],
    )


def baseline_report(model_digest: str) -> BaselineReport:
    return BaselineReport(
        metric="macro_f1",
        train_rows=120,
        validation_rows=40,
        rows_per_class={"negative": 60, "positive": 60},
        feature_dim=32,
        near_constant_dims=0,
        score=interval(0.8),
        probe_c=0.1,
        neighbours=5,
        knn_score=interval(0.75),
        disagreement=0.2,
        controls=[
            Control(name="tfidf", trivial=True, score=interval(0.7)),
            Control(name="majority", trivial=True, score=interval(0.33)),
            Control(name="source_as_is", trivial=False, score=None, reason="no head for this task"),
        ],
        best_control="tfidf",
        best_trivial="tfidf",
        transfer_gain=interval(0.1),
        learning_curve=[],
        slope_per_doubling=0.01,
        score_at_double=0.81,
        validation_score=interval(0.8),
        precision="fp32",
        model_digest=model_digest,
    )


def arm(strategy: str, score: float, model_digest: str | None = None) -> Arm:
    return Arm(
        strategy=strategy,
        role="arm",
        score=interval(score),
        rung_scores=[score - 0.05],
        trained_fully=model_digest is not None,
        epochs=2,
        best_epoch=2,
        curve=[
            EpochPoint(epoch=i, train_loss=1.0 / i, validation_loss=1.0 / i, validation_score=score) for i in (1, 2)
        ],
        trained_parameters=100,
        total_parameters=1000,
        settings={"learning_rate": 1e-3},
        expected_seconds=3.0,
        against_best=interval(0.0),
        chosen=model_digest is not None,
        model_digest=model_digest,
    )


def finetune_report(model_digest: str) -> FinetuneReport:
    return FinetuneReport(
        metric="macro_f1",
        arms=[arm("frozen", 0.8), arm("lora", 0.85), arm("full", 0.9, model_digest)],
        chosen="full",
        rule=RULE,
        workers=1,
    )


def comparison(other: str, role: Any, difference: float) -> Comparison:
    return Comparison(
        other=other,
        role=role,
        other_score=interval(0.9 - difference),
        difference=interval(difference, 0.03),
        low_one_sided=difference - 0.025,
        high_one_sided=difference + 0.025,
        mcnemar_p=0.01,
        only_candidate_right=20,
        only_other_right=5,
        detectable_effect=0.03,
        rows_needed=100,
        underpowered=False,
    )


def evaluation(model_digest: str, *, comparator: str = "baseline", difference: float = 0.1) -> Evaluation:
    return Evaluation(
        metric="macro_f1",
        rows=400,
        strategy="full",
        score=interval(0.9),
        comparator=comparator,
        comparisons=[
            comparison(comparator, "comparator", difference),
            comparison("tfidf", "trivial", 0.2),
            comparison("majority", "trivial", 0.5),
            comparison("random_features", "control", 0.2),
        ],
        classes=[],
        slices=[],
        labels=LABELS,
        confusion=[[180, 20], [20, 180]],
        calibration=CalibrationScore(temperature=1.2, ece=0.02, ece_before=0.05, nll=0.3, brier=0.1, bins=[]),
        errors=[],
        model_digest=model_digest,
        size_bytes=1000,
        test_digest=digest("test"),
        overlap_rows=0,
        near_duplicates=0,
    )


def run_records(
    run_key: str = "run-one",
    *,
    name: str = "support-mail",
    model_digest: str = digest("model"),
    comparator: str = "baseline",
    difference: float = 0.1,
    source: SourceCard = SOURCE,
    source_uri: str = "package://tiny/model",
) -> RunRecords:
    """Records of a run in which full fine-tuning won against LoRA and the frozen baseline."""
    config = Adaptation.model_validate(
        {"name": name, "source": {"model": source_uri}, "target": {"data": "mail.csv"}}
    ).model_dump(mode="json")
    evaluated = FinishedStage(digest(model_digest), 2.0, digest=digest(f"evaluation of {model_digest}"))
    return RunRecords(
        run_key=digest(run_key),
        name=name,
        config=config,
        source=source,
        source_uri=source_uri,
        data=DataCard(task="text-classification", target=table("target"), reference=table("reference")),
        gap=gap_report(),
        baseline=baseline_report(digest("frozen")),
        decision=Decision(
            action="finetune",
            strategy="lora+full",
            rule="R5",
            reason="the probe falls short",
            arms=["lora", "full"],
            controls=[],
            rules=[RULE],
            costs=[],
            detectable_effect=0.05,
            label_more=None,
        ),
        finetune=finetune_report(model_digest),
        evaluation=evaluation(model_digest, comparator=comparator, difference=difference),
        stages={"ingest": FinishedStage(digest("ingest"), 0.5), "evaluate": evaluated},
    )


def verdict_of(records: RunRecords, verdict: Any = "PROMOTE") -> Verdict:
    return Verdict(
        verdict=verdict,
        policy="standard",
        run_key=records.run_key,
        name=records.name,
        comparator=records.evaluation.comparator,
        checks=[],
        reasons=["made up"],
        next_step="",
    )
