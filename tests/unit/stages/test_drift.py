"""Stage drift: fresh rows against a sketch, on a tiny encoder."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acclimate.examples import read_examples, split_path, write_examples
from acclimate.nn.source_card import source_card
from acclimate.nn.target_sketch import TargetSketch, make_sketch
from acclimate.ports import silent
from acclimate.records import SPLITS, SourceCard
from acclimate.records_retrain import DriftReport
from acclimate.stages.drift import drift

CHAMPION = "models:/toy-mail/3"


@pytest.fixture
def card(tiny_source: Path) -> SourceCard:
    return source_card(tiny_source, name="tiny", revision=None, licence=None)


@pytest.fixture
def sketch(make_toy_data: Callable[..., Path], tiny_source: Path, card: SourceCard, tmp_path: Path) -> TargetSketch:
    data = make_toy_data("champion", train=300, validation=150, test=150)
    return make_sketch(data, tiny_source, card, precision="fp32", max_length=None, cache=tmp_path / "cache")


@pytest.fixture
def run(tiny_source: Path, card: SourceCard, sketch: TargetSketch, tmp_path: Path) -> Callable[..., DriftReport]:
    def measure(data: Path, *, out: str = "out", **changes: Any) -> DriftReport:
        (tmp_path / out).mkdir()
        settings: dict[str, Any] = {"table": "reference", "alpha": 0.01, "cache": tmp_path / "cache", **changes}
        sketched, pinned = settings.pop("sketch", sketch), settings.pop("card", card)
        return drift(data, sketched, tiny_source, pinned, CHAMPION, out=tmp_path / out, progress=silent, **settings)

    return measure


def write_fresh(data: Path, texts: list[str], groups: list[str] | None = None) -> Path:
    """Put these texts, without labels, in the place of the reference rows."""
    for split in SPLITS:
        rows = texts if split == "train" else []
        columns: dict[str, list[str | None]] = {
            "row_id": [f"{i:064x}" for i in range(len(rows))],
            "text": [*rows],
            "label": [None] * len(rows),
            "group": [*groups] if groups and rows else [None] * len(rows),
        }
        write_examples(split_path(data, "reference", split), columns)
    return data


def foreign(rows: int) -> list[str]:
    rng = np.random.default_rng(9)
    return [" ".join("".join(rng.choice(list("qxzjk"), 4)) for _ in range(12)) + f" {i}" for i in range(rows)]


def more_of_the_same(make_toy_data: Callable[..., Path], rows: int) -> list[str]:
    """Texts as the champion's held-out ones: the toy rows of a split name it."""
    data = make_toy_data("more", seed=8, train=2, validation=rows // 2, test=rows // 2)
    return read_examples(data, "target", ("validation", "test"), None).texts


def test_rows_of_the_same_kind_are_no_drift(
    run: Callable[..., DriftReport], make_toy_data: Callable[..., Path], toy_data: Path, tmp_path: Path
) -> None:
    report = run(write_fresh(toy_data, more_of_the_same(make_toy_data, 200)))
    assert (report.verdict, report.drifted) == ("NONE", False)
    assert report.p_value is not None
    assert report.p_value > 0.01
    assert (report.fresh_rows, report.held_out_rows, report.champion) == (200, 300, CHAMPION)
    assert report.units is not None
    assert report.rows_compared == 150
    assert DriftReport.read(tmp_path / "out") == report


def test_foreign_rows_are_told_with_the_furthest_of_them(run: Callable[..., DriftReport], toy_data: Path) -> None:
    texts = foreign(200)
    report = run(write_fresh(toy_data, texts))
    assert (report.verdict, report.drifted) == ("DRIFTED", True)
    assert report.p_value == pytest.approx(1 / 500)
    assert len(report.furthest) == 5
    assert all(row.text in texts and row.label is None for row in report.furthest)
    distances = [row.distance for row in report.furthest]
    assert distances == sorted(distances, reverse=True)
    assert any("The fresh rows are" in note for note in report.notes)


def test_the_champions_own_rows_have_nothing_to_compare(
    run: Callable[..., DriftReport], make_toy_data: Callable[..., Path]
) -> None:
    again = make_toy_data("again", train=300, validation=150, test=150)
    report = run(again, table="target")
    assert (report.verdict, report.fresh_rows, report.copies) == ("UNDERPOWERED", 0, 450)
    assert (report.p_value, report.furthest) == (None, [])
    assert report.notes == ["There are no fresh rows: the champion's data hold all 450."]


def test_the_test_split_of_the_target_is_not_read(
    run: Callable[..., DriftReport], make_toy_data: Callable[..., Path]
) -> None:
    data = make_toy_data("without-test", seed=8)
    split_path(data, "target", "test").unlink()
    assert run(data, table="target").fresh_rows == 160


def test_few_rows_are_underpowered_and_say_so(
    run: Callable[..., DriftReport], make_toy_data: Callable[..., Path], toy_data: Path
) -> None:
    report = run(write_fresh(toy_data, more_of_the_same(make_toy_data, 40)))
    assert report.verdict == "UNDERPOWERED"
    assert any("100 on either side" in note for note in report.notes)


def test_groups_are_permuted_whole(run: Callable[..., DriftReport], toy_data: Path) -> None:
    texts = foreign(200)
    report = run(write_fresh(toy_data, texts, [f"author {i // 20}" for i in range(200)]))
    assert report.verdict == "DRIFTED"
    assert "Whole groups were sampled and permuted." in report.notes


def test_more_rows_than_needed_are_sampled(run: Callable[..., DriftReport], toy_data: Path) -> None:
    report = run(write_fresh(toy_data, foreign(1100)))
    assert (report.fresh_rows, report.copies) == (1000, 0)


@pytest.mark.parametrize(("change", "verdict"), [("none", "NO_REFERENCE"), ("other", "INCOMPARABLE")])
def test_what_cannot_be_measured_is_named(
    change: str, verdict: str, run: Callable[..., DriftReport], toy_data: Path, sketch: TargetSketch
) -> None:
    changed = None if change == "none" else replace(sketch, source_digest="another")
    report = run(toy_data, sketch=changed)
    assert (report.verdict, report.drifted, report.p_value) == (verdict, False, None)
    assert len(report.notes) == 1


def test_the_same_rows_give_the_same_bytes(run: Callable[..., DriftReport], toy_data: Path, tmp_path: Path) -> None:
    data = write_fresh(toy_data, foreign(150))
    run(data, out="one")
    run(data, out="two")
    assert (tmp_path / "one/drift_report.json").read_bytes() == (tmp_path / "two/drift_report.json").read_bytes()
