"""A lineage as a graph: what was used, what was made of it, in one band an adapted model."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from acclimate.records import LineageNode
from acclimate.report.safety import without_credentials

INPUTS, GAP, DECISION, ARMS, EVALUATION, VERDICT, VERSION = range(7)
_COLUMNS = {"gap": GAP, "decision": DECISION, "arm": ARMS, "evaluation": EVALUATION, "verdict": VERDICT}
_MODELS = frozenset(("adapted_model", "source_model"))


@dataclass(frozen=True)
class Vertex:
    """One thing in the graph.

    Args:
        key: unique on the page, safe as an id.
        node: the thing, credentials taken out.
        handed_on: what came of it went on; false for an arm that was not taken.
    """

    key: str
    node: LineageNode
    handed_on: bool = True


@dataclass(frozen=True)
class Band:
    """An adapted model with what it was made from, by column.

    Args:
        model: the adapted model; it stands in its own band only if nothing in the graph was made from it.
        columns: from :data:`INPUTS` to :data:`VERSION`, top to bottom, the main way first.
    """

    model: Vertex
    columns: tuple[list[Vertex], ...]


@dataclass(frozen=True)
class Graph:
    """A lineage.

    Args:
        bands: the model that was asked for first, then what it was adapted from, and so on.
        edges: from what was used to what was made, by key. What follows by way of others has no edge of its own.
    """

    bands: list[Band] = field(default_factory=list)
    edges: list[tuple[str, str]] = field(default_factory=list)


def lineage_graph(root: LineageNode) -> Graph:
    """The graph of a lineage.

    Args:
        root: a registered model; a source model alone has a band of its own without anything else.
    """
    graph, models, waiting = Graph(), {root.uri: Vertex("n1", _clean(root))}, deque([root])
    while waiting:
        node = waiting.popleft()
        number = len(graph.bands)
        made = [one for one in node.made_from if one.kind in _MODELS]
        for parent in made:
            if parent.uri not in models:
                models[parent.uri] = Vertex(f"n{len(models) + 1}", _clean(parent))
                waiting.extend([parent] if parent.made_from else [])
        # A version that is not acclimate's has no verdict and the like: nothing is drawn for what isn't there.
        own = [one for one in node.made_from if one.kind not in _MODELS and (one.name or one.digest or one.facts)]
        leaves = [Vertex(f"n{number + 1}-{i + 1}", _clean(one), _goes_on(one)) for i, one in enumerate(own)]
        taken = {one.key for band in graph.bands for one in band.columns[INPUTS]}
        parents = [models[one.uri] for one in made]
        band = _band(models[node.uri], [one for one in parents if one.key not in taken], leaves, is_root=number == 0)
        graph.bands.append(band)
        graph.edges.extend(dict.fromkeys(_edges(band, parents)))
    return graph


def _goes_on(node: LineageNode) -> bool:
    return node.kind != "arm" or node.facts.get("chosen") == "true"


def _clean(node: LineageNode) -> LineageNode:
    return LineageNode.model_validate(without_credentials(node.model_copy(update={"made_from": []}).model_dump()))


def _band(model: Vertex, parents: list[Vertex], leaves: list[Vertex], *, is_root: bool) -> Band:
    columns: tuple[list[Vertex], ...] = tuple([] for _ in range(7))
    columns[INPUTS].extend(parents)
    for leaf in leaves:
        columns[_COLUMNS.get(leaf.node.kind, INPUTS)].append(leaf)
    columns[ARMS].sort(key=lambda arm: (not arm.handed_on, -_score(arm), arm.node.name))
    columns[VERSION].extend([model] if is_root else [])
    return Band(model, columns)


def _score(arm: Vertex) -> float:
    try:
        return float(arm.node.facts.get("validation_score", ""))
    except ValueError:
        return 0.0


def _edges(band: Band, parents: list[Vertex]) -> Iterator[tuple[str, str]]:
    data = [one for one in band.columns[INPUTS] if one.node.kind == "data"]
    pools = [one for one in data if one.node.name == "pool"]
    before = [*parents, *(one for one in data if one not in pools)]
    pretrained = [arm for arm in band.columns[ARMS] if arm.node.facts.get("pretraining")]
    looked = [*band.columns[DECISION], *band.columns[ARMS], *band.columns[EVALUATION]][:1]
    # A pool is pretrained on; where no arm was, a rule has looked at how large it is.
    yield from ((pool.key, one.key) for pool in pools for one in pretrained or looked)
    for column in (GAP, DECISION, ARMS, EVALUATION, VERDICT):
        found = band.columns[column]
        yield from ((one.key, other.key) for one in before for other in found)
        before = [one for one in found if one.handed_on] or before
    yield from ((one.key, band.model.key) for one in before)
