"""Names of the tags acclimate writes into MLflow, and what goes into them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from acclimate.adapters.mlflow_errors import without_credentials
from acclimate.records import Decision, Evaluation, GapFinding, TableCard
from acclimate.registry import Considerations, RunRecords, licence_of_run
from acclimate.version import __version__, step_image

RUN_KEY = "acclimate.run_key"
VERDICT = "acclimate.verdict"
VERDICT_SHA256 = "acclimate.verdict_sha256"
POLICY = "acclimate.policy"
COMPARATOR = "acclimate.comparator"
MODEL_DIGEST = "acclimate.model_digest"
CONTENT_SHA256 = "acclimate.content_sha256"
LOGGED_MODEL = "acclimate.logged_model"
PREVIOUS_CHAMPION = "acclimate.previous_champion"
RECALLED = "acclimate.recalled"
SOURCE_MODEL = "acclimate.source_model"
SOURCE_DIGEST = "acclimate.source_digest"
DATA_DIGEST = "acclimate.data_digest"
TEST_DIGEST = "acclimate.test_digest"
REFERENCE_DIGEST = "acclimate.reference_digest"
POOL_DIGEST = "acclimate.pool_digest"
GAP_DIGEST = "acclimate.gap_digest"
DECISION_DIGEST = "acclimate.decision_digest"
EVALUATION_DIGEST = "acclimate.evaluation_digest"
ANCESTORS = "acclimate.ancestors"
LICENCE = "acclimate.licence"
KIND = "acclimate.kind"
ARM_PREFIX = "acclimate.arm."
IMAGE = "acclimate.image"
STAGE = "acclimate.stage"
STAGE_KEY = "acclimate.stage_key"
MADE_OF = "acclimate.made_of."
RECORDED_AT = "acclimate.recorded_at"
RECORDED_BY = "acclimate.recorded_by"
SOURCE_KIND = "source model"
MADE_FOR = "acclimate.made_for"
NOT_FOR = "acclimate.not_for"
LIMITS = "acclimate.limits"

CHAMPION = "champion"
CHALLENGER = "challenger"

_OUTPUTS = {GAP_DIGEST: "gap", DECISION_DIGEST: "decide", EVALUATION_DIGEST: "evaluate"}


def lineage_tags(records: RunRecords, source_model_uri: str) -> dict[str, str]:
    """What made this run, short enough for tags; None values are left out."""
    evaluation = records.evaluation
    reference, pool = records.data.reference, records.data.pool
    tags = {
        RUN_KEY: records.run_key,
        KIND: "adapted model",
        SOURCE_MODEL: source_model_uri,
        SOURCE_DIGEST: records.source.digest,
        **licence_tags(records),
        "acclimate.source_uri": without_credentials(records.source_uri),
        DATA_DIGEST: records.data.target.digest,
        REFERENCE_DIGEST: reference.digest if reference else None,
        POOL_DIGEST: pool.digest if pool else None,
        TEST_DIGEST: evaluation.test_digest,
        MODEL_DIGEST: evaluation.model_digest,
        "acclimate.task": records.data.task,
        **finding_tags(records),
        "acclimate.code_version": __version__,
        IMAGE: step_image(),
        "acclimate.training_image": records.stages["finetune"].image if "finetune" in records.stages else None,
        **origin_tags("data", records.data.target),
        **(origin_tags("reference", reference) if reference else {}),
        **(origin_tags("pool", pool) if pool else {}),
    }
    return {name: value for name, value in tags.items() if value is not None}


def finding_tags(records: RunRecords) -> dict[str, str | None]:
    """What a run found, as ``models`` and ``lineage`` show it; None: no such tag."""
    return {
        **gap_tags(records.gap.in_short),
        **judged_tags(records.decision, records.evaluation),
        **output_tags(records.outputs),
    }


def gap_tags(gap: GapFinding) -> dict[str, str | None]:
    """How far the target lies from the source."""
    return {
        "acclimate.setting": gap.setting,
        "acclimate.gap": gap.verdict,
        "acclimate.gap_units": None if gap.units is None else f"{gap.units:.6g}",
    }


def judged_tags(decision: Decision, evaluation: Evaluation) -> dict[str, str | None]:
    """Which arms were to be trained, and how well the version does on test rows."""
    score = evaluation.score
    return {
        "acclimate.decision": decision.strategy,
        "acclimate.decision_rule": decision.rule,
        "acclimate.strategy": evaluation.strategy,
        COMPARATOR: evaluation.comparator,
        "acclimate.metric": evaluation.metric,
        "acclimate.score": f"{score.point:.6g}",
        "acclimate.score_low": f"{score.low:.6g}",
        "acclimate.score_high": f"{score.high:.6g}",
    }


def output_tags(outputs: Mapping[str, str]) -> dict[str, str | None]:
    """The sha256 of what gap, decide and evaluate wrote, by stage, as far as it is known."""
    return {tag: outputs.get(stage) for tag, stage in _OUTPUTS.items()}


def consideration_tags(told: Considerations) -> dict[str, str]:
    """What people should know before they use a version, a sentence a line; nothing where nothing is told.

    For versions: a tag of a run is cut where it is long.
    """
    lines = {MADE_FOR: (told.made_for,), NOT_FOR: told.not_for, LIMITS: told.limits}
    joined = {name: "\n".join(" ".join(one.split()) for one in sentences) for name, sentences in lines.items()}
    return {name: without_credentials(text) for name, text in joined.items() if text}


def licence_tags(records: RunRecords) -> dict[str, str | None]:
    """What is known of licences: of the whole model, and of the tables it was made with; None: nobody stated one."""
    data = records.data
    return {
        LICENCE: licence_of_run(records) or "unknown",
        "acclimate.data_licence": data.target.licence,
        "acclimate.reference_licence": data.reference.licence if data.reference else None,
        "acclimate.pool_licence": data.pool.licence if data.pool else None,
    }


def origin_tags(table: str, card: TableCard) -> dict[str, str]:
    """Where a table was fetched from, and what pins it there; empty for local files.

    Args:
        table: what the tags begin with, ``data``, ``reference`` or ``pool``.
        card: the table; its first file stands for all.
    """
    fetched = [file for file in card.files if file.etag or file.md5]
    if not fetched:
        return {}
    file, more = fetched[0], len(fetched) - 1
    uri = without_credentials(file.uri) + (f" and {more} more" if more else "")
    pins = {"uri": uri, "version": file.version_id, "etag": file.etag, "dvc_rev": file.dvc_rev, "md5": file.md5}
    return {f"acclimate.{table}_{name}": value for name, value in pins.items() if value is not None}


def arm_tags(records: RunRecords) -> dict[str, str]:
    """One tag an arm, rejected ones too: what came of it, as JSON."""
    arms = records.finetune.arms if records.finetune else []
    return {
        f"{ARM_PREFIX}{arm.strategy}": json.dumps(
            {
                "role": arm.role,
                # the frozen model may stand in for the one that was chosen on validation
                "chosen": arm.role == "arm" and arm.strategy == records.evaluation.strategy,
                "trained_fully": arm.trained_fully,
                "validation_score": round(arm.score.point, 6),
                "model_digest": arm.model_digest,
                **({"pretraining": arm.pretraining.model_dump()} if arm.pretraining else {}),
            },
            sort_keys=True,
        )
        for arm in arms
    }


def flattened(config: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested configuration as dotted names and plain strings, credentials removed.

    Lists are kept whole, as JSON; null values are left out.
    """
    flat: dict[str, str] = {}
    for name, value in config.items():
        if isinstance(value, dict):
            flat |= flattened(value, f"{prefix}{name}.")
        elif value is not None:
            text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            flat[f"{prefix}{name}"] = without_credentials(text)
    return flat


def recorded_order(run: Any) -> tuple[int, str]:
    """What sorts runs of MLflow by when they were recorded: their start tells when work on them began."""
    told = run.data.tags.get(RECORDED_AT, "")
    return int(told) if told.isdecimal() else run.info.start_time, str(run.info.run_id)


def kept_order(run: Any) -> tuple[bool, int, str]:
    """What sorts runs of one key, the one to keep first: a whole one, else the earliest."""
    return (run.info.status != "FINISHED", *recorded_order(run))
