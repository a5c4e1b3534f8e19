"""Rows of Parquet files, in batches; texts stay dictionary-encoded so that repetition can't fill the memory."""

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
            for batch in parquet.iter_batches(_BATCH_ROWS, columns=names, use_threads=False):
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
    names = [name for name in wanted.names if name in header]
    for name in names:
        _check_type(file, name, schema.field(name).type, is_text=name == wanted.text)
    _check_size(file, metadata, set(names))
    texts = [name for name in names if not _is_plain(schema.field(name).type)]
    return pq.ParquetFile(stream, read_dictionary=texts, pre_buffer=False, page_checksum_verification=True)


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


def _check_size(file: TableFile, metadata: Any, names: set[str]) -> None:
    if metadata.num_rows > file.limits.rows:
        message = f"the file says it has {metadata.num_rows:,} rows, over {file.limits.rows:,}"
        raise file.error("E-DATA-005", message, "take a sample")
    for group in range(metadata.num_row_groups):
        columns = (metadata.row_group(group).column(i) for i in range(metadata.num_columns))
        size = sum(column.total_uncompressed_size for column in columns if column.path_in_schema in names)
        if size > file.limits.text_chars:
            message = f"row group {group} unpacks to {size:,} bytes, over {file.limits.text_chars:,}"
            raise file.error("E-DATA-034", message, "write smaller row groups, or cut the texts")


def _values(file: TableFile, column: Any, first_row: int) -> list[object]:
    """Values of a batch as Python objects; equal texts share one."""
    if not pa.types.is_dictionary(column.type):
        values: list[object] = column.to_pylist()
        return values
    used = pc.unique(column.indices).drop_null()
    texts = column.dictionary.take(used)
    if pa.types.is_null(texts.type):
        return [None] * len(column)
    if pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type):
        longest = pc.max(pc.binary_length(texts)).as_py() or 0
        if longest > 4 * file.limits.field_chars:
            message = f"a value has {longest:,} bytes, over {file.limits.field_chars:,} characters"
            raise file.error("E-DATA-016", message, "cut the text", first_row + 1)
    of_index = dict(zip(used.to_pylist(), texts.to_pylist(), strict=True))
    return [of_index.get(index) for index in column.indices.to_pylist()]


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
