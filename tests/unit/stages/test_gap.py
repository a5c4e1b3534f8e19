import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acclimate.config import GapSpec
from acclimate.config_generation import GenerationSpec
from acclimate.errors import ModelError
from acclimate.examples import Split, Table, read_examples, split_path, write_examples
from acclimate.nn.encoder import Encoder, cached_embeddings
from acclimate.nn.feature_cache import features_name, store_features
from acclimate.nn.source_card import source_card
from acclimate.records import SPLITS, GapReport
from acclimate.stages.gap import gap

QUICK = GapSpec(null_pairs=50, draws=2, permutations=99)
LABELS = ["negative", "positive"]


def run(data: Path, source: Path, out: Path, *, labels: list[str] | None = None, **options: Any) -> GapReport:
    out.mkdir()
    card = source_card(source, name="tiny", revision=None, licence=None).model_copy(update={"labels": labels})
    settings = {
        "config": QUICK,
        "max_length": None,
        "precision": "fp32",
        "cache": out.parent / "cache",
        "progress": lambda *_, **__: None,
    }
    return gap(data, source, card, generation=GenerationSpec(), out=out, **{**settings, **options})


def regroup(data: Path, table: Table, split: Split, group_of: Callable[[int], str]) -> None:
    """Write a split again, with groups."""
    rows = read_examples(data, table, [split], LABELS)
    assert rows.labels is not None
    columns: dict[str, list[str | None]] = {
        "row_id": [*rows.row_ids],
        "text": [*rows.texts],
        "label": [LABELS[i] for i in rows.labels],
        "group": [group_of(i) for i in range(len(rows))],
        "channel": [*rows.slices["channel"]],
    }
    write_examples(split_path(data, table, split), columns)


def test_the_whole_report(toy_data: Path, tiny_source: Path, tmp_path: Path) -> None:
    events: list[tuple[str, int, int]] = []
    report = run(
        toy_data, tiny_source, tmp_path / "out", progress=lambda step, /, done, of: events.append((step, done, of))
    )

    assert GapReport.read(tmp_path / "out") == report
    assert (report.setting, report.rows_compared) == ("supervised adaptation", 100)
    assert [m.name for m in report.measures] == ["mmd", "c2st"]
    assert report.units == max(m.units.point for m in report.measures)
    assert report.p_value == min(m.p_holm for m in report.measures)
    assert all(len(m.null_sample) == 50 and m.p_holm >= m.p_value for m in report.measures)
    assert {m.domain for m in report.map} == {"source", "target"}
    assert len(report.map) == 120 + 200
    assert {step for step, *_ in events} == {"embed", "null_scale", "observed", "permutations", "detectable_shift"}
    assert [done for step, done, of in events if step == "null_scale" and of == 50] == list(range(1, 51))
    timing = json.loads((tmp_path / "out" / "timing.json").read_text())
    assert timing.keys() == {"load", "embed", "input_side", "measures"}


def test_furthest_rows_are_target_train_rows_by_falling_distance(
    toy_data: Path, tiny_source: Path, tmp_path: Path
) -> None:
    report = run(toy_data, tiny_source, tmp_path / "out")
    train = read_examples(toy_data, "target", ["train"], LABELS)
    assert train.labels is not None
    where = {row: i for i, row in enumerate(train.row_ids)}
    distances = [row.distance for row in report.furthest]
    assert distances == sorted(distances, reverse=True)
    assert len(distances) == 20
    for row in report.furthest:
        i = where[row.row_id]
        assert (row.text, row.label) == (train.texts[i], LABELS[train.labels[i]])


def test_input_side_compares_both_domains(toy_data: Path, tiny_source: Path, tmp_path: Path) -> None:
    found = run(toy_data, tiny_source, tmp_path / "out").input_side
    train = read_examples(toy_data, "target", ["train"], None).texts
    assert found["words_mean_target"] == np.mean([len(text.split()) for text in train])
    assert found["tokens_per_word_reference"] >= 1
    assert found["vocabulary_js"] > found["vocabulary_js_within_reference"] > 0


