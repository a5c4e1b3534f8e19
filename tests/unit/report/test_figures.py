"""Figures: they carry the page's colours, the records' words, and nothing that acts."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from acclimate.records import Interval
from acclimate.report.figures import draw_all
from acclimate.report.figures.canvas import PAGE_COLOURS, WIDTH, short
from acclimate.report.figures.confusion import MOST_CLASSES
from acclimate.report.figures.gap_map import MOST_POINTS
from acclimate.report.view import ReportView
from tests.unit.report.made_up import evaluation, gap_report

ALL = {"map", "null", "curve", "arms", "training", "forgetting", "comparisons", "confusion", "reliability", "slices"}


@pytest.fixture(scope="module")
def drawn(view: ReportView) -> dict:
    return draw_all(view)


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")]


def test_a_finished_run_has_every_figure(drawn: dict) -> None:
    assert set(drawn) == ALL


def test_each_is_wellformed_and_named_for_those_who_cannot_see_it(drawn: dict) -> None:
    for drawing in drawn.values():
        root = ElementTree.fromstring(drawing.svg)
        assert root.get("role") == "img"
        assert drawing.caption in root.get("aria-label")
        assert re.search(r"\d", drawing.caption), drawing.name


def test_colours_are_the_pages_own(drawn: dict) -> None:
    svg = "".join(drawing.svg for drawing in drawn.values())
    assert not re.search(r"#[0-9a-f]{6}", svg)
    assert {colour for colour in PAGE_COLOURS.values() if colour in svg} == set(PAGE_COLOURS.values())
    assert "font-family" not in svg


def test_ids_are_unique_on_the_page_and_every_reference_resolves(drawn: dict) -> None:
    svg = "".join(drawing.svg for drawing in drawn.values())
    ids = re.findall(r'\bid="([^"]+)"', svg)
    assert len(ids) == len(set(ids))
    used = {a or b for a, b in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg)}
    assert used
    assert used <= set(ids)


def test_forgetting_names_the_front_and_needs_a_source_that_was_asked(view: ReportView, drawn: dict) -> None:
    assert "no other arm is at least as good in both (frozen, full)" in drawn["forgetting"].caption
    assert "with 0.8 of the trained weights" in drawn["forgetting"].caption
    assert {"frozen", "lora", "full"} <= set(texts(drawn["forgetting"].svg))
    assert "scratch" not in texts(drawn["forgetting"].svg)
    assert view.finetune is not None
    unasked = replace(view, finetune=view.finetune.model_copy(update={"source_score": None}))
    assert "forgetting" not in draw_all(unasked)


def test_confusion_shows_every_count_and_names_the_commonest_mistake(view: ReportView, drawn: dict) -> None:
    counts = np.array(view.evaluation.confusion)
    shown = texts(drawn["confusion"].svg)
    for count in counts.ravel():
        assert str(count) in shown
    wrong = counts - np.diag(np.diag(counts))
    assert f"{wrong.max()} times" in drawn["confusion"].caption
    assert f"{np.trace(counts)} of {counts.sum()}" in drawn["confusion"].caption


def test_names_are_not_read_as_formulas(view: ReportView) -> None:
    names = ["$x^2$", "$\\nope{$", "b"]
    shown = texts(draw_all(replace(view, evaluation=evaluation(names)))["confusion"].svg)
    assert set(names) <= set(shown)


def test_too_many_classes_for_a_picture_leave_it_out(view: ReportView) -> None:
    labels = [f"label {i}" for i in range(MOST_CLASSES + 1)]
    assert "confusion" not in draw_all(replace(view, evaluation=evaluation(labels)))


def test_the_map_thins_out_large_samples_and_says_so(view: ReportView) -> None:
    drawing = draw_all(replace(view, gap=gap_report(points=4 * MOST_POINTS)))["map"]
    assert f"{MOST_POINTS:,} source and {MOST_POINTS:,} target rows" in drawing.caption
    assert drawing.svg.count("<use ") < 2 * MOST_POINTS + 20


def test_chosen_arm_and_band_are_named(view: ReportView, drawn: dict) -> None:
    shown = texts(drawn["arms"].svg)
    assert {"full · chosen", "scratch · control", "lora", "frozen", "tolerance"} <= set(shown)
    assert "0.877 in 3.2 min" in drawn["arms"].caption


def test_an_expected_time_is_not_passed_off_as_measured(view: ReportView, drawn: dict) -> None:
    assert "expected" not in drawn["arms"].caption
    assert "the expected one is shown" in draw_all(replace(view, timing={}))["arms"].caption


def test_null_scale_puts_observed_values_in_gap_units(view: ReportView, drawn: dict) -> None:
    assert {"observed 4.2", "observed 3.4", "MMD", "C2ST"} <= set(texts(drawn["null"].svg))
    assert "4.2 gap units (3.6 to 4.8)" in drawn["null"].caption


def test_a_gap_of_a_hundred_units_leaves_the_noise_visible(view: ReportView) -> None:
    far = Interval(point=155.6, low=131.2, high=218.9)
    measures = [view.gap.measures[0].model_copy(update={"units": far}), view.gap.measures[1]]
    drawing = draw_all(replace(view, gap=view.gap.model_copy(update={"measures": measures})))["null"]
    hill = [float(x) for x in re.findall(r'<path d="M ([\d.]+)[^"]*"[^>]*fill: var\(--c1\)', drawing.svg)]
    assert max(hill) - min(hill) > 0.25 * WIDTH
    assert {"observed 155.6", "100"} <= set(texts(drawing.svg))


def test_a_null_without_width_has_no_scale(view: ReportView) -> None:
    flat = [m.model_copy(update={"null_q95": m.null_median}) for m in view.gap.measures]
    assert "null" not in draw_all(replace(view, gap=view.gap.model_copy(update={"measures": flat})))


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("plain", "plain"),
        ("a\nb\tc", "a b c"),
        ("x" * 30, "x" * 9 + "…" + "x" * 8),
        ("\u202eevil", "\\u202eevil"),
        ("$\\x{", "$\\x{"),
    ],
)
def test_labels_are_shortened_and_hidden_characters_shown(label: str, shown: str) -> None:
    assert short(label) == shown


def test_the_same_records_give_the_same_bytes(view: ReportView, drawn: dict) -> None:
    again = draw_all(view)
    assert {name: drawing.svg for name, drawing in again.items()} == {
        name: drawing.svg for name, drawing in drawn.items()
    }
