"""A nested run for each stage of an adaptation: when it ran, what it was asked for, and what it found."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from acclimate.adapters.mlflow_client import Connection, log_entries
from acclimate.adapters.mlflow_tables import FOLDER, checks_table, tables_tag, write_tables
from acclimate.adapters.mlflow_tags import DIGEST_PREFIX, POLICY, RECORDED_AT, STAGE, VERDICT, flattened, recorded_order
from acclimate.ports import FinishedStage, RunRecords
from acclimate.records import Verdict

REGISTER = "register"
# the sections of the configuration that a stage goes by
_SECTIONS = {
    "gap": ("gap",),
    "baseline": ("baseline",),
    "decide": ("goal", "budget"),
    "finetune": ("finetune",),
    "evaluate": ("evaluate",),
}
# what the names of the metrics that a stage found begin with
_FOUND = {"gap": "gap.", "baseline": "baseline.", "finetune": "arm.", "evaluate": "test."}
_PARENT = "mlflow.parentRunId"
_FINISHED = "FINISHED"
PARAMETER_LIMIT = 6000

Measured = list[tuple[str, float, int]]


def record_stages(connection: Connection, parent: Any, records: RunRecords, measured: Measured) -> None:
    """Keep each stage that was run below its adaptation's run, and open that of registering.

    What is kept of a stage stays as it is; one that was left half written is written again.

    Args:
        connection: the tracking store.
        parent: the adaptation's run.
        records: what the run produced.
        measured: name, value and step of every metric of the run.
    """
    from mlflow.entities import Metric, Param

    began = {name: _began(stage) for name, stage in records.stages.items()}
    made_of = {
        name: {f"{DIGEST_PREFIX}{made_of}": digest for made_of, digest in stage.inputs.items()}
        for name, stage in records.stages.items()
    }
    for name, run in _opened(connection, parent, {**began, REGISTER: time.time()}, made_of).items():
        if name != REGISTER and run.info.status != _FINISHED:
            ended = int((began[name] + records.stages[name].seconds) * 1000)
            found = [*_found(name, records, measured), ("seconds", records.stages[name].seconds, 0)]
            log_entries(
                connection,
                run.info.run_id,
                params=[Param(param, value[:PARAMETER_LIMIT]) for param, value in _asked(name, records).items()],
                metrics=[Metric(metric, value, ended, step) for metric, value, step in found],
            )
            connection.client.set_terminated(run.info.run_id, _FINISHED, end_time=ended)


def record_verdict(connection: Connection, parent_id: str, verdict: Verdict) -> None:
    """Keep what the gate said last, check by check, with the nested run of registering."""
    client = connection.client
    run = _opened(connection, client.get_run(parent_id), {REGISTER: time.time()}, {})[REGISTER]
    run_id = run.info.run_id
    tables = checks_table(verdict)
    with tempfile.TemporaryDirectory() as folder:
        write_tables(tables, Path(folder))
        client.log_artifacts(run_id, folder, FOLDER)
    for name, value in {VERDICT: verdict.verdict, POLICY: verdict.policy, **tables_tag(tables)}.items():
        client.set_tag(run_id, name, value)
    if run.info.status != _FINISHED:
        client.set_terminated(run_id, _FINISHED)


def _began(stage: FinishedStage) -> float:
    return time.time() - stage.seconds if stage.started_at is None else stage.started_at


def _opened(
    connection: Connection, parent: Any, began: dict[str, float], tags: dict[str, dict[str, str]]
) -> dict[str, Any]:
    """The nested run of each stage of ``began``, new where there was none."""
    client, known = connection.client, _by_stage(connection, parent)
    told = {_PARENT: parent.info.run_id, RECORDED_AT: str(int(time.time() * 1000))}
    made = []
    for name, start in began.items():
        if name not in known:
            all_tags = {**told, STAGE: name, **tags.get(name, {})}
            made.append(client.create_run(parent.info.experiment_id, int(start * 1000), all_tags, name))
    if made:
        known = _by_stage(connection, parent)
    kept = {run.info.run_id for run in known.values()}
    for run in made:
        if run.info.run_id not in kept:  # a racer was earlier
            client.delete_run(run.info.run_id)
    return {name: known[name] for name in began}


def _asked(stage: str, records: RunRecords) -> dict[str, str]:
    return flattened({name: records.config[name] for name in _SECTIONS.get(stage, ()) if name in records.config})


def _found(stage: str, records: RunRecords, measured: Measured) -> Measured:
    if stage != "ingest":
        return [one for one in measured if stage in _FOUND and one[0].startswith(_FOUND[stage])]
    tables = {"target": records.data.target, "reference": records.data.reference, "pool": records.data.pool}
    return [
        (f"rows.{name}.{split}", float(part.rows), 0)
        for name, card in tables.items()
        if card is not None
        for split, part in card.splits.items()
    ]


def _by_stage(connection: Connection, parent: Any) -> dict[str, Any]:
    """The nested run of each stage; the earliest where racers made several."""
    having = f"tags.`{_PARENT}` = '{parent.info.run_id}'"
    found = connection.client.search_runs([parent.info.experiment_id], having)
    nested = sorted((run for run in found if STAGE in run.data.tags), key=recorded_order, reverse=True)
    return {run.data.tags[STAGE]: run for run in nested}
