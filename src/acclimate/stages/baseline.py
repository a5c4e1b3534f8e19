"""Baseline: frozen features plus a small head, its learning curve, and the controls it must beat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import numpy as np
from safetensors.numpy import save_file

from acclimate.config import BaselineSpec
from acclimate.core.control_names import TRIVIAL
from acclimate.core.folds import assign_folds
from acclimate.core.learning_curve import score_at_double, slope_per_doubling
from acclimate.core.metrics import IntArray
from acclimate.core.out_of_fold import OutOfFold
from acclimate.core.paired import Bounds, PairedDifference, bootstrap_score
from acclimate.core.probe import NeighboursChoice, ProbeChoice, fit_probe, spread
from acclimate.core.refitting import Refitted, refit, with_validation
from acclimate.errors import DataError, ModelError
from acclimate.examples import Examples, read_examples
from acclimate.nn.encoder import Encoder, cached_embeddings, weights_digest
from acclimate.nn.frozen import PROBE
from acclimate.nn.head_file import write_head
from acclimate.nn.model import AdaptedModel, linear
from acclimate.nn.model_free import model_free
from acclimate.nn.source_head import source_predictions
from acclimate.nn.source_memory import new_to_source
from acclimate.ports import Progress
from acclimate.records import BaselineReport, Control, CurvePoint, DataCard, Interval, SourceCard, SourceMemory

CURVE_SHARES = (0.25, 0.5)


def baseline(
    data: Path,
    source: Path,
    source_card: SourceCard,
    *,
    config: BaselineSpec,
    metric: str,
    precision: str,
    cache: Path,
    out: Path,
    progress: Progress,
) -> BaselineReport:
    """Fit a probe on frozen features, score it out of fold on train, and compare it with its controls.

    Of train only rows are scored that an adapted source was not fitted on itself, where there are enough.

    Args:
        data: ingest's folder; target's train and validation are read.
        source: folder of the source model.
        source_card: what the source model is.
        config: folds, grids, bootstraps, seed.
        metric: what is measured.
        precision: of the features, ``fp32`` or ``bf16``.
        cache: folder of cached features.
        out: where all is written. ``probe.safetensors`` is the probe on train, which arms start from, and
            ``validation.safetensors`` its logits. ``model/`` is the frozen model that is handed on or compared with,
            ``controls.safetensors`` the control on random weights: their heads are fitted on train and validation.
            Beside them the report, and ``timing.json``.
        progress: told what is being done.

    Raises:
        DataError: E-BASELINE-001 classes and groups that can't be cross-validated; 002 target has no labels.
        IntegrityError: E-DRIFT-001, what the source remembers is damaged.
        ModelError: the source can't be loaded; E-BASELINE-003 its weights changed while they were only read.
    """
    task = _read(data, source, source_card, config, metric, precision, cache, out, progress)
    seconds: dict[str, float] = {}
    with _timed(seconds, "features_seconds"):
        encoder = Encoder.load(source, precision=precision, max_length=config.max_length)
        before = weights_digest(encoder.module)
        features = cached_embeddings(encoder, task.train.inputs, cache, progress)
        validation_features = cached_embeddings(encoder, task.validation.inputs, cache, progress)
    with _timed(seconds, "probe_seconds"):
        progress("probe", rows=len(task.train))
        heads = _heads(task, features)
    with _timed(seconds, "controls_seconds"):
        progress("controls", rows=len(task.train))
        controls = _controls(task)
    with _timed(seconds, "model_seconds"):
        probe = fit_probe(features, task.judge.labels, len(task.labels), c=heads.probe.c)
        logits = linear(validation_features, probe.weight, probe.bias)
        write_head(probe.weight, probe.bias, out / PROBE)
        save_file({"logits": logits}, out / "validation.safetensors")
        refitted = _refitted(task, features, validation_features, heads.probe.c)
        digest = _write_model(task, encoder, refitted)
    if weights_digest(encoder.module) != before:
        raise ModelError(
            "E-BASELINE-003",
            "the source's weights changed during the baseline",
            where=str(source),
            hint="report this bug",
        )
    report = _report(task, features, heads, controls, logits, digest)
    report.write(out)
    (out / "timing.json").write_text(json.dumps(seconds, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return report


@dataclass(frozen=True)
class _Task:
    """What is measured on what."""

    labels: list[str]
    train: Examples
    validation: Examples
    judge: OutOfFold
    memory: SourceMemory | None
    source: Path
    source_card: SourceCard
    config: BaselineSpec
    precision: str
    cache: Path
    out: Path
    progress: Progress


@dataclass(frozen=True)
class _Heads:
    """The heads on frozen features, and the probe's learning curve."""

    probe: ProbeChoice
    nearest: NeighboursChoice
    curve: list[CurvePoint]


