"""Stage ``evaluate``: the candidate on the test split, compared row by row with everything it must beat."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.config import EvaluateSpec, Goal
from acclimate.core.control_names import SEED
from acclimate.core.metrics import IntArray
from acclimate.core.pool_rows import overlap_rows
from acclimate.errors import DataError
from acclimate.examples import Examples, Inputs, read_examples
from acclimate.handing_on import FROZEN, frozen_instead
from acclimate.nn.compared import (
    logits_in_order,
    models_to_compare,
    random_features_predictions,
    trivial_predictions,
    whom_to_beat,
)
from acclimate.nn.earlier_overlap import earlier_overlap
from acclimate.nn.model import AdaptedModel
from acclimate.nn.noise import changed_inputs
from acclimate.nn.serving_cost import serving_cost
from acclimate.nn.shown import shown
from acclimate.nn.source_head import source_predictions
from acclimate.nn.source_task import SourceKnowledge
from acclimate.ports import Progress, silent
from acclimate.predictions import FILE, ClassPredictions, JudgedRows
from acclimate.records import BaselineReport, DataCard, Evaluation, Interval, Retention, Robustness
from acclimate.scoring import (
    TestRows,
    hardest_errors,
    overlap_with,
    robustness,
    scored_classes,
)

LATENCY_ROWS = 50
# of the source's domain: to fit a probe on, and to score it on
SOURCE_ROWS = (1500, 1000)


def evaluate(
    data: Path,
    source: Path,
    baseline: Path,
    candidate: Path,
    candidate_strategy: str,
    finetune: Path | None,
    champion: tuple[str, Path] | None,
    *,
    config: EvaluateSpec,
    goal: Goal,
    out: Path,
    progress: Progress = silent,
) -> Evaluation:
    """Score the candidate on target's test split, the one stage that reads it.

    Without a champion a trained candidate that is not shown to be better gives way to the frozen model (rule R10).

    Writes ``evaluation.json``, ``predictions.parquet`` and ``timing.json``.

    Args:
        data: ingest's folder.
        source: the source model's folder.
        baseline: baseline's folder.
        candidate: the candidate's model folder.
        candidate_strategy: how it was made; ``frozen`` means that it is the baseline's own model.
        finetune: finetune's folder, whose scratch arm is compared where there is one; None without training.
        champion: the champion's model URI and its model folder; None without one.
        config: how it is judged.
        goal: the metric, and the score that is asked for.
        out: folder for the results, there already.
        progress: told what is being predicted.

    Raises:
        DataError: E-EVAL-002, the target has no labels.
        ModelError: E-EVAL-001, a compared model has other labels; or what loading a model raises.
        IntegrityError: E-EVAL-003, the baseline's control can't be read; E-DRIFT-001, what source or champion remember
            of their data can't be; or a record is missing.
    """
    card, frozen = DataCard.read(data), BaselineReport.read(baseline)
    examples, labels, truth = _read_test(data, card)
    progress("evaluate", says="predicting the test rows with the candidate")
    judged = _predicted(candidate, candidate_strategy, examples.inputs, labels, progress)
    models = models_to_compare(baseline, candidate_strategy, finetune, champion)
    others = _others(data, source, baseline, frozen, models, examples, labels, progress)
    comparator = whom_to_beat(candidate_strategy, champion, frozen)
    found = ClassPredictions(JudgedRows.of(examples), labels, truth, judged.logits, others)
    by: dict[str, Any] = {"metric": goal.metric, "how": config}
    scored = scored_classes(found, judged.model.temperature, comparator=comparator, **by)
    rule = None
    if comparator == "baseline":
        instead = _predicted(baseline / "model", FROZEN, examples.inputs, labels, progress)
        beside = replace(found, logits=instead.logits, others=_without_training(found, candidate_strategy))
        alone = scored_classes(beside, instead.model.temperature, comparator=frozen.best_control, **by)
        rule = frozen_instead(candidate_strategy, alone["score"], alone["comparisons"], goal)
        progress("handed_on", says=rule.says)
        if rule.fired:
            judged, found, scored, comparator = instead, beside, alone, frozen.best_control
    model = judged.model
    test = TestRows(found.rows, truth, labels, goal.metric, config.bootstraps, config.seed)
    report = Evaluation(
        **scored,
        strategy=judged.strategy,
        handed_on=rule,
        comparator=comparator if champion is None else f"champion {champion[0].removeprefix('models:/')}",
        robustness=_robustness(found, test, examples.inputs, model, comparator, models, config, progress),
        errors=hardest_errors(test, examples.inputs, found.probabilities(model.temperature), shown),
        model_digest=model.digest,
        size_bytes=sum(path.stat().st_size for path in judged.folder.rglob("*") if path.is_file()),
        overlap_rows=overlap_with(examples, read_examples(data, "target", ("train", "validation"), None)),
        near_duplicates=card.target.near_duplicates_across_splits,
        pool_overlap_rows=_pool_overlap(data, card, examples),
        earlier_overlap_rows=earlier_overlap(data, source, champion),
        retention=_retention(data, baseline, model, goal.metric, config, progress),
    )
    found.write(out / FILE, model.temperature)
    report.write(out)
    timing = serving_cost(judged.folder, model.predict, examples.inputs[:LATENCY_ROWS], progress=progress)
    timing["rows_per_second"] = round(judged.rows_per_second, 1)
    (out / "timing.json").write_text(json.dumps(timing, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return report


@dataclass(frozen=True)
class _Predicted:
    """A model that may be handed on, and its answers to the test rows."""

    folder: Path
    strategy: str
    model: AdaptedModel
    logits: np.ndarray
    rows_per_second: float


def _predicted(folder: Path, strategy: str, inputs: Inputs, labels: list[str], progress: Progress) -> _Predicted:
    model = AdaptedModel.load(folder)
    started = time.perf_counter()
    logits = logits_in_order(model, inputs, labels, where=folder, progress=progress)
    return _Predicted(folder, strategy, model, logits, len(inputs) / (time.perf_counter() - started))


def _without_training(found: ClassPredictions, strategy: str) -> dict[str, IntArray]:
    """What the frozen model is compared with in the place of a trained one, that one among them."""
    others = {name: rows for name, rows in found.others.items() if name != "baseline" and not name.startswith(SEED)}
    return {strategy: found.logits.argmax(axis=1).astype(np.int64), **others}


def _read_test(data: Path, card: DataCard) -> tuple[Examples, list[str], IntArray]:
    """The test split, the label names in index order, and each row's class index."""
    labels = card.target.labels
    examples = read_examples(data, "target", ("test",), labels)
    if labels is None or examples.labels is None:
        raise DataError(
            "E-EVAL-002",
            "the target has no labels, so nothing can be evaluated",
            where=str(data),
            hint="give target.label a column of labels",
        )
    return examples, labels, examples.labels


