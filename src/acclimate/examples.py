"""The ingested tables as stages read them: one Arrow file a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from acclimate.errors import IntegrityError
from acclimate.records import Split

Table = Literal["target", "reference"]
COLUMNS = ("row_id", "text", "label", "group")


@dataclass(frozen=True)
class Examples:
    """Rows of one split, in the fixed order of their row ids.

    Args:
        row_ids: content digests, hexadecimal.
        texts: the texts.
        labels: index into the sorted label names, int64 of shape ``[rows]``; None without labels.
        groups: group of each row; None where no group column was given.
        slices: values of the slice columns by column name.
    """

    row_ids: list[str]
    texts: list[str]
    labels: np.ndarray | None
    groups: list[str] | None
    slices: dict[str, list[str]]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.row_ids)


def split_path(data: Path, table: Table, split: Split) -> Path:
    """Where ingest writes a split."""
    return data / f"{table}_{split}.arrow"


def write_examples(path: Path, columns: dict[str, list[str | None]]) -> None:
    """Write one split as an Arrow IPC file.

    Args:
        path: the file, see :func:`split_path`.
        columns: ``row_id``, ``text``, ``label`` (name or None), ``group`` (or None), then slice columns.
    """
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def read_examples(data: Path, table: Table, splits: Sequence[Split], labels: Sequence[str] | None) -> Examples:
    """Read one or more splits of a table, one after the other.

    Args:
        data: ingest's folder.
        table: target or reference.
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
        texts=rows["text"].to_pylist(),
        labels=index,
        groups=None if not groups or groups[0] is None else groups,
        slices={name: rows[name].to_pylist() for name in rows.column_names if name not in COLUMNS},
    )