@dataclass(frozen=True)
class _Controls:
    """Out-of-fold predictions of each control, and why others do not apply."""

    predicted: dict[str, IntArray]
    reasons: dict[str, str]


def _read(
    data: Path,
    source: Path,
    source_card: SourceCard,
    config: BaselineSpec,
    metric: str,
    precision: str,
    cache: Path,
    out: Path,
    progress: Progress,
) -> _Task:
    labels = DataCard.read(data).target.labels
    if labels is None:
        raise DataError(
            "E-BASELINE-002", "the target has no labels", where=str(data), hint="give target.label a column with labels"
        )
    train, validation = (read_examples(data, "target", [split], labels) for split in ("train", "validation"))
    truth = _labels(train)
    memory, scored = new_to_source(source, train)
    judge = OutOfFold(
        labels=truth,
        groups=train.groups,
        folds=assign_folds(truth, train.groups, folds=config.folds, seed=config.seed),
        n_classes=len(labels),
        metric=metric,
        bootstraps=config.bootstraps,
        seed=config.seed,
        scored=scored,
    )
    return _Task(labels, train, validation, judge, memory, source, source_card, config, precision, cache, out, progress)


def _heads(task: _Task, features: np.ndarray) -> _Heads:
    judge, grid = task.judge, task.config.c_grid
    whole = judge.probe(features, grid)
    choices = [*(judge.probe(features, grid, share) for share in CURVE_SHARES), whole]
    curve = [CurvePoint(rows=choice.rows, score=_interval(judge.bounds(choice.predicted))) for choice in choices]
    return _Heads(whole, judge.neighbours(features, task.config.neighbours), curve)


def _controls(task: _Task) -> _Controls:
    predicted = {
        "random_features": _random_features(task),
        **_model_free(task),
        "majority": task.judge.majority(),
    }
    if task.source_card.labels is None:
        return _Controls(predicted, {"source_as_is": "the source model has no head of its own"})
    if sorted(task.source_card.labels) != task.labels:
        return _Controls(predicted, {"source_as_is": "the source model's labels are not the target's"})
    longest = task.config.max_length
    own = source_predictions(task.source, task.train.inputs, precision=task.precision, max_length=longest)
    predicted["source_as_is"] = np.array([task.labels.index(name) for name in own], dtype=np.int64)
    return _Controls(predicted, {})


def _model_free(task: _Task) -> dict[str, IntArray]:
    labels = task.judge.labels
    return {
        name: task.judge.predictions(lambda train, rows, predict=predict: predict(train, labels[train], rows))  # type: ignore[misc]  # mypy can't infer a lambda with a default
        for name, predict in model_free(task.train.inputs).items()
    }


def _random_features(task: _Task) -> IntArray:
    """Out-of-fold predictions of the same probe on random weights; the probe on all rows is stored."""
    seed = task.config.seed
    encoder = Encoder.load(task.source, precision=task.precision, max_length=task.config.max_length, random_seed=seed)
    features, of_validation = (
        cached_embeddings(encoder, part.inputs, task.cache, task.progress) for part in (task.train, task.validation)
    )
    choice = task.judge.probe(features, task.config.c_grid)
    probe = _refitted(task, features, of_validation, choice.c).probe
    write_head(probe.weight, probe.bias, task.out / "controls.safetensors", metadata={"seed": str(seed)})
    return choice.predicted


