"""One MLflow run per run key: parameters, metrics, data sets, tags, a summary and the records themselves."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from acclimate.adapters.mlflow_client import Connection, every, log_entries
from acclimate.adapters.mlflow_errors import is_error, without_credentials
from acclimate.adapters.mlflow_measured import REFERENCE, TEST, data_set, measured_of_model, with_ends
from acclimate.adapters.mlflow_note import summary
from acclimate.adapters.mlflow_stages import record_stages
from acclimate.adapters.mlflow_tables import FOLDER, run_tables, tables_tag, write_tables
from acclimate.adapters.mlflow_tags import (
    RECORDED_AT,
    RECORDED_BY,
    RUN_KEY,
    TEST_DIGEST,
    arm_tags,
    flattened,
    kept_order,
    lineage_tags,
    recorded_order,
)
from acclimate.errors import ConfigError
from acclimate.records import InputFile, TableCard
from acclimate.registry import RunRecords

# Only what the run key is made of can be a parameter: MLflow never lets one change.
ADOPTED_FOR = "acclimate.adopted_for"
_KEYED_SECTIONS = ("task", "goal", "budget", "gap", "baseline", "finetune", "evaluate")
_FILES_NAMED = 50


def experiment_id(connection: Connection, name: str) -> str:
    """The experiment of that name, created when absent.

    Raises:
        ConfigError: E-REGISTRY-010, the experiment was deleted.
    """
    from mlflow.exceptions import MlflowException

    client = connection.client
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=connection.artifact_location(name)))
        except MlflowException as error:
            if not is_error(error, "RESOURCE_ALREADY_EXISTS"):
                raise
            found = client.get_experiment_by_name(name)
    if found.lifecycle_stage != "active":
        raise ConfigError(
            "E-REGISTRY-010",
            f"the MLflow experiment {name!r} was deleted",
            where=connection.shown_uri,
            hint=f"restore it: mlflow experiments restore --experiment-id {found.experiment_id}",
        )
    return str(found.experiment_id)


def find_run(connection: Connection, experiment: str, run_key: str, name: str) -> Any | None:
    """The run of a run key for the model ``name``; where racers made several a whole one, else the earliest.

    A run that was adopted from KFP lies in an experiment of KFP's, so all of them are looked through for such.
    """
    return min(_runs_of(connection, experiment, run_key, name), key=kept_order, default=None)


def _runs_of(connection: Connection, experiment: str, run_key: str, name: str) -> list[Any]:
    client, having = connection.client, f"tags.`{RUN_KEY}` = '{run_key}'"
    runs = list(client.search_runs([experiment], having))
    if not runs:
        everywhere = [one.experiment_id for one in every(client.search_experiments)]
        runs = list(client.search_runs(everywhere, f"{having} and tags.`{ADOPTED_FOR}` = '{name}'"))
    return runs


def injected_run(connection: Connection) -> Any | None:
    """The run that KFP's MLflow plugin has opened for this step on the same server, or None.

    Raises:
        ConfigError: E-REGISTRY-011, the server has no such run.
    """
    from mlflow.exceptions import MlflowException

    run_id = os.environ.get("MLFLOW_RUN_ID", "")
    if not run_id or os.environ.get("MLFLOW_TRACKING_URI") != connection.uri:
        return None
    absent = ConfigError(
        "E-REGISTRY-011",
        "MLFLOW_RUN_ID names a run that this server does not have",
        where=f"{connection.shown_uri}, run {run_id[:60]!r}",
        hint="it was deleted, or injected for another server: unset it, or set MLFLOW_TRACKING_URI to that server",
    )
    try:
        found = connection.client.get_run(run_id)
    except MlflowException as error:
        if not is_error(error, "RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise absent from error
    if found.info.lifecycle_stage != "active":
        raise absent
    return found


def run_keys_at(connection: Connection, test_digest: str) -> list[str]:
    """Run keys that were evaluated on the test rows of that digest, whatever the model's name, earliest first.

    Runs that somebody deleted since have looked at them, too.
    """
    from mlflow.entities import ViewType

    client = connection.client
    experiments = [one.experiment_id for one in every(partial(client.search_experiments, view_type=ViewType.ALL))]
    having = f"tags.`{TEST_DIGEST}` = '{test_digest}'"
    search = partial(client.search_runs, experiments, having, run_view_type=ViewType.ALL)
    runs = sorted(every(search), key=recorded_order)
    return list(dict.fromkeys(run.data.tags[RUN_KEY] for run in runs if RUN_KEY in run.data.tags))


def record(connection: Connection, records: RunRecords, source_model_uri: str) -> str:
    """Write the run, or bring it up to date; returns its id."""
    run = _run_of(connection, experiment_id(connection, records.name), records)
    run_id, experiment = str(run.info.run_id), str(run.info.experiment_id)
    _log_numbers(connection, run, records)
    _log_tags(connection, run_id, experiment, records, source_model_uri)
    known = {(one.dataset.name, one.dataset.digest) for one in run.inputs.dataset_inputs}
    if new := [one for one in _dataset_inputs(records) if (one.dataset.name, one.dataset.digest) not in known]:
        connection.client.log_inputs(run_id, datasets=new)
    _log_files(connection, run_id, records)
    record_stages(connection, run, records, list(_metrics(records)))
    _end(connection, run, records)
    return run_id


def _end(connection: Connection, run: Any, records: RunRecords) -> None:
    """Its duration is what the stages took; one that was adopted lasts as long as who opened it says."""
    if run.info.run_id == os.environ.get("MLFLOW_RUN_ID"):  # that one is still to be ended by who opened it
        return
    adopted, finished = ADOPTED_FOR in run.data.tags, run.info.status == "FINISHED"
    ended = None if adopted else run.info.start_time + _took(records)
    if not finished or (ended is not None and run.info.end_time != ended):
        connection.client.set_terminated(run.info.run_id, "FINISHED", end_time=ended)


def _run_of(connection: Connection, experiment: str, records: RunRecords) -> Any:
    run = find_run(connection, experiment, records.run_key, records.name)
    if run is not None:
        return run
    injected = injected_run(connection)
    if injected is not None and RUN_KEY not in injected.data.tags:
        # found by the last of them
        adopted = {ADOPTED_FOR: records.name, RECORDED_AT: str(_now()), RUN_KEY: records.run_key}
        for tag, value in adopted.items():
            connection.client.set_tag(injected.info.run_id, tag, value)
        return connection.client.get_run(injected.info.run_id)
    name = f"{records.evaluation.strategy} {records.run_key[:8]}"
    now, token = _now(), secrets.token_hex(8)
    tags = {RUN_KEY: records.run_key, RECORDED_AT: str(now), RECORDED_BY: token}
    # MLflow shows as its duration what its stages took, wherever and whenever that was
    made = connection.client.create_run(experiment, now - _took(records), tags, name)
    found = _runs_of(connection, experiment, records.run_key, records.name) or [made]
    first = min(found, key=kept_order)
    # a racer was earlier, or a reply was lost and the request sent again
    for one in found:
        if one is not first and one.data.tags.get(RECORDED_BY) == token:
            connection.client.delete_run(one.info.run_id)
    return first


def _now() -> int:
    return int(time.time() * 1000)


def _took(records: RunRecords) -> int:
    """Milliseconds."""
    return round(sum(stage.seconds for stage in records.stages.values()) * 1000)


def _log_numbers(connection: Connection, run: Any, records: RunRecords) -> None:
    keyed = flattened({name: records.config[name] for name in _KEYED_SECTIONS if name in records.config})
    params = {name: value for name, value in keyed.items() if name not in run.data.params}
    known = run.data.metrics
    metrics = [
        (name, value, step)
        for name, value, step in _metrics(records)
        if (name not in known if step else known.get(name) != value)
    ]
    log_entries(connection, run.info.run_id, params=params, metrics=metrics)


def _metrics(records: RunRecords) -> Iterator[tuple[str, float, int]]:
    """Name, value and step of every metric of a run."""
    gap, baseline = records.gap, records.baseline
    if gap.units is not None:
        yield "gap.units", gap.units, 0
    for measure in gap.measures:
        yield f"gap.{measure.name}.units", measure.units.point, 0
    yield from with_ends("baseline.score", baseline.score)
    for control in baseline.controls:
        if control.score is not None:
            yield f"baseline.control.{control.name}", control.score.point, 0
    for arm in records.finetune.arms if records.finetune else []:
        yield f"arm.{arm.strategy}.validation_score", arm.score.point, 0
        for point in arm.curve:
            yield f"arm.{arm.strategy}.epoch_validation_score", point.validation_score, point.epoch
            yield f"arm.{arm.strategy}.epoch_train_loss", point.train_loss, point.epoch
        if arm.pretraining is not None:
            yield f"arm.{arm.strategy}.masked_loss_before", arm.pretraining.loss_before, 0
            yield f"arm.{arm.strategy}.masked_loss_after", arm.pretraining.loss_after, 0
    yield from measured_of_model(records)
    yield from _perplexities(records)
    for name, stage in records.stages.items():
        yield f"seconds.{name}", stage.seconds, 0


def _perplexities(records: RunRecords) -> Iterator[tuple[str, float, int]]:
    """Of text generation; nothing else has them."""
    gap, prompted = records.gap.perplexity, records.baseline.prompted
    if gap is not None:
        yield "gap.perplexity.target", gap.target, 0
        if gap.reference is not None:
            yield "gap.perplexity.reference", gap.reference, 0
        if gap.ratio is not None:
            yield from with_ends("gap.perplexity.ratio", gap.ratio)
    if prompted is not None:
        yield "baseline.zero_shot", prompted.zero_shot.point, 0
        if prompted.few_shot is not None:
            yield "baseline.few_shot", prompted.few_shot.point, 0
        yield "baseline.perplexity", prompted.perplexity, 0


def _log_tags(connection: Connection, run_id: str, experiment: str, records: RunRecords, source_model_uri: str) -> None:
    rest = {name: value for name, value in records.config.items() if name not in _KEYED_SECTIONS}
    tags = {
        **lineage_tags(records, source_model_uri),
        **arm_tags(records),
        **{f"config.{name}": value for name, value in flattened(rest).items()},
        **tables_tag(run_tables(records)),
        "mlflow.note.content": summary(records),
    }
    log_entries(connection, run_id, tags=tags)
    primary = {
        "mlflow.experiment.primaryMetric.name": f"test.{records.evaluation.metric}",
        "mlflow.experiment.primaryMetric.greaterIsBetter": "True",
    }
    for name, value in primary.items():
        connection.client.set_experiment_tag(experiment, name, value)


def _dataset_inputs(records: RunRecords) -> Iterator[Any]:
    """The tables of the run, and the rows that its model was tested on."""
    tables: list[tuple[str, TableCard | None]] = [
        ("target", records.data.target),
        (REFERENCE, records.data.reference),
        ("pool", records.data.pool),
    ]
    for context, card in tables:
        if card is None:
            continue
        rows = {split: part.rows for split, part in card.splits.items()}
        yield _dataset_input(records, context, card.digest, card, {"rows": card.rows_kept, "splits": rows})
    tested = records.evaluation
    yield _dataset_input(records, TEST, tested.test_digest, records.data.target, {"rows": tested.rows})


def _dataset_input(records: RunRecords, context: str, digest: str, card: TableCard, profile: dict[str, Any]) -> Any:
    """Rows of a table, as MLflow knows them by the digest of those rows."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    name, shortened = data_set(records, context, digest)
    origins = [_origin(file) for file in card.files[:_FILES_NAMED] if file.etag or file.md5]
    source: dict[str, Any] = {"digest": digest, "files": [file.sha256 for file in card.files][:_FILES_NAMED]}
    if card.licence:
        source["licence"] = card.licence
    if origins:
        source["origins"] = origins
    dataset = Dataset(
        name=name,
        digest=shortened,
        source_type=origins[0]["uri"].partition("://")[0] if origins else "local",
        source=json.dumps(source, sort_keys=True),
        profile=json.dumps(profile, sort_keys=True),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])


def _origin(file: InputFile) -> dict[str, Any]:
    known = file.model_dump(mode="json", exclude={"sha256", "size_bytes"}, exclude_none=True)
    return {name: without_credentials(value) for name, value in known.items()}


def _log_files(connection: Connection, run_id: str, records: RunRecords) -> None:
    stored = [records.data, records.gap, records.baseline, records.decision, records.finetune, records.evaluation]
    with tempfile.TemporaryDirectory() as folder:
        for one in stored:
            if one is not None:
                one.write(Path(folder))
        card = records.source.model_dump_json(indent=1)
        (Path(folder) / "source_card.json").write_text(card + "\n", encoding="utf-8")
        connection.client.log_artifacts(run_id, folder, "records")
    with tempfile.TemporaryDirectory() as folder:
        write_tables(run_tables(records), Path(folder))
        connection.client.log_artifacts(run_id, folder, FOLDER)
