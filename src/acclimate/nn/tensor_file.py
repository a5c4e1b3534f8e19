"""Headers of safetensors files, read and checked without loading a tensor."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.errors import ModelError

MAX_HEADER_BYTES = 100_000_000
ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_CHUNK_ITEMS = 1 << 22


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of a safetensors file.

    Args:
        dtype: safetensors' name of the type, e.g. ``F32``.
        shape: its shape.
        start: first byte, counted from the beginning of the file.
        end: byte after the last one.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def _damaged(path: Path, why: str) -> ModelError:
    return ModelError(
        "E-MODEL-010",
        f"this is not a sound safetensors file: {why}",
        where=str(path),
        hint="fetch the model again, or save it with save_pretrained(..., safe_serialization=True)",
    )


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice in its header")
    return found


def _header(path: Path) -> tuple[dict[str, Any], int]:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, MAX_HEADER_BYTES):
            raise _damaged(path, "its header is longer than the file")
        raw = file.read(length)
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"its header is not JSON ({error})") from error
    if not isinstance(header, dict):
        raise _damaged(path, "its header is not a JSON object")
    header.pop("__metadata__", None)
    return header, 8 + length


def _entry(path: Path, name: str, value: Any, offset: int) -> TensorEntry:
    keys = {"dtype", "shape", "data_offsets"}
    if not isinstance(value, dict) or set(value) != keys:
        raise _damaged(path, f"tensor {name!r} needs dtype, shape and data_offsets")
    numbers = [*value["shape"], *value["data_offsets"]] if isinstance(value["shape"], list) else [None]
    if len(value["data_offsets"]) != 2 or not all(type(n) is int and n >= 0 for n in numbers):
        raise _damaged(path, f"tensor {name!r} has a shape or offsets that are not counts")
    if value["dtype"] not in ITEM_BYTES:
        raise _damaged(path, f"tensor {name!r} has the unknown dtype {value['dtype']!r}")
    begin, end = value["data_offsets"]
    if end - begin != prod(value["shape"]) * ITEM_BYTES[value["dtype"]]:
        raise _damaged(path, f"tensor {name!r}: its offsets don't fit its shape")
    return TensorEntry(value["dtype"], tuple(value["shape"]), offset + begin, offset + end)


def read_header(path: Path) -> dict[str, TensorEntry]:
    """Read and check the header of a safetensors file.

    Args:
        path: the file.

    Returns:
        Every tensor by name. They cover the file without holes or overlaps.

    Raises:
        ModelError: E-MODEL-010, the header is longer than the file, is no JSON, names a tensor twice, or has
            types, shapes or offsets that can't be.
    """
    header, offset = _header(path)
    try:
        entries = {name: _entry(path, name, value, offset) for name, value in header.items()}
    except (TypeError, OverflowError) as error:
        raise _damaged(path, str(error)) from error
    expected = offset
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.start != expected:
            raise _damaged(path, f"tensor {name!r} overlaps another one or leaves a hole")
        expected = entry.end
    if expected != path.stat().st_size:
        raise _damaged(path, "its tensors end before or after the file does")
    return entries


def first_not_finite(path: Path, entries: dict[str, TensorEntry]) -> str | None:
    """Name of the first tensor with a NaN or infinite value, or None.

    Args:
        path: a file that :func:`read_header` accepted.
        entries: what it returned.
    """
    for name, entry in entries.items():
        if entry.dtype in {"F64", "F32", "F16", "BF16"} and not _finite(path, entry):
            return name
    return None


def _finite(path: Path, entry: TensorEntry) -> bool:
    kind = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}[entry.dtype]
    with path.open("rb") as file:
        file.seek(entry.start)
        left = prod(entry.shape)
        while left:
            values = np.fromfile(file, dtype=kind, count=min(left, _CHUNK_ITEMS))
            left -= len(values)
            # numpy has no bfloat16: a value is NaN or infinite when all eight exponent bits are set
            sound = (values & 0x7F80) != 0x7F80 if entry.dtype == "BF16" else np.isfinite(values)
            if not sound.all():
                return False
    return True
