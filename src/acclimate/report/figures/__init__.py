"""The figures of a report, one file each; a new one is a file here and a line in :data:`FIGURES`."""

from __future__ import annotations

from collections.abc import Callable

from acclimate.report.figures.arms import arms
from acclimate.report.figures.canvas import Drawing
from acclimate.report.figures.comparisons import comparisons
from acclimate.report.figures.confusion import confusion
from acclimate.report.figures.forgetting import forgetting
from acclimate.report.figures.gap_map import gap_map
from acclimate.report.figures.learning_curve import learning_curve
from acclimate.report.figures.null_scale import null_scale
from acclimate.report.figures.reliability import reliability
from acclimate.report.figures.slices import slices
from acclimate.report.figures.training import training
from acclimate.report.view import ReportView

FIGURES: tuple[Callable[[ReportView], Drawing | None], ...] = (
    gap_map,
    null_scale,
    learning_curve,
    arms,
    training,
    forgetting,
    comparisons,
    confusion,
    reliability,
    slices,
)


def draw_all(view: ReportView) -> dict[str, Drawing]:
    """Every figure that the run came far enough for, by name."""
    drawings = (figure(view) for figure in FIGURES)
    return {drawing.name: drawing for drawing in drawings if drawing is not None}
