"""Predicts a file with an adapted model."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from acclimate.errors import ConfigError
from acclimate.execution import Context
from acclimate.stage_work.training import candidate_of
from acclimate.wiring import load, located, registry_of

if TYPE_CHECKING:
    import numpy as np

    from acclimate.nn.model import AdaptedModel


def predict_file(
    model: str, data: Path, *, text: str, out: Path | None, workspace: Path | None, as_json: bool = False
) -> int:
    """Predict each row of a file.

    Args:
        model: what :func:`acclimate.load` takes.
        data: a table, or ``-`` for one text a line on standard input.
        text: column that holds the text.
        out: CSV file to write, whole or not at all; None writes to standard output.
        workspace: where the registry is looked for.
        as_json: without ``out``: one JSON object on standard output instead of CSV.

    Returns:
        The number of rows.
    """
    return write_predictions(load(model, workspace), _texts(data, text), out=out, as_json=as_json)


def predict_step(context: Context, model: str, data: str, out: str) -> str:
    """Predict a table from anywhere to anywhere: the one step of the predict pipeline.

    Args:
        context: the run, for the registry, the column that holds the text, and where local files may lie.
        model: what the registry fetches, or the reference of a run's baseline or finetune stage.
        data: address of the table, as in ``target.data``.
        out: address of the CSV file to write: a path or ``s3://BUCKET/KEY``.

    Returns:
        ``out``.

    Raises:
        ConfigError: E-PREDICT-001, the run is on a cluster and ``out`` is a path.
    """
    from acclimate.nn.model import AdaptedModel

    config = context.request.adaptation
    registered = model.startswith(("models:/", "runs:/"))
    if context.is_shared and not out.startswith("s3://"):
        raise ConfigError(
            "E-PREDICT-001",
            "the predictions would be lost with the pod's disk",
            where=out,
            hint="write s3://BUCKET/KEY",
        )
    if registered:
        folder = registry_of(context).fetch(model, context.scratch / "model")
    else:
        opened = context.store.open(model)
        folder = candidate_of(opened, opened).model
    adapted = AdaptedModel.load(folder)
    spec = config.target.model_copy(update={"data": data})
    place = located(context.request, context.home, spec)
    table = place.read(place.path, name="data", text=spec.text, encoding=spec.encoding, format=spec.format)
    context.progress("predicting", rows=len(table.lines))
    texts = [value or "" for value in table.columns[config.target.text]]
    local = context.scratch / "predictions.csv" if out.startswith("s3://") else Path(out)
    local.parent.mkdir(parents=True, exist_ok=True)
    write_predictions(adapted, texts, out=local)
    if out.startswith("s3://"):
        from acclimate.adapters.s3 import S3, S3Uri

        S3().upload(S3Uri.parse(out), local)
    return out


def write_predictions(adapted: AdaptedModel, texts: list[str], *, out: Path | None, as_json: bool = False) -> int:
    """Predict texts and write them; see :func:`predict_file`."""
    probabilities = adapted.predict_proba(texts)
    predicted = [adapted.labels[i] for i in probabilities.argmax(axis=1)]
    if out is not None:
        partial = out.with_name(f"{out.name}.partial")
        with partial.open("w", encoding="utf-8", newline="") as file:
            _write(file, adapted.labels, texts, predicted, probabilities)
        partial.replace(out)
    elif as_json:
        rows = [
            {"label": label, "probabilities": dict(zip(adapted.labels, map(float, row), strict=True))}
            for label, row in zip(predicted, probabilities, strict=True)
        ]
        sys.stdout.write(json.dumps({"rows": rows}) + "\n")
    else:
        _write(sys.stdout, adapted.labels, texts, predicted, probabilities)
    return len(texts)


def _texts(data: Path, text: str) -> list[str]:
    if str(data) == "-":
        return [line.rstrip("\n") for line in sys.stdin]
    from acclimate.adapters.tables import read_table

    path = data.resolve()
    table = read_table(path, name="data", text=text, root=path.parent, allow_outside=True)
    return [value or "" for value in table.columns[text]]


def _write(file: TextIO, labels: list[str], texts: list[str], predicted: list[str], probabilities: np.ndarray) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["text", "predicted", *(f"p_{label}" for label in labels)])
    for text, label, row in zip(texts, predicted, probabilities, strict=True):
        writer.writerow([text, label, *(f"{value:.6f}" for value in row)])
