"""How probable a model finds given answers, and which of their tokens it would have written itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from acclimate.nn.causal.packing import Pack, packed
from acclimate.nn.causal.reader import AnswerRows

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class AnswerScores:
    """A model on given answers, a row each.

    Args:
        table: float32 ``[n, 3]``: summed negative log-likelihood of the answer in nats; its tokens, the end included;
            how many of them are the model's own first choice behind those before.
    """

    table: npt.NDArray[np.float32]

    @property
    def perplexity(self) -> float:
        """The exponential of the mean negative log-likelihood of a token, over all rows."""
        return float(np.exp(self.loss))

    @property
    def loss(self) -> float:
        """Mean negative log-likelihood of a token over all rows, nats."""
        nll, tokens, _ = self.table.astype(np.float64).sum(axis=0)
        return float(nll / tokens)

    @property
    def row_loss(self) -> FloatArray:
        """The same for each row, ``[n]``."""
        return np.asarray(self.table[:, 0] / self.table[:, 1], dtype=np.float64)

    @property
    def token_accuracy(self) -> FloatArray:
        """Share of a row's tokens that are the model's first choice, ``[n]``."""
        return np.asarray(self.table[:, 2] / self.table[:, 1], dtype=np.float64)

    @property
    def would_write(self) -> FloatArray:
        """1 where greedy decoding would write exactly this answer and stop, ``[n]``."""
        return np.asarray(self.table[:, 2] == self.table[:, 1], dtype=np.float64)


def _all(packs: list[list[int]]) -> Iterator[tuple[list[int], bool]]:
    return ((chosen, True) for chosen in packs)


def answer_scores(
    logits: Callable[[Pack], torch.Tensor],
    data: AnswerRows,
    *,
    own: Callable[[list[list[int]]], Iterator[tuple[list[int], bool]]] = _all,
    told: Callable[[int], None] = lambda _: None,
) -> npt.NDArray[np.float32]:
    """The table of :class:`AnswerScores`.

    Args:
        logits: gives a pack's logits ``[a, V]``.
        data: the rows.
        own: which of the packs to compute, and whether each counts; the rows of the others stay 0.
        told: told the number of rows that are done, after each pack.
    """
    table = np.zeros((len(data), 3), dtype=np.float32)
    done = 0
    with torch.no_grad():
        for chosen, counts in own(packed(data.sizes, range(len(data)))):
            pack = Pack.of(data, chosen)
            found = logits(pack).float().cpu()
            if not counts:
                continue
            losses = torch.nn.functional.cross_entropy(found, pack.targets, reduction="none")
            right = (found.argmax(dim=1) == pack.targets).float()
            columns = torch.stack([losses, torch.ones_like(losses), right], dim=1)  # [a, 3]
            sums = torch.zeros(len(chosen), 3).index_add_(0, pack.rows, columns)
            table[list(chosen)] = sums.numpy()
            done += len(chosen)
            told(done)
    return table
