"""Where each thing of a lineage is drawn: columns from what was used to what was made, a band an adapted model."""

from __future__ import annotations

from dataclasses import dataclass

from acclimate.report.lineage_graph import ARMS, Band, Graph, Vertex

WIDTH, HEIGHT = 132, 62
ACROSS, DOWN = 27, 12
LEFT, RIGHT, TITLE, BETWEEN, BELOW = 14, 2, 30, 40, 8
STEP = WIDTH + ACROSS
TOTAL = LEFT + 7 * STEP - ACROSS + RIGHT  # the report's width
_ROUND = 9


@dataclass(frozen=True)
class Place:
    """A thing and its upper left corner."""

    vertex: Vertex
    x: int
    y: int


@dataclass(frozen=True)
class Line:
    """An edge as the path of an SVG; ``main`` where both its ends went on into the model."""

    path: str
    main: bool


@dataclass(frozen=True)
class Title:
    """The model a band is about, and the baseline of its name."""

    model: Vertex
    y: int


@dataclass(frozen=True)
class Layout:
    """A drawing, in pixels."""

    width: int
    height: int
    places: list[Place]
    lines: list[Line]
    titles: list[Title]


def lay_out(graph: Graph) -> Layout:
    """Place a lineage.

    Each band is a row of columns. The main way runs along its top, what was not taken lies below. A model that others
    were adapted from stands among their inputs; from the end of its own band a line runs up to it by the left margin.
    """
    places: dict[str, Place] = {}
    titles, tops, y = [], {}, 0
    for band in graph.bands:
        titles.append(Title(band.model, y + TITLE - 12))
        tops[band.model.key] = y
        places |= _placed(band, y + TITLE)
        y += TITLE + _depth(band) * (HEIGHT + DOWN) - DOWN + BETWEEN
    lines = [_line(places[one], places[other], tops.get(other, 0)) for one, other in graph.edges]
    return Layout(TOTAL, y - BETWEEN + BELOW, list(places.values()), sorted(lines, key=lambda line: line.main), titles)


def _depth(band: Band) -> int:
    return max(1, *(len(vertices) + _first_row(vertices, i) for i, vertices in enumerate(band.columns)))


def _first_row(vertices: list[Vertex], column: int) -> int:
    """The main way is kept free of arms that were not taken."""
    return int(column == ARMS and bool(vertices) and not vertices[0].handed_on)


def _placed(band: Band, top: int) -> dict[str, Place]:
    return {
        vertex.key: Place(vertex, LEFT + column * STEP, top + row * (HEIGHT + DOWN))
        for column, vertices in enumerate(band.columns)
        for row, vertex in enumerate(vertices, _first_row(vertices, column))
    }


def _line(start: Place, end: Place, top: int) -> Line:
    x1, y1, x2, y2 = start.x + WIDTH, start.y + HEIGHT // 2, end.x, end.y + HEIGHT // 2
    main = start.vertex.handed_on and end.vertex.handed_on
    if x2 >= x1:
        # Turn just before the end: the way there is free, since below the first row there are only inputs and arms.
        turn = x2 - ACROSS // 2
        path = f"M{x1} {y1}H{x2}" if y1 == y2 else f"M{x1} {y1}{_turned(turn, y1, x2, y2)}"
        return Line(path, main)
    return Line(_round_the_left(x1, y1, x2, y2, top), main)


def _turned(turn: int, y1: int, x2: int, y2: int) -> str:
    """Along, round a corner, up or down, round a corner, along."""
    sign = 1 if y2 > y1 else -1
    bend = min(_ROUND, abs(y2 - y1) // 2, ACROSS // 2)
    return (
        f"H{turn - bend}Q{turn} {y1} {turn} {y1 + sign * bend}V{y2 - sign * bend}Q{turn} {y2} {turn + bend} {y2}H{x2}"
    )


def _round_the_left(x1: int, y1: int, x2: int, y2: int, top: int) -> str:
    """From the right end of a band up above it, to the left margin, and up to an input of a band further up."""
    right, left, above, r = x1 + ACROSS // 2, 3, top - BETWEEN // 2 + 8, _ROUND
    return (
        f"M{x1} {y1}H{right - r}Q{right} {y1} {right} {y1 - r}V{above + r}Q{right} {above} {right - r} {above}"
        f"H{left + r}Q{left} {above} {left} {above - r}V{y2 + r}Q{left} {y2} {left + r} {y2}H{x2}"
    )
