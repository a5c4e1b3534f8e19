"""The baseline stage: what it writes, that it reproduces, and that its numbers are what they say."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from acclimate.config import BaselineSpec
from acclimate.core.metrics import score
from acclimate.core.probe import fit_probe
from acclimate.errors import DataError
from acclimate.examples import read_examples, split_path
from acclimate.nn.encoder import Encoder, folder_digest, source_card
from acclimate.nn.frozen import PROBE
from acclimate.nn.head_file import read_head
from acclimate.nn.model import AdaptedModel, linear
from acclimate.ports import silent
from acclimate.records import BaselineReport, DataCard, SourceCard, SourceMemory
from acclimate.stages.baseline import baseline
from tests.remembering import remember

CONFIG = BaselineSpec(bootstraps=200, folds=4)
LABELS = ["negative", "positive"]


def card_of(source: Path) -> SourceCard:
    return source_card(source, name="tiny", revision="1", licence="Apache-2.0")


def run(data: Path, source: Path, out: Path, cache: Path, **changes: object) -> BaselineReport:
    out.mkdir()
    options = {"config": CONFIG, "metric": "macro_f1", "precision": "fp32", "progress": silent, **changes}
    return baseline(data, source, card_of(source), cache=cache, out=out, **options)


@pytest.fixture
def done(toy_data: Path, tiny_source: Path, tmp_path: Path) -> tuple[BaselineReport, Path]:
    report = run(toy_data, tiny_source, tmp_path / "out", tmp_path / "cache")
    return report, tmp_path / "out"


def file_digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "timing.json")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_report_says_what_was_measured(done: tuple[BaselineReport, Path]) -> None:
    report, out = done
    assert BaselineReport.read(out) == report
    assert (report.train_rows, report.validation_rows) == (120, 40)
    assert report.rows_per_class == {"negative": 60, "positive": 60}
    assert report.feature_dim == 32
    assert report.score.low <= report.score.point <= report.score.high
    # the classes differ in half of their words: far above chance even for a random encoder
    assert report.score.point > 0.7
    assert [point.rows for point in report.learning_curve] == [22, 44, 90]
    assert report.learning_curve[-1].score == report.score
    assert 0 <= report.disagreement < 0.5
    assert report.precision == "fp32"
    assert report.probe_c in CONFIG.c_grid
    assert report.neighbours in CONFIG.neighbours


def test_controls_and_the_gain_over_the_best_of_them(done: tuple[BaselineReport, Path]) -> None:
    report, _ = done
    controls = {control.name: control for control in report.controls}
    assert set(controls) == {"random_features", "tfidf", "majority", "source_as_is"}
    assert {name for name, control in controls.items() if control.trivial} == {"tfidf", "majority"}
    assert controls["source_as_is"].score is None
    assert "no head" in controls["source_as_is"].reason
    scores = {name: control.score.point for name, control in controls.items() if control.score}
    assert scores[report.best_control] == max(scores.values())
    assert scores[report.best_trivial] == max(scores["tfidf"], scores["majority"])
    assert report.transfer_gain.point == pytest.approx(report.score.point - scores[report.best_control])
    assert report.transfer_gain.low <= report.transfer_gain.point <= report.transfer_gain.high


def test_the_probe_on_train_gives_what_the_validation_file_holds(
    done: tuple[BaselineReport, Path], toy_data: Path, tiny_source: Path
) -> None:
    report, out = done
    train, validation = (read_examples(toy_data, "target", [split], LABELS) for split in ("train", "validation"))
    source = Encoder.load(tiny_source, precision="fp32", max_length=None)
    weight, bias = read_head(out / PROBE)
    expected = fit_probe(source.embed(train.texts), train.labels, 2, c=report.probe_c)
    np.testing.assert_allclose(weight, expected.weight, rtol=1e-6)
    logits = load_file(out / "validation.safetensors")["logits"]
    assert np.array_equal(linear(source.embed(validation.texts), weight, bias), logits)
    assert report.validation_score.point == score("macro_f1", validation.labels, logits.argmax(axis=1), 2)


def test_the_frozen_model_has_a_head_on_train_and_validation(
    done: tuple[BaselineReport, Path], toy_data: Path, tiny_source: Path
) -> None:
    report, out = done
    model = AdaptedModel.load(out / "model")
    rows = read_examples(toy_data, "target", ["train", "validation"], LABELS)
    source = Encoder.load(tiny_source, precision="fp32", max_length=None)
    features = source.embed(rows.texts)
    assert np.array_equal(model.embed(rows.texts), features)
    expected = fit_probe(features, rows.labels, 2, c=report.probe_c)
    np.testing.assert_allclose(model.weight, expected.weight, rtol=1e-5)
    assert report.refitted_rows == len(rows) == 160
    assert model.digest == report.model_digest == folder_digest(out / "model")
    assert (model.strategy, model.labels, model.source) == ("frozen", LABELS, card_of(tiny_source))
    assert model.temperature > 0


def test_validation_has_no_part_in_what_arms_start_from_and_are_chosen_by(
    done: tuple[BaselineReport, Path], toy_data: Path, tiny_source: Path, tmp_path: Path
) -> None:
    report, out = done
    data = tmp_path / "exchanged"
    shutil.copytree(toy_data, data)
    shutil.copy(split_path(data, "target", "test"), split_path(data, "target", "validation"))
    other = run(data, tiny_source, tmp_path / "other", tmp_path / "cache")
    assert (tmp_path / "other" / PROBE).read_bytes() == (out / PROBE).read_bytes()
    kept = {"validation_rows", "validation_score", "model_digest", "refitted_rows"}
    assert other.model_dump(exclude=kept) == report.model_dump(exclude=kept)
    for name in ("controls.safetensors", "model/head.safetensors"):
        assert (tmp_path / "other" / name).read_bytes() != (out / name).read_bytes(), name


def test_the_stored_control_is_a_probe_on_the_same_random_features(
    done: tuple[BaselineReport, Path], toy_data: Path, tiny_source: Path
) -> None:
    _, out = done
    with safe_open(out / "controls.safetensors", framework="numpy") as file:
        seed = int(file.metadata()["seed"])
        weight = file.get_tensor("weight")
    rows = read_examples(toy_data, "target", ["train", "validation"], LABELS)
    features = Encoder.load(tiny_source, precision="fp32", max_length=None, random_seed=seed).embed(rows.texts)
    fitted = [fit_probe(features, rows.labels, 2, c=c).weight for c in CONFIG.c_grid]
    assert any(np.allclose(weight, one, rtol=1e-5, atol=1e-7) for one in fitted)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_inputs_give_the_same_bytes(toy_data: Path, tiny_source: Path, tmp_path: Path, precision: str) -> None:
    run(toy_data, tiny_source, tmp_path / "one", tmp_path / "cache", precision=precision)
    run(toy_data, tiny_source, tmp_path / "two", tmp_path / "cache", precision=precision)
    run(toy_data, tiny_source, tmp_path / "three", tmp_path / "other cache", precision=precision)
    assert file_digests(tmp_path / "one") == file_digests(tmp_path / "two") == file_digests(tmp_path / "three")
    written = {"baseline_report.json", PROBE, "controls.safetensors", "validation.safetensors", "model/acclimate.json"}
    assert written <= set(file_digests(tmp_path / "one"))
    assert all(value >= 0 for value in json.loads((tmp_path / "one" / "timing.json").read_text()).values())


def test_the_test_split_is_never_read(toy_data: Path, tiny_source: Path, tmp_path: Path) -> None:
    split_path(toy_data, "target", "test").unlink()
    assert run(toy_data, tiny_source, tmp_path / "out", tmp_path / "cache").score.point > 0.7


def test_three_classes(make_toy_data: Callable[..., Path], tiny_source: Path, tmp_path: Path) -> None:
    data = make_toy_data("three", labels=("negative", "neutral", "positive"), train=150)
    report = run(data, tiny_source, tmp_path / "out", tmp_path / "cache")
    assert report.score.point > 0.5
    assert list(report.rows_per_class.values()) == [50, 50, 50]


def test_a_source_with_a_head_for_the_task_is_tried_as_it_is(
    done: tuple[BaselineReport, Path], toy_data: Path, tmp_path: Path
) -> None:
    first, out = done
    report = run(toy_data, out / "model", tmp_path / "again", tmp_path / "cache")
    (own,) = [control for control in report.controls if control.name == "source_as_is"]
    assert own.score is not None
    # that head was fitted on these very rows
    assert own.score.point > first.score.point


def test_a_transformers_classifier_is_tried_as_it_is(toy_data: Path, tiny_source: Path, tmp_path: Path) -> None:
    import torch
    from transformers import BertForSequenceClassification

    source = tmp_path / "classifier"
    shutil.copytree(tiny_source, source)
    model = BertForSequenceClassification.from_pretrained(
        tiny_source, id2label={0: "positive", 1: "negative"}, label2id={"positive": 0, "negative": 1}
    )
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([1.0, 0.0]))
    model.save_pretrained(source)
    report = run(toy_data, source, tmp_path / "out", tmp_path / "cache", metric="accuracy")
    (own,) = [control for control in report.controls if control.name == "source_as_is"]
    # it always says positive, which half of the rows are
    assert own.score is not None
    assert own.score.point == 0.5


def test_data_without_labels_are_refused(toy_data: Path, tiny_source: Path, tmp_path: Path) -> None:
    card = DataCard.read(toy_data)
    card.model_copy(update={"target": card.target.model_copy(update={"labels": None})}).write(toy_data)
    with pytest.raises(DataError) as caught:
        run(toy_data, tiny_source, tmp_path / "out", tmp_path / "cache")
    assert caught.value.code == "E-BASELINE-002"


def own_score(report: BaselineReport) -> float:
    """Score of the source with the head it came with."""
    (own,) = [control for control in report.controls if control.name == "source_as_is"]
    assert own.score is not None
    return own.score.point


def test_rows_an_adapted_source_was_fitted_on_are_not_scored(
    done: tuple[BaselineReport, Path], toy_data: Path, tmp_path: Path
) -> None:
    """Known are all rows of the first half that its own head gets right: scored, it looks worse than it does on all."""
    _, out = done
    source = out / "model"
    train = read_examples(toy_data, "target", ["train"], LABELS)
    right = AdaptedModel.load(source).logits(train.texts).argmax(axis=1) == train.labels
    known = [text.upper() for i, text in enumerate(train.texts) if right[i] and i < 60]
    plain = run(toy_data, source, tmp_path / "unknown", tmp_path / "cache")
    assert (plain.source_memory, plain.from_memory) == (SourceMemory(known_rows=None, scored_rows=0), True)
    remember(source, known)
    report = run(toy_data, source, tmp_path / "known", tmp_path / "cache")
    assert report.source_memory == SourceMemory(known_rows=len(known), scored_rows=120 - len(known))
    assert not report.from_memory
    assert report.scored_rows == 120 - len(known)
    assert report.train_rows == 120
    scored = np.array([text.upper() not in known for text in train.texts])
    answers = AdaptedModel.load(source).logits(train.texts).argmax(axis=1)
    assert train.labels is not None
    expected = score("macro_f1", train.labels[scored], answers[scored], 2)
    assert own_score(report) == pytest.approx(expected)
    assert expected != pytest.approx(own_score(plain), abs=0.01)


@pytest.mark.parametrize("complete", [True, False])
def test_too_few_new_rows_and_a_memory_with_holes_leave_all_scored_and_say_so(
    done: tuple[BaselineReport, Path], toy_data: Path, tmp_path: Path, complete: bool
) -> None:
    source = done[1] / "model"
    texts = read_examples(toy_data, "target", ["train"], LABELS).texts
    remember(source, texts[:100] if complete else texts[:60], complete=complete)
    report = run(toy_data, source, tmp_path / "first", tmp_path / "cache")
    assert report.source_memory == SourceMemory(known_rows=100 if complete else None, scored_rows=0)
    assert report.from_memory
    assert report.scored_rows == 120
    remember(source, ["something else"])
    other = run(toy_data, source, tmp_path / "other", tmp_path / "cache")
    assert (other.source_memory, other.from_memory) == (None, False)
    assert other.score == report.score