def _refitted(task: _Task, features: np.ndarray, of_validation: np.ndarray, c: float) -> Refitted:
    """The probe on train and validation."""
    return refit(
        np.concatenate([features, of_validation]),
        np.concatenate([task.judge.labels, _labels(task.validation)]),
        task.judge.n_classes,
        c=c,
        folds=with_validation(task.judge.folds, len(task.validation)),
    )


def _write_model(task: _Task, encoder: Encoder, refitted: Refitted) -> str:
    """Write the frozen model; returns its digest."""
    model = AdaptedModel.build(
        encoder,
        refitted.probe.weight,
        refitted.probe.bias,
        task.labels,
        strategy="frozen",
        source=task.source_card,
        temperature=refitted.temperature,
    )
    return model.save(task.out / "model")


def _report(
    task: _Task, features: np.ndarray, heads: _Heads, controls: _Controls, logits: np.ndarray, digest: str
) -> BaselineReport:
    judge = task.judge
    scores = {name: _interval(judge.bounds(rows)) for name, rows in controls.predicted.items()}
    best = max(scores, key=lambda name: scores[name].point)
    points = [point.score.point for point in heads.curve]
    slope = slope_per_doubling([point.rows for point in heads.curve], points)
    return BaselineReport(
        metric=judge.metric,
        train_rows=len(task.train),
        validation_rows=len(task.validation),
        rows_per_class={name: int((judge.labels == i).sum()) for i, name in enumerate(task.labels)},
        feature_dim=features.shape[1],
        near_constant_dims=int(spread(features)[1].sum()),
        score=_interval(judge.bounds(heads.probe.predicted)),
        probe_c=heads.probe.c,
        neighbours=heads.nearest.neighbours,
        knn_score=_interval(judge.bounds(heads.nearest.predicted)),
        disagreement=float(np.mean(judge.of_scored(heads.probe.predicted) != judge.of_scored(heads.nearest.predicted))),
        controls=_control_records(scores, controls.reasons),
        best_control=best,
        best_trivial=max((name for name in scores if name in TRIVIAL), key=lambda name: scores[name].point),
        transfer_gain=_interval(judge.difference(heads.probe.predicted, controls.predicted[best])),
        learning_curve=heads.curve,
        slope_per_doubling=slope,
        score_at_double=score_at_double(points[-1], slope),
        validation_score=_validation_score(task, logits),
        precision="bf16" if task.precision == "bf16" else "fp32",
        model_digest=digest,
        refitted_rows=len(task.train) + len(task.validation),
        source_memory=task.memory,
    )


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = monotonic()
    yield
    seconds[name] = round(monotonic() - start, 3)


def _labels(examples: Examples) -> IntArray:
    assert examples.labels is not None
    return examples.labels


def _interval(bounds: Bounds | PairedDifference) -> Interval:
    return Interval(point=bounds.point, low=bounds.low, high=bounds.high)


def _control_records(scores: dict[str, Interval], reasons: dict[str, str]) -> list[Control]:
    names = [*scores, *reasons]
    return [
        Control.model_validate(
            {"name": name, "trivial": name in TRIVIAL, "score": scores.get(name), "reason": reasons.get(name, "")}
        )
        for name in names
    ]


def _validation_score(task: _Task, logits: np.ndarray) -> Interval:
    judge = task.judge
    found = bootstrap_score(
        judge.metric,
        _labels(task.validation),
        logits.argmax(axis=1),
        judge.n_classes,
        bootstraps=judge.bootstraps,
        seed=judge.seed,
        groups=task.validation.groups,
    )
    return _interval(found)
