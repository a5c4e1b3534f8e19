"""The graph of a lineage, and where its boxes and lines are."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from acclimate.records import LineageNode
from acclimate.report.lineage_graph import Graph, lineage_graph
from acclimate.report.lineage_layout import HEIGHT, TOTAL, WIDTH, Layout, lay_out
from acclimate.report.lineage_words import cut, sentence, words
from tests.unit.report.lineages import adapted, arm, chain, leaf, source


def named(graph: Graph) -> dict[str, str]:
    """What each key stands for."""
    found = {one.key: one for band in graph.bands for column in band.columns for one in column}
    return {key: f"{one.node.kind} {one.node.uri or one.node.name}" for key, one in found.items()}


def edges(graph: Graph) -> set[tuple[str, str]]:
    names = named(graph)
    return {(names[one], names[other]) for one, other in graph.edges}


def test_edges_lead_from_what_was_used_to_what_was_made() -> None:
    graph = lineage_graph(adapted(4, source(), pool=True, arms=5))
    assert edges(graph) == {
        ("source_model models:/source--minilm/1", "gap LARGE"),
        ("data target", "gap LARGE"),
        ("data reference", "gap LARGE"),
        ("gap LARGE", "decision lora+full"),
        *(("decision lora+full", f"arm {one}") for one in ("full", "lora", "scratch", "adapter", "tapt")),
        ("data pool", "arm tapt"),
        ("arm lora", "evaluation macro_f1"),
        ("evaluation macro_f1", "verdict PROMOTE"),
        ("verdict PROMOTE", "adapted_model models:/mail/4"),
    }


def test_a_pool_nobody_trained_on_was_looked_at_by_the_decision() -> None:
    graph = lineage_graph(adapted(1, source(), pool=True, arms=2))
    assert ("data pool", "decision lora+full") in edges(graph)


def test_a_model_that_was_adapted_on_stands_once_in_its_childs_band() -> None:
    graph = lineage_graph(chain(3))
    assert [band.model.node.uri for band in graph.bands] == ["models:/mail/3", "models:/mail/2", "models:/mail/1"]
    assert sorted(named(graph).values()).count("adapted_model models:/mail/2") == 1
    assert ("adapted_model models:/mail/2", "gap LARGE") in edges(graph)
    assert ("verdict PROMOTE", "adapted_model models:/mail/2") in edges(graph)
    assert len(set(graph.edges)) == len(graph.edges)


def test_what_is_not_there_is_not_drawn_and_the_rest_is_joined() -> None:
    kinds = {"data", "verdict", "source_model"}
    whole = adapted(1, source())
    kept = [one if one.kind in kinds else leaf(one.kind, "") for one in whole.made_from]
    graph = lineage_graph(whole.model_copy(update={"made_from": kept}))
    assert edges(graph) == {
        ("source_model models:/source--minilm/1", "verdict PROMOTE"),
        ("data target", "verdict PROMOTE"),
        ("data reference", "verdict PROMOTE"),
        ("verdict PROMOTE", "adapted_model models:/mail/1"),
    }


def test_a_source_model_alone_is_one_box() -> None:
    graph = lineage_graph(source())
    assert named(graph) == {"n1": "source_model models:/source--minilm/1"}
    assert graph.edges == []
    assert len(lay_out(graph).places) == 1


def corners(path: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", path)]


def assert_drawn_apart(layout: Layout) -> None:
    boxes = [(place.x, place.y) for place in layout.places]
    assert all(0 <= x <= layout.width - WIDTH and 0 <= y <= layout.height - HEIGHT for x, y in boxes)
    by_column: dict[int, list[int]] = {}
    for x, y in boxes:
        by_column.setdefault(x, []).append(y)
    assert all(lower - upper > HEIGHT for ys in by_column.values() for upper, lower in pairwise(sorted(ys)))
    assert all(right - left > WIDTH for left, right in pairwise(sorted(by_column)))
    for line in layout.lines:
        assert all(0 <= number <= max(layout.width, layout.height) for number in corners(line.path)), line.path


@pytest.mark.parametrize(
    "root",
    [adapted(1, source()), adapted(1, source(), arms=40), adapted(1, source(), arms=0), chain(50), source()],
    ids=["model", "many arms", "no arms", "long chain", "source"],
)
def test_nothing_overlaps_and_all_is_inside(root: LineageNode) -> None:
    layout = lay_out(lineage_graph(root))
    assert layout.width == TOTAL <= 1104, "as wide as the report"
    assert_drawn_apart(layout)
    assert len(layout.titles) == len(lineage_graph(root).bands)


def test_every_line_begins_and_ends_at_its_boxes() -> None:
    graph = lineage_graph(chain(4))
    layout = lay_out(graph)
    ends = {(place.x, place.y + HEIGHT // 2) for place in layout.places}
    starts = {(x + WIDTH, y) for x, y in ends}
    for line in layout.lines:
        match = re.fullmatch(r"M(\d+) (\d+).*?(?:[QV][\d ]+ (\d+))?H(\d+)", line.path)
        assert match, line.path
        assert (int(match[1]), int(match[2])) in starts
        assert (int(match[4]), int(match[3] or match[2])) in ends


def test_the_chosen_arm_lies_on_the_main_way_and_what_was_not_taken_below() -> None:
    layout = lay_out(lineage_graph(adapted(1, source(), arms=5)))
    rows = {place.vertex.node.name: place.y for place in layout.places}
    assert rows["lora"] == rows["LARGE"] == rows["PROMOTE"]
    assert rows["lora"] < rows["full"] < rows["scratch"] < rows["adapter"]
    assert [line.main for line in layout.lines] == sorted(line.main for line in layout.lines)


def test_the_main_way_is_free_where_no_arm_was_taken() -> None:
    whole = adapted(1, source(), arms=0)
    root = whole.model_copy(update={"made_from": [arm("full", 1, chosen=False), *whole.made_from]})
    rows = {place.vertex.node.name: place.y for place in lay_out(lineage_graph(root)).places}
    assert rows["full"] > rows["macro_f1"] == rows["lora+full"]


def test_a_box_says_what_matters() -> None:
    graph = lineage_graph(adapted(7, source(), aliases="challenger, champion"))
    said = [words(one) for column in graph.bands[0].columns for one in column]
    assert ("source model", "minilm", "1.2.0 · Apache-2.0") in {(one.kind, one.title, one.line) for one in said}
    by_kind = {one.kind: (one.title, one.line, one.tone) for one in reversed(said)}
    assert by_kind["gap"] == ("large gap", "4.2 gap units", "")
    assert by_kind["decision"] == ("lora+full", "rule R5", "")
    assert by_kind["arm"] == ("lora", "0.890 · chosen", "")
    assert by_kind["evaluation"] == ("macro-F1 0.874", "0.851 to 0.897", "")
    assert by_kind["verdict"] == ("PROMOTE", "policy standard", "good")
    assert by_kind["model, version 7"] == ("mail", "champion, challen…", "")
    assert ("scratch", "0.880 · control") in {(one.title, one.line) for one in said}


def test_a_recalled_model_is_seen() -> None:
    (vertex,) = lineage_graph(adapted(7, source(), recalled="ann: withdrawn")).bands[0].columns[-1]
    assert (words(vertex).line, words(vertex).tone) == ("recalled", "bad")


def test_a_model_is_told_in_a_sentence() -> None:
    assert sentence(adapted(2, adapted(1, source()), verdict="HOLD")) == (
        "Adapted from mail/1 by the strategy lora; the gate said HOLD by policy standard."
    )
    assert sentence(adapted(1, source())).startswith("Adapted from minilm by")
    assert sentence(source()) == "A source model, pinned by its digest."


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("short", "short"),
        ("x" * 6, "x" * 6),
        ("x" * 7, "xxxxx…"),
        ("日本語日本語", "日本…"),
        ("a\n b", "a b"),
        ("", ""),
    ],
)
def test_a_text_is_cut_where_the_room_ends(text: str, shown: str) -> None:
    assert cut(text, 6) == shown
