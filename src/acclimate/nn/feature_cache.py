"""Features on disk, named by what they were computed from, checked when they are read."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np

from acclimate.examples import Inputs

_MAGIC = b"acclimate-features-1\n"


def features_name(key: str, inputs: Inputs) -> str:
    """File name of features, from everything that decides them.

    Args:
        key: the encoder's :attr:`~acclimate.nn.encoder.Encoder.features_key`.
        inputs: texts or images, in order.
    """
    digest = hashlib.sha256(key.encode())
    for one in inputs:
        raw = one.encode("utf-8", "surrogatepass") if isinstance(one, str) else one
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return f"{digest.hexdigest()}.f32"


def store_features(path: Path, features: np.ndarray) -> None:
    """Write features atomically: a reader sees the whole file or none.

    Args:
        path: where, see :func:`features_name`; its folder is made.
        features: float32 [n, dim].
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # never joined with what comes before it: the table may be most of the memory there is
    data = np.ascontiguousarray(features, dtype="<f4").data
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".features-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_MAGIC + hashlib.sha256(data).digest())
            file.write(data)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load_features(path: Path, *, rows: int, dim: int) -> np.ndarray | None:
    """Read stored features.

    A damaged file counts as absent, since features can always be computed again; it is overwritten then.

    Returns:
        float32 [rows, dim], or None when there is no file whose digest and size hold.
    """
    if not path.is_file():
        return None
    with path.open("rb") as file:
        head = file.read(len(_MAGIC) + hashlib.sha256().digest_size)
        size = path.stat().st_size - len(head)
        if not head.startswith(_MAGIC) or size != rows * dim * 4:
            return None
        found = np.fromfile(file, dtype="<f4", count=rows * dim)
    if len(found) != rows * dim or head != _MAGIC + hashlib.sha256(found.data).digest():
        return None
    return found.reshape(rows, dim)
