"""From the records of an adaptation to the gate's verdict. Imports records, configuration and core only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal

from acclimate.config_gate import PolicySpec
from acclimate.core.control_names import (
    BEFORE_ADAPTING,
    TRIVIAL_OF_ANSWERS,
    TRIVIAL_OF_IMAGES,
    TRIVIAL_OF_PLAIN_TEXT,
    TRIVIAL_OF_TEXTS,
)
from acclimate.core.gate import (
    Difference,
    GateInputs,
    GatePolicy,
    Integrity,
    Reliability,
    SliceResult,
    Waiver,
    judge,
)
from acclimate.core.gate_checks.licence import POOL
from acclimate.core.licences import OWN, Grade
from acclimate.digests import data_digest
from acclimate.handing_on import stood_in_for
from acclimate.records import (
    Check,
    Comparison,
    DataCard,
    Decision,
    Evaluation,
    Evidence,
    FinetuneReport,
    SourceCard,
    Verdict,
)
from acclimate.version import __version__

__all__ = ["Integrity", "Waiver", "gate_inputs", "gate_policy", "judge_evidence", "judge_records"]

AS_CHAMPION = "Use it: it is the champion now."
AS_CHALLENGER = "Make it the champion: acclimate promote {name}@challenger --reason WHY"
TO_APPROVE = (
    "Somebody has to answer for it: acclimate approve {name}/VERSION --by NAME --reason WHY; then promote it. "
    "acclimate models {name} shows the version."
)
_STORED_WELL = Integrity(max_logit_difference=0.0, changes_outputs=True, same_model=True)


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
    policy: PolicySpec,
    run_key: str,
    name: str,
    waivers: Sequence[Waiver] = (),
    look: int = 1,
    latency_p95_ms: float | None = None,
    memory_bytes: int | None = None,
) -> Verdict:
    """Judge a candidate by a policy.

    Args:
        data: what ingest found.
        source: the source model.
        decision: what ``decide`` wanted.
        finetune: the arms; None where nothing was trained.
        evaluation: the candidate on the test split.
        integrity: the stored model against the evaluated one; None inside it for what was not measured.
        at_least: ``goal.at_least``.
        at_least_by: ``goal.at_least_by``.
        policy: with the margin and error rate that ``gate`` sets.
        run_key: of this adaptation.
        name: of the registered model.
        waivers: ``gate.waivers``.
        look: how many run keys were evaluated at this test digest, this one included.
        latency_p95_ms: of single rows, where the candidate was evaluated.
        memory_bytes: of a process that served some rows there.
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
        latency_p95_ms=latency_p95_ms,
        memory_bytes=memory_bytes,
    )
    outcome = judge(inputs, gate_policy(policy), waivers)
    return Verdict(
        verdict=outcome.verdict,
        if_approved=outcome.if_approved,
        policy=policy.name,
        rules=policy.model_dump(mode="json"),
        run_key=run_key,
        name=name,
        comparator=evaluation.comparator,
        checks=[Check.model_validate(asdict(check)) for check in outcome.checks],
        reasons=list(outcome.reasons),
        next_step=outcome.next_step,
    )


def judge_evidence(evidence: Evidence, *, policy: PolicySpec, run_key: str, name: str) -> Verdict:
    """The verdict as it is registered: judged by a policy, and saying what to do next.

    While the model is not stored the integrity check passes; what else rejects it is the last word then.

    Args:
        evidence: everything else that is looked at.
        policy: with the margin and error rate that ``gate`` sets.
        run_key: of this adaptation.
        name: of the registered model.
    """
    stored = evidence.stored
    verdict = judge_records(
        data=evidence.data,
        source=evidence.source,
        decision=evidence.decision,
        finetune=evidence.finetune,
        evaluation=evidence.evaluation,
        integrity=_STORED_WELL if stored is None else Integrity(**stored.model_dump()),
        at_least=evidence.at_least,
        at_least_by=evidence.at_least_by,
        policy=policy,
        waivers=[Waiver(one.check, one.by, one.reason) for one in evidence.waivers],
        run_key=run_key,
        name=name,
        look=evidence.look,
        latency_p95_ms=evidence.latency_p95_ms,
        memory_bytes=evidence.memory_bytes,
    )
    if stored is None and verdict.verdict == "REJECT":
        verdict = _without_integrity(verdict)
    if verdict.if_approved == "PROMOTE":
        step = TO_APPROVE.format(name=name)
    elif verdict.verdict != "PROMOTE":
        step = verdict.next_step
    else:
        step = AS_CHAMPION if evidence.auto_promote else AS_CHALLENGER.format(name=name)
    sha256 = data_digest(evidence.model_dump(mode="json"))
    return verdict.model_copy(update={"next_step": step, "evidence_sha256": sha256, "release": __version__})


def _without_integrity(verdict: Verdict) -> Verdict:
    """A rejection that says of the integrity check what is true: it was not reached."""
    says = "not measured: other checks rejected the candidate before it was stored"
    checks = [
        Check(number=row.number, name=row.name, required=row.required, outcome="not_applicable", numbers={}, says=says)
        if row.name == "integrity"
        else row
        for row in verdict.checks
    ]
    return verdict.model_copy(update={"checks": checks})


