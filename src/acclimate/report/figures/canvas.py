"""The paper figures are drawn on: matplotlib to inline SVG that takes its colours from the page."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

from acclimate.report.safety import visible

WIDTH = 440.0
"""Width of every figure in its own units; text of size 12 stays readable when a phone shrinks it to 360 pixels."""

# Sentinels: matplotlib writes them as they are, then they become the page's colours.
INK, MUTED, LINE, PAPER = "#010101", "#020202", "#030303", "#040404"
C1, C2, C3, C4 = "#0a0101", "#0a0202", "#0a0303", "#0a0404"
PAGE_COLOURS = {
    INK: "currentColor",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    PAPER: "var(--paper)",
    C1: "var(--c1)",
    C2: "var(--c2)",
    C3: "var(--c3)",
    C4: "var(--c4)",
}

Axes = Any
"""matplotlib's Axes; matplotlib is imported only when something is drawn."""


@dataclass(frozen=True)
class Drawing:
    """A finished figure.

    Args:
        name: unique on the page; prefix of every id inside.
        title: what it shows, a few words.
        svg: an ``<svg>`` element, safe to put into HTML.
        caption: one sentence that says what it means, in the numbers at hand.
        wide: it needs the whole width of the page.
    """

    name: str
    title: str
    svg: str
    caption: str
    wide: bool = False


def draw(
    name: str,
    title: str,
    caption: str,
    paint: Callable[..., None],
    *,
    height: float = 300.0,
    rows: int = 1,
    wide: bool = False,
) -> Drawing:
    """Draw one figure.

    Args:
        name: unique on the page.
        title: what it shows; also read out to those who can't see it, with the caption.
        caption: one sentence on what it means.
        paint: called with ``rows`` axes, one above the other.
        height: in the units of :data:`WIDTH`.
        rows: number of axes.
        wide: it needs the whole width of the page.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    with mpl.rc_context(_style(name)), warnings.catch_warnings():
        # Measured with the bundled font, shown with the reader's: a glyph missing from the first is no loss.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from", category=UserWarning)
        warnings.filterwarnings("ignore", message=".*does not support .* natively", category=UserWarning)
        figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")
        FigureCanvasSVG(figure)
        paint(*(figure.add_subplot(rows, 1, row + 1) for row in range(rows)))
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return Drawing(name, title, _for_page(buffer.getvalue(), name, visible(f"{title}. {caption}")), caption, wide)


def _style(name: str) -> dict[str, Any]:
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "text.parse_math": False,
        "font.family": "DejaVu Sans",
        "font.size": 12,
        "axes.labelsize": 12,
        "xtick.labelsize": 11,
        "ytick.labelsize": 11,
        "text.color": INK,
        "axes.labelcolor": MUTED,
        "axes.edgecolor": LINE,
        "axes.linewidth": 1,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.formatter.use_mathtext": False,
        "axes.unicode_minus": True,
        "axes.axisbelow": True,
        "xtick.color": LINE,
        "ytick.color": LINE,
        "xtick.labelcolor": MUTED,
        "ytick.labelcolor": MUTED,
        "grid.color": LINE,
        "grid.linewidth": 0.7,
        "legend.frameon": False,
        "legend.fontsize": 11,
        "legend.labelcolor": INK,
        "lines.linewidth": 2,
        "hatch.color": MUTED,
    }


def _for_page(svg: str, name: str, label: str) -> str:
    body = svg[svg.index("<svg") :].strip()
    body = re.sub(r"<metadata>.*?</metadata>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r"<[^>]+>", lambda tag: _tag(tag.group(), name), body)
    body = re.sub(r">\s+<", "><", body)
    box = re.search(r'viewBox="([^"]*)"', body)
    opening = f'<svg class="figure" role="img" aria-label="{escape(label)}" viewBox="{box.group(1) if box else ""}">'
    return re.sub(r"^<svg[^>]*>", lambda _: opening, body)


def _tag(tag: str, name: str) -> str:
    tag = re.sub(r"(\d\.\d\d)\d+", r"\1", tag)
    tag = re.sub(r'font-family: [^;"]*;? ?', "", tag)
    tag = re.sub(r'^<g id="[^"]*"', "<g", tag)
    tag = re.sub(r'\b(?:xlink:)?(id="|href="#)|(url\(#)', rf"\1\2{name}-", tag)
    for sentinel, colour in PAGE_COLOURS.items():
        tag = tag.replace(sentinel, colour)
    return re.sub(r"\s+", " ", tag)


def short(label: str, length: int = 18) -> str:
    """A label that fits a figure, cut in its middle since names often share a beginning; hidden characters shown."""
    text = " ".join(visible(label).split())
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return f"{text[: length - 1 - tail]}…{text[-tail:]}"
