"""What a run leaves for the pages of others, such as MLflow's: its report, and each figure as a picture of its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from acclimate.report.render import FILE_NAME, TEMPLATES, drawings, html
from acclimate.report.view import ReportView

if TYPE_CHECKING:
    from acclimate.report.figures.canvas import Drawing

FIGURES = "figures"


def write_pages(view: ReportView, out: Path) -> None:
    """Write ``report.html`` and a ``figures/NAME.svg`` for each figure that the run came far enough for.

    Args:
        view: the run.
        out: folder, created if absent.

    Raises:
        UnavailableError: E-REPORT-002, a library is not installed.
    """
    figures = drawings(view)
    (out / FIGURES).mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        (out / FIGURES / f"{name}.svg").write_text(picture(figure), encoding="utf-8")
    (out / FILE_NAME).write_text(html(view, figures), encoding="utf-8")


def picture(figure: Drawing) -> str:
    """A figure as an SVG file, with the colours and the letters that the page around it lends it in a report."""
    page = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    light = re.search(r":root \{(.*?)\}", page, re.DOTALL)
    if light is None:
        raise ValueError("style.css begins with no :root")
    colours = re.sub(r"\s+", " ", light[1].replace("color-scheme: light dark;", "")).strip()
    style = f"{colours} color: var(--ink); background: var(--paper); font-family: system-ui, sans-serif"
    return figure.svg.replace("<svg", f'<svg xmlns="http://www.w3.org/2000/svg" width="880" style="{style}"', 1)
