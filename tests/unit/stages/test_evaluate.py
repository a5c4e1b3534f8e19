import hashlib
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file
from sklearn import metrics as reference

from acclimate.config import BaselineSpec, EvaluateSpec, Goal
from acclimate.core.probe import fit_probe
from acclimate.core.text_noise import TEXT_NOISE, noisy_texts
from acclimate.errors import AcclimateError
from acclimate.examples import Examples, read_examples, split_path, write_examples
from acclimate.handing_on import frozen_instead
from acclimate.nn.compared import trivial_predictions
from acclimate.nn.encoder import Encoder
from acclimate.nn.model import AdaptedModel
from acclimate.nn.source_card import source_card
from acclimate.ports import silent
from acclimate.records import (
    SPLITS,
    BaselineReport,
    Comparison,
    DataCard,
    Evaluation,
    Interval,
    SplitCard,
    TableCard,
)
from acclimate.stages.baseline import baseline
from acclimate.stages.evaluate import evaluate
from tests.remembering import remember

LABELS = ["bad", "fine", "good"]
WORDS = {"bad": "awful poor slow hate", "fine": "okay average usual plain", "good": "great nice best love"}
COMMON = ["the", "of", "and", "in", "that", "it", "for", "on", "with", "he", "as", "you", "do", "at"]
ROWS = {"train": 150, "validation": 45, "test": 90}
CONFIG = EvaluateSpec(bootstraps=300, min_slice=20)
# the frozen model misses it, so that it stands in for no trained one
STAYS = Goal(at_least=1.0)


