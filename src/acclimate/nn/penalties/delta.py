"""DELTA: hidden states may not leave the source's, the more so in channels the source's answers depend on.

weight * sum_j attention_j ||FM_j - FM_j^0||^2, where FM_j is channel j of a block's hidden states over the tokens of a
row. attention is the softmax, over the channels of a block, of how much the probe's loss rises when the channel is
zeroed.

Source: Li et al. 2019 (DELTA), eq. 4 and 6. There the feature maps are those of convolutions and are averaged over
positions; here positions are the row's tokens or the places of a map. The middle and the last block stand for the
network's stages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from acclimate.examples import chosen
from acclimate.nn.devices import device_of
from acclimate.nn.encoder import called, pool
from acclimate.nn.layer_groups import blocks_of
from acclimate.nn.model import Classifier
from acclimate.nn.readers import on

if TYPE_CHECKING:
    from acclimate.nn.penalties import PenaltyBatch, Start

ATTENTION_ROWS = 16
# of a convolution's hidden states
MAP_DIMS = 4


class _Watched:
    """The hidden states that some blocks gave when their model last ran."""

    def __init__(self, encoder: Any) -> None:
        self._blocks = watched_blocks(encoder)
        self._seen: dict[int, torch.Tensor] = {}
        for i, block in enumerate(self._blocks):
            block.register_forward_hook(partial(self._see, i))

    def _see(self, i: int, _block: Any, _given: Any, output: Any) -> None:
        self._seen[i] = by_position(_hidden(output))

    def take(self) -> list[torch.Tensor]:
        """The hidden states [B, T, d], block by block; kept no longer."""
        return [self._seen.pop(i) for i in range(len(self._blocks))]


def watched_blocks(encoder: Any) -> list[torch.nn.Module]:
    """The middle and the last block."""
    blocks = list(blocks_of(encoder).values())
    return [blocks[(len(blocks) - 1) // 2], blocks[len(blocks) - 1]]


class Delta:
    """The penalty of hidden states that leave the source's.

    Args:
        weight: its weight.
        model: the classifier that is trained.
        source: a frozen copy of it at its start.
        attention: weight of each channel, [d] for each of the two blocks, sums to 1.
    """

    def __init__(self, weight: float, model: Classifier, source: Any, attention: list[torch.Tensor]) -> None:
        self._weight = weight
        self._attention = attention
        self._source = source
        self._states, self._source_states = _Watched(model.encoder), _Watched(source)

    def __call__(self, batch: PenaltyBatch) -> torch.Tensor:
        """The squared distances summed over the rows, each row's averaged over its tokens."""
        states = self._states.take()
        with torch.no_grad():
            called(self._source, batch.inputs)
        total = batch.logits.new_zeros(())
        mask = batch.inputs.get("attention_mask")
        for here, there, attention in zip(states, self._source_states.take(), self._attention, strict=True):
            distance = pool((here.float() - there.float()) ** 2, mask, "mean")  # [b, d]
            total = total + (distance @ attention).sum()
        return self._weight * total


def make(start: Start, weight: float) -> Delta:
    """The penalty with its attention measured on some training rows."""
    source = deepcopy(start.model.encoder).eval().requires_grad_(False)
    return Delta(weight, start.model, source, channel_attention(start))


def channel_attention(start: Start) -> list[torch.Tensor]:
    """Softmax over channels of the loss increase when a channel is zeroed, [d] for each of the two blocks."""
    job, model = start.job, start.model
    rows = torch.arange(len(job.train))[:: max(1, len(job.train) // ATTENTION_ROWS)][:ATTENTION_ROWS]
    batch = start.encoder.reader.prepare(chosen(job.train.inputs, rows.tolist())).batch(range(len(rows)))
    device = device_of(model)
    batch, labels = on(device, batch), torch.as_tensor(job.train.labels[rows.numpy()], dtype=torch.int64).to(device)
    was_training = model.training
    model.eval()

    def loss() -> float:
        return float(torch.nn.functional.cross_entropy(model(batch), labels))

    found = []
    with torch.no_grad():
        plain = loss()
        for block in watched_blocks(model.encoder):
            increases = []
            for channel in range(_width(block, lambda: model(batch))):
                with _zeroed(block, channel):
                    increases.append(loss() - plain)
            found.append(torch.softmax(torch.tensor(increases), dim=0).to(device))
    model.train(was_training)
    return found


def by_position(hidden: torch.Tensor) -> torch.Tensor:
    """Hidden states as [B, positions, channels]: a view, also of a convolution's [B, channels, H, W]."""
    return hidden.flatten(2).transpose(1, 2) if hidden.ndim == MAP_DIMS else hidden


def _hidden(output: Any) -> torch.Tensor:
    """The hidden state in what a block gave."""
    hidden: torch.Tensor = output[0] if isinstance(output, tuple) else output
    return hidden


def _width(block: Any, run: Callable[[], object]) -> int:
    """Channels of a block."""
    widths: list[int] = []

    def measure(_block: Any, _given: Any, output: Any) -> None:
        widths.append(by_position(_hidden(output)).shape[-1])

    handle = block.register_forward_hook(measure)
    run()
    handle.remove()
    return widths[0]


@contextmanager
def _zeroed(block: Any, channel: int) -> Iterator[None]:
    def zero(_block: Any, _given: Any, output: Any) -> Any:
        changed = _hidden(output).clone()
        if changed.ndim == MAP_DIMS:
            changed[:, channel] = 0
        else:
            changed[..., channel] = 0
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    handle = block.register_forward_hook(zero)
    try:
        yield
    finally:
        handle.remove()
