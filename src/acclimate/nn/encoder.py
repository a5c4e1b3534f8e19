"""A pretrained encoder: texts or images in, one pooled vector each out."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
import transformers

from acclimate.examples import Inputs
from acclimate.nn.batching import token_batches
from acclimate.nn.devices import device_of
from acclimate.nn.feature_cache import features_name, load_features, store_features
from acclimate.nn.folding import folded
from acclimate.nn.image_reader import ImageReader
from acclimate.nn.inserts import Insert
from acclimate.nn.inserts.stored import read_insert
from acclimate.nn.loading import declared_pooling, load_module, loading, quiet, random_module
from acclimate.nn.preflight import IMAGE_MODEL_TYPES, preflight, read_json, reads_images
from acclimate.nn.readers import Batch, Reader, TextReader, on
from acclimate.nn.source_card import folder_digest, source_card
from acclimate.nn.vision.models import image_module
from acclimate.ports import Progress, silent

__all__ = ["Encoder", "cached_embeddings", "folder_digest", "pool", "quiet", "source_card", "weights_digest"]

PRECISIONS = ("fp32", "bf16")
POOLINGS = ("mean", "cls", "map", "pooler")
# small batches stay in the cores' cache: 1,024 tokens ran at 335 rows/s in fp32 where 4,096 ran at 217
TOKEN_BUDGET = 1024


def pool(hidden: torch.Tensor, attention_mask: torch.Tensor | None, pooling: str) -> torch.Tensor:
    """One vector a row from one vector a token or position, in float32.

    Args:
        hidden: last hidden state, any float type: [B, T, d], or [B, d, H, W] for ``map``.
        attention_mask: 1 for tokens, 0 for padding [B, T]; None where there is no padding.
        pooling: ``mean`` over the mask; ``cls``, the first token; ``map``, the mean over positions.

    Returns:
        float32 [B, d].
    """
    if pooling == "cls":
        return hidden[:, 0].float()
    if pooling == "map":
        return hidden.float().mean(dim=(2, 3))
    if attention_mask is None:
        return hidden.float().mean(dim=1)
    mask = attention_mask.unsqueeze(-1).float()  # [B, T, 1]
    return (hidden.float() * mask).sum(dim=1) / mask.sum(dim=1)  # [B, d]


def called(module: Any, batch: Batch) -> Any:
    """What a module gives for a batch; pixels are handed to it in its own precision."""
    kind = next(module.parameters()).dtype
    return module(**{name: value.to(kind) if value.is_floating_point() else value for name, value in batch.items()})


def pooled(module: Any, batch: Batch, pooling: str) -> torch.Tensor:
    """Pooled features of a batch, float32 [B, d]; ``pooler`` takes what the module itself makes of its map."""
    if pooling == "pooler":
        own: torch.Tensor = called(module, batch).pooler_output
        return own.flatten(1).float()
    return pool(called(module, batch).last_hidden_state, batch.get("attention_mask"), pooling)


def with_bf16_products(module: torch.nn.Module) -> torch.nn.Module:
    """A copy of a module whose matrices and filters are in bfloat16, to be called under autocast.

    In a transformer, normalisation and what layers pass on beside each other stay in float32: a copy in bfloat16
    throughout is somewhat faster and its features are off by twice as much (``benchmarks/features``). Convolutions
    hand on bfloat16, so that a network of them has it in between too.
    """
    copied = copy.deepcopy(module)
    for layer in copied.modules():
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
            layer.to(torch.bfloat16)
    return copied


def feature_dim(config: Any) -> int:
    """Dimension of the last hidden state: networks in stages have a size for each."""
    own = getattr(config, "hidden_size", None)
    return int(own if own is not None else config.hidden_sizes[-1])


def weights_digest(module: torch.nn.Module) -> str:
    """sha256 over all parameters and buffers, bit for bit, hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class Encoder:
    """A pretrained encoder with what reads its inputs.

    Args:
        module: the model with fp32 weights; don't change them after the first :meth:`embed`.
        reader: turns texts or images into what the module is called with.
        digest: identifies everything that decides what it computes.
        precision: ``fp32``, or ``bf16`` for inference with matrix products and convolutions in bfloat16.
        pooling: a name in :data:`POOLINGS`.
        insert: layers that are attached to ``module`` beside its own; None without.
    """

    def __init__(
        self,
        module: Any,
        reader: Reader,
        *,
        digest: str,
        precision: str,
        pooling: str = "mean",
        insert: Insert | None = None,
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {PRECISIONS}, not {precision!r}")
        self.module = module
        self.reader = reader
        self.digest = digest
        self.precision = precision
        self.pooling = pooling
        self.insert = insert
        self._inference: Any = None

    @classmethod
    def load(
        cls, folder: Path, *, precision: str, max_length: int | None = None, random_seed: int | None = None
    ) -> Self:
        """Load an encoder from a folder after :func:`~acclimate.nn.preflight.preflight`.

        Args:
            folder: a model folder: text or vision, of a type the preflight knows.
            precision: ``fp32`` or ``bf16``.
            max_length: tokens of a text, or pixels of a image's side, that are read; None takes the model's own.
            random_seed: seed of random weights to use instead of the stored ones.

        Raises:
            ModelError: the preflight's; E-MODEL-012 a pooling that isn't known; 013 ``max_length`` beyond what the
                model reads; 014 and 015 weights that don't fit the architecture; 016 an encoder that is not installed.
        """
        preflight(folder)
        config = read_json(folder / "config.json")
        is_image = reads_images(config)
        if is_image:
            module: Any = image_module(folder, config, random_seed)
        elif random_seed is None:
            module = load_module(transformers.AutoModel, folder)
        else:
            module = random_module(folder, random_seed)
        # mean and cls pooling leave it unused; its parameters would be stored and never trained
        if getattr(module, "pooler", None) is not None and list(module.pooler.parameters()):
            module.pooler = None
        insert = read_insert(folder)
        if insert is not None:
            with loading(folder):
                module = insert.attached_to(module)
        digest = folder_digest(folder)
        if random_seed is not None:
            digest = hashlib.sha256(f"{digest} random:{random_seed}".encode()).hexdigest()
        return cls(
            module.eval(),
            ImageReader.load(folder, max_length) if is_image else TextReader.load(folder, module.config, max_length),
            digest=digest,
            precision=precision,
            pooling=IMAGE_MODEL_TYPES[str(config["model_type"])].pooling if is_image else declared_pooling(folder),
            insert=insert,
        )

    def with_module(self, module: Any, *, digest: str = "", insert: Insert | None = None) -> Encoder:
        """The same reader and settings around other weights, e.g. fine-tuned ones."""
        return Encoder(
            module, self.reader, digest=digest, precision=self.precision, pooling=self.pooling, insert=insert
        )

    def computing_in(self, precision: str) -> Encoder:
        """The same weights, read the same way, in another precision."""
        same: dict[str, Any] = {"digest": self.digest, "pooling": self.pooling, "insert": self.insert}
        return Encoder(self.module, self.reader, precision=precision, **same)

    @property
    def form(self) -> Literal["text", "patches", "map"]:
        """What its hidden states are of: tokens of a text, patches of an image, or the places of a map."""
        if not self.reads_images:
            return "text"
        return "patches" if self.pooling in ("mean", "cls") else "map"

    @property
    def reads_images(self) -> bool:
        """Whether its inputs are images, not texts."""
        return isinstance(self.reader, ImageReader)

    @property
    def max_length(self) -> int:
        """Tokens of a text, or pixels of a image's side, that are read."""
        return self.reader.limit

    @property
    def dim(self) -> int:
        """Dimension of the pooled vector."""
        return feature_dim(self.module.config)

    @property
    def features_key(self) -> str:
        """Identifies what :meth:`embed` computes: digest, precision, reading, pooling."""
        precision = "bf16-products" if self.precision == "bf16" else self.precision
        if self.reads_images:
            precision += "-folded"
        return f"{self.digest} {precision} {self.reader.key} {self.pooling}"

    def embed(self, inputs: Inputs, *, progress: Progress = silent) -> np.ndarray:
        """Pooled features of texts or images, in their order.

        Args:
            inputs: n texts or n encoded images; an empty text gives the features of its special tokens.
            progress: told after each batch.

        Returns:
            float32 [n, dim]. The same inputs in the same order give the same bits; among others a row may differ in
            the last digits, because its batch has another shape.
        """
        prepared = self.reader.prepare(inputs)
        features = np.empty((len(inputs), self.dim), dtype=np.float32)
        module, done = self._inference_module(), 0
        in_bf16 = torch.autocast(device_of(module).type, torch.bfloat16, enabled=self.precision == "bf16")
        with torch.inference_mode(), in_bf16:
            for rows in token_batches(prepared.sizes, token_budget=TOKEN_BUDGET):
                features[rows] = pooled(module, on(device_of(module), prepared.batch(rows)), self.pooling).cpu().numpy()
                done += len(rows)
                progress("embed", done=done, of=len(inputs))
        return features

    def _inference_module(self) -> Any:
        if self._inference is None:
            self.module.eval()
            module = folded(self.module)
            self._inference = with_bf16_products(module) if self.precision == "bf16" else module
        return self._inference


def cached_embeddings(encoder: Encoder, inputs: Inputs, cache: Path, progress: Progress = silent) -> np.ndarray:
    """Like :meth:`Encoder.embed`, read from ``cache`` when the same features were stored there before."""
    path = cache / features_name(encoder.features_key, inputs)
    stored = load_features(path, rows=len(inputs), dim=encoder.dim)
    if stored is not None:
        return stored
    features = encoder.embed(inputs, progress=progress)
    store_features(path, features)
    return features
