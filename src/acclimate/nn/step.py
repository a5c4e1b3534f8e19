"""One training step, by one worker or by several that share a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from acclimate.nn.encoder import Encoder
from acclimate.nn.job import TrainJob
from acclimate.nn.model import TextClassifier

# activations of all layers are kept until the backward pass, so memory follows the padded tokens of a part
PART_TOKENS = 2048


def _alone(values: torch.Tensor) -> None:
    """The sum over one worker."""


@dataclass(frozen=True)
class Workers:
    """Who trains together.

    Args:
        rank: this worker's number, from 0; worker 0 writes and reports.
        world: number of workers.
        add_up: replaces a tensor's values by their sum over all workers, in place.
    """

    rank: int = 0
    world: int = 1
    add_up: Callable[[torch.Tensor], None] = _alone


@dataclass(frozen=True)
class Tokens:
    """Token ids of each row and its class, with the encoder that pads them."""

    encoder: Encoder
    ids: list[list[int]]
    labels: torch.Tensor

    @classmethod
    def of(cls, encoder: Encoder, texts: Sequence[str], labels: object) -> Tokens:
        """Tokenize texts."""
        return cls(encoder, encoder.tokenize(texts), torch.as_tensor(labels, dtype=torch.int64))

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row."""
        return [len(row) for row in self.ids]

    def batch(self, rows: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Ids [B, T], mask [B, T] and classes [B] of some rows."""
        ids, mask = self.encoder.pad([self.ids[row] for row in rows])
        return ids, mask, self.labels[list(rows)]


def optimizer_for(job: TrainJob, parameters: dict[str, torch.nn.Parameter]) -> torch.optim.AdamW:
    """AdamW with bias correction; no decay on biases and normalisation, which are the vectors."""
    groups = [
        {"params": [p for p in parameters.values() if p.ndim > 1], "weight_decay": job.weight_decay},
        {"params": [p for p in parameters.values() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=float(job.settings["learning_rate"]), fused=True)


def logits_of(job: TrainJob, model: TextClassifier, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Logits [B, C] in float32; matrix products in bfloat16 where the job says so."""
    with torch.autocast("cpu", torch.bfloat16, enabled=job.precision == "bf16"):
        logits: torch.Tensor = model(ids, mask)
    return logits


def gradients(job: TrainJob, model: TextClassifier, tokens: Tokens, rows: Sequence[int], workers: Workers) -> float:
    """Add the gradient of a batch's mean loss; the same for any number of workers, dropout and rounding apart.

    Each worker takes its share of the rows. Shares may differ in size, so losses are summed and divided by the rows
    of the whole batch, and gradients added up.

    Returns:
        Summed cross-entropy of this worker's rows, nats.
    """
    own = rows[workers.rank :: workers.world]
    total = 0.0
    # a worker without rows still needs a gradient of the same shapes
    for part in _parts(own, tokens) or [rows[:1]]:
        ids, mask, labels = tokens.batch(part)
        losses = torch.nn.functional.cross_entropy(logits_of(job, model, ids, mask), labels, reduction="none")
        summed = losses.sum() if own else losses.sum() * 0.0
        torch.autograd.backward(summed / len(rows))
        total += float(summed.detach())
    if workers.world > 1:
        _add_up_gradients(model, workers)
    return total


def _parts(rows: Sequence[int], tokens: Tokens) -> list[Sequence[int]]:
    """Rows in parts of a bounded number of padded tokens: long texts then cost time, not memory."""
    if not rows:
        return []
    size = max(1, PART_TOKENS // max(len(tokens.ids[row]) for row in rows))
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _add_up_gradients(model: TextClassifier, workers: Workers) -> None:
    parts = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([part.reshape(-1) for part in parts])
    workers.add_up(flat)
    start = 0
    for part in parts:
        part.copy_(flat[start : start + part.numel()].view_as(part))
        start += part.numel()
