"""Test rows that champion or source were fitted on when they were made, by what their folders remember."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from acclimate.examples import read_examples
from acclimate.nn.target_sketch import FITTED_ON, TargetSketch, input_digests, is_adapted, read_sketch
from acclimate.records import EarlierModel


def earlier_overlap(data: Path, source: Path, champion: tuple[str, Path] | None) -> dict[EarlierModel, int | None]:
    """Count the test rows that models made earlier were fitted on.

    A row's split follows from its content or group. So it changes where a group or a split column comes, goes or is
    changed, or where another table is adapted to; and with it the row's id may, but not how it looks. Rows that look
    like one of today's training rows are left out: both sides have seen those, and ingest counts them.

    Args:
        data: ingest's folder.
        source: the source model's folder.
        champion: the champion's model URI and its model folder; None without one.

    Returns:
        Rows by whose they are. None: that model does not remember all it was fitted on, and no test row is in what it
        remembers. No entry: acclimate did not adapt it, so nobody knows what it was fitted on.

    Raises:
        IntegrityError: E-DRIFT-001, what a model remembers is damaged; E-DATA-090, ingest's folder is.
    """
    folders: dict[EarlierModel, Path] = {"source": source} if is_adapted(source) else {}
    if champion is not None:
        folders["champion"] = champion[1]
    sketches = {name: read_sketch(folder) for name, folder in folders.items()}
    if not any(sketches.values()):
        return dict.fromkeys(sketches)
    test = input_digests(read_examples(data, "target", ("test",), None).inputs)
    return {name: _rows(sketch, test, data) for name, sketch in sketches.items()}


def _rows(sketch: TargetSketch | None, test: np.ndarray, data: Path) -> int | None:
    if sketch is None:
        return None
    seen = test[np.isin(test, sketch.fitted)]
    if seen.size:
        now = input_digests(read_examples(data, "target", FITTED_ON, None).inputs)
        seen = seen[~np.isin(seen, now)]
    return len(seen) if len(seen) or sketch.fitted_complete else None
