"""Models that remember what they were fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from acclimate.nn.target_sketch import TargetSketch, input_digests


def remember(model: Path, fitted_on: Sequence[str], *, complete: bool = True) -> None:
    """Let a model's folder say that it was fitted on these texts, and whether these are all.

    It remembers nothing else.
    """
    none, held = np.empty(0, np.int64), np.empty((0, 32), np.float32)
    fitted = np.unique(input_digests(fitted_on))
    TargetSketch("", "fp32", 8, held, none, None, none, none, True, fitted, complete).write(model)
