"""Inputs that an exported model is tried on, and how far it may be off."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from acclimate.errors import IntegrityError
from acclimate.examples import Inputs

# of tokens, up to the length that is read
LENGTHS = (1, 2, 5, 12, 30, 80, 200)
SIDES = (32, 200, 317)
# of the largest logit, or of 1
TOLERANCE = 1e-4


def texts(tokenizer: Any, limit: int) -> list[str]:
    """Texts of random words of a vocabulary, from one token to as many as are read, and the empty one."""
    rng = np.random.default_rng(0)
    ordinary = [token for token in range(len(tokenizer)) if token not in set(tokenizer.all_special_ids)]
    lengths = [min(length, limit) for length in LENGTHS]
    return ["", *(str(tokenizer.decode(rng.choice(ordinary, length).tolist())) for length in lengths)]


def images() -> list[bytes]:
    """Pictures of random colours, of different sizes, as PNG."""
    rng, made = np.random.default_rng(0), []
    for side in SIDES:
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (side, side * 2 // 3, 3), dtype=np.uint8)).save(file, "PNG")
        made.append(file.getvalue())
    return made


def probes(reader: Any, *, reads_images: bool) -> Inputs:
    """Inputs for a reader's model."""
    return images() if reads_images else texts(reader.tokenizer, reader.limit)


def largest_difference(exported: np.ndarray, own: np.ndarray, what: str) -> float:
    """The largest difference of logits.

    Raises:
        IntegrityError: E-EXPORT-005, it is more than rounding.
    """
    difference = float(np.abs(exported - own).max())
    allowed = TOLERANCE * max(1.0, float(np.abs(own).max()))
    if not difference <= allowed:
        raise IntegrityError(
            "E-EXPORT-005",
            f"{what} computes other logits than the model: they differ by {difference:.2g}, {allowed:.2g} is allowed",
            hint="nothing was written; try another --format, and report this",
        )
    return difference