def test_the_same_inputs_give_the_same_bytes(toy_data: Path, tiny_source: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        run(toy_data, tiny_source, tmp_path / name, cache=tmp_path / f"cache-{name}")
    first, second = ((tmp_path / name / "gap_report.json").read_bytes() for name in ("first", "second"))
    assert first == second


def test_the_test_split_is_not_read(toy_data: Path, tiny_source: Path, tmp_path: Path) -> None:
    split_path(toy_data, "target", "test").unlink()
    assert run(toy_data, tiny_source, tmp_path / "out").rows_compared == 100


def test_the_baseline_finds_the_targets_embeddings_in_the_cache(
    toy_data: Path, tiny_source: Path, tmp_path: Path
) -> None:
    run(toy_data, tiny_source, tmp_path / "out")
    asked: list[str] = []
    encoder = Encoder.load(tiny_source, precision="fp32")
    texts = read_examples(toy_data, "target", ["train"], None).texts
    cached_embeddings(encoder, texts, tmp_path / "cache", lambda event, /, **_: asked.append(event))
    assert asked == []


def test_at_most_max_rows_are_embedded(make_toy_data: Any, tiny_source: Path, tmp_path: Path) -> None:
    events: list[int] = []
    run(
        make_toy_data(train=150),
        tiny_source,
        tmp_path / "out",
        config=QUICK.model_copy(update={"max_rows": 100}),
        progress=lambda step, /, done, of: events.append(of) if step == "embed" else None,
    )
    assert set(events) == {100}


def test_too_few_rows_are_called_underpowered(make_toy_data: Any, tiny_source: Path, tmp_path: Path) -> None:
    report = run(make_toy_data(train=60), tiny_source, tmp_path / "out")
    assert (report.verdict, report.rows_compared) == ("UNDERPOWERED", 60)
    assert len(report.measures) == 2
    assert "Underpowered: 60 rows a side" in " ".join(report.notes)


def test_hardly_any_rows_give_no_measures(make_toy_data: Any, tiny_source: Path, tmp_path: Path) -> None:
    report = run(make_toy_data(train=12, validation=10, test=10), tiny_source, tmp_path / "out")
    assert (report.verdict, report.measures, report.units) == ("UNDERPOWERED", [], None)
    assert len(report.furthest) == 12


def test_without_reference_the_rest_is_still_reported(make_toy_data: Any, tiny_source: Path, tmp_path: Path) -> None:
    report = run(make_toy_data(reference=False), tiny_source, tmp_path / "out")
    assert (report.verdict, report.setting) == ("NO_REFERENCE", "inductive")
    assert (report.units, report.p_value, report.rows_compared, report.measures) == (None, None, None, [])
    assert report.input_side["tokens_per_word_target"] >= 1
    assert not any(name.endswith("reference") for name in report.input_side)


@pytest.mark.parametrize(
    ("labels", "setting"),
    [(["positive", "negative"], "supervised adaptation"), (["entailment", "neutral"], "inductive")],
)
def test_the_models_own_head_names_the_sources_task(
    toy_data: Path, tiny_source: Path, tmp_path: Path, labels: list[str], setting: str
) -> None:
    assert run(toy_data, tiny_source, tmp_path / "out", labels=labels).setting == setting


def test_groups_are_kept_together(toy_data: Path, tiny_source: Path, tmp_path: Path) -> None:
    regroup(toy_data, "target", "train", lambda i: f"author {i // 4}")
    for split in SPLITS:
        regroup(toy_data, "reference", split, lambda i: f"author {i // 4}")
    report = run(toy_data, tiny_source, tmp_path / "out")
    assert len(report.measures) == 2
    assert any("Whole groups" in note for note in report.notes)


def test_one_group_of_everything_cannot_be_tested(toy_data: Path, tiny_source: Path, tmp_path: Path) -> None:
    regroup(toy_data, "target", "train", lambda i: "everyone")
    report = run(toy_data, tiny_source, tmp_path / "out")
    assert (report.verdict, report.measures) == ("UNDERPOWERED", [])
    assert any("one group alone has 120 rows" in note for note in report.notes)


def test_embeddings_that_are_not_finite_are_refused(toy_data: Path, tiny_source: Path, tmp_path: Path) -> None:
    rows = read_examples(toy_data, "target", ["train"], None)
    encoder = Encoder.load(tiny_source, precision="fp32")
    broken = np.zeros((len(rows), encoder.dim), dtype=np.float32)
    broken[7, 3] = np.nan
    store_features(tmp_path / "cache" / features_name(encoder.features_key, rows.texts), broken)
    with pytest.raises(ModelError, match="1 of 120 rows") as caught:
        run(toy_data, tiny_source, tmp_path / "out")
    assert caught.value.code == "E-GAP-001"
    assert rows.row_ids[7] in caught.value.where
