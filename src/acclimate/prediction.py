"""Predicts a file with an adapted model."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from acclimate.wiring import load

if TYPE_CHECKING:
    import numpy as np


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
    texts = _texts(data, text)
    adapted = load(model, workspace)
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
