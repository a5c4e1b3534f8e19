"""A linear head in a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from acclimate.errors import ModelError
from acclimate.nn.tensor_file import first_not_finite, read_header


def write_head(weight: np.ndarray, bias: np.ndarray, path: Path, *, metadata: Mapping[str, str] | None = None) -> None:
    """Write a head.

    Args:
        weight: ``[C, d]``, stored in float32.
        bias: ``[C]``.
        path: the file.
        metadata: further facts, one at most: the order of several is not fixed in the file.
    """
    tensors = {"bias": bias.astype(np.float32), "weight": weight.astype(np.float32)}
    save_file(tensors, path, metadata=None if metadata is None else dict(metadata))


def read_head(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Weight float32 ``[C, d]`` and bias float32 ``[C]`` of what :func:`write_head` wrote.

    Raises:
        ModelError: E-MODEL-020, the file is absent or damaged, or numbers aren't finite.
    """
    entries = read_header(path) if path.is_file() else {}
    if set(entries) != {"weight", "bias"} or first_not_finite(path, entries):
        raise ModelError(
            "E-MODEL-020",
            "the head is absent, incomplete or not finite",
            where=str(path),
            hint="the model folder is damaged; fetch it again",
        )
    tensors = load_file(path)
    return tensors["weight"], tensors["bias"]
