"""Predicts a file with an adapted model."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from acclimate.errors import ConfigError, DataError
from acclimate.execution import Context
from acclimate.stage_work.training import candidate_of
from acclimate.wiring import load, located, registry_of

if TYPE_CHECKING:
    from acclimate.examples import Inputs
    from acclimate.nn.causal.writer import Writer
    from acclimate.nn.model import AdaptedModel
    from acclimate.ports import RawTable


def predict_file(
    model: str,
    data: Path,
    *,
    text: str | None,
    image: str | None = None,
    out: Path | None,
    workspace: Path | None,
    as_json: bool = False,
) -> int:
    """Predict each row of a file.

    Args:
        model: what :func:`acclimate.load` takes.
        data: a table, or ``-`` for one text a line on standard input; for a model of images an image, a folder of
            images, or Parquet with their bytes.
        text: column that holds the text.
        image: column of a Parquet file that holds the images.
        out: CSV file to write, whole or not at all; None writes to standard output.
        workspace: where the registry is looked for.
        as_json: without ``out``: one JSON object on standard output instead of CSV.

    The columns are label and probabilities, or ``answer`` of a model that writes.

    Returns:
        The number of rows.

    Raises:
        ConfigError: E-PREDICT-002, a column of the other kind than the model reads is named.
    """
    adapted = load(model, workspace)
    wrong = text if adapted.reads_images else image
    if wrong is not None:
        reads, flag = ("images", "--text") if adapted.reads_images else ("texts", "--image")
        raise ConfigError(
            "E-PREDICT-002", f"the model reads {reads}", where=f"{flag} {wrong}", hint=f"leave {flag} out"
        )
    rows = _images(data, image or "image") if adapted.reads_images else _texts(data, text or "text")
    return write_predictions(adapted, rows, out=out, as_json=as_json)


@dataclass(frozen=True)
class Asked:
    """Rows to predict.

    Args:
        column: what names a row in the output: ``text`` or ``file``.
        names: of each row.
        inputs: what the model reads.
    """

    column: str
    names: Sequence[str]
    inputs: Inputs

    @classmethod
    def of_texts(cls, texts: list[str]) -> Asked:
        """Texts, which name themselves."""
        return cls("text", texts, texts)


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
    from acclimate.nn.adapted import load_adapted

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
    adapted = load_adapted(folder)
    spec = config.target.model_copy(update={"data": data})
    place = located(context.request, context.home, spec)
    if adapted.reads_images:
        asked = _asked_images(place.read(place.path, name="data", image=spec.image, format=spec.format))
    else:
        table = place.read(place.path, name="data", text=spec.text, encoding=spec.encoding, format=spec.format)
        asked = Asked.of_texts([value or "" for value in table.columns[spec.text]])
    context.progress("predicting", rows=len(asked.names))
    local = context.scratch / "predictions.csv" if out.startswith("s3://") else Path(out)
    local.parent.mkdir(parents=True, exist_ok=True)
    write_predictions(adapted, asked, out=local)
    if out.startswith("s3://"):
        from acclimate.adapters.s3 import S3, S3Uri

        S3().upload(S3Uri.parse(out), local)
    return out


def write_predictions(adapted: AdaptedModel | Writer, asked: Asked, *, out: Path | None, as_json: bool = False) -> int:
    """Predict rows and write them; see :func:`predict_file`."""
    found = _predicted(adapted, asked)
    if out is not None:
        partial = out.with_name(f"{out.name}.partial")
        with partial.open("w", encoding="utf-8", newline="") as file:
            _write(file, asked, found)
        partial.replace(out)
    elif as_json:
        # a text names itself to who gave it; an image is told by its file
        named: list[dict[str, Any]] = [{"file": name} if asked.column == "file" else {} for name in asked.names]
        rows = [name | row for name, row in zip(named, found.objects, strict=True)]
        sys.stdout.write(json.dumps({"rows": rows}) + "\n")
    else:
        _write(sys.stdout, asked, found)
    return len(asked.names)


@dataclass(frozen=True)
class _Predicted:
    """What a model says to n rows.

    Args:
        columns: of the CSV file, after the one that names the row.
        cells: of each row, one a column.
        objects: of each row, for JSON.
    """

    columns: list[str]
    cells: list[list[str]]
    objects: list[dict[str, Any]]


def _predicted(adapted: AdaptedModel | Writer, asked: Asked) -> _Predicted:
    from acclimate.nn.causal.writer import Writer

    if isinstance(adapted, Writer):
        answers = adapted.predict(list(asked.names))
        return _Predicted(["answer"], [[answer] for answer in answers], [{"answer": answer} for answer in answers])
    probabilities = adapted.predict_proba(asked.inputs)
    predicted = [adapted.labels[i] for i in probabilities.argmax(axis=1)]
    rows = list(zip(predicted, probabilities, strict=True))
    return _Predicted(
        ["predicted", *(f"p_{label}" for label in adapted.labels)],
        [[label, *(f"{value:.6f}" for value in row)] for label, row in rows],
        [
            {"label": label, "probabilities": dict(zip(adapted.labels, map(float, row), strict=True))}
            for label, row in rows
        ],
    )


def _texts(data: Path, text: str) -> Asked:
    if str(data) == "-":
        return Asked.of_texts([line.rstrip("\n") for line in sys.stdin])
    from acclimate.adapters.tables import read_table

    path = data.resolve()
    table = read_table(path, name="data", text=text, root=path.parent, allow_outside=True)
    return Asked.of_texts([value or "" for value in table.columns[text]])


def _images(data: Path, image: str) -> Asked:
    from acclimate.adapters.images import ENDINGS, read_image, read_images

    path = data.resolve()
    if path.is_file() and path.name.lower().endswith(ENDINGS):
        return Asked("file", [str(data)], [read_image(path)])
    return _asked_images(read_images(path, name="data", image=image, format=None, root=path.parent, allow_outside=True))


def _asked_images(table: RawTable) -> Asked:
    """Images by their place; a row without one can't be predicted."""
    images = table.images or []
    empty = next((row for row, image in enumerate(images) if not image), None)
    if empty is not None:
        raise DataError("E-DATA-041", "there is no image", where=table.place(empty), hint="fill it, or take it out")
    return Asked("file", [table.place(row) for row in range(len(images))], images)


def _write(file: TextIO, asked: Asked, found: _Predicted) -> None:
    file.write(_line([asked.column, *found.columns]))
    file.writelines(_line([name, *cells]) for name, cells in zip(asked.names, found.cells, strict=True))


def _line(cells: list[str]) -> str:
    """A line of CSV; with CRLF as its end the writer also quotes a carriage return alone, which readers split at."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue().removesuffix("\r\n") + "\n"
