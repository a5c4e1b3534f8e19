"""What was measured of a model, by the names that MLflow shows, tied to the model and to the data behind it."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Iterator
from typing import Any

from acclimate.adapters.mlflow_client import Connection
from acclimate.adapters.mlflow_errors import without_credentials
from acclimate.records import CalibrationScore, Interval, Retention
from acclimate.registry import RunRecords

# the contexts of data sets that a model is measured on
TEST = "test"
REFERENCE = "reference"
# name, value and step
Measured = Iterator[tuple[str, float, int]]

_RETENTION = "retention."
# what MLflow takes of a data set's digest
_DIGEST_LIMIT = 36
_CALIBRATION = ("ece", "ece_before", "nll", "brier", "temperature")


def data_set(records: RunRecords, context: str, digest: str) -> tuple[str, str]:
    """Name and digest by which MLflow knows data of a run: what metrics are tied to them by.

    Args:
        records: the run.
        context: what the data were for, e.g. :data:`TEST`.
        digest: sha256 of the rows, hexadecimal.
    """
    return f"{without_credentials(records.name)}-{context}", digest[:_DIGEST_LIMIT]


def with_ends(name: str, value: Interval) -> Measured:
    """A point and both ends of its interval."""
    yield name, value.point, 0
    yield f"{name}.low", value.low, 0
    yield f"{name}.high", value.high, 0


def measured_of_model(records: RunRecords) -> Measured:
    """Name, value and step of all that evaluating the candidate gave, what it was compared with included."""
    evaluation = records.evaluation
    yield from with_ends(f"test.{evaluation.metric}", evaluation.score)
    for comparison in evaluation.comparisons:
        other = re.sub(r"[^\w.-]+", "_", comparison.other)
        yield from with_ends(f"test.minus.{other}", comparison.difference)
    seeds = [row.other_score.point for row in evaluation.comparisons if row.role == "seed"]
    if seeds:
        deviation = statistics.stdev([evaluation.score.point, *seeds])
        yield f"test.{evaluation.metric}.standard_deviation_between_seeds", deviation, 0
    if evaluation.calibration is not None:
        yield from _calibration(evaluation.calibration)
    for row in evaluation.robustness:
        yield from with_ends(f"test.changed.{row.change.replace(' ', '_')}", row.lost)
    for name, value in evaluation.perplexity.items():
        yield f"test.perplexity.{name}", value, 0
    if evaluation.retention is not None:
        yield from _retention(evaluation.retention)
    yield "serving.size_bytes", float(evaluation.size_bytes), 0
    evaluated = records.stages.get("evaluate")
    for name, cost in sorted(evaluated.cost.items()) if evaluated else ():
        yield f"serving.{name}", cost, 0


def _calibration(found: CalibrationScore) -> Measured:
    for name in _CALIBRATION:
        yield f"test.calibration.{name}", getattr(found, name), 0
    for name, ends in found.intervals.items():
        yield f"test.calibration.{name}.low", ends.low, 0
        yield f"test.calibration.{name}.high", ends.high, 0


def _retention(found: Retention) -> Measured:
    yield f"{_RETENTION}score", found.score, 0
    yield f"{_RETENTION}source_score", found.source_score, 0
    yield from with_ends(f"{_RETENTION}change", found.change)
    yield f"{_RETENTION}change.low_one_sided", found.low_one_sided, 0


def tie_to_model(connection: Connection, run: Any, logged: Any, records: RunRecords) -> None:
    """Give a stored model what was measured of it, each number with the data it was measured on.

    What the model has already is not written again. A number carries the time at which its run got it, so that a
    request that is sent twice, or by racers, leaves one.

    Args:
        connection: the tracking store.
        run: the adaptation's run as it is now, with its metrics.
        logged: the stored model, with what it has.
        records: what the run produced.
    """
    from mlflow.entities import Metric

    in_order = sorted(logged.metrics or [], key=lambda one: (one.step, one.timestamp))
    known = {one.key: (one.value, one.dataset_digest) for one in in_order}
    got_at = {(one.key, one.value): one.timestamp for one in run.data.to_proto().metrics}
    now = int(time.time() * 1000)
    missing = []
    for name, value, step in measured_of_model(records):
        data, digest = _measured_on(records, name)
        if known.get(name) != (value, digest):
            at = got_at.get((name, value), now)
            missing.append(Metric(name, value, at, step, logged.model_id, data, digest, run.info.run_id))
    if missing:
        connection.client.log_batch(run.info.run_id, metrics=missing)


def _measured_on(records: RunRecords, name: str) -> tuple[str, str] | tuple[None, None]:
    """The data behind a number; what the model costs is of no data."""
    if name.startswith("test."):
        return data_set(records, TEST, records.evaluation.test_digest)
    if name.startswith(_RETENTION) and records.data.reference is not None:
        return data_set(records, REFERENCE, records.data.reference.digest)
    return None, None
