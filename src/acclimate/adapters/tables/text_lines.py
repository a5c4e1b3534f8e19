"""Lines of a text file, decoded strictly, in bounded memory."""

from __future__ import annotations

import codecs
from collections.abc import Generator

from acclimate.adapters.tables.source_files import TableFile
from acclimate.errors import DataError

_CHUNK = 1 << 20
_MAGIC = {
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"\x1f\x8b": "a gzip archive",
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF",
    b"SQLite format 3": "an SQLite database",
    b"\x89HDF": "an HDF5 file",
}


def text_lines(file: TableFile) -> Generator[str]:
    """Yield lines with their ends untouched: line feed, carriage return, or both; close it to close the file.

    Raises:
        DataError: E-DATA-012 wrong encoding, E-DATA-013 NUL, E-DATA-016 endless line, E-DATA-003 not a text file.
    """
    _refuse_binary(file)
    encoding = "utf-8-sig" if file.encoding == "utf-8" else file.encoding
    limit = file.limits.line_chars
    with file.path.open(encoding=encoding, newline="") as stream:
        number = 0
        try:
            while line := stream.readline(limit + 1):
                number += 1
                if len(line) > limit:
                    raise file.error(
                        "E-DATA-016", f"a line has over {limit:,} characters", "split it, or cut it", number
                    )
                if "\0" in line:
                    hint = f"if the file is UTF-16, set {file.section}.encoding to utf-16; else mend it"
                    raise file.error("E-DATA-013", "a NUL character", hint, number)
                yield line
        except UnicodeError as error:
            raise _encoding_error(file, encoding) from error


def _refuse_binary(file: TableFile) -> None:
    with file.path.open("rb") as stream:
        head = stream.read(16)
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            raise file.error("E-DATA-003", f"this is {kind}, not a text file", "unpack or export it as CSV or JSONL")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) and file.encoding != "utf-16":
        hint = f"set {file.section}.encoding to utf-16"
        raise file.error("E-DATA-012", f"the file is UTF-16, not {file.encoding}", hint, 1)


def _encoding_error(file: TableFile, encoding: str) -> DataError:
    """Find the byte that can't be decoded, by a second pass."""
    decoder = codecs.getincrementaldecoder(encoding)()
    offset = lines = 0
    hint = f"save it as UTF-8, or set {file.section}.encoding, e.g. to latin-1 or cp1252"
    with file.path.open("rb") as stream:
        while True:
            chunk = stream.read(_CHUNK)
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                held_back = len(error.object) - len(chunk)
                lines += chunk[: max(0, error.start - held_back)].count(b"\n")
                byte = error.object[error.start]
                message = f"byte {offset - held_back + error.start:,} (0x{byte:02x}) is not {file.encoding}"
                return file.error("E-DATA-012", message, hint, lines + 1)
            except UnicodeError as error:
                return file.error("E-DATA-012", f"not {file.encoding}: {error}", hint, lines + 1)
            if not chunk:
                return file.error("E-DATA-012", f"not {file.encoding}", hint)
            offset += len(chunk)
            lines += chunk.count(b"\n")
