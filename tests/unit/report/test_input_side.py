"""Statistics of the texts, both sides."""

from __future__ import annotations

from acclimate.report.input_side import Statistic, both_sides


def test_sides_are_paired_and_the_rest_stays_alone() -> None:
    values = {
        "cut_rate_target": 0.1,
        "cut_rate_reference": 0.2,
        "vocabulary_js": 0.3,
        "vocabulary_js_within_reference": 0.4,
    }
    assert both_sides(values) == [
        Statistic("share of texts that are cut off", 0.1, 0.2),
        Statistic("distance of vocabularies (Jensen-Shannon)", 0.3, None),
        Statistic("the same between two halves of the reference", 0.4, None),
    ]


def test_without_reference_only_the_target_is_shown_and_unknown_names_are_spaced() -> None:
    assert both_sides({"odd_rate_target": 0.5}) == [Statistic("odd rate", 0.5, None)]
    assert both_sides({}) == []
