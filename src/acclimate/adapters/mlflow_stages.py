"""Runs nested below that of an adaptation: one for each stage that was run, one for each verdict."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acclimate.adapters.mlflow_client import Connection, Measured, log_entries
from acclimate.adapters.mlflow_errors import COLLISION
from acclimate.adapters.mlflow_tables import FOLDER, Tables, checks_table, tables_tag, write_tables
from acclimate.adapters.mlflow_tags import (
    IMAGE,
    MADE_OF,
    POLICY,
    RECORDED_AT,
    STAGE,
    STAGE_KEY,
    VERDICT,
    VERDICT_SHA256,
    flattened,
    kept_order,
)
from acclimate.errors import UnavailableError
from acclimate.records import Verdict
from acclimate.registry import FinishedStage, RunRecords

# the sections of the configuration that a stage goes by
_SECTIONS = {
    "gap": ("gap",),
    "baseline": ("baseline",),
    "decide": ("goal", "budget"),
    "finetune": ("finetune",),
    "evaluate": ("evaluate",),
}
# what the names of the metrics that a stage found begin with
_FOUND = {
    "gap": ("gap.",),
    "baseline": ("baseline.",),
    "finetune": ("arm.",),
    "evaluate": ("test.", "retention.", "serving."),
}
_PARENT = "mlflow.parentRunId"
_FINISHED = "FINISHED"


@dataclass(frozen=True)
class _Nested:
    """A nested run as it is to be; ``key`` tells it from others of its name, times are seconds since 1970."""

    name: str
    key: str
    began: float
    ended: float
    tags: dict[str, str]
    params: dict[str, str] = field(default_factory=dict)
    metrics: Measured = field(default_factory=list)
    tables: Tables = field(default_factory=dict)


def record_stages(connection: Connection, parent: Any, records: RunRecords, measured: Measured) -> None:
    """Keep each stage that was run; one that was run again, on something else, is one more.

    Args:
        connection: the tracking store.
        parent: the adaptation's run.
        records: what the run produced.
        measured: name, value and step of every metric of the run.
    """
    _keep(connection, parent, [_of_stage(name, stage, records, measured) for name, stage in records.stages.items()])


def record_verdict(connection: Connection, parent_id: str, verdict: Verdict, sha256: str) -> None:
    """Keep what the gate said, check by check."""
    now, tables = time.time(), checks_table(verdict)
    tags = {VERDICT: verdict.verdict, POLICY: verdict.policy, VERDICT_SHA256: sha256, **tables_tag(tables)}
    run = _Nested("gate", sha256, now, now, tags, tables=tables)
    _keep(connection, connection.client.get_run(parent_id), [run])


def _of_stage(name: str, stage: FinishedStage, records: RunRecords, measured: Measured) -> _Nested:
    began = time.time() - stage.seconds if stage.started_at is None else stage.started_at
    sections = [*_SECTIONS.get(name, ()), *(["generation"] if records.data.is_generation else [])]
    asked = {section: records.config[section] for section in sections if section in records.config}
    tags = {f"{MADE_OF}{made_of}": value for made_of, value in stage.inputs.items()}
    return _Nested(
        name,
        stage.key,
        began,
        began + stage.seconds,
        {**tags, **({IMAGE: stage.image} if stage.image else {})},
        flattened(asked),
        [*_found(name, records, measured), ("seconds", stage.seconds, 0)],
    )


def _found(name: str, records: RunRecords, measured: Measured) -> Measured:
    if name != "ingest":
        return [one for one in measured if name in _FOUND and one[0].startswith(_FOUND[name])]
    tables = {"target": records.data.target, "reference": records.data.reference, "pool": records.data.pool}
    return [
        (f"rows.{table}.{split}", float(part.rows), 0)
        for table, card in tables.items()
        if card is not None
        for split, part in card.splits.items()
    ]


def _keep(connection: Connection, parent: Any, wanted: Sequence[_Nested]) -> None:
    """Write those that are not there yet, and again those that were left half written; of each key one stays."""
    client, found = connection.client, _below(connection, parent)
    missing = [one for one in wanted if one.key not in _by_key(found)]
    for one in missing:
        now = str(int(time.time() * 1000))
        tags = {**one.tags, _PARENT: parent.info.run_id, STAGE: one.name, STAGE_KEY: one.key, RECORDED_AT: now}
        client.create_run(parent.info.experiment_id, _milliseconds(one.began), tags, one.name)
    found = _below(connection, parent) if missing else found
    known = _by_key(found)
    for run in found:
        # racers made several, or a reply was lost and the request sent again; who is filling it finds another
        if run is not known[run.data.tags[STAGE_KEY]]:
            client.delete_run(run.info.run_id)
    for one in wanted:
        if one.key not in known:
            raise UnavailableError(
                COLLISION,
                f"somebody deleted the run of {one.name} just now",
                where=connection.shown_uri,
                hint="run again",
            )
        _fill(connection, known[one.key], one)


def _fill(connection: Connection, run: Any, wanted: _Nested) -> None:
    if run.info.status == _FINISHED:
        return
    run_id, ended = run.info.run_id, _milliseconds(wanted.ended)
    log_entries(connection, run_id, params=wanted.params, metrics=wanted.metrics, at=ended)
    if wanted.tables:
        with tempfile.TemporaryDirectory() as folder:
            write_tables(wanted.tables, Path(folder))
            connection.client.log_artifacts(run_id, folder, FOLDER)
    connection.client.set_terminated(run_id, _FINISHED, end_time=ended)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _below(connection: Connection, parent: Any) -> list[Any]:
    having = f"tags.`{_PARENT}` = '{parent.info.run_id}'"
    found = connection.client.search_runs([parent.info.experiment_id], having)
    return [run for run in found if STAGE_KEY in run.data.tags]


def _by_key(nested: list[Any]) -> dict[str, Any]:
    """One of each key: a whole one, else the earliest."""
    return {run.data.tags[STAGE_KEY]: run for run in sorted(nested, key=kept_order, reverse=True)}
