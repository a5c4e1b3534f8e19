"""A lineage as one HTML file: a graph and a table, no script, nothing loaded from anywhere."""

from __future__ import annotations

from acclimate.errors import UnavailableError
from acclimate.records import LineageNode
from acclimate.report.lineage_graph import Band, Graph, Vertex, lineage_graph
from acclimate.report.lineage_layout import HEIGHT, WIDTH, lay_out
from acclimate.report.lineage_words import kind_of, name_of, sentence, words
from acclimate.report.render import environment
from acclimate.report.safety import without_credentials


def lineage_html(root: LineageNode) -> str:
    """The page that says what a model was made from; the same lineage gives the same bytes.

    Args:
        root: the model, as the registry traces it.

    Raises:
        UnavailableError: E-REPORT-002, a library is not installed.
    """
    try:
        page = environment().get_template("lineage.html.j2")
    except ModuleNotFoundError as error:
        hint = "pip install 'acclimate[report]'"
        raise UnavailableError("E-REPORT-002", f"the lineage as HTML needs {error.name}", hint=hint) from error
    graph = lineage_graph(root)
    return page.render(
        name=name_of(graph.bands[0].model.node),
        root=graph.bands[0].model.node,
        says=without_credentials(sentence(root)),
        layout=lay_out(graph),
        bands=[(band.model, _rows(band, graph)) for band in graph.bands],
        words=words,
        kind_of=kind_of,
        name_of=name_of,
        width=WIDTH,
        height=HEIGHT,
    )


def _rows(band: Band, graph: Graph) -> list[Vertex]:
    """The rows of a band's table: the model, then what it was made from; a parent with a band has its row there."""
    headed = {other.model.key for other in graph.bands}
    rest = [one for column in band.columns for one in column if one.key not in headed]
    return [band.model, *rest]
