"""Records of one finished adaptation that writes: prompts, answers, no classes."""

from __future__ import annotations

from dataclasses import replace

from acclimate.config import Adaptation
from acclimate.records import (
    BaselineReport,
    Control,
    Evaluation,
    GapReport,
    HardRow,
    Interval,
    PerplexityGap,
    Prompted,
    Retention,
    SplitCard,
    TableCard,
)
from acclimate.registry import RunRecords
from tests.run_records import arm, comparison, digest, gap_report, interval, run_records, table

HARDEST = HardRow(
    row_id=digest("hardest")[:16],
    text="Which path has the emoji named squinting face with tongue?",
    label="Smileys & Emotion > face-tongue",
    predicted="Smileys > squinting-tongue",
    confidence=0.0042,
)


def pairs_table(name: str, *, answers: bool = True) -> TableCard:
    """A table of prompts and answers; without answers, of plain texts."""
    splits = {split: SplitCard(rows=part.rows, label_counts={}) for split, part in table(name).splits.items()}
    return table(name).model_copy(update={"labels": None, "splits": splits, "answers": answers})


def perplexity_report() -> GapReport:
    """A gap measured, among others, by perplexity."""
    ratio = Interval(point=3.25, low=2.9, high=3.61)
    return gap_report().model_copy(
        update={"setting": "inductive", "perplexity": PerplexityGap(target=42.25, reference=13.0, ratio=ratio)}
    )


def prompted_report(*, shots: int = 4) -> BaselineReport:
    """A baseline that is the better with examples, or was asked without any."""
    few, zero = interval(0.31), interval(0.12)
    return BaselineReport(
        metric="exact_match",
        train_rows=1200,
        validation_rows=40,
        rows_per_class={"answers": 1200},
        feature_dim=None,
        near_constant_dims=None,
        score=few if shots else zero,
        probe_c=None,
        neighbours=None,
        knn_score=None,
        disagreement=0.2,
        controls=[
            Control(name="nearest", trivial=True, score=interval(0.27)),
            Control(name="majority", trivial=True, score=interval(0.05)),
            Control(name="source_as_is", trivial=False, score=zero),
        ],
        best_control="nearest",
        best_trivial="nearest",
        transfer_gain=interval(0.04),
        learning_curve=[],
        slope_per_doubling=0.0,
        score_at_double=0.31,
        validation_score=interval(0.3),
        precision="fp32",
        model_digest=digest("frozen"),
        prompted=Prompted(rows=200, shots=shots, zero_shot=zero, few_shot=few if shots else None, perplexity=11.75),
    )


def written(model_digest: str) -> Evaluation:
    """The test rows, written by a model trained with LoRA."""
    return Evaluation(
        metric="exact_match",
        rows=400,
        strategy="lora",
        score=interval(0.82),
        comparator="baseline",
        comparisons=[
            comparison("baseline", "comparator", 0.5),
            comparison("nearest", "trivial", 0.55),
            comparison("majority", "trivial", 0.77),
            comparison("source_as_is", "control", 0.7),
        ],
        classes=[],
        slices=[],
        labels=[],
        confusion=[],
        calibration=None,
        errors=[HARDEST],
        model_digest=model_digest,
        size_bytes=270_000_000,
        test_digest=digest("test"),
        overlap_rows=0,
        near_duplicates=0,
        retention=Retention(rows=300, score=0.41, source_score=0.44, change=interval(-0.03), low_one_sided=-0.05),
        perplexity={"candidate": 1.375, "source_as_is": 42.25, "baseline": 11.75},
    )


def writing_records() -> RunRecords:
    """Records of a run in which LoRA won against the prompted baseline."""
    base, model_digest = run_records(name="emoji-paths"), digest("model")
    config = Adaptation.model_validate(
        {
            "name": "emoji-paths",
            "task": "text-generation",
            "source": {"model": "models/smollm2"},
            "target": {"data": "pairs.csv", "label": None, "answer": "answer"},
            "goal": {"metric": "exact_match"},
        }
    ).model_dump(mode="json")
    assert base.finetune is not None
    arms = [arm("frozen", 0.3), arm("lora", 0.83, model_digest)]
    return replace(
        base,
        config=config,
        data=base.data.model_copy(
            update={"task": "text-generation", "target": pairs_table("target"), "reference": pairs_table("reference")}
        ),
        gap=perplexity_report(),
        baseline=prompted_report(),
        decision=base.decision.model_copy(
            update={"strategy": "lora", "arms": ["lora"], "reason": "prompting falls short"}
        ),
        finetune=base.finetune.model_copy(update={"metric": "exact_match", "arms": arms, "chosen": "lora"}),
        evaluation=written(model_digest),
    )
