"""Several rows in one sequence, each blind to the others: no padding is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from acclimate.nn.causal.reader import AnswerRows

# attention over a pack is computed in full, so that a longer one costs more for each token
PACK_TOKENS = 512


@dataclass(frozen=True)
class Pack:
    """Rows one after the other, ``T`` tokens with ``a`` to be written.

    Args:
        ids: int64 ``[1, T]``.
        positions: of each token in its own row, int64 ``[1, T]``; where they start again at 0 a row begins, which is
            how transformers knows that it must not look back.
        reads: places whose next token is to be written, int64 ``[a]``.
        targets: those tokens, int64 ``[a]``.
        rows: which of the packed rows each belongs to, int64 ``[a]``.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    reads: torch.Tensor
    targets: torch.Tensor
    rows: torch.Tensor

    @classmethod
    def of(cls, data: AnswerRows, chosen: Sequence[int]) -> Pack:
        """Pack some rows in the order asked for."""
        ids = [torch.as_tensor(data.ids[row], dtype=torch.int64) for row in chosen]
        lengths = [len(one) for one in ids]
        offsets = [sum(lengths[:i]) for i in range(len(lengths))]
        # a token is written by what stands before it
        reads = [
            offset + torch.arange(data.starts[row] - 1, length - 1)
            for row, offset, length in zip(chosen, offsets, lengths, strict=True)
        ]
        return cls(
            ids=torch.cat(ids).unsqueeze(0),
            positions=torch.cat([torch.arange(length) for length in lengths]).unsqueeze(0),
            reads=torch.cat(reads),
            targets=torch.cat([one[data.starts[row] :] for row, one in zip(chosen, ids, strict=True)]),
            rows=torch.cat([torch.full((len(one),), i, dtype=torch.int64) for i, one in enumerate(reads)]),
        )


def packed(sizes: Sequence[int], rows: Sequence[int], *, tokens: int = PACK_TOKENS) -> list[list[int]]:
    """Which rows go into one pack: the longest first, each into the first that has room.

    Args:
        sizes: tokens of every row.
        rows: the rows to pack.
        tokens: of a pack; a longer row has one of its own.

    Returns:
        Every row exactly once.

    Source:
        First-fit decreasing, Johnson 1973: at most 11/9 of the fewest packs and one more.
    """
    packs: list[list[int]] = []
    room: list[int] = []
    for row in sorted(rows, key=lambda row: (-sizes[row], row)):
        place = next((i for i, left in enumerate(room) if sizes[row] <= left), None)
        if place is None:
            packs.append([])
            room.append(tokens)
            place = len(packs) - 1
        packs[place].append(row)
        room[place] -= sizes[row]
    return packs
