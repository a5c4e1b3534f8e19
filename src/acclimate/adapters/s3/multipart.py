"""Large files in parts: a part that fails is sent again, not the file; what can't be finished is taken back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from acclimate.adapters.s3.address import S3Uri
from acclimate.adapters.s3.faults import changed, not_s3
from acclimate.errors import AcclimateError, DataError

if TYPE_CHECKING:
    from acclimate.adapters.s3.transport import S3


def upload_parts(s3: S3, uri: S3Uri, path: Path, *, part_bytes: int) -> None:
    """Store a file in parts of ``part_bytes``, at least two.

    Raises:
        DataError: E-S3-005, the file changed meanwhile.
        AcclimateError: E-S3-NNN; the parts are taken back where the server still answers, else gc does it.
    """
    size = path.stat().st_size
    started = s3.request(uri, "create_multipart_upload", Key=uri.key)
    if "UploadId" not in started:
        raise not_s3(uri, "its answer has no upload id")
    upload_id = str(started["UploadId"])
    try:
        parts = _send(s3, uri, path, upload_id, size, part_bytes)
        _finish(s3, uri, upload_id, parts, size)
    except BaseException as error:
        try:
            s3.call(uri, "abort_multipart_upload", Key=uri.key, UploadId=upload_id)
        except AcclimateError as second:
            error.add_note(f"the parts already sent were left at {uri}: {second}")
        raise


def _send(s3: S3, uri: S3Uri, path: Path, upload_id: str, size: int, part_bytes: int) -> list[dict[str, object]]:
    from acclimate.adapters.s3.transport import md5_of

    parts: list[dict[str, object]] = []
    with path.open("rb") as file:
        while data := file.read(part_bytes):
            number = len(parts) + 1
            done = s3.request(
                uri,
                "upload_part",
                sends=len(data),
                Key=uri.key,
                UploadId=upload_id,
                PartNumber=number,
                Body=data,
                ContentMD5=md5_of(data),
            )
            parts.append({"PartNumber": number, "ETag": done["ETag"]})
        if file.tell() != size:
            raise changed(uri)
    return parts


def _finish(s3: S3, uri: S3Uri, upload_id: str, parts: list[dict[str, object]], size: int) -> None:
    try:
        s3.request(uri, "complete_multipart_upload", Key=uri.key, UploadId=upload_id, MultipartUpload={"Parts": parts})
    except DataError as error:
        # the upload is unknown once it is complete: an earlier attempt was, and its answer was lost
        stored = s3.head(uri) if error.code == "E-S3-002" else None
        if stored is None or stored.size != size:
            raise
