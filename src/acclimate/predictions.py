"""What models answered on the test rows, as one Parquet file from which an evaluation can be computed again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from acclimate.core.metrics import FloatArray, IntArray
from acclimate.core.reliability import softmax
from acclimate.core.slices import LENGTH_COLUMN, length_terciles
from acclimate.examples import Examples

FILE = "predictions.parquet"
_CANDIDATE = "candidate"
_GROUP, _SLICE, _LOGIT, _PROBABILITY, _PREDICTED, _SCORE = (
    "group",
    "slice:",
    "logit:",
    "probability:",
    "predicted:",
    "score:",
)


@dataclass(frozen=True)
class JudgedRows:
    """The n test rows without what is in them.

    Args:
        row_ids: content digests.
        groups: group of each row, resampled whole; None without groups.
        columns: values of each slice column, one a row; of texts their thirds by length too.
    """

    row_ids: list[str]
    groups: list[str] | None
    columns: dict[str, list[str]]

    @classmethod
    def of(cls, examples: Examples) -> JudgedRows:
        """Those of the test split."""
        thirds = {} if examples.has_images else {LENGTH_COLUMN: length_terciles(examples.texts)}
        return cls(examples.row_ids, examples.groups, thirds | examples.slices)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.row_ids)

    def some(self, rows: int) -> JudgedRows:
        """The first ones."""
        groups = None if self.groups is None else self.groups[:rows]
        return JudgedRows(self.row_ids[:rows], groups, {name: one[:rows] for name, one in self.columns.items()})

    def _written(self) -> dict[str, pa.Array]:
        found = {"row_id": pa.array(self.row_ids, pa.string())}
        found |= {} if self.groups is None else {_GROUP: pa.array(self.groups, pa.string())}
        return found | {f"{_SLICE}{name}": pa.array(values, pa.string()) for name, values in self.columns.items()}

    @classmethod
    def _read(cls, table: pa.Table) -> JudgedRows:
        groups = table[_GROUP].to_pylist() if _GROUP in table.column_names else None
        columns = {name: table[f"{_SLICE}{name}"].to_pylist() for name in _named(table, _SLICE)}
        return cls(table["row_id"].to_pylist(), groups, columns)


def _named(table: pa.Table, prefix: str) -> list[str]:
    """What columns with a prefix are called without it, in their order."""
    return [name.removeprefix(prefix) for name in table.column_names if name.startswith(prefix)]


@dataclass(frozen=True)
class ClassPredictions:
    """Answers of classifiers.

    Args:
        rows: the n rows.
        labels: label names in index order.
        truth: class indices, int64 ``[n]``.
        logits: the candidate's before its temperature, float32 ``[n, C]``.
        others: class indices of each compared model by its name, int64 ``[n]``.
    """

    rows: JudgedRows
    labels: list[str]
    truth: IntArray
    logits: np.ndarray
    others: Mapping[str, IntArray]

    def probabilities(self, temperature: float) -> FloatArray:
        """The candidate's, ``[n, C]``."""
        return softmax(self.logits.astype(np.float64) / temperature)

    def write(self, path: Path, temperature: float) -> None:
        """Write the file, with probabilities and predicted labels for whoever reads it."""
        names = np.array(self.labels, dtype=object)
        prob = self.probabilities(temperature)
        predicted = {_CANDIDATE: prob.argmax(axis=1), **self.others}
        columns = {**self.rows._written(), "label": pa.array(names[self.truth], pa.string())}
        columns |= {f"{_LOGIT}{one}": pa.array(self.logits[:, i], pa.float32()) for i, one in enumerate(self.labels)}
        columns |= {f"{_PROBABILITY}{one}": pa.array(prob[:, i]) for i, one in enumerate(self.labels)}
        columns |= {f"{_PREDICTED}{model}": pa.array(names[rows], pa.string()) for model, rows in predicted.items()}
        pq.write_table(pa.table(columns), path)

    @classmethod
    def read(cls, path: Path) -> ClassPredictions:
        """Read what :meth:`write` wrote.

        Raises:
            KeyError: a column is missing, or a value is no label.
        """
        table = pq.read_table(path)
        labels = _named(table, _LOGIT)
        index = {name: i for i, name in enumerate(labels)}

        def classes(column: str) -> IntArray:
            return np.array([index[name] for name in table[column].to_pylist()], dtype=np.int64)

        return cls(
            rows=JudgedRows._read(table),
            labels=labels,
            truth=classes("label"),
            logits=np.stack([table[f"{_LOGIT}{name}"].to_numpy() for name in labels], axis=1),
            others={name: classes(f"{_PREDICTED}{name}") for name in _named(table, _PREDICTED) if name != _CANDIDATE},
        )


@dataclass(frozen=True)
class AnswerScores:
    """Scores of what language models wrote.

    Args:
        rows: the n rows.
        scores: the candidate's, 0..1, ``[n]``.
        others: those of each compared model by its name, ``[n]``.
    """

    rows: JudgedRows
    scores: FloatArray
    others: Mapping[str, FloatArray]

    def write(self, path: Path, *, answers: Sequence[str], written: Sequence[str] | None, nll: FloatArray) -> None:
        """Write the file, with the texts for whoever reads it.

        Args:
            path: the file.
            answers: the right answers.
            written: what the candidate wrote; None of plain text.
            nll: mean loss of each right answer's tokens by the candidate, nats.
        """
        columns = {**self.rows._written(), "answer": pa.array(list(answers), pa.string())}
        if written is not None:
            columns["written:candidate"] = pa.array(list(written), pa.string())
        columns["nll:candidate"] = pa.array(nll)
        scores = {_CANDIDATE: self.scores, **self.others}
        columns |= {f"{_SCORE}{name}": pa.array(rows, pa.float64()) for name, rows in scores.items()}
        pq.write_table(pa.table(columns), path)

    @classmethod
    def read(cls, path: Path) -> AnswerScores:
        """Read what :meth:`write` wrote.

        Raises:
            KeyError: a column is missing.
        """
        table = pq.read_table(path)
        scores = {name: table[f"{_SCORE}{name}"].to_numpy() for name in _named(table, _SCORE)}
        return cls(JudgedRows._read(table), scores.pop(_CANDIDATE), scores)
