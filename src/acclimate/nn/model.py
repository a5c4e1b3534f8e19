"""Adapted models: an encoder, a linear head, a temperature and label names; and the module that is trained."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from acclimate.errors import ModelError
from acclimate.examples import Inputs
from acclimate.nn.description import read_description
from acclimate.nn.encoder import Encoder, folder_digest, pooled
from acclimate.nn.head_file import read_head, write_head
from acclimate.nn.images import read_file
from acclimate.nn.inserts import detach
from acclimate.nn.inserts.stored import write_insert
from acclimate.nn.preflight import preflight
from acclimate.nn.readers import Batch
from acclimate.nn.trainable import Trainable
from acclimate.nn.vision.models import save_module
from acclimate.ports import Progress, silent
from acclimate.records import SourceCard


class Classifier(Trainable):
    """What is trained: an encoder, pooling and a linear head.

    Args:
        encoder_module: transformers model.
        dim: dimension of its hidden state.
        n_classes: number of labels.
        pooling: see :func:`acclimate.nn.encoder.pool`.
    """

    head: torch.nn.Linear
    forward_methods: ClassVar[tuple[str, ...]] = ("outputs",)

    def __init__(self, encoder_module: Any, dim: int, n_classes: int, pooling: str = "mean") -> None:
        super().__init__(encoder_module, torch.nn.Linear(dim, n_classes), head_is_new=True)
        self.pooling = pooling

    def set_head(self, weight: np.ndarray, bias: np.ndarray) -> None:
        """Start the head from a probe (LP-FT).

        Args:
            weight: [C, d].
            bias: [C].
        """
        with torch.no_grad():
            self.head.weight.copy_(torch.as_tensor(np.asarray(weight), dtype=torch.float32))
            self.head.bias.copy_(torch.as_tensor(np.asarray(bias), dtype=torch.float32))

    def features(self, batch: Batch) -> torch.Tensor:
        """Pooled features of a batch.

        Args:
            batch: what a reader's rows give, see :class:`acclimate.nn.readers.Prepared`.

        Returns:
            float32 [B, d]; pooling is computed in float32 whatever the encoder computes in.
        """
        return pooled(self.encoder, batch, self.pooling)

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """Logits float32 [B, C] of features [B, d]."""
        logits: torch.Tensor = self.head(features)
        return logits

    def outputs(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Features and logits of a batch; see :meth:`features` and :meth:`classify`."""
        features = self.features(batch)
        return features, self.classify(features)

    def forward(self, batch: Batch) -> torch.Tensor:
        """Logits of a batch, float32 [B, C]; see :meth:`features`."""
        return self.classify(self.features(batch))

    def train(self, mode: bool = True) -> Self:
        """As in torch, but batch normalisation keeps to the source's statistics unless :attr:`learns_statistics`.

        With few rows a batch's own are noise, and they would move without any gradient.
        """
        super().train(mode)
        if mode and not self.learns_statistics:
            normalise(self, by_batch=False)
        return self


def normalise(model: torch.nn.Module, *, by_batch: bool) -> None:
    """Let batch normalisation use and learn the statistics of batches, or keep to those it has."""
    for layer in model.modules():
        if is_batch_norm(layer):
            layer.train(by_batch)


def is_batch_norm(layer: torch.nn.Module) -> bool:
    """Whether a layer normalises by the statistics of a batch."""
    return isinstance(layer, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d)


