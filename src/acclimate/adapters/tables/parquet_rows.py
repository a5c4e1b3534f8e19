"""Rows of Parquet files, in batches; repetition can't fill the memory.

Texts stay dictionary-encoded. Images don't, as Arrow then needs four times the memory of a page, and a page may hold
a thousand of them: so few are read at once that all may be as large as their row group.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from acclimate.adapters.tables.source_files import Header, TableFile
from acclimate.adapters.tables.wanted import Wanted
from acclimate.errors import DataError

_BATCH_ROWS = 8192
_BATCH_BYTES = 64_000_000
_PIECE_BYTES = 8_000_000
_HINT_BROKEN = "write it again, or fetch it again: it may be cut short"


def parquet_rows(file: TableFile, wanted: Wanted, header: Header) -> Generator[tuple[int, list[object]]]:
    """Yield the number of each row, counted from 1, and its wanted values.

    Args:
        file: the file.
        wanted: columns to read.
        header: filled with the file's column names and their kinds.

    Raises:
        DataError: E-DATA-005, -012, -016 to -018 and -030 to -034.
    """
    row = 0
    try:
        # Arrow leaves a file open that it can't read; this one is closed here.
        with pa.OSFile(str(file.path)) as stream, _open(file, stream, wanted, header) as parquet:
            names = [name for name in wanted.names if name in header]
            leaves = [_leaf(name, parquet.schema_arrow.field(name).type) for name in names]
            size = _batch_rows(parquet.metadata, set(leaves)) if wanted.kind == "image" else _BATCH_ROWS
            for batch in parquet.iter_batches(size, columns=leaves, use_threads=False):
                batch.validate(full=True)
                by_name = {name: _values(file, batch.column(name), row) for name in names}
                for i in range(batch.num_rows):
                    row += 1
                    yield row, [by_name[name][i] if name in by_name else None for name in wanted.names]
    except UnicodeDecodeError as error:
        raise file.error("E-DATA-012", "a text is not UTF-8", "write the column as UTF-8 strings", row + 1) from error
    except (pa.ArrowException, OSError) as error:
        raise _broken(file, error) from error


def _open(file: TableFile, stream: pa.NativeFile, wanted: Wanted, header: Header) -> pq.ParquetFile:
    """Open a file whose metadata are in order, texts to be read as dictionaries."""
    parquet = pq.ParquetFile(stream)
    schema, metadata = parquet.schema_arrow, parquet.metadata
    wanted.check_header(schema.names, file)
    header.update((name, _kind(schema.field(name).type)) for name in schema.names)
    kinds = {name: schema.field(name).type for name in wanted.names if name in header}
    image = wanted.content if wanted.kind == "image" else None
    for name, kind in kinds.items():
        if name == image:
            _check_image_type(file, name, kind)
        else:
            _check_type(file, name, kind, is_text=wanted.is_text(name))
    _check_size(file, metadata, {_leaf(name, kind) for name, kind in kinds.items()})
    texts = [name for name, kind in kinds.items() if not (_is_plain(kind) or pa.types.is_struct(kind))]
    return pq.ParquetFile(
        stream,
        read_dictionary=[name for name in texts if name != image],
        pre_buffer=False,
        buffer_size=_PIECE_BYTES if image else 0,
        page_checksum_verification=True,
    )


def _leaf(name: str, kind: Any) -> str:
    """What Parquet calls the values of a column; of an image's struct only the bytes are read."""
    return f"{name}.bytes" if pa.types.is_struct(kind) else name


def _batch_rows(metadata: Any, leaves: set[str]) -> int:
    """How many images to read at once."""
    largest = max((_unpacked(metadata, group, leaves) for group in range(metadata.num_row_groups)), default=0)
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(1, largest)))


def _unpacked(metadata: Any, group: int, leaves: set[str]) -> int:
    columns = (metadata.row_group(group).column(i) for i in range(metadata.num_columns))
    return sum(int(column.total_uncompressed_size) for column in columns if column.path_in_schema in leaves)


