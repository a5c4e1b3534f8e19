"""What a stored model says of itself, in ``acclimate.json``."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from acclimate.errors import ModelError

FILE = "acclimate.json"
#: What the model remembers of its target, see :mod:`acclimate.nn.target_sketch`.
SKETCH_FILE = "target_sketch.safetensors"
Description = TypeVar("Description", bound=BaseModel)


def read_description(folder: Path, kind: type[Description]) -> Description:
    """Read the description of a model's folder.

    Raises:
        ModelError: E-MODEL-021, it is absent, or not of this kind of model.
    """
    path = folder / FILE
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ModelError(
            "E-MODEL-021",
            f"this is not a model acclimate wrote: {str(error).splitlines()[0]}",
            where=str(path),
            hint="give the folder of an adapted model, e.g. <workspace>/.../baseline/model",
        ) from error
