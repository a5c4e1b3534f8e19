"""Trainings small enough for a test: toy rows, a tiny source model, settings under which a few epochs learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from acclimate.config_finetune import FinetuneSpec
from acclimate.nn import train as loop
from acclimate.nn.encoder import Encoder
from acclimate.nn.job import Job, LabelledRows, TrainJob, TrainResult, WritingJob
from acclimate.nn.strategies import STRATEGIES
from acclimate.nn.train import finished, train
from tests.tiny_lm import toy_pairs
from tests.toy_images import SIDE, toy_images

Settings = dict[str, float | int]
#: What suits a tiny model of texts better than :func:`small_settings`' own guess.
SETTINGS: dict[str, Settings] = {
    "lora": {"learning_rate": 1e-2, "rank": 4, "alpha": 8.0, "dropout": 0.0},
    "adapter": {"learning_rate": 1e-2, "bottleneck": 8},
    "prefix": {"learning_rate": 5e-2, "tokens": 4},
    "ia3": {"learning_rate": 5e-2},
    "bitfit": {"learning_rate": 1e-2},
    "partial": {"learning_rate": 2e-3, "groups": 1},
    "gradual": {"learning_rate": 2e-3},
    "full": {"learning_rate": 2e-3},
    "tapt": {"learning_rate": 2e-3, "masked_share": 0.15},
    "scratch": {"learning_rate": 2e-3},
}
#: The same of a tiny language model.
WRITING_SETTINGS: dict[str, Settings] = {
    "lora": {"learning_rate": 2e-2, "rank": 8},
    "ia3": {"learning_rate": 1e-1},
    "bitfit": {"learning_rate": 5e-2},
    "partial": {"learning_rate": 1e-2, "groups": 1},
    "gradual": {"learning_rate": 1e-2},
    "full": {"learning_rate": 5e-3},
    "scratch": {"learning_rate": 5e-3},
}
#: How small trainings of any kind of model go.
_HOW: dict[str, Any] = {
    "source_digest": "tiny",
    "epochs": 3,
    "schedule": "linear",
    "batch_size": 8,
    "warmup": 0.1,
    "weight_decay": 0.01,
    "clip_norm": 1.0,
    "patience": 3,
    "keep": 1,
    "seed": 0,
    "precision": "fp32",
}
_SIZES: Settings = {"rank": 4, "bottleneck": 8, "tokens": 4, "groups": 1}
_WORDS = ("bad awful poor slow hate", "good great nice best love", "the of and in that it for on with he as you do at")


def small_settings(strategy: str, known: dict[str, Settings] = SETTINGS) -> Settings:
    """Settings of any strategy: known ones; else its defaults, sizes small and the rate by what it trains."""
    if strategy in known:
        return known[strategy]
    own, defaults = STRATEGIES[strategy], FinetuneSpec()
    sections = defaults.settings_of(strategy) if strategy in FinetuneSpec.model_fields else {}
    moves_weights = own.trains_source_weights or not own.starts_from_probe
    return {**sections, **_SIZES, "learning_rate": 2e-3 if moves_weights else 1e-2}


def toy_rows(rows: int, seed: int) -> LabelledRows:
    """Rows of two classes, about half the words telling which, 3 to 12 words long."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % 2
    texts = []
    for label in labels:
        own = rng.random(int(rng.integers(3, 13))) < 0.5
        texts.append(" ".join(str(rng.choice(_WORDS[label if mine else 2].split())) for mine in own))
    return LabelledRows(tuple(texts), labels.astype(np.int64))


def text_job(source: Path, folder: Path, strategy: str = "full", /, **changes: Any) -> TrainJob:
    """A training of the tiny BERT in ``source``, in ``folder``; ``changes`` are of fields."""
    rng = np.random.default_rng(7)
    job = TrainJob(
        strategy=strategy,
        settings=small_settings(strategy),
        source=source,
        probe_weight=rng.normal(0, 0.1, (2, 32)).astype(np.float32),
        probe_bias=rng.normal(0, 0.1, 2).astype(np.float32),
        train=toy_rows(50, 1),
        validation=toy_rows(20, 2),
        metric="macro_f1",
        max_length=32,
        folder=folder,
        **_HOW,
    )
    return replace(job, **changes)


def image_job(source: Path, folder: Path, strategy: str = "full", /, **changes: Any) -> TrainJob:
    """A training of the vision model in ``source``, in ``folder``; ``changes`` are of fields."""
    encoder = Encoder.load(source, precision="fp32")
    # without pretraining a deep network's features are large and its gradients larger
    slow = 0.02 if encoder.module.config.model_type == "efficientnet-lite" else 1.0
    settings = small_settings(strategy)
    of_images: dict[str, Any] = {
        "settings": {**settings, "learning_rate": slow * settings["learning_rate"]},
        "probe_weight": np.random.default_rng(7).normal(0, 0.1 * slow, (2, encoder.dim)).astype(np.float32),
        "train": LabelledRows(*toy_images(24, 1)),
        "validation": LabelledRows(*toy_images(10, 2)),
        "max_length": SIDE,
        "epochs": 2,
    }
    return text_job(source, folder, strategy, **{**of_images, **changes})


def lm_job(source: Path, folder: Path, strategy: str = "full", /, **changes: Any) -> WritingJob:
    """A training of the tiny language model in ``source``, in ``folder``; ``changes`` are of fields."""
    job = WritingJob(
        strategy=strategy,
        settings=small_settings(strategy, WRITING_SETTINGS),
        source=source,
        train=toy_pairs(48, 1),
        validation=toy_pairs(16, 2),
        metric="exact_match",
        max_length=128,
        folder=folder,
        **_HOW,
    )
    return replace(job, **changes)


class Killed(Exception):
    """Stands for a signal."""


def result_of(job: Job, **how: Any) -> TrainResult:
    """Train a job to its end."""
    train(job, **how)
    result = finished(job)
    assert result is not None
    return result


def kill_after(epoch: int) -> Callable[..., None]:
    """A progress that ends the process, as it were, when an epoch is done."""

    def progress(event: str, /, **fields: Any) -> None:
        if event == "epoch" and fields["epoch"] == epoch:
            raise Killed

    return progress


def assert_same(a: TrainResult, b: TrainResult) -> None:
    """The same history, outputs and weights, bit for bit."""
    assert (a.history, a.best_epoch) == (b.history, b.best_epoch)
    np.testing.assert_array_equal(a.validation_outputs, b.validation_outputs)
    left, right = load_file(a.weights[0]), load_file(b.weights[0])
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


def break_off(job: Job, *places: tuple[int, int]) -> None:
    """Train a job that is killed after each of these steps in turn, and taken up again between them.

    Args:
        job: what is trained, with a checkpoint after each step.
        places: epoch and step, both from 1.
    """
    for place in places:

        def kill(event: str, /, *, at: tuple[int, int] = place, **fields: Any) -> None:
            if event == "checkpoint" and (fields["epoch"], fields["step"]) == at:
                raise Killed

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
            with pytest.raises(Killed):
                train(job, progress=kill)
        # what the process does meanwhile must not matter
        torch.manual_seed(sum(place))
