"""Adapted models of every task, by their folder."""

from __future__ import annotations

from pathlib import Path

from acclimate.nn.causal.writer import Writer
from acclimate.nn.model import AdaptedModel
from acclimate.nn.preflight import read_json
from acclimate.records import GENERATION_TASK


def load_adapted(folder: Path, precision: str | None = None) -> AdaptedModel | Writer:
    """Load a model that acclimate wrote.

    Args:
        folder: the model folder.
        precision: ``fp32`` or ``bf16``; None takes the stored one.

    Raises:
        ModelError: what the model's own kind raises; E-MODEL-021, it is not a model acclimate wrote.
    """
    path = folder / "acclimate.json"
    writes = path.is_file() and read_json(path).get("task") == GENERATION_TASK
    return Writer.load(folder, precision) if writes else AdaptedModel.load(folder, precision)
