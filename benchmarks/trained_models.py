"""What the benchmarks of training share: a probe, a job with the product's defaults, and a trained model's answers."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from acclimate.config import BaselineSpec
from acclimate.config_finetune import FinetuneSpec
from acclimate.core.folds import assign_folds
from acclimate.core.metrics import IntArray, score
from acclimate.core.probe import Probe, cross_validate_probe, fit_probe
from acclimate.nn.encoder import Encoder
from acclimate.nn.job import FloatArray, LabelledRows, TrainJob, TrainResult
from acclimate.nn.model import linear
from acclimate.nn.readers import TextReader
from acclimate.nn.train import InProcessTrainer
from acclimate.nn.training_model import Trained, finish

METRIC = "macro_f1"
DEFAULTS = FinetuneSpec()


def chosen_probe(features: FloatArray, labels: IntArray, n_classes: int, seed: int) -> tuple[Probe, float]:
    """The probe as the baseline makes it, and the inverse penalty that cross-validation chose."""
    baseline = BaselineSpec()
    folds = assign_folds(labels, None, folds=baseline.folds, seed=seed)
    c = cross_validate_probe(features, labels, n_classes, c_grid=baseline.c_grid, folds=folds, metric=METRIC).c
    return fit_probe(features, labels, n_classes, c=c), c


def training_job(
    strategy: str,
    source: Path,
    encoder: Encoder,
    probe: Probe,
    train: LabelledRows,
    validation: LabelledRows,
    *,
    epochs: int,
    patience: int,
    seed: int,
    folder: Path,
    keep: int = 1,
    settings: dict[str, float] | None = None,
    defaults: FinetuneSpec = DEFAULTS,
) -> TrainJob:
    """A job as the stage ``finetune`` makes it where a user wrote nothing about training but ``settings``.

    ``defaults`` are those of texts; images have others.
    """
    return TrainJob(
        strategy=strategy,
        settings={**defaults.settings_of(strategy), **(settings or {})},
        source=source,
        source_digest=encoder.digest,
        probe_weight=probe.weight.astype(np.float32),
        probe_bias=probe.bias.astype(np.float32),
        train=train,
        validation=validation,
        metric=METRIC,
        epochs=epochs,
        schedule=defaults.schedule,
        batch_size=defaults.batch_size,
        warmup=defaults.warmup,
        weight_decay=defaults.weight_decay,
        clip_norm=defaults.clip_norm,
        patience=patience,
        keep=keep,
        seed=seed,
        max_length=encoder.max_length,
        precision="bf16" if encoder.precision == "bf16" else "fp32",
        folder=folder,
    )


def fine_tuned(
    strategy: str,
    source: Path,
    encoder: Encoder,
    probe: Probe,
    train: LabelledRows,
    validation: LabelledRows,
    *,
    epochs: int,
    seed: int,
    patience: int | None = None,
    settings: dict[str, float] | None = None,
    defaults: FinetuneSpec = DEFAULTS,
) -> tuple[TrainResult, Trained]:
    """What became of a job of :func:`training_job`, and its best epoch's model; its checkpoints are gone."""
    with tempfile.TemporaryDirectory() as kept:
        job = training_job(
            strategy,
            source,
            encoder,
            probe,
            train,
            validation,
            epochs=epochs,
            patience=defaults.patience if patience is None else patience,
            seed=seed,
            folder=Path(kept),
            settings=settings,
            defaults=defaults,
        )
        result = InProcessTrainer().train(job)
        return result, finish(job, result.weights[0])


def token_ids(encoder: Encoder, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text as the encoder reads it."""
    return text_reader(encoder).prepare(texts).ids


def text_reader(encoder: Encoder) -> TextReader:
    """What reads the texts of an encoder of texts."""
    assert isinstance(encoder.reader, TextReader), "these benchmarks are of texts"
    return encoder.reader


def score_of(parts: Trained, rows: LabelledRows) -> float:
    """Macro-F1 of a model on rows, in the precision of its encoder."""
    return score_of_features(parts.encoder, parts.weight, parts.bias, rows)


def score_of_features(encoder: Encoder, weight: FloatArray, bias: FloatArray, rows: LabelledRows) -> float:
    """Macro-F1 of a head on an encoder's features of rows."""
    answers = linear(encoder.embed(rows.inputs), weight, bias).argmax(axis=1)
    return score(METRIC, rows.labels, answers, len(bias))


def mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean over seeds and its standard error; no error from a single seed."""
    error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return float(np.mean(values)), error