def _check_image_type(file: TableFile, name: str, kind: Any) -> None:
    value = kind
    if pa.types.is_struct(kind):
        at = kind.get_field_index("bytes")
        value = kind.field(at).type if at >= 0 else kind
    value = value.value_type if pa.types.is_dictionary(value) else value
    is_bytes = pa.types.is_binary(value) or pa.types.is_large_binary(value) or pa.types.is_binary_view(value)
    if is_bytes or pa.types.is_null(value):
        return
    message = f"the column {name[:60]!r} has the type {str(kind)[:60]}"
    hint = "write the encoded images as binary, or as a struct with a field named bytes"
    raise file.error("E-DATA-033", message, hint, 1)


def _check_type(file: TableFile, name: str, kind: Any, *, is_text: bool) -> None:
    if pa.types.is_nested(kind):
        message = f"the column {name[:60]!r} holds nested values ({str(kind)[:60]})"
        raise file.error("E-DATA-026", message, "flatten it to one value a row", 1)
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    strings = pa.types.is_string(value) or pa.types.is_large_string(value) or pa.types.is_string_view(value)
    if strings or pa.types.is_null(value) or (not is_text and _is_plain(value)):
        return
    message = f"the column {name[:60]!r} has the type {str(kind)[:60]}"
    hint = "write it as strings" if is_text else "write it as strings, whole numbers or booleans"
    raise file.error("E-DATA-033", message, hint, 1)


def _is_plain(kind: Any) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)
    )


def _kind(kind: Any) -> str:
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_null(value):
        return ""
    if pa.types.is_boolean(value):
        return "boolean"
    return "number" if _is_plain(value) else "text"


def _check_size(file: TableFile, metadata: Any, leaves: set[str]) -> None:
    if metadata.num_rows > file.limits.rows:
        message = f"the file says it has {metadata.num_rows:,} rows, over {file.limits.rows:,}"
        raise file.error("E-DATA-005", message, "take a sample")
    for group in range(metadata.num_row_groups):
        size = _unpacked(metadata, group, leaves)
        if size > file.limits.text_chars:
            message = f"row group {group} unpacks to {size:,} bytes, over {file.limits.text_chars:,}"
            raise file.error("E-DATA-034", message, "write smaller row groups, or make the values smaller")


def _values(file: TableFile, column: Any, first_row: int) -> list[object]:
    """Values of a batch as Python objects; equal texts share one."""
    if pa.types.is_struct(column.type):
        (column,) = column.flatten()
    if pa.types.is_binary_view(column.type):
        column = column.cast(pa.large_binary())
    if not pa.types.is_dictionary(column.type):
        _check_lengths(file, column, first_row)
        values: list[object] = column.to_pylist()
        return values
    used = pc.unique(column.indices).drop_null()
    texts = column.dictionary.take(used)
    if pa.types.is_null(texts.type):
        return [None] * len(column)
    _check_lengths(file, texts, first_row)
    of_index = dict(zip(used.to_pylist(), texts.to_pylist(), strict=True))
    return [of_index.get(index) for index in column.indices.to_pylist()]


def _check_lengths(file: TableFile, values: Any, first_row: int) -> None:
    """Refuse what is too long before Python has a copy."""
    is_string = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
    if not is_string and not (pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type)):
        return
    longest = pc.max(pc.binary_length(values)).as_py() or 0
    limit = file.limits.field_chars
    if longest > (4 * limit if is_string else limit):
        unit, hint = ("characters", "cut the text") if is_string else ("bytes", "make the image smaller")
        message = f"a value has {longest:,} bytes, over {limit:,} {unit}"
        raise file.error("E-DATA-016", message, hint, first_row + 1)


def _broken(file: TableFile, error: Exception) -> DataError:
    says = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    with file.path.open("rb") as stream:
        head = stream.read(4)
    if head == b"PARE" or "encrypt" in says.lower() or "decrypt" in says.lower():
        return file.error("E-DATA-031", "the file is encrypted", "write it without encryption")
    if "UTF8" in says:
        return file.error("E-DATA-012", f"a text is not UTF-8: {says}", "write the column as UTF-8 strings")
    if head != b"PAR1":
        return file.error("E-DATA-030", "this is not a Parquet file", "check the ending, or set the format")
    return file.error("E-DATA-030", f"the Parquet file is damaged: {says}", _HINT_BROKEN)
