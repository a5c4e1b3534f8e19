"""From the records of an adaptation to the gate's verdict. Imports records and core only."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

from acclimate.core.control_names import (
    TRIVIAL_OF_ANSWERS,
    TRIVIAL_OF_IMAGES,
    TRIVIAL_OF_PLAIN_TEXT,
    TRIVIAL_OF_TEXTS,
)
from acclimate.core.gate import (
    Difference,
    GateInputs,
    Integrity,
    Reliability,
    SliceResult,
    gate_policy,
    judge,
)
from acclimate.core.gate_checks.licence import POOL
from acclimate.core.licences import OWN
from acclimate.records import (
    Check,
    Comparison,
    DataCard,
    Decision,
    Evaluation,
    FinetuneReport,
    SourceCard,
    Verdict,
)

__all__ = ["Integrity", "gate_inputs", "judge_records"]


def judge_records(
    *,
    data: DataCard,
    source: SourceCard,
    decision: Decision,
    finetune: FinetuneReport | None,
    evaluation: Evaluation,
    integrity: Integrity,
    at_least: float | None,
    at_least_by: Literal["point", "lower"],
    policy: str,
    margin: float,
    alpha: float,
    run_key: str,
    name: str,
    look: int = 1,
) -> Verdict:
    """Judge a candidate by the named policy.

    Args:
        data: what ingest found.
        source: the source model.
        decision: what ``decide`` wanted.
        finetune: the arms; None where nothing was trained.
        evaluation: the candidate on the test split.
        integrity: the stored model against the evaluated one; None inside it for what was not measured.
        at_least: ``goal.at_least``.
        at_least_by: ``goal.at_least_by``.
        policy: ``gate.policy``.
        margin: ``gate.margin``.
        alpha: ``gate.alpha``.
        run_key: of this adaptation.
        name: of the registered model.
        look: how many run keys were evaluated at this test digest, this one included.

    Raises:
        ConfigError: E-GATE-001, no such policy.
    """
    inputs = gate_inputs(
        data=data,
        source=source,
        decision=decision,
        finetune=finetune,
        evaluation=evaluation,
        integrity=integrity,
        at_least=at_least,
        at_least_by=at_least_by,
        look=look,
    )
    outcome = judge(inputs, gate_policy(policy, margin=margin, alpha=alpha))
    return Verdict(
        verdict=outcome.verdict,
        policy=policy,
        run_key=run_key,
        name=name,
        checks=[Check.model_validate(asdict(check)) for check in outcome.checks],
        reasons=list(outcome.reasons),
        next_step=outcome.next_step,
    )


def gate_inputs(
    *,
    data: DataCard,
    source: SourceCard,
    decision: Decision,
    finetune: FinetuneReport | None,
    evaluation: Evaluation,
    integrity: Integrity,
    at_least: float | None,
    at_least_by: Literal["point", "lower"],
    look: int,
) -> GateInputs:
    """What the gate looks at; the arguments are :func:`judge_records`'s."""
    calibration = evaluation.calibration
    primary = [_difference(row) for row in evaluation.comparisons if row.role == "comparator"]
    chosen = "frozen" if finetune is None else finetune.chosen
    if chosen != evaluation.strategy or not _digest_fits(finetune, evaluation):
        integrity = Integrity(integrity.max_logit_difference, integrity.changes_outputs, same_model=False)
    return GateInputs(
        strategy=evaluation.strategy,
        test_rows=evaluation.rows,
        overlap_rows=evaluation.overlap_rows,
        pool_overlap_rows=evaluation.pool_overlap_rows,
        near_duplicates=evaluation.near_duplicates,
        integrity=integrity,
        score=evaluation.score.point,
        score_low=evaluation.score.low,
        at_least=at_least,
        at_least_by=at_least_by,
        comparator=evaluation.comparator,
        primary=primary[0] if len(primary) == 1 else None,
        comparisons=tuple(_difference(row) for row in evaluation.comparisons),
        expected_controls=frozenset({_untransferred(data), *(decision.controls if finetune else ())} - {""}),
        trivial=_trivial(data),
        slices=tuple(
            SliceResult(f"{s.column} = {s.value}", s.rows, s.score.point, s.score.low, s.score.high)
            for s in evaluation.slices
        ),
        reliability=None
        if calibration is None
        else Reliability(calibration.ece, calibration.ece_before, calibration.nll, calibration.brier),
        gives_probabilities=not data.is_generation,
        retention_low=evaluation.retention.low_one_sided if evaluation.retention else None,
        size_bytes=evaluation.size_bytes,
        licences={
            "source model": source.licence,
            "target data": data.target.licence or OWN,
            **({POOL: data.pool.licence} if data.pool else {}),
        },
        look=look,
    )


def _trivial(data: DataCard) -> tuple[str, ...]:
    """The controls without a pretrained model that the task has."""
    if data.is_generation:
        return TRIVIAL_OF_ANSWERS if data.target.answers else TRIVIAL_OF_PLAIN_TEXT
    return TRIVIAL_OF_IMAGES if data.has_images else TRIVIAL_OF_TEXTS


def _untransferred(data: DataCard) -> str:
    """The control that shows what the source's knowledge is worth; a random language model writes nothing."""
    return "" if data.is_generation else "random_features"


def _difference(row: Comparison) -> Difference:
    return Difference(
        other=row.other,
        other_score=row.other_score.point,
        point=row.difference.point,
        low=row.low_one_sided,
        high=row.high_one_sided,
        rows_needed=row.rows_needed,
    )


def _digest_fits(finetune: FinetuneReport | None, evaluation: Evaluation) -> bool:
    """The evaluated model is the chosen arm's; arms without a kept digest (``frozen``) can't be told from here."""
    if finetune is None:
        return True
    digests = [arm.model_digest for arm in finetune.arms if arm.strategy == finetune.chosen and arm.model_digest]
    return all(digest == evaluation.model_digest for digest in digests)
