"""Inserts on disk: ``insert.safetensors`` beside the model they belong to, what shapes them in its metadata."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from acclimate.errors import ModelError
from acclimate.nn.inserts import INSERTS, Insert
from acclimate.nn.source_card import INSERT_FILE
from acclimate.nn.tensor_file import first_not_finite, read_header


def write_insert(insert: Insert, folder: Path) -> None:
    """Write an insert into a model's folder."""
    described = json.dumps({"kind": insert.kind, "settings": dict(insert.settings)}, sort_keys=True)
    tensors = {name: tensor.contiguous() for name, tensor in sorted(insert.tensors.items())}
    save_file(tensors, folder / INSERT_FILE, metadata={"insert": described})


def read_insert(folder: Path) -> Insert | None:
    """The insert of a model's folder; None where it has none.

    Raises:
        ModelError: E-MODEL-022, it can't be read, is of no known kind, or is not finite.
    """
    path = folder / INSERT_FILE
    if not path.exists():
        return None
    entries = read_header(path)
    bad = first_not_finite(path, entries)
    try:
        with safe_open(path, framework="pt") as file:
            described = json.loads(file.metadata()["insert"])
            kind = str(described["kind"])
            shape = {name: int(described["settings"][name]) for name in described["settings"]}
            tensors = {name: file.get_tensor(name) for name in entries}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _refused(path, f"they can't be read: {error!r}") from error
    if kind not in INSERTS or set(shape) - set(INSERTS[kind].settings) or bad:
        raise _refused(path, f"tensor {bad!r} is not finite" if bad else f"{kind!r} is no kind that acclimate loads")
    return Insert(kind, shape, tensors)


def _refused(path: Path, why: str) -> ModelError:
    return ModelError(
        "E-MODEL-022",
        f"the model's added layers are not used: {why}",
        where=str(path),
        hint="the model's folder is damaged; fetch it again",
    )
