"""The model card: the README.md that travels with an adapted model, made from the records of its run."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from acclimate.config_file import effective_policy
from acclimate.config_gate import GateSpec
from acclimate.records import CalibrationScore, Comparison, DataCard, Pretraining, Retention
from acclimate.registry import RunRecords, licence_of_run
from acclimate.report import numbers
from acclimate.report.considerations import considerations, primary
from acclimate.report.safety import visible
from acclimate.report.task_words import model_name, scored_by
from acclimate.report.wording import GAPS, metric_name, spaced
from acclimate.version import __version__

CARD_NAME = "README.md"
_TEMPLATE = Path(__file__).parent / "templates" / "model_card.md.j2"
_MARKDOWN = re.compile(r"([\\`*_{}\[\]#|~$])")
_LONGEST = 200
_HUB_METRICS = {
    "macro_f1": "f1",
    "accuracy": "accuracy",
    "balanced_accuracy": "accuracy",
    "exact_match": "exact_match",
    "rouge_l": "rouge",
    "token_accuracy": "accuracy",
}


def inert(text: str, longest: int = _LONGEST) -> str:
    """Foreign text as one line of Markdown that shows it and does nothing else, cut where it is longer."""
    return html.escape(_MARKDOWN.sub(r"\\\1", _one_line(text, longest)), quote=False)


def code(text: str) -> str:
    """Foreign text as a code span."""
    return "`" + _one_line(text).replace("`", "'") + "`"


def _one_line(text: str, longest: int = _LONGEST) -> str:
    return visible(" ".join(text.split()))[:longest]


def write_model_card(records: RunRecords, folder: Path) -> Path:
    """Write the card into a model folder; the model's digest doesn't cover it.

    Args:
        records: what the run produced. The same records give the same bytes.
        folder: the model folder.

    Returns:
        The card's path.
    """
    path = folder / CARD_NAME
    path.write_text(render_model_card(records), encoding="utf-8")
    return path


def render_model_card(records: RunRecords) -> str:
    """The card as Markdown with a YAML header that the Hugging Face Hub reads."""
    card = ModelCard.from_template(_header(records), template_path=str(_TEMPLATE), **_values(records))
    return str(card).rstrip("\n") + "\n"


def _header(records: RunRecords) -> ModelCardData:
    evaluation, source = records.evaluation, records.source
    result = EvalResult(
        task_type=records.data.task,
        dataset_type=f"{records.name}-target",
        dataset_name=f"{records.name}, target data",
        dataset_split="test",
        dataset_revision=records.data.target.digest,
        metric_type=_HUB_METRICS[evaluation.metric],
        metric_name=metric_name(evaluation.metric),
        metric_value=round(evaluation.score.point, 4),
    )
    return ModelCardData(
        model_name=records.name,
        **_licence(records),
        library_name="acclimate",
        pipeline_tag=records.data.task,
        base_model=source.name,
        tags=["acclimate", "transfer-learning", evaluation.strategy],
        eval_results=[result],
    )


def _licence(records: RunRecords) -> dict[str, str]:
    """The licence as the hub writes it: by its name, or as ``other`` with an expression of all that it is made of.

    One that is not known is said to be so: what is adapted from the model must not take it for its source's.
    """
    licence = licence_of_run(records) or "unknown"
    return {"license": "other", "license_name": licence} if " " in licence else {"license": licence.lower()}


def _values(records: RunRecords) -> dict[str, Any]:
    return {
        **_result_values(records),
        **_use_values(records),
        **_gate_values(records),
        **_history_values(records),
        **_data_values(records),
    }


def _result_values(records: RunRecords) -> dict[str, Any]:
    evaluation, calibration, task = records.evaluation, records.evaluation.calibration, records.data.task
    return {
        "labels": [inert(label) for label in evaluation.labels],
        "test_rows": numbers.count(evaluation.rows),
        "metric": metric_name(evaluation.metric),
        "score": numbers.score(evaluation.score.point),
        "score_bounds": numbers.bounds(evaluation.score),
        "comparisons": [
            {
                "other": inert(model_name(row.other, task)),
                "score": numbers.score(row.other_score.point),
                "difference": numbers.signed(row.difference.point),
                "bounds": numbers.signed_bounds(row.difference),
            }
            for row in evaluation.comparisons
        ],
        "power": _power(primary(records), task),
        "calibration": _calibration(calibration) if calibration else None,
        "retention": _retention(evaluation.retention) if evaluation.retention else None,
        "perplexity": {
            inert(model_name(name, task)): numbers.plain(value) for name, value in evaluation.perplexity.items()
        },
        "classes": [
            {
                "label": inert(row.label),
                "rows": numbers.count(row.rows),
                **{name: numbers.score(getattr(row, name)) for name in ("precision", "recall", "f1")},
            }
            for row in evaluation.classes
        ],
        "robustness": [
            {"change": row.change, "lost": numbers.signed(row.lost.point), "bounds": numbers.signed_bounds(row.lost)}
            for row in evaluation.robustness
        ],
    }


def _power(deciding: Comparison | None, task: str) -> dict[str, Any] | None:
    """What the test rows can show of the comparison that decides."""
    if deciding is None:
        return None
    return {
        "other": inert(model_name(deciding.other, task)),
        "effect": numbers.score(deciding.detectable_effect),
        "needed": numbers.count(deciding.rows_needed) if deciding.rows_needed else None,
        "too_few": deciding.underpowered,
    }


def _calibration(found: CalibrationScore) -> dict[str, str]:
    """Each number, with its interval where that was computed."""
    plain = {name: numbers.score(getattr(found, name)) for name in ("ece", "ece_before", "nll", "brier")}
    bounds = {name: f"{plain[name]} ({numbers.bounds(ends)})" for name, ends in found.intervals.items()}
    return plain | bounds


def _retention(kept: Retention) -> dict[str, str]:
    return {
        "rows": numbers.count(kept.rows),
        "score": numbers.score(kept.score),
        "source_score": numbers.score(kept.source_score),
        "change": f"{numbers.signed(kept.change.point)} ({numbers.signed_bounds(kept.change)})",
        "low": numbers.signed(kept.low_one_sided),
    }


def _use_values(records: RunRecords) -> dict[str, Any]:
    told = considerations(records)
    return {"not_for": [inert(one) for one in told.not_for], "limits": [inert(one) for one in told.limits]}


def _gate_values(records: RunRecords) -> dict[str, Any]:
    """The policy, what it asks of people, and what they answer for; the verdict itself comes after the card."""
    gate = GateSpec.model_validate(records.config.get("gate", {}))
    policy = effective_policy(gate)
    approval = policy.checks.approval
    by = f"one of {', '.join(inert(one) for one in approval.by)}" if approval.by else "somebody"
    return {
        "policy": inert(policy.name),
        "approval_by": by if approval.required else None,
        "waivers": [
            {"check": spaced(one.check), "by": inert(one.by), "reason": inert(one.reason, 1000)} for one in gate.waivers
        ],
    }


def _history_values(records: RunRecords) -> dict[str, Any]:
    gap, decision, task = records.gap, records.decision, records.data.task
    measured = f", {numbers.units(gap.units)} gap units" if gap.units is not None else ""
    return {
        "name": records.name,
        "task": task,
        "input": "an image" if records.data.has_images else "a text",
        "example": _example(records.data),
        "writes": _writes(records),
        "code_version": __version__,
        "source": {
            "name": code(records.source.name),
            "revision": code(records.source.revision),
            "licence": inert(records.source.licence) if records.source.licence else None,
            "digest": records.source.digest,
        },
        "strategy": model_name(records.evaluation.strategy, task),
        "setting": gap.setting,
        "gap": f"{GAPS[gap.verdict]}{measured}",
        "decision": " + ".join(model_name(one, task) for one in decision.strategy.split("+")),
        "rule": decision.rule,
        "reason": inert(decision.reason),
        "handed_on": inert(records.evaluation.handed_on.says) if records.evaluation.handed_on else None,
        "arms": [
            {
                "name": model_name(arm.strategy, task),
                "score": f"{numbers.score(arm.score.point)} ({numbers.bounds(arm.score)})",
                "chosen": arm.role == "arm" and arm.strategy == records.evaluation.strategy,
                "pretraining": _pretraining(arm.pretraining) if arm.pretraining else None,
            }
            for arm in (records.finetune.arms if records.finetune else [])
        ],
        "refitted_rows": _refitted_rows(records),
        "model_digest": records.evaluation.model_digest,
        "run_key": records.run_key,
    }


def _refitted_rows(records: RunRecords) -> str | None:
    rows = records.baseline.refitted_rows
    return numbers.count(rows) if rows and records.evaluation.strategy == "frozen" else None


def _pretraining(done: Pretraining) -> str:
    of_pool = f", {numbers.count(done.pool_rows)} of them of the pool" if done.pool_rows else ""
    texts = numbers.count(done.rows + done.held_out_rows)
    losses = f"{numbers.plain(done.loss_before)} to {numbers.plain(done.loss_after)} nats a hidden token"
    return f"first pretrained on {texts} texts without labels{of_pool}: held-out masked loss {losses}"


def _example(data: DataCard) -> str:
    if data.has_images:
        return '"image.png"'
    return '"a prompt"' if data.target.answers else '"a text"'


def _writes(records: RunRecords) -> str | None:
    """What a model that writes does with its input; None of a classifier."""
    if not records.data.is_generation:
        return None
    asked = f", {scored_by(records.baseline)}" if records.evaluation.strategy == "frozen" else ""
    if records.data.target.answers:
        return f"It writes the answer to a prompt{asked}"
    return f"It goes on with a text{asked}"


def _data_values(records: RunRecords) -> dict[str, Any]:
    target, pool = records.data.target, records.data.pool
    return {
        "pool": {
            "rows": numbers.count(pool.rows_kept),
            "licence": inert(pool.licence or "unknown"),
            "digest": pool.digest,
            "dropped": numbers.count(pool.held_out_rows_dropped),
        }
        if pool
        else None,
        "rows_kept": numbers.count(target.rows_kept),
        "splits": ", ".join(f"{numbers.count(card.rows)} {split}" for split, card in target.splits.items()),
        "data_licence": inert(target.licence) if target.licence else "the owner's own",
        "data_digest": target.digest,
        "warnings": [inert(warning) for warning in target.warnings],
    }
