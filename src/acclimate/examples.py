"""The ingested tables as stages read them: one Arrow file a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from acclimate.errors import IntegrityError
from acclimate.records import Split

Table = Literal["target", "reference", "pool"]
#: Of an Arrow file; ``image`` stands in the place of ``text`` where the rows are images.
COLUMNS = ("row_id", "text", "image", "label", "answer", "group")
#: Texts, or the bytes of encoded images.
Inputs = Sequence[str] | Sequence[bytes]


@dataclass(frozen=True)
class Examples:
    """Rows of one split, in the fixed order of their row ids.

    Args:
        row_ids: content digests, hexadecimal.
        inputs: the texts, or the images as encoded bytes.
        labels: index into the sorted label names, int64 of shape ``[rows]``; None without labels.
        groups: group of each row; None where no group column was given.
        slices: values of the slice columns by column name.
        answers: the answer to each text; None where the table has none.
    """

    row_ids: list[str]
    inputs: Inputs
    labels: np.ndarray | None
    groups: list[str] | None
    slices: dict[str, list[str]]
    answers: list[str] | None = None

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.row_ids)

    @property
    def has_images(self) -> bool:
        """Whether the inputs are images, not texts."""
        return isinstance(next(iter(self.inputs), ""), bytes)

    @property
    def texts(self) -> list[str]:
        """The inputs, which must be texts.

        Raises:
            TypeError: they are images.
        """
        if self.has_images:
            raise TypeError("these rows are images, not texts")
        return [text for text in self.inputs if isinstance(text, str)]

    def some(self, rows: Sequence[int]) -> Examples:
        """Some of the rows, in the order asked for."""
        return Examples(
            row_ids=[self.row_ids[row] for row in rows],
            inputs=chosen(self.inputs, rows),
            labels=None if self.labels is None else self.labels[list(rows)],
            groups=None if self.groups is None else [self.groups[row] for row in rows],
            slices={name: [values[row] for row in rows] for name, values in self.slices.items()},
            answers=None if self.answers is None else [self.answers[row] for row in rows],
        )


def joined(first: Inputs, second: Inputs) -> Inputs:
    """The inputs of one side, then those of the other."""
    both: list[Any] = [*first, *second]
    return both


def chosen(inputs: Inputs, rows: Sequence[int]) -> Inputs:
    """Some of the inputs, in the order asked for."""
    picked: list[Any] = [inputs[row] for row in rows]
    return picked


def split_path(data: Path, table: Table, split: Split) -> Path:
    """Where ingest writes a split."""
    return data / f"{table}_{split}.arrow"


def write_examples(path: Path, columns: Mapping[str, Sequence[str | bytes | None]]) -> None:
    """Write one split as an Arrow IPC file.

    Args:
        path: the file, see :func:`split_path`.
        columns: ``row_id``, ``text`` or ``image`` (bytes), ``label`` (name or None), ``answer`` (only where there are
            any), ``group`` (or None), then slice columns.
    """
    kinds = {"image": pa.large_binary()}
    table = pa.table({name: pa.array(values, kinds.get(name, pa.string())) for name, values in columns.items()})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def read_examples(data: Path, table: Table, splits: Sequence[Split], labels: Sequence[str] | None) -> Examples:
    """Read one or more splits of a table, one after the other.

    Args:
        data: ingest's folder.
        table: target, reference or pool.
        splits: which splits; nothing before ``evaluate`` may ask for target's test.
        labels: label names in index order; None reads no labels.

    Raises:
        IntegrityError: E-DATA-090, a file is missing or has a label that is not in ``labels``.
    """
    try:
        tables = []
        for split in splits:
            with pa.memory_map(str(split_path(data, table, split))) as source:
                tables.append(pa.ipc.open_file(source).read_all())
        rows = pa.concat_tables(tables)
        index = None
        if labels is not None:
            position = {name: i for i, name in enumerate(labels)}
            index = np.array([position[name] for name in rows["label"].to_pylist()], dtype=np.int64)
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise IntegrityError(
            "E-DATA-090", f"ingested rows can't be read: {error}", where=str(data), hint="run ingest again"
        ) from error
    groups = rows["group"].to_pylist()
    return Examples(
        row_ids=rows["row_id"].to_pylist(),
        inputs=rows["image" if "image" in rows.column_names else "text"].to_pylist(),
        labels=index,
        groups=None if not groups or groups[0] is None else groups,
        slices={name: rows[name].to_pylist() for name in rows.column_names if name not in COLUMNS},
        answers=rows["answer"].to_pylist() if "answer" in rows.column_names else None,
    )
