"""What stands between a user's rows and an encoder: texts become tokens, images become pixels.

A reader prepares rows once and gives them out in batches; nothing after it knows which of the two it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from acclimate.errors import DataError
from acclimate.examples import Inputs
from acclimate.nn.loading import loading, quiet, reading_length
from acclimate.nn.token_table import TokenTable, tokenized

Kind = TypeVar("Kind", str, bytes)
#: What a module is called with, by argument: ``input_ids`` and ``attention_mask`` [B, T], or ``pixel_values``
#: [B, 3, H, W].
Batch = dict[str, torch.Tensor]


def on(device: torch.device, batch: Batch) -> Batch:
    """A batch on a device; the same tensors where they are there already."""
    return {name: value.to(device) for name, value in batch.items()}


def only(kind: type[Kind], inputs: Inputs) -> list[Kind]:
    """The inputs, all of which must be of one kind.

    Raises:
        DataError: E-PREDICT-003, one is not: a missing value, or a text for an encoder of images.
    """
    found = [one for one in inputs if isinstance(one, kind)]
    if len(found) < len(inputs):
        row, wrong = next((i, one) for i, one in enumerate(inputs) if not isinstance(one, kind))
        reads = "texts" if kind is str else "images, as encoded bytes"
        raise DataError(
            "E-PREDICT-003",
            f"the model reads {reads}, not {type(wrong).__name__}",
            where=f"row {row}, counted from 0",
            hint="fill missing values, or leave the row out",
        )
    return found


class Prepared(Protocol):
    """Rows that are ready to be batched."""

    @property
    def sizes(self) -> list[int]:
        """What each row costs, in tokens; batches are filled up to a number of them."""

    def batch(self, rows: Sequence[int]) -> Batch:
        """Some rows as one batch, in the order asked for."""


class Reader(Protocol):
    """Reads the inputs of one kind of encoder."""

    @property
    def limit(self) -> int:
        """How much of an input is read: tokens of a text, pixels of a image's side."""

    @property
    def key(self) -> str:
        """Identifies how inputs are read, beside the digest of the model's files."""

    def prepare(self, inputs: Inputs, *, kept_bytes: int = 0) -> Prepared:
        """Make rows ready.

        Args:
            inputs: the rows.
            kept_bytes: memory for what is costly to make and would be made again each time a row is asked for.
        """

    def save(self, folder: Path) -> None:
        """Write what :func:`~acclimate.nn.encoder.Encoder.load` needs to read inputs the same way."""


class TokenRows:
    """Texts as token ids.

    Args:
        ids: of each row, at least one.
        padding: the id that fills a batch up; it is masked wherever it stands, so any will do.
    """

    def __init__(self, ids: TokenTable, padding: int) -> None:
        self.ids = ids
        self.padding = padding

    @property
    def sizes(self) -> list[int]:
        """Tokens of each row."""
        return self.ids.sizes

    def batch(self, rows: Sequence[int]) -> Batch:
        """``input_ids`` and ``attention_mask`` of some rows, int64 [B, T]."""
        chosen = [self.ids[row] for row in rows]
        longest = max(len(row) for row in chosen)
        ids = torch.full((len(chosen), longest), self.padding, dtype=torch.int64)
        mask = torch.zeros((len(chosen), longest), dtype=torch.int64)
        for i, row in enumerate(chosen):
            ids[i, : len(row)] = torch.from_numpy(row)
            mask[i, : len(row)] = 1
        return {"input_ids": ids, "attention_mask": mask}


class TextReader:
    """A tokenizer and how much of a text is read.

    Args:
        tokenizer: of transformers.
        limit: tokens of a text that are read.
    """

    def __init__(self, tokenizer: Any, limit: int) -> None:
        self.tokenizer = tokenizer
        self._limit = limit
        self._padding = int(tokenizer.pad_token_id or 0)

    @classmethod
    def load(cls, folder: Path, config: Any, limit: int | None) -> TextReader:
        """The tokenizer of a model's folder; ``limit`` None takes the model's own, at most 256.

        Raises:
            ModelError: E-MODEL-013, ``limit`` is beyond the model's positions; 014, the tokenizer can't be loaded.
        """
        import transformers

        with loading(folder):
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                folder, trust_remote_code=False, local_files_only=True
            )
        return cls(tokenizer, reading_length(folder, config, limit))

    @property
    def limit(self) -> int:
        """Tokens of a text that are read."""
        return self._limit

    @property
    def key(self) -> str:
        """The number of tokens that are read."""
        return str(self._limit)

    def prepare(self, inputs: Inputs, *, kept_bytes: int = 0) -> TokenRows:  # noqa: ARG002 - all tokens are kept
        """Tokenize texts, special tokens included, cut at :attr:`limit`.

        Raises:
            DataError: E-PREDICT-003, a row is no text.
        """
        texts = only(str, inputs)
        rows = tokenized(self.tokenizer, texts, truncation=True, max_length=self._limit, padding=False)
        # a tokenizer without special tokens gives none for an empty text
        return TokenRows(TokenTable.of(ids or [self._padding] for ids in rows), self._padding)

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files."""
        with quiet():
            # the last call's truncation is kept in it, and would be written: the same model, other bytes
            self.tokenizer.backend_tokenizer.no_truncation()
            self.tokenizer.backend_tokenizer.no_padding()
            self.tokenizer.save_pretrained(folder)
