"""The map of both domains: where target rows lie among the source's."""

from __future__ import annotations

import numpy as np

from acclimate.records import MapPoint
from acclimate.report import numbers
from acclimate.report.figures.canvas import C1, C2, INK, LINE, PAPER, Axes, Drawing, draw
from acclimate.report.view import ReportView
from acclimate.report.wording import GAPS

MOST_POINTS = 1500
"""Points drawn of each domain; more can't be told apart and make the page heavy."""


def gap_map(view: ReportView) -> Drawing | None:
    """Rows of both domains on the first two principal components; None without any."""
    if view.gap is None or not view.gap.map:
        return None
    sides = {side: _points(view.gap.map, side) for side in ("source", "target")}
    drawn = {side: points[:: -(-len(points) // MOST_POINTS) or 1] for side, points in sides.items()}

    def paint(axes: Axes) -> None:
        for side, colour, marker, size in (("source", C1, "o", 3.2), ("target", C2, "^", 3.6)):
            x, y = drawn[side].T
            axes.plot(x, y, marker, ms=size, color=colour, mew=0, alpha=0.5, label=f"{side} ({len(sides[side]):,})")
        for side, colour, marker in (("source", C1, "o"), ("target", C2, "^")):
            if len(sides[side]):
                x, y = np.median(sides[side], axis=0)
                axes.plot([x], [y], marker, ms=11, color=colour, mec=PAPER, mew=2)
        axes.set(xticks=[], yticks=[], xlabel="first principal component", ylabel="second")
        axes.set_aspect("equal", adjustable="datalim")
        for spine in axes.spines.values():
            spine.set(visible=True, color=LINE)
        axes.legend(
            loc="upper left", bbox_to_anchor=(0, 1.13), ncols=2, handletextpad=0.1, columnspacing=1.2, labelcolor=INK
        )

    return draw("map", "Map of both domains", _caption(view, drawn), paint, height=330)


def _points(points: list[MapPoint], side: str) -> np.ndarray:
    return np.array([(p.x, p.y) for p in points if p.domain == side], dtype=np.float64).reshape(-1, 2)


def _caption(view: ReportView, drawn: dict[str, np.ndarray]) -> str:
    assert view.gap is not None
    verdict = GAPS[view.gap.verdict]
    measured = "" if view.gap.units is None else f", {numbers.units(view.gap.units)} gap units"
    shown = f"{len(drawn['source']):,} source and {len(drawn['target']):,} target rows"
    return (
        f"{shown}, placed by what the source model sees in them; the large marks are the middle of each domain "
        f"(verdict: {verdict}{measured}). Two of many dimensions: the measures decide, not the picture."
    )