def write_data(folder: Path, *, groups: bool = False, leaked_rows: int = 0, labelled: bool = True) -> Path:
    """Ingested rows of three classes, a slice column with a rare value, text lengths from 3 to 14 words."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    splits, train_rows = {}, []
    for split in SPLITS:
        rows = []
        for i in range(ROWS[split]):
            label = LABELS[i % 3]
            own = rng.random(int(rng.integers(3, 15))) < 0.3
            words = [str(rng.choice(WORDS[label].split() if mine else COMMON)) for mine in own]
            text = f"{' '.join(words)} {split} {i}"
            channel = "fax" if i % 30 == 0 else ("mail", "chat")[i % 2]
            row_id = hashlib.sha256(text.encode()).hexdigest()
            rows.append((row_id, text, label, f"g{i // 9}" if groups else None, channel))
        if split == "train":
            train_rows = rows
        if split == "test":
            rows[:leaked_rows] = train_rows[:leaked_rows]
        columns = zip(*sorted(rows), strict=True)
        names = ("row_id", "text", "label", "group", "channel")
        write_examples(split_path(folder, "target", split), {n: list(c) for n, c in zip(names, columns, strict=True)})
        splits[split] = SplitCard(rows=len(rows), label_counts={name: len(rows) // 3 for name in LABELS})
    target = TableCard(
        digest="0" * 64,
        files=[],
        rows_read=285,
        rows_kept=285,
        exact_copies_dropped=0,
        conflicting_rows_dropped=0,
        unlabelled_rows_dropped=0,
        near_duplicates_across_splits=2,
        labels=LABELS if labelled else None,
        splits=splits,
        grouped=groups,
        given_splits=False,
        slices=["channel"],
        licence=None,
        warnings=[],
    )
    DataCard(task="text-classification", target=target, reference=None).write(folder)
    return folder


@dataclass(frozen=True)
class World:
    """What earlier stages left behind."""

    data: Path
    source: Path
    baseline: Path
    trained: Path

    def test_rows(self, data: Path | None = None) -> Examples:
        return read_examples(data or self.data, "target", ["test"], LABELS)

    def run(self, out: Path, *, strategy: str = "full", **changes: object) -> Evaluation:
        out.mkdir()
        call = {
            "data": self.data,
            "source": self.source,
            "baseline": self.baseline,
            "candidate": self.baseline / "model" if strategy == "frozen" else self.trained,
            "candidate_strategy": strategy,
            "finetune": None,
            "champion": None,
            "config": CONFIG,
            "goal": STAYS,
            "progress": silent,
        }
        return evaluate(**call | changes, out=out)


def changed_model(folder: Path, into: Path, *, noise: float = 0.0, labels: list[str] = LABELS, seed: int = 0) -> Path:
    """The model in ``folder`` with noise on its head, its labels put in another order or renamed."""
    model = AdaptedModel.load(folder)
    order = [LABELS.index(name) if name in LABELS else i for i, name in enumerate(labels)]
    weight = model.weight + np.random.default_rng(seed).normal(0, noise, model.weight.shape)
    other = AdaptedModel.build(
        model.encoder,
        weight[order],
        model.bias[order],
        labels,
        strategy="full",
        source=model.source,
        temperature=model.temperature,
    )
    other.save(into)
    return into


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_source: Path) -> World:
    root = tmp_path_factory.mktemp("evaluate")
    data = write_data(root / "data")
    (root / "baseline").mkdir()
    card = source_card(tiny_source, name="tiny", revision="1", licence="MIT")
    config = BaselineSpec(folds=3, bootstraps=200, c_grid=[0.1], neighbours=[5])
    baseline(
        data,
        tiny_source,
        card,
        config=config,
        metric="macro_f1",
        precision="fp32",
        cache=root / "cache",
        out=root / "baseline",
        progress=silent,
    )
    trained = changed_model(root / "baseline" / "model", root / "trained", noise=0.3)
    return World(data, tiny_source, root / "baseline", trained)


def predictions(out: Path) -> dict[str, list]:
    return pq.read_table(out / "predictions.parquet").to_pydict()


def test_numbers_are_those_of_the_stored_predictions(world: World, tmp_path: Path) -> None:
    report = world.run(tmp_path / "out")
    rows = predictions(tmp_path / "out")
    truth, predicted = rows["label"], rows["predicted:candidate"]
    assert report.rows == len(truth) == 90
    assert report.score.point == pytest.approx(reference.f1_score(truth, predicted, average="macro"))
    assert report.score.low < report.score.point < report.score.high
    assert report.confusion == reference.confusion_matrix(truth, predicted, labels=LABELS).tolist()
    table = reference.classification_report(truth, predicted, output_dict=True, zero_division=0)
    for row in report.classes:
        expected = table[row.label]
        assert (row.precision, row.recall, row.f1, row.rows) == pytest.approx(
            (expected["precision"], expected["recall"], expected["f1-score"], expected["support"])
        )
    prob = np.array([rows[f"probability:{name}"] for name in LABELS]).T
    assert [LABELS[i] for i in prob.argmax(axis=1)] == predicted
    assert report.calibration.nll == pytest.approx(reference.log_loss(truth, prob, labels=LABELS))
    for row in report.comparisons:
        other = reference.f1_score(truth, rows[f"predicted:{row.other}"], average="macro")
        assert row.other_score.point == pytest.approx(other)
        assert row.difference.point == pytest.approx(report.score.point - other)
        assert row.difference.low <= row.low_one_sided <= row.high_one_sided <= row.difference.high
    assert Evaluation.read(tmp_path / "out") == report


def test_predictions_are_those_of_the_model_folder(world: World, tmp_path: Path) -> None:
    report = world.run(tmp_path / "out")
    rows, test, model = predictions(tmp_path / "out"), world.test_rows(), AdaptedModel.load(world.trained)
    assert rows["row_id"] == test.row_ids
    assert rows["predicted:candidate"] == model.predict(test.texts)
    assert rows["predicted:baseline"] == AdaptedModel.load(world.baseline / "model").predict(test.texts)
    np.testing.assert_allclose(rows["probability:good"], model.predict_proba(test.texts)[:, 2])
    assert report.model_digest == model.digest
    assert report.size_bytes == sum(path.stat().st_size for path in world.trained.iterdir())
    assert report.calibration.temperature == model.temperature


def test_a_trained_candidate_is_held_against_the_baseline_and_all_controls(world: World, tmp_path: Path) -> None:
    finetune = tmp_path / "finetune"
    shutil.copytree(world.trained, finetune / "arms" / "scratch" / "model")
    report = world.run(tmp_path / "out", finetune=finetune)
    roles = {row.other: row.role for row in report.comparisons}
    assert roles == {
        "baseline": "comparator",
        "tfidf": "trivial",
        "majority": "trivial",
        "random_features": "control",
        "scratch": "control",
    }
    assert report.comparator == "baseline"
    scratch = next(row for row in report.comparisons if row.other == "scratch")
    assert scratch.difference.point == scratch.difference.high == 0
    assert (scratch.only_candidate_right, scratch.only_other_right, scratch.mcnemar_p) == (0, 0, 1.0)
    assert scratch.rows_needed is None
    assert scratch.underpowered


def test_a_frozen_candidate_is_held_against_the_control_that_was_best_on_train(world: World, tmp_path: Path) -> None:
    report = world.run(tmp_path / "out", strategy="frozen")
    best = BaselineReport.read(world.baseline).best_control
    assert report.comparator == best
    assert [row.other for row in report.comparisons if row.role == "comparator"] == [best]
    assert {row.other for row in report.comparisons} == {"tfidf", "majority", "random_features"}


def knowing_the_answers(world: World, into: Path, strategy: str = "full") -> Path:
    """A head fitted on the test rows themselves: sure to be better than the frozen one."""
    model, test = AdaptedModel.load(world.baseline / "model"), world.test_rows()
    probe = fit_probe(model.encoder.embed(test.inputs), test.labels, len(LABELS), c=1000.0)
    given = {"strategy": strategy, "source": model.source, "temperature": 1.0}
    AdaptedModel.build(model.encoder, probe.weight, probe.bias, LABELS, **given).save(into)
    return into


def test_a_trained_model_that_is_not_shown_to_be_better_gives_way_to_the_frozen_one(
    world: World, tmp_path: Path
) -> None:
    seeds = tmp_path / "finetune" / "arms" / "full" / "seeds"
    changed_model(world.trained, seeds / "2" / "model", noise=0.5)
    # on these rows TF-IDF is as good as the real one
    better = shutil.copytree(world.baseline, tmp_path / "baseline")
    shutil.rmtree(better / "model")
    knowing_the_answers(world, better / "model", strategy="frozen")
    world = replace(world, baseline=better)
    report = world.run(tmp_path / "out", goal=Goal(), finetune=tmp_path / "finetune")
    alone = world.run(tmp_path / "frozen", strategy="frozen", goal=Goal())
    assert report.handed_on.fired
    assert report.handed_on.rejected == ["full: not shown to be better than the frozen model on the test rows"]
    trained = next(row for row in report.comparisons if row.role == "trained")
    assert trained.other == "full"
    assert trained.high_one_sided >= 0
    assert trained.difference.point == pytest.approx(report.score.point - trained.other_score.point)
    assert predictions(tmp_path / "out")["predicted:full"] == AdaptedModel.load(world.trained).predict(
        world.test_rows().texts
    )
    # but for that comparison it is the frozen model's own evaluation
    rest = [row for row in report.comparisons if row.role != "trained"]
    assert report.model_copy(update={"comparisons": rest, "handed_on": None}) == alone
    assert alone.handed_on is None
    assert report.model_digest == AdaptedModel.load(world.baseline / "model").digest


def test_a_trained_model_that_is_shown_to_be_better_stays(world: World, tmp_path: Path) -> None:
    better = knowing_the_answers(world, tmp_path / "better")
    report = world.run(tmp_path / "out", candidate=better, goal=Goal())
    assert (report.strategy, report.handed_on.fired) == ("full", False)
    assert report.handed_on.says.startswith("full is shown to be better than the frozen model: +")
    baseline = next(row for row in report.comparisons if row.role == "comparator")
    assert report.handed_on.inputs["low_one_sided"] == pytest.approx(baseline.low_one_sided)
    assert baseline.low_one_sided > 0


def test_the_frozen_model_stands_in_only_where_it_would_pass(world: World, tmp_path: Path) -> None:
    no_better = world.run(tmp_path / "no-better", goal=Goal())
    assert (no_better.strategy, no_better.handed_on.fired) == ("full", False)
    assert no_better.handed_on.says.endswith("nor that than tfidf")
    champion = changed_model(world.baseline / "model", tmp_path / "champion")
    report = world.run(tmp_path / "out", goal=Goal(), champion=("models:/mail/3", champion))
    assert (report.strategy, report.handed_on) == ("full", None)


def compared(other: str, role: str, low: float, high: float) -> Comparison:
    ends = {"low_one_sided": low, "high_one_sided": high, "mcnemar_p": 0.5, "detectable_effect": 0.1}
    counts = {"only_candidate_right": 1, "only_other_right": 1, "rows_needed": 900, "underpowered": True}
    middle = (low + high) / 2
    score, difference = (Interval(point=point, low=point, high=point) for point in (0.7, middle))
    return Comparison(other=other, role=role, other_score=score, difference=difference, **ends, **counts)


@pytest.mark.parametrize(
    ("changed", "fired"),
    [
        ({}, True),
        ({"lora": ("trained", -0.05, -0.01)}, False),  # it is shown to be better
        ({"random_features": ("comparator", -0.01, 0.1)}, False),
        ({"tfidf": ("trivial", -0.01, 0.1)}, False),  # the gate would refuse the frozen model
        ({"scratch": ("control", -0.1, -0.01)}, False),  # likewise: negative transfer
        ({"scratch": ("control", -0.1, 0.01)}, True),
    ],
)
def test_the_frozen_model_stands_in_where_the_gate_would_take_it(
    changed: dict[str, tuple[str, float, float]], fired: bool
) -> None:
    rows = {
        "lora": ("trained", -0.03, 0.01),
        "random_features": ("comparator", 0.05, 0.1),
        "tfidf": ("trivial", 0.02, 0.1),
        "scratch": ("control", 0.1, 0.2),
    }
    found = [compared(name, *row) for name, row in (rows | changed).items()]
    rule = frozen_instead("lora", Interval(point=0.8, low=0.75, high=0.85), found, Goal())
    assert rule.fired == fired
    assert bool(rule.rejected) == fired
    for by, at_least, met in (("point", 0.8, True), ("lower", 0.8, False), ("lower", 0.75, True)):
        goal = Goal(at_least=at_least, at_least_by=by)
        assert frozen_instead("lora", Interval(point=0.8, low=0.75, high=0.85), found, goal).fired == (fired and met)


@pytest.mark.parametrize("strategy", ["full", "frozen"])
def test_the_champion_is_the_comparator_and_its_order_of_labels_does_not_matter(
    world: World, tmp_path: Path, strategy: str
) -> None:
    champion = changed_model(world.baseline / "model", tmp_path / "champion", labels=["good", "bad", "fine"])
    report = world.run(tmp_path / "out", strategy=strategy, champion=("models:/mail/3", champion))
    assert report.comparator == "champion mail/3"
    roles = {row.other: row.role for row in report.comparisons}
    assert [name for name, role in roles.items() if role == "comparator"] == ["champion"]
    assert ("baseline" in roles) == (strategy == "full")
    expected = AdaptedModel.load(world.baseline / "model").predict(world.test_rows().texts)
    assert predictions(tmp_path / "out")["predicted:champion"] == expected


def test_further_seeds_are_compared_and_can_be_scored_again(world: World, tmp_path: Path) -> None:
    seeds = tmp_path / "finetune" / "arms" / "full" / "seeds"
    for seed in (2, 10):
        changed_model(world.trained, seeds / str(seed) / "model", noise=0.5, seed=seed)
    report = world.run(tmp_path / "out", finetune=tmp_path / "finetune")
    rows = [row for row in report.comparisons if row.role == "seed"]
    assert [row.other for row in rows] == ["seed_2", "seed_10"]
    truth = world.test_rows().labels
    for row, seed in zip(rows, (2, 10), strict=True):
        predicted = AdaptedModel.load(seeds / str(seed) / "model").logits(world.test_rows().inputs).argmax(axis=1)
        assert row.other_score.point == pytest.approx(reference.f1_score(truth, predicted, average="macro"))
        assert row.difference.point == pytest.approx(report.score.point - row.other_score.point)
    assert "predicted:seed_10" in pq.read_table(tmp_path / "out" / "predictions.parquet").column_names


def test_a_champion_of_other_labels_is_refused(world: World, tmp_path: Path) -> None:
    champion = changed_model(world.baseline / "model", tmp_path / "champion", labels=["bad", "fine", "superb"])
    with pytest.raises(AcclimateError) as caught:
        world.run(tmp_path / "out", champion=("models:/mail/3", champion))
    assert (caught.value.code, caught.value.exit_code) == ("E-EVAL-001", 4)
    assert "'good'" in str(caught.value)
    assert "'superb'" in str(caught.value)
    assert not (tmp_path / "out" / "evaluation.json").exists()


def test_random_features_are_those_the_baseline_fitted_its_head_on(world: World, tmp_path: Path) -> None:
    world.run(tmp_path / "out")
    encoder = Encoder.load(world.source, precision="fp32", max_length=None, random_seed=BaselineSpec().seed)
    head = load_file(world.baseline / "controls.safetensors")
    logits = encoder.embed(world.test_rows().texts) @ head["weight"].T + head["bias"]
    expected = [LABELS[i] for i in logits.argmax(axis=1)]
    assert predictions(tmp_path / "out")["predicted:random_features"] == expected


def test_controls_are_fitted_on_as_many_labels_as_the_frozen_model(world: World, tmp_path: Path) -> None:
    world.run(tmp_path / "out")
    rows = read_examples(world.data, "target", ["train", "validation"], LABELS)
    expected = trivial_predictions(rows, world.test_rows().texts)
    found = predictions(tmp_path / "out")
    for name in ("tfidf", "majority"):
        assert found[f"predicted:{name}"] == [LABELS[i] for i in expected[name]], name
    alone = trivial_predictions(read_examples(world.data, "target", ["train"], LABELS), world.test_rows().texts)
    assert found["predicted:tfidf"] != [LABELS[i] for i in alone["tfidf"]], "and that can be told"


def test_a_source_with_its_own_head_is_compared_as_it_is(world: World, tmp_path: Path, tiny_source: Path) -> None:
    source = changed_model(world.baseline / "model", tmp_path / "source", noise=0.5, seed=1)
    into = tmp_path / "baseline"
    into.mkdir()
    card = source_card(source, name="own", revision="1", licence="MIT")
    assert card.labels == LABELS
    config = BaselineSpec(folds=2, bootstraps=200, c_grid=[0.1], neighbours=[5])
    options = {"metric": "macro_f1", "precision": "fp32", "cache": tmp_path / "cache", "progress": silent}
    baseline(world.data, source, card, config=config, out=into, **options)
    report = world.run(tmp_path / "out", source=source, baseline=into)
    assert "source_as_is" in {row.other for row in report.comparisons}
    expected = AdaptedModel.load(source).predict(world.test_rows().texts)
    assert predictions(tmp_path / "out")["predicted:source_as_is"] == expected


def test_slices_are_scored_apart_and_small_ones_left_out(world: World, tmp_path: Path) -> None:
    report = world.run(tmp_path / "out")
    rows, test = predictions(tmp_path / "out"), world.test_rows()
    found = {(row.column, row.value): row for row in report.slices}
    assert {value for column, value in found if column == "channel"} == {"mail", "chat"}
    lengths = [row for (column, _), row in found.items() if column == "length"]
    assert [row.rows for row in lengths] == pytest.approx([30] * 3, abs=3)
    mail = [i for i, value in enumerate(test.slices["channel"]) if value == "mail"]
    truth, predicted = ([rows[name][i] for i in mail] for name in ("label", "predicted:candidate"))
    assert found["channel", "mail"].rows == len(mail)
    assert found["channel", "mail"].score.point == pytest.approx(reference.f1_score(truth, predicted, average="macro"))


def test_changed_rows_are_predicted_by_candidate_and_comparator(world: World, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"robustness_rows": 40})
    report = world.run(tmp_path / "out", config=config)
    assert [row.change for row in report.robustness] == list(TEXT_NOISE)
    test = world.test_rows().some(range(40))
    truth = [LABELS[i] for i in test.labels]
    for row in report.robustness:
        assert row.rows == 40
        for folder, lost in ((world.trained, row.lost), (world.baseline / "model", row.comparator_lost)):
            model = AdaptedModel.load(folder)
            scores = [
                reference.f1_score(truth, model.predict(texts), labels=LABELS, average="macro")
                for texts in (noisy_texts(test.texts, row.change, config.seed), test.texts)
            ]
            assert lost.point == pytest.approx(scores[0] - scores[1])
            assert lost.low <= lost.point <= lost.high
    assert all(row.comparator_lost is None for row in world.run(tmp_path / "f", strategy="frozen").robustness)
    none = CONFIG.model_copy(update={"robustness_rows": 0})
    assert world.run(tmp_path / "none", config=none).robustness == []


def test_errors_are_the_surest_wrong_rows(world: World, tmp_path: Path) -> None:
    report = world.run(tmp_path / "out")
    rows = predictions(tmp_path / "out")
    wrong = [i for i, label in enumerate(rows["label"]) if label != rows["predicted:candidate"][i]]
    sure = {rows["row_id"][i]: max(rows[f"probability:{name}"][i] for name in LABELS) for i in wrong}
    assert [row.row_id for row in report.errors] == sorted(sure, key=lambda row: -sure[row])[:20]
    assert all(
        row.confidence == pytest.approx(sure[row.row_id]) and row.label != row.predicted for row in report.errors
    )


def test_the_same_inputs_give_the_same_bytes_and_times_are_kept_apart(world: World, tmp_path: Path) -> None:
    for name in ("a", "b"):
        world.run(tmp_path / name)
    for file in ("evaluation.json", "predictions.parquet"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    timing = json.loads((tmp_path / "a" / "timing.json").read_text())
    assert set(timing) == {"latency_p50_ms", "latency_p95_ms", "peak_memory_bytes", "rows_per_second"}
    assert 0 < timing["latency_p50_ms"] <= timing["latency_p95_ms"]


def test_test_rows_that_were_trained_on_are_counted(world: World, tmp_path: Path) -> None:
    assert world.run(tmp_path / "clean").overlap_rows == 0
    leaked = write_data(tmp_path / "leaked", leaked_rows=4)
    report = world.run(tmp_path / "out", data=leaked)
    assert report.overlap_rows == 4
    assert report.near_duplicates == 2


def remembering(model: Path, into: Path, fitted_on: list[str]) -> Path:
    """The model with a memory of what it was fitted on."""
    shutil.copytree(model, into)
    remember(into, fitted_on)
    return into


def test_test_rows_that_champion_or_source_saw_when_they_were_made_are_counted(world: World, tmp_path: Path) -> None:
    """Told by how rows look: their ids are others once groups are given. What is trained on now, both have seen."""
    train = read_examples(world.data, "target", ["train"], LABELS)
    texts = [text.upper() for text in world.test_rows().texts]
    champion = remembering(world.trained, tmp_path / "champion", [*texts[:3], *train.texts])
    source = remembering(world.baseline / "model", tmp_path / "source", [*texts[:5], "something else"])
    found = world.run(tmp_path / "out", source=source, champion=("models:/mail/3", champion))
    assert found.earlier_overlap_rows == {"champion": 3, "source": 5}
    assert found.overlap_rows == 0
    leaked = write_data(tmp_path / "leaked", leaked_rows=4)
    both = world.run(tmp_path / "both", data=leaked, champion=("models:/mail/3", champion))
    assert both.earlier_overlap_rows == {"champion": 3}, "not 7"


def test_a_model_that_does_not_remember_is_told_apart_from_one_that_saw_nothing(world: World, tmp_path: Path) -> None:
    assert world.run(tmp_path / "first").earlier_overlap_rows == {}, "nobody knows what a published model has seen"
    source = remembering(world.baseline / "model", tmp_path / "source", ["something else"])
    champion = ("models:/mail/3", world.trained)
    found = world.run(tmp_path / "second", source=source, champion=champion)
    assert found.earlier_overlap_rows == {"champion": None, "source": 0}
    shutil.rmtree(source)
    shutil.copytree(world.baseline / "model", source)
    assert world.run(tmp_path / "third", source=source).earlier_overlap_rows == {"source": None}


def test_test_rows_in_the_pool_are_counted_whatever_ingest_dropped(world: World, tmp_path: Path) -> None:
    data = write_data(tmp_path / "pooled")
    texts = [*(text.upper() for text in world.test_rows(data).texts[:3]), "a text of nobody"]
    columns = {"row_id": ["0", "1", "2", "3"], "text": texts, "label": [None] * 4, "group": [None] * 4}
    write_examples(split_path(data, "pool", "train"), columns)
    card = DataCard.read(data)
    assert world.run(tmp_path / "without", data=data).pool_overlap_rows == 0
    card.model_copy(update={"pool": card.target}).write(data)
    assert world.run(tmp_path / "with", data=data).pool_overlap_rows == 3


def test_the_test_digest_is_that_of_its_row_ids(world: World, tmp_path: Path) -> None:
    ids = sorted(world.test_rows().row_ids)
    found = world.run(tmp_path / "out").test_digest
    assert found == hashlib.sha256("\n".join(ids).encode()).hexdigest()


def test_groups_are_drawn_whole(world: World, tmp_path: Path) -> None:
    grouped = write_data(tmp_path / "grouped", groups=True)
    rows, groups = world.run(tmp_path / "a"), world.run(tmp_path / "b", data=grouped)
    assert rows.score.point == groups.score.point
    assert rows.score.low != groups.score.low


@pytest.mark.parametrize("damage", ["absent", "cut", "no seed"])
def test_a_damaged_control_is_an_integrity_error(world: World, tmp_path: Path, damage: str) -> None:
    broken = tmp_path / "baseline"
    shutil.copytree(world.baseline, broken)
    controls = broken / "controls.safetensors"
    content = controls.read_bytes()
    controls.unlink()
    if damage != "absent":
        controls.write_bytes(content[:40] if damage == "cut" else content.replace(b'"seed"', b'"sead"'))
    with pytest.raises(AcclimateError) as caught:
        world.run(tmp_path / "out", baseline=broken)
    assert (caught.value.code, caught.value.exit_code) == ("E-EVAL-003", 76)
    assert caught.value.hint


def test_data_without_labels_are_refused(world: World, tmp_path: Path) -> None:
    unlabelled = write_data(tmp_path / "unlabelled", labelled=False)
    with pytest.raises(AcclimateError) as caught:
        world.run(tmp_path / "out", data=unlabelled)
    assert (caught.value.code, caught.value.exit_code) == ("E-EVAL-002", 3)
