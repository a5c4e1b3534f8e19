"""Stage ``decide``: the decision rules on what ingest, gap and baseline found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from acclimate.config import Budget, Goal
from acclimate.config_file import built_in_policy
from acclimate.config_finetune import FinetuneSpec
from acclimate.config_gate import PolicySpec
from acclimate.core.decision_policy import could_be_trained
from acclimate.core.evidence import PRETRAINED, ArmEstimate, Block, Evidence
from acclimate.core.licences import OWN, is_known
from acclimate.core.rules import Settlement, settle
from acclimate.errors import IntegrityError
from acclimate.records import (
    FEATURES,
    PRETRAINING,
    ArmCost,
    BaselineReport,
    Calibration,
    DataCard,
    Decision,
    GapReport,
    RuleRecord,
    SourceCard,
    TableCard,
)


def decide(
    data: Path,
    gap: Path,
    baseline: Path,
    calibration: Calibration,
    *,
    goal: Goal,
    budget: Budget,
    finetune: FinetuneSpec,
    out: Path,
    source_card: SourceCard | None = None,
    policy: PolicySpec | None = None,
) -> Decision:
    """Decide whether to train, and which arms, and write ``decision.json``.

    Args:
        data: ingest's folder.
        gap: gap's folder.
        baseline: baseline's folder.
        calibration: stored throughput of this machine, an input like any other.
        goal: what is wanted.
        budget: what may be spent.
        finetune: how arms would be trained.
        out: folder for the record, there already.
        source_card: the source model; given, an unknown licence stops the run here (R0), else it is left to the gate.
        policy: the gate's, for what stops the run here already (R0); None: ``standard``.

    Raises:
        DataError: E-DECIDE-001, -002 (R0), -004 (no target labels), -005 (no finite evidence).
        ModelError: E-DECIDE-003 (R0, licence).
        IntegrityError: E-DECIDE-006, the calibration does not know a strategy; E-RECORD-001, a record is missing.
    """
    card, report, frozen = DataCard.read(data), GapReport.read(gap), BaselineReport.read(baseline)
    evidence = Evidence(
        setting=report.setting,
        gap_verdict=report.verdict,
        target_labels=card.is_generation or bool(card.target.labels),
        train_rows=frozen.train_rows,
        validation_rows=frozen.validation_rows,
        rows_per_class=frozen.rows_per_class,
        probe_score=frozen.score.point,
        probe_low=frozen.score.low,
        probe_high=frozen.score.high,
        best_control=frozen.best_control,
        best_control_score=_control_score(frozen),
        gain=frozen.transfer_gain.point,
        gain_low=frozen.transfer_gain.low,
        gain_high=frozen.transfer_gain.high,
        disagreement=frozen.disagreement,
        slope_per_doubling=frozen.slope_per_doubling,
        at_least=goal.at_least,
        min_gain=goal.min_gain,
        estimates=_estimates(frozen.train_rows, card.pool, calibration, finetune),
        budget_seconds=budget.train_minutes * 60.0,
        requested_arms=None if finetune.arms is None else tuple(finetune.arms),
        scratch_requested=finetune.scratch_control,
        requested_penalties=finetune.penalties.model_dump(),
        blocks=_blocks(card, source_card, policy or built_in_policy("standard")),
        source_licence_checked=source_card is not None,
        unlabelled_rows=card.pool.rows_kept if card.pool else 0,
        from_memory=frozen.from_memory,
        requested_seeds=finetune.seeds,
    )
    decision = _record(settle(evidence))
    decision.write(out)
    return decision


def _control_score(frozen: BaselineReport) -> float:
    """Score of the best control; NaN, which the rules refuse, where the report does not hold it."""
    scores = [c.score.point for c in frozen.controls if c.name == frozen.best_control and c.score is not None]
    return scores[0] if scores else float("nan")


def _blocks(card: DataCard, source: SourceCard | None, policy: PolicySpec) -> tuple[Block, ...]:
    target, blocks, may_be_unknown = card.target, [], policy.checks.licence.unknown
    if target.labels is not None and len(target.labels) < 2:
        blocks.append(Block("schema", f"the target has {len(target.labels)} class", "two classes are needed"))
    empty = sorted(name for name, split in target.splits.items() if split.rows == 0)
    if empty:
        blocks.append(Block("schema", f"no target rows in {', '.join(empty)}", "add rows, or check target.split"))
    test_rows = target.splits["test"].rows if "test" in target.splits else 0
    near = target.near_duplicates_across_splits
    if near > policy.checks.leakage.near_duplicate_share * test_rows:
        says = f"{near} near-duplicates lie in different splits, with {test_rows} test rows"
        blocks.append(Block("leakage", says, "name the column that ties them together as target.group"))
    for part, what, licence, key in _licences(card, source):
        if not is_known(licence) and part not in may_be_unknown:
            says = f"{what}, {licence[:60]}, is none that is known here" if licence else f"{what} is unknown"
            hint = f"state its SPDX name as {key}, or have the gate's policy name {part} in checks.licence.unknown"
            blocks.append(Block("licence", says, f"{hint}, once you know that you may use it"))
    return tuple(blocks)


def _licences(card: DataCard, source: SourceCard | None) -> Iterator[tuple[str, str, str | None, str]]:
    """Each licence that has to be known: the policy's word for what it is of, a person's, and the key that states it.

    Target data without one count as one's own.
    """
    if source is not None:
        yield "source model", f"the licence of the source model {source.name}", source.licence, "source.licence"
    if card.pool is not None:
        yield "pool", "the licence of the pool", card.pool.licence, "pool.licence"
    yield "target data", "the licence of the target data", card.target.licence or OWN, "target.licence"


def _estimates(
    train_rows: int, pool: TableCard | None, calibration: Calibration, finetune: FinetuneSpec
) -> dict[str, ArmEstimate]:
    defaults = FinetuneSpec.model_validate({})
    caps: dict[str, int] = {name: n for spec in (defaults, finetune) for name, n in spec.max_epochs.items()}
    estimates = {}
    for strategy in could_be_trained(finetune.arms, has_pool=pool is not None):
        before = 0.0
        if strategy == PRETRAINED:
            rows = train_rows + (min(pool.rows_kept, finetune.tapt.max_pool_rows) if pool else 0)
            epochs = finetune.tapt.pretraining_epochs
            # the probe is refitted on features of the training rows
            before = rows * epochs / _rate(calibration, PRETRAINING) + train_rows / _rate(calibration, FEATURES)
        seconds = train_rows / _rate(calibration, strategy)
        estimates[strategy] = ArmEstimate(strategy, caps[strategy], seconds, before)
    return estimates


def _rate(calibration: Calibration, work: str) -> float:
    rate = calibration.rows_per_second.get(work, 0.0)
    if rate <= 0:
        raise IntegrityError(
            "E-DECIDE-006",
            f"the stored calibration has no throughput for {work}",
            hint="delete the stored calibration: it will be measured again",
        )
    return rate


def _record(settled: Settlement) -> Decision:
    return Decision(
        action=settled.action,
        strategy=settled.strategy,
        rule=settled.rule,
        reason=settled.reason,
        arms=list(settled.arms),
        controls=list(settled.controls),
        penalties=dict(settled.penalties),
        seeds=settled.seeds,
        rules=[RuleRecord.model_validate(asdict(finding)) for finding in settled.findings],
        costs=[ArmCost.model_validate(asdict(cost)) for cost in settled.costs],
        detectable_effect=settled.detectable_effect,
        label_more=settled.label_more,
    )
