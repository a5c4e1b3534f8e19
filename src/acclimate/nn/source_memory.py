"""Which rows an adapted source model was fitted on when it was made."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from acclimate.core.metrics import BoolArray
from acclimate.core.new_rows import enough_to_score
from acclimate.examples import Examples
from acclimate.nn.target_sketch import input_digests, is_adapted, read_sketch
from acclimate.records import SourceMemory


def new_to_source(source: Path, rows: Examples) -> tuple[SourceMemory | None, BoolArray | None]:
    """Look training rows up in what a source model remembers.

    Args:
        source: the source model's folder.
        rows: n rows.

    Returns:
        What it remembers of them; None where acclimate did not adapt it, or where all are new to it. And which rows
        scores have to be of, bool ``[n]``; None: all.

    Raises:
        IntegrityError: E-DRIFT-001, what it remembers is damaged.
    """
    if not is_adapted(source):
        return None, None
    sketch = read_sketch(source)
    known = np.zeros(len(rows), dtype=bool) if sketch is None else np.isin(input_digests(rows.inputs), sketch.fitted)
    complete = sketch is not None and sketch.fitted_complete
    if complete and not known.any():
        return None, None
    trusted = complete and enough_to_score(~known, rows.labels, rows.groups)
    memory = SourceMemory(
        known_rows=int(known.sum()) if complete else None, scored_rows=int((~known).sum()) if trusted else 0
    )
    return memory, ~known if trusted else None
