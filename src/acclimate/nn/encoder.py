"""A pretrained text encoder: texts in, one pooled vector each out."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import transformers

from acclimate.nn.batching import token_batches
from acclimate.nn.feature_cache import features_name, load_features, store_features
from acclimate.nn.inserts import Insert
from acclimate.nn.inserts.stored import read_insert
from acclimate.nn.loading import declared_pooling, load_module, loading, quiet, random_module, reading_length
from acclimate.nn.preflight import preflight
from acclimate.nn.source_card import folder_digest, source_card
from acclimate.ports import Progress, silent

__all__ = ["Encoder", "cached_embeddings", "folder_digest", "pool", "quiet", "source_card", "weights_digest"]

PRECISIONS = ("fp32", "bf16")
# small batches stay in the cores' cache: 1,024 tokens ran at 335 rows/s in fp32 where 4,096 ran at 217
TOKEN_BUDGET = 1024


def pool(hidden: torch.Tensor, attention_mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """One vector a text from one vector a token, in float32.

    Args:
        hidden: last hidden state [B, T, d], any float type.
        attention_mask: 1 for tokens, 0 for padding [B, T].
        pooling: ``mean`` over the mask, or ``cls``, the first token.

    Returns:
        float32 [B, d].
    """
    if pooling == "cls":
        return hidden[:, 0].float()
    mask = attention_mask.unsqueeze(-1).float()  # [B, T, 1]
    return (hidden.float() * mask).sum(dim=1) / mask.sum(dim=1)  # [B, d]


def weights_digest(module: torch.nn.Module) -> str:
    """sha256 over all parameters and buffers, bit for bit, hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class Encoder:
    """A text encoder with its tokenizer.

    Args:
        module: transformers model with fp32 weights; don't change them after the first :meth:`embed`.
        tokenizer: its tokenizer.
        digest: identifies everything that decides what it computes.
        max_length: tokens of a text that are read.
        precision: ``fp32``, or ``bf16`` for inference on a bfloat16 copy of the weights.
        pooling: ``mean`` or ``cls``.
        insert: layers that are attached to ``module`` beside its own; None without.
    """

    def __init__(
        self,
        module: Any,
        tokenizer: Any,
        *,
        digest: str,
        max_length: int,
        precision: str,
        pooling: str = "mean",
        insert: Insert | None = None,
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {PRECISIONS}, not {precision!r}")
        self.module = module
        self.tokenizer = tokenizer
        self.digest = digest
        self.max_length = max_length
        self.precision = precision
        self.pooling = pooling
        self.insert = insert
        self._inference: Any = None
        # masked wherever it stands, so any id will do
        self._padding = int(tokenizer.pad_token_id or 0)

    @classmethod
    def load(
        cls, folder: Path, *, precision: str, max_length: int | None = None, random_seed: int | None = None
    ) -> Self:
        """Load an encoder from a folder after :func:`~acclimate.nn.preflight.preflight`.

        Args:
            folder: a transformers model folder.
            precision: ``fp32`` or ``bf16``.
            max_length: tokens of a text that are read; None takes the model's own, at most 256.
            random_seed: seed of random weights to use instead of the stored ones.

        Raises:
            ModelError: the preflight's; E-MODEL-012 other pooling than mean and cls; 013 ``max_length`` beyond the
                model's positions; 014 and 015 weights that don't fit the architecture.
        """
        preflight(folder)
        module: Any = (
            load_module(transformers.AutoModel, folder) if random_seed is None else random_module(folder, random_seed)
        )
        with loading(folder):
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                folder, trust_remote_code=False, local_files_only=True
            )
        # mean and cls pooling leave it unused; without it every parameter gets a gradient
        if getattr(module, "pooler", None) is not None:
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
            tokenizer,
            digest=digest,
            max_length=reading_length(folder, module.config, max_length),
            precision=precision,
            pooling=declared_pooling(folder),
            insert=insert,
        )

    def with_module(self, module: Any, *, digest: str = "", insert: Insert | None = None) -> Encoder:
        """The same tokenizer and settings around other weights, e.g. fine-tuned ones."""
        return Encoder(
            module,
            self.tokenizer,
            digest=digest,
            max_length=self.max_length,
            precision=self.precision,
            pooling=self.pooling,
            insert=insert,
        )

    @property
    def dim(self) -> int:
        """Dimension of the pooled vector."""
        return int(self.module.config.hidden_size)

    @property
    def features_key(self) -> str:
        """Identifies what :meth:`embed` computes: digest, precision, length, pooling."""
        return f"{self.digest} {self.precision} {self.max_length} {self.pooling}"

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, special tokens included, cut at ``max_length``."""
        if not texts:
            return []
        encoded = self.tokenizer(
            list(texts), truncation=True, max_length=self.max_length, padding=False, return_attention_mask=False
        )
        # a tokenizer without special tokens gives none for an empty text
        return [list(ids) or [self._padding] for ids in encoded["input_ids"]]

    def pad(self, rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Stack token ids of one batch.

        Returns:
            Ids and attention mask, int64 of shape [B, T].
        """
        longest = max(len(row) for row in rows)
        ids = torch.full((len(rows), longest), self._padding, dtype=torch.int64)
        mask = torch.zeros((len(rows), longest), dtype=torch.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.as_tensor(row)
            mask[i, : len(row)] = 1
        return ids, mask

    def embed(self, texts: Sequence[str], *, progress: Progress = silent) -> np.ndarray:
        """Pooled features of texts, in their order.

        Args:
            texts: n texts; an empty one gives the features of its special tokens.
            progress: told after each batch.

        Returns:
            float32 [n, dim]. The same texts in the same order give the same bits; among other texts a row may differ
            in the last digits, because its batch has another shape.
        """
        tokens = self.tokenize(texts)
        features = np.empty((len(tokens), self.dim), dtype=np.float32)
        module, done = self._inference_module(), 0
        with torch.inference_mode():
            for rows in token_batches([len(row) for row in tokens], token_budget=TOKEN_BUDGET):
                ids, mask = self.pad([tokens[row] for row in rows])
                hidden = module(input_ids=ids, attention_mask=mask).last_hidden_state  # [B, T, d]
                features[rows] = pool(hidden, mask, self.pooling).numpy()
                done += len(rows)
                progress("embed", done=done, of=len(tokens))
        return features

    def _inference_module(self) -> Any:
        if self._inference is None:
            self.module.eval()
            bf16 = self.precision == "bf16"
            self._inference = copy.deepcopy(self.module).to(torch.bfloat16) if bf16 else self.module
        return self._inference


def cached_embeddings(encoder: Encoder, texts: Sequence[str], cache: Path, progress: Progress = silent) -> np.ndarray:
    """Like :meth:`Encoder.embed`, read from ``cache`` when the same features were stored there before."""
    path = cache / features_name(encoder.features_key, texts)
    stored = load_features(path, rows=len(texts), dim=encoder.dim)
    if stored is not None:
        return stored
    features = encoder.embed(texts, progress=progress)
    store_features(path, features)
    return features