def gate_policy(policy: PolicySpec) -> GatePolicy:
    """A policy as the checks see it."""
    checks = policy.checks
    rules = dict(checks)
    most, size, memory = checks.licence.at_most, checks.cost.size_mb_at_most, checks.cost.memory_mb_at_most
    return GatePolicy(
        name=policy.name,
        required=frozenset(name for name, rule in rules.items() if rule.required and name != "approval"),
        warning_blocks=frozenset(name for name, rule in rules.items() if getattr(rule, "warning_blocks", False)),
        waived_by={name: frozenset(getattr(rule, "waived_by", ())) for name, rule in rules.items()},
        claim=checks.primary.claim,
        margin=checks.primary.margin,
        alpha=checks.primary.alpha,
        min_test_rows=checks.primary.min_test_rows,
        min_test_groups=checks.primary.min_test_groups,
        near_duplicate_share=checks.leakage.near_duplicate_share,
        grouped=checks.leakage.grouped,
        logit_tolerance=checks.integrity.logit_tolerance,
        scratch=checks.controls.scratch,
        slice_alpha=checks.slices.alpha,
        slice_columns=tuple(checks.slices.columns),
        slice_low_at_least=checks.slices.low_at_least,
        ece_at_most=checks.calibration.ece_at_most,
        seeds=checks.seeds.at_least,
        corrects_looks=checks.reuse.corrects,
        size_bytes_at_most=None if size is None else size * 1e6,
        latency_p95_ms_at_most=checks.cost.latency_p95_ms_at_most,
        memory_bytes_at_most=None if memory is None else memory * 1e6,
        unknown_licences=frozenset(checks.licence.unknown),
        licence_at_most=None if most is None else Grade[most.upper().replace(" ", "_").replace("-", "_")],
        approval=checks.approval.required,
        approved_by=frozenset(checks.approval.by),
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
    latency_p95_ms: float | None = None,
    memory_bytes: int | None = None,
) -> GateInputs:
    """What the gate looks at; the arguments are :func:`judge_records`'s."""
    calibration = evaluation.calibration
    primary = [_difference(row) for row in evaluation.comparisons if row.role == "comparator"]
    chosen = "frozen" if finetune is None or stood_in_for(finetune, evaluation) else finetune.chosen
    if chosen != evaluation.strategy or not _digest_fits(finetune, evaluation):
        integrity = Integrity(integrity.max_logit_difference, integrity.changes_outputs, same_model=False)
    return GateInputs(
        strategy=evaluation.strategy,
        test_rows=evaluation.rows,
        overlap_rows=evaluation.overlap_rows,
        pool_overlap_rows=evaluation.pool_overlap_rows,
        earlier_overlap_rows=evaluation.earlier_overlap_rows,
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
        expected_before=_before_adapting(data, source, evaluation.strategy),
        trivial=_trivial(data),
        slices=tuple(
            SliceResult(
                f"{s.column} = {s.value}",
                s.rows,
                s.score.point,
                s.score.low,
                s.score.high,
                s.column,
                s.gap.point if s.gap else None,
                s.p_behind,
            )
            for s in evaluation.slices
        ),
        slice_columns=tuple(data.target.slices),
        slices_left_out=evaluation.slices_left_out,
        reliability=None
        if calibration is None
        else Reliability(calibration.ece, calibration.ece_before, calibration.nll, calibration.brier),
        gives_probabilities=not data.is_generation,
        seeds_diverged=_seeds_diverged(finetune),
        seed_scores=tuple(row.other_score.point for row in evaluation.comparisons if row.role == "seed"),
        retention_low=evaluation.retention.low_one_sided if evaluation.retention else None,
        reference_given=data.reference is not None,
        size_bytes=evaluation.size_bytes,
        latency_p95_ms=latency_p95_ms,
        memory_bytes=memory_bytes,
        licences={
            "source model": source.licence,
            "target data": data.target.licence or OWN,
            **({POOL: data.pool.licence} if data.pool else {}),
        },
        look=look,
        grouped=data.target.grouped,
        test_groups=evaluation.groups,
    )


def _seeds_diverged(finetune: FinetuneReport | None) -> int:
    runs = [run for arm in finetune.arms if arm.chosen for run in arm.seeds] if finetune else []
    return sum(run.score is None for run in runs)


def _trivial(data: DataCard) -> tuple[str, ...]:
    """The controls without a pretrained model that the task has."""
    if data.is_generation:
        return TRIVIAL_OF_ANSWERS if data.target.answers else TRIVIAL_OF_PLAIN_TEXT
    return TRIVIAL_OF_IMAGES if data.has_images else TRIVIAL_OF_TEXTS


def _untransferred(data: DataCard) -> str:
    """The control that shows what the source's knowledge is worth; a random language model writes nothing."""
    return "" if data.is_generation else "random_features"


def _before_adapting(data: DataCard, source: SourceCard, strategy: str) -> frozenset[str]:
    """Of what the candidate was adapted from, what every evaluation compares it with.

    The frozen model is not compared with itself, and a source without a head for these labels answers nothing.
    """
    frozen, as_is = BEFORE_ADAPTING
    answers = data.is_generation or (source.labels is not None and sorted(source.labels) == data.target.labels)
    return frozenset([frozen] * (strategy != "frozen") + [as_is] * answers)


def _difference(row: Comparison) -> Difference:
    return Difference(
        other=row.other,
        other_score=row.other_score.point,
        point=row.difference.point,
        low=row.low_one_sided,
        high=row.high_one_sided,
        rows_needed=row.rows_needed,
        detectable_effect=row.detectable_effect,
        mcnemar_p=row.mcnemar_p,
    )


def _digest_fits(finetune: FinetuneReport | None, evaluation: Evaluation) -> bool:
    """The evaluated model is that arm's of the training; arms without a kept digest can't be told from here."""
    if finetune is None:
        return True
    digests = [arm.model_digest for arm in finetune.arms if arm.strategy == evaluation.strategy and arm.model_digest]
    return all(digest == evaluation.model_digest for digest in digests)
