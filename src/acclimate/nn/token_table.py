"""Token ids of many rows in one table: lists of Python's numbers take several times its memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

# beside the ids a tokenizer holds places, types and words of all that it is given at once
AT_ONCE = 2048


class TokenTable:
    """Rows of token ids, each int32 of its own length; they are views, not to be changed.

    Args:
        flat: the ids of all rows, one row after the other, int32.
        sizes: tokens of each row.
    """

    def __init__(self, flat: np.ndarray, sizes: list[int]) -> None:
        self.flat = flat
        self.sizes = sizes
        self._ends = np.cumsum(sizes, dtype=np.int64)

    @classmethod
    def of(cls, rows: Iterable[Sequence[int]]) -> TokenTable:
        """A table of rows that are read once."""
        flat, sizes = array("i"), list[int]()
        for ids in rows:
            flat.extend(ids)
            sizes.append(len(ids))
        return cls(np.frombuffer(flat, dtype=np.int32), sizes)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.sizes)

    def __getitem__(self, row: int) -> np.ndarray:
        """The ids of a row."""
        end = int(self._ends[row])
        return self.flat[end - self.sizes[row] : end]

    def __iter__(self) -> Iterator[np.ndarray]:
        """The ids of each row."""
        return (self[row] for row in range(len(self)))


def tokenized(tokenizer: Any, texts: Sequence[str], **how: Any) -> Iterator[list[int]]:
    """Token ids of each text, a part of the texts at a time.

    Args:
        tokenizer: of transformers.
        texts: any number.
        how: what else the tokenizer is called with; it must not pad to the longest of a call.
    """
    for start in range(0, len(texts), AT_ONCE):
        yield from tokenizer(list(texts[start : start + AT_ONCE]), return_attention_mask=False, **how)["input_ids"]