class _Description(BaseModel):
    """What ``acclimate.json`` in a model folder says."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    schema_version: Literal[1] = 1
    task: Literal["text-classification", "image-classification"] = "text-classification"
    labels: list[str] = Field(min_length=2)
    pooling: Literal["mean", "cls", "map", "pooler"]
    max_length: int = Field(ge=1)
    temperature: float = Field(gt=0)
    strategy: str
    precision: Literal["fp32", "bf16"]
    source: SourceCard


class AdaptedModel:
    """A model as it is evaluated, stored and served.

    Args:
        encoder: the encoder, its precision that of prediction.
        weight: the head's weight [C, d].
        bias: the head's bias [C].
        labels: label names in index order.
        strategy: how it was made, e.g. ``frozen``.
        source: the source model it comes from.
        temperature: logits are divided by it for probabilities.
        digest: of the folder it was loaded from.
    """

    def __init__(
        self,
        encoder: Encoder,
        weight: np.ndarray,
        bias: np.ndarray,
        labels: Sequence[str],
        *,
        strategy: str,
        source: SourceCard,
        temperature: float = 1.0,
        digest: str = "",
    ) -> None:
        self.encoder = encoder
        self.weight = np.asarray(weight, dtype=np.float32)
        self.bias = np.asarray(bias, dtype=np.float32)
        self.labels = list(labels)
        self.strategy = strategy
        self.source = source
        self.temperature = float(temperature)
        self.digest = digest
        """Digest of the folder the model was saved to or loaded from; empty before."""
        if self.weight.shape != (len(self.labels), encoder.dim) or self.bias.shape != (len(self.labels),):
            raise ModelError(
                "E-MODEL-020",
                f"a head of shape {self.weight.shape} and {self.bias.shape} does not fit "
                f"{len(self.labels)} labels and {encoder.dim} features",
                hint="the model folder mixes files of different models; fetch it again",
            )

    @classmethod
    def build(
        cls,
        encoder: Encoder,
        weight: np.ndarray,
        bias: np.ndarray,
        labels: Sequence[str],
        *,
        strategy: str,
        source: SourceCard,
        temperature: float = 1.0,
    ) -> AdaptedModel:
        """Put a model together from its parts; for fine-tuned weights see :meth:`Encoder.with_module`."""
        return cls(encoder, weight, bias, labels, strategy=strategy, source=source, temperature=temperature)

    @property
    def max_length(self) -> int:
        """Tokens of a text, or pixels of a image's side, that are read."""
        return self.encoder.max_length

    @property
    def reads_images(self) -> bool:
        """Whether its inputs are images, not texts."""
        return self.encoder.reads_images

    @property
    def precision(self) -> str:
        """Precision of prediction, ``fp32`` or ``bf16``."""
        return self.encoder.precision

    def embed(self, inputs: Inputs, *, progress: Progress = silent) -> np.ndarray:
        """Pooled features of texts or images, float32 [n, d]; an image is its encoded bytes, or a path to them."""
        if self.reads_images:
            inputs = [read_file(Path(one)) if isinstance(one, str | Path) else one for one in inputs]
        return self.encoder.embed(inputs, progress=progress)

    def logits(self, inputs: Inputs, *, progress: Progress = silent) -> np.ndarray:
        """Scores before the temperature, float32 [n, C]; see :meth:`Encoder.embed` on reproducibility."""
        return linear(self.embed(inputs, progress=progress), self.weight, self.bias)

    def predict_proba(self, inputs: Inputs) -> np.ndarray:
        """Probabilities, float64 [n, C], rows sum to 1."""
        scaled = self.logits(inputs).astype(np.float64) / self.temperature
        powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        probabilities: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
        return probabilities

    def predict(self, inputs: Inputs) -> list[str]:
        """Label of each text or image, in order; see :meth:`embed`."""
        return [self.labels[i] for i in self.logits(inputs).argmax(axis=1)]

    def save(self, folder: Path) -> str:
        """Write the model: a plain transformers folder, plus ``head.safetensors``, ``acclimate.json`` and inserts.

        Args:
            folder: made if absent; should be empty.

        Returns:
            Digest of the folder, also kept as :attr:`digest`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        save_module(self._plain_module(), folder)
        self.encoder.reader.save(folder)
        if self.encoder.insert is not None:
            write_insert(self.encoder.insert, folder)
        write_head(self.weight, self.bias, folder / "head.safetensors")
        description = _Description.model_validate(
            {
                "task": "image-classification" if self.reads_images else "text-classification",
                "labels": self.labels,
                "pooling": self.encoder.pooling,
                "max_length": self.max_length,
                "temperature": self.temperature,
                "strategy": self.strategy,
                "precision": self.precision,
                "source": self.source,
            }
        )
        (folder / "acclimate.json").write_text(description.model_dump_json(indent=1) + "\n", encoding="utf-8")
        self.digest = folder_digest(folder)
        return self.digest

    def _plain_module(self) -> Any:
        """The encoder's module without inserts."""
        insert = self.encoder.insert
        return self.encoder.module if insert is None else detach(insert.kind, copy.deepcopy(self.encoder.module))

    @classmethod
    def load(cls, folder: Path, precision: str | None = None) -> AdaptedModel:
        """Load what :meth:`save` wrote.

        Args:
            folder: the model folder.
            precision: ``fp32`` or ``bf16``; None takes the stored one, so that numbers equal those of the evaluation.

        Raises:
            ModelError: the preflight's; E-MODEL-020 a head that doesn't fit; E-MODEL-021 not an adapted model.
        """
        preflight(folder)
        described = read_description(folder, _Description)
        encoder = Encoder.load(folder, precision=precision or described.precision, max_length=described.max_length)
        return cls(
            encoder,
            *read_head(folder / "head.safetensors"),
            described.labels,
            strategy=described.strategy,
            source=described.source,
            temperature=described.temperature,
            digest=folder_digest(folder),
        )


def linear(features: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Logits of a linear head, float32 [n, C].

    Args:
        features: float32 [n, d].
        weight: [C, d].
        bias: [C].
    """
    with torch.inference_mode():
        parts = (torch.from_numpy(np.ascontiguousarray(part, dtype=np.float32)) for part in (features, weight, bias))
        logits: np.ndarray = torch.nn.functional.linear(*parts).numpy()
    return logits
