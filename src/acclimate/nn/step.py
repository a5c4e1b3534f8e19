"""One training step, by one worker or by several that share a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch

from acclimate.nn.devices import CPU, generators
from acclimate.nn.encoder import Encoder
from acclimate.nn.job import Job, LabelledRows
from acclimate.nn.model import Classifier, normalise
from acclimate.nn.penalties import FeaturePenalty, Penalties, PenaltyBatch
from acclimate.nn.readers import Batch, Prepared, on
from acclimate.nn.sharding import AnyCompute

# activations of all layers are kept until the backward pass, so memory follows the padded tokens of a part
PART_TOKENS = 2048
# of pixels, for training rows and for validation rows each: 3,566 images of 224 x 224 pixels
KEPT_BYTES = 2**29
WITHOUT = Penalties()
Part = TypeVar("Part")


def _alone(values: torch.Tensor) -> None:
    """The sum over one worker."""


@dataclass(frozen=True)
class Workers:
    """Who trains together.

    Args:
        rank: this worker's number, from 0; worker 0 writes and reports.
        world: number of workers.
        add_up: replaces a tensor's values by their sum over all workers, in place.
        device: what this worker computes on.
        sharded: each holds a part of the model. All must then compute as often as the others, or all would wait.
    """

    rank: int = 0
    world: int = 1
    add_up: Callable[[torch.Tensor], None] = _alone
    device: torch.device = CPU
    sharded: bool = False

    def turns(self, shares: Sequence[Sequence[Part]], idle: Part, *, least: int = 0) -> Iterator[tuple[Part, bool]]:
        """What this worker computes, and whether that counts.

        Args:
            shares: what each worker has to compute.
            idle: what it computes when it has nothing left: to come to the least, and sharded while others have more.
            least: turns that it takes in any case.
        """
        own = shares[self.rank]
        yield from ((part, True) for part in own)
        done = max(len(own), least)
        yield from [(idle, False)] * (done - len(own))
        if self.sharded:
            # the next batch draws the same numbers as without these
            with torch.random.fork_rng(devices=generators(self.device)):
                yield from [(idle, False)] * (max(map(len, shares)) - done)


@dataclass(frozen=True)
class Rows:
    """Prepared inputs and their classes."""

    prepared: Prepared
    labels: torch.Tensor

    @classmethod
    def of(cls, encoder: Encoder, labelled: LabelledRows) -> Rows:
        """Prepare rows as an encoder reads them, to be asked for in every epoch."""
        prepared = encoder.reader.prepare(labelled.inputs, kept_bytes=KEPT_BYTES)
        return cls(prepared, torch.as_tensor(labelled.labels, dtype=torch.int64))

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.labels)

    def batch(self, rows: Sequence[int], device: torch.device) -> tuple[Batch, torch.Tensor]:
        """Inputs and classes int64 [B] of some rows, on a device."""
        return on(device, self.prepared.batch(rows)), self.labels[list(rows)].to(device)

    @cached_property
    def sizes(self) -> list[int]:
        """What each row costs, in tokens."""
        return self.prepared.sizes


def optimizer_for(
    job: Job, parameters: Mapping[str, torch.nn.Parameter], rates: Mapping[str, float] | None = None
) -> torch.optim.AdamW:
    """AdamW with bias correction; no decay on biases and normalisation, which are the vectors, nor beside L2-SP.

    Args:
        job: gives rate and decay.
        parameters: what is trained, by name.
        rates: share of the learning rate by name; 1 where it says nothing. Each group of the optimizer keeps its own
            under ``share``.
    """
    shares = rates or {}
    groups: dict[tuple[bool, float], list[torch.nn.Parameter]] = {}
    for name, parameter in parameters.items():
        groups.setdefault((parameter.ndim > 1, shares.get(name, 1.0)), []).append(parameter)
    rate = float(job.settings["learning_rate"])
    decay = 0.0 if job.settings.get("l2_sp") else job.weight_decay
    return torch.optim.AdamW(
        [
            {"params": params, "weight_decay": decay * decays, "lr": rate * share, "share": share}
            for (decays, share), params in groups.items()
        ],
        lr=rate,
        fused=True,
    )


def gradients(
    compute: AnyCompute[Classifier],
    data: Rows,
    rows: Sequence[int],
    workers: Workers,
    penalties: Penalties = WITHOUT,
) -> float:
    """Add the gradient of a batch's mean loss to that of the trained weights.

    It is the same for any number of workers, dropout and rounding apart, and but for a model that learns the statistics
    of batch normalisation: there each worker normalises by its own rows.

    Each worker takes its share of the rows. Shares may differ in size, so losses are summed and divided by the rows
    of the whole batch, and gradients added up.

    Returns:
        Summed cross-entropy of this worker's rows, nats; penalties are not in it.
    """
    own = rows[workers.rank :: workers.world]
    total = 0.0
    if compute.model.learns_statistics:
        # one row has no spread to normalise by, and none of its own must not count
        normalise(compute.model, by_batch=len(own) > 1)
    whole = bool(penalties.of_features) or compute.model.learns_statistics
    shares = [_parts(rows[rank :: workers.world], data, whole=whole) for rank in range(workers.world)]
    # a worker without rows still needs a gradient of the same shapes
    for part, counts in workers.turns(shares, rows[:1], least=1):
        inputs, labels = data.batch(part, compute.device)
        features, logits = compute.model.outputs(inputs)
        losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
        summed = losses.sum()
        batch = PenaltyBatch(list(part), inputs, features, logits)
        objective = (summed + sum(penalty(batch) for penalty in penalties.of_rows)) / len(rows)
        if not counts:
            objective = objective * 0.0
        for feature_penalty in penalties.of_features:
            objective = objective + _spread(feature_penalty, features if own else features[:0], len(rows), workers)
        torch.autograd.backward(objective)
        compute.collect()
        total += float(summed.detach()) if counts else 0.0
    if workers.world > 1:
        compute.add_up_gradients(workers.add_up)
    for weight_penalty in penalties.of_weights:
        weight_penalty.add_gradient()
    return total


def _spread(penalty: FeaturePenalty, own: torch.Tensor, rows: int, workers: Workers) -> torch.Tensor:
    """A scalar whose gradient is that of a penalty on the features of all workers' rows, with respect to one's own."""
    if workers.world == 1:
        return penalty(own)
    everything = own.new_zeros((rows, own.shape[1]))
    everything[workers.rank :: workers.world] = own.detach()
    workers.add_up(everything)
    everything.requires_grad_(True)
    (slope,) = torch.autograd.grad(penalty(everything), everything)
    return (own * slope[workers.rank :: workers.world]).sum()


def _parts(rows: Sequence[int], data: Rows, *, whole: bool) -> list[Sequence[int]]:
    """Rows in parts of a bounded number of padded tokens: long texts then cost time, not memory.

    A penalty on the features of a whole batch needs them all at once, and so do the statistics of batch normalisation.
    """
    if whole or not rows:
        return [rows] * bool(rows)
    size = max(1, PART_TOKENS // max(data.sizes[row] for row in rows))
    return [rows[start : start + size] for start in range(0, len(rows), size)]