def _others(
    data: Path,
    source: Path,
    baseline: Path,
    frozen: BaselineReport,
    models: dict[str, Path],
    examples: Examples,
    labels: list[str],
    progress: Progress,
) -> dict[str, IntArray]:
    """Predictions of the controls the baseline stage ran, and of the other models.

    Controls are fitted on train and validation, like the frozen model's head.
    """
    progress("evaluate", says="predicting the test rows with the controls")
    inputs = examples.inputs
    predicted = trivial_predictions(read_examples(data, "target", ("train", "validation"), labels), inputs)
    model = AdaptedModel.load(baseline / "model")
    controls = baseline / "controls.safetensors"
    predicted["random_features"] = random_features_predictions(source, controls, inputs, like=model, progress=progress)
    if any(control.name == "source_as_is" and control.score is not None for control in frozen.controls):
        own = source_predictions(source, inputs, precision=model.precision, max_length=model.max_length)
        predicted["source_as_is"] = np.array([labels.index(name) for name in own], dtype=np.int64)
    for name, folder in models.items():
        progress("evaluate", says=f"predicting the test rows with {name}")
        other = AdaptedModel.load(folder)
        logits = logits_in_order(other, inputs, labels, where=folder, progress=progress)
        predicted[name] = logits.argmax(axis=1).astype(np.int64)
    return predicted


def _robustness(
    found: ClassPredictions,
    test: TestRows,
    inputs: Inputs,
    model: AdaptedModel,
    comparator: str,
    models: dict[str, Path],
    config: EvaluateSpec,
    progress: Progress,
) -> list[Robustness]:
    """Candidate, and the comparator where it is a model, on some of the test rows changed in each way."""
    rows = min(config.robustness_rows, len(test.truth))
    if rows == 0:
        return []
    some = replace(test, rows=test.rows.some(rows), truth=test.truth[:rows])
    other = AdaptedModel.load(models[comparator]) if comparator in models else None

    def classes(one: AdaptedModel, changed: Inputs) -> IntArray:
        logits = logits_in_order(one, changed, test.labels, where=models.get(comparator, Path()), progress=progress)
        return np.asarray(logits.argmax(axis=1), dtype=np.int64)

    own = found.logits[:rows].argmax(axis=1).astype(np.int64)
    results = []
    for change, changed in changed_inputs(inputs[:rows], config.seed):
        progress("evaluate", says=f"predicting test rows with {change}")
        others = None if other is None else (classes(other, changed), found.others[comparator][:rows])
        results.append(robustness(some, change, classes(model, changed), own, others))
    return results


def _pool_overlap(data: Path, card: DataCard, test: Examples) -> int:
    """Test rows in the pool: counted on the files as they are, whatever ingest has dropped."""
    if card.pool is None:
        return 0
    return overlap_rows(test.texts, read_examples(data, "pool", ("train",), None).texts)


def _retention(
    data: Path, baseline: Path, model: AdaptedModel, metric: str, config: EvaluateSpec, progress: Progress
) -> Retention | None:
    """The source's own task with the candidate's features, on reference rows that nothing was fitted on."""
    progress("evaluate", says="asking what is still known of the source's domain")
    source = AdaptedModel.load(baseline / "model").encoder
    known = SourceKnowledge.measured(
        data, source, "test", SOURCE_ROWS, metric=metric, bootstraps=config.bootstraps, seed=config.seed
    )
    if known is None:
        return None
    unchanged = model.strategy == "frozen"
    change = known.change(known.before if unchanged else known.answers(model.encoder))
    return Retention(
        rows=known.rows,
        score=known.score() + change.point,
        source_score=known.score(),
        change=Interval(point=change.point, low=change.low, high=change.high),
        low_one_sided=change.low_one_sided,
    )
