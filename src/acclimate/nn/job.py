"""What one training run needs and what it gives, as plain data that can be sent to another process."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from acclimate.digests import data_digest
from acclimate.examples import Inputs
from acclimate.nn.feature_cache import features_name
from acclimate.records import EpochPoint

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Schedule = Literal["linear", "cosine", "constant"]


@dataclass(frozen=True)
class LabelledRows:
    """Texts or encoded images, and their class indices, int64 of shape ``[rows]``."""

    inputs: Inputs
    labels: IntArray

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.labels)


@dataclass(frozen=True)
class Pairs:
    """What a language model is to write: each answer behind its prompt.

    Args:
        prompts: what it reads; None for plain text, which has none.
        answers: what it is to write.
    """

    prompts: Sequence[str] | None
    answers: Sequence[str]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.answers)


@dataclass(frozen=True, kw_only=True)
class Job(ABC):
    """One strategy to train, whatever the task.

    Args:
        strategy: a name in :data:`acclimate.nn.strategies.STRATEGIES`.
        settings: the strategy's own settings, e.g. ``learning_rate``, ``rank``.
        source: folder of the source model; ``source_digest`` tells which one it is.
        metric: what is measured on validation.
        epochs: longest training, epochs.
        schedule: how the rate goes on once it has risen, see :func:`acclimate.nn.schedule.rate_factor`.
        batch_size: rows a step, over all workers.
        warmup: share of the steps over which the rate rises, 0..1.
        weight_decay: AdamW's decay; biases and normalisation are spared.
        clip_norm: largest gradient norm.
        patience: epochs without a better validation score before it stops.
        keep: how many of the best epochs' weights are kept.
        seed: seed of initialisation, order and dropout.
        max_length: tokens of a text, or pixels of a image's side, the model reads.
        precision: what the encoder computes in; trained weights are float32 either way.
        folder: where this job's checkpoints and result are kept.
    """

    strategy: str
    settings: Mapping[str, Any]
    source: Path
    source_digest: str
    metric: str
    epochs: int
    schedule: Schedule
    batch_size: int
    warmup: float
    weight_decay: float
    clip_norm: float
    patience: int
    keep: int
    seed: int
    max_length: int
    precision: Literal["fp32", "bf16"]
    folder: Path

    @abstractmethod
    def content(self) -> dict[str, object]:
        """Digests of the rows, and of what else decides the result beside the plain values."""

    def digest(self) -> str:
        """sha256 over everything that decides the result; not where files lie."""
        plain: dict[str, object] = {
            name: value for name, value in vars(self).items() if isinstance(value, str | int | float)
        }
        plain["settings"] = dict(self.settings)
        return data_digest(plain | self.content())


@dataclass(frozen=True, kw_only=True)
class TrainJob(Job):
    """A classifier to train, from the baseline's probe.

    Args:
        probe_weight: weight of the baseline's head, float32 ``[C, d]``.
        probe_bias: its bias, float32 ``[C]``.
        train: rows to fit on.
        validation: rows to choose the epoch by.
    """

    probe_weight: FloatArray
    probe_bias: FloatArray
    train: LabelledRows
    validation: LabelledRows

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.probe_bias)

    def content(self) -> dict[str, object]:
        """Digests of the probe and the rows."""
        arrays = (self.probe_weight, self.probe_bias, self.train.labels, self.validation.labels)
        return {
            "arrays": [hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for array in arrays],
            "inputs": [features_name("", rows.inputs) for rows in (self.train, self.validation)],
        }


@dataclass(frozen=True, kw_only=True)
class WritingJob(Job):
    """A causal language model to train.

    Args:
        train: rows to fit on.
        validation: rows to choose the epoch by.
    """

    train: Pairs
    validation: Pairs

    def content(self) -> dict[str, object]:
        """Digests of the rows."""
        return {
            "pairs": [
                features_name("", [*(rows.prompts or ()), *rows.answers]) for rows in (self.train, self.validation)
            ]
        }


@dataclass(frozen=True, kw_only=True)
class MaskedJob(Job):
    """An encoder to pretrain on texts without labels.

    Args:
        train: texts to train on.
        held_out: texts that choose the epoch, by the loss of their hidden tokens.
    """

    train: Sequence[str]
    held_out: Sequence[str]

    def content(self) -> dict[str, object]:
        """Digests of the texts."""
        return {"texts": [features_name("", texts) for texts in (self.train, self.held_out)]}


@dataclass(frozen=True)
class TrainResult:
    """A finished training run.

    Args:
        weights: safetensors files of the trained parameters at the best epochs, best first, ``parameter/<name>``.
        validation_outputs: what the model said of the validation rows at the best epoch: logits, float32 ``[n, C]``; of
            a language model :attr:`acclimate.nn.causal.scoring.AnswerScores.table`, ``[n, 3]``; of a pretraining what
            :meth:`acclimate.nn.pretraining.MaskedLearner.validate` gives, ``[n, 2]``.
        history: one point an epoch.
        best_epoch: epoch whose weights were kept, counted from 1.
        trained_parameters: number of trained parameters.
        total_parameters: number of all parameters of the model.
        seconds: time spent in epochs, interrupted runs included.
    """

    weights: tuple[Path, ...]
    validation_outputs: FloatArray
    history: tuple[EpochPoint, ...]
    best_epoch: int
    trained_parameters: int
    total_parameters: int
    seconds: float

    @property
    def best_score(self) -> float:
        """Validation score at the best epoch."""
        return self.history[self.best_epoch - 1].validation_score
