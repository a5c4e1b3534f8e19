"""What a training strategy is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from acclimate.nn.layer_groups import layer_groups
from acclimate.nn.trainable import Trainable

#: ``text``: hidden states of tokens; ``causal``: of tokens that see only those before; ``patches``: of an image's
#: patches; ``map``: a convolution's, by place.
Form = Literal["text", "causal", "patches", "map"]
Settings = Mapping[str, Any]
Rates = Mapping[str, float]


def the_same_rate(model: Trainable, settings: Settings) -> Rates:  # noqa: ARG001 - no settings of its own
    """Rates: every parameter learns at the strategy's learning rate."""
    return {}


def nothing_to_merge(model: Trainable) -> None:
    """Merge: nothing was added to the model."""


@dataclass(frozen=True)
class Strategy:
    """One way to adapt a source model; what is said of it beforehand: :mod:`acclimate.core.strategy_traits`.

    Args:
        name: its name in configs and records.
        role: ``arm``: a candidate; ``control``: trained only to be compared with.
        starts_from_probe: True: the source's weights and the baseline's probe as head, so that the logits at
            step 0 are the probe's. False: all weights random.
        prepare: ``prepare(model, settings)`` changes the classifier in place and sets ``requires_grad`` of every
            parameter: what is True is trained. Random numbers come from torch's generator, seeded by the caller.
        merge: ``merge(model)`` turns the trained classifier in place into a plain one that computes the same.
        insert: the kind of layers that stay in the model instead, a name in :data:`acclimate.nn.inserts.INSERTS`; None
            for what merges.
        rates: ``rates(model, settings)`` gives the share of the learning rate by parameter, 1 where it says nothing.
        unfreezes: training opens what ``prepare`` allows group by group from the top, as validation stalls.
        changes_first_logits: its untrained additions change the logits at step 0.
        pretrains: before it is trained, the encoder is pretrained on in-domain texts; that and a probe refitted on its
            features stand in the place of the source's weights and the baseline's probe.
        encoders: the forms of encoder it works on, see :attr:`acclimate.nn.encoder.Encoder.form`.
    """

    name: str
    role: Literal["arm", "control"]
    starts_from_probe: bool
    prepare: Callable[[Trainable, Settings], None]
    merge: Callable[[Trainable], None] = nothing_to_merge
    insert: str | None = None
    rates: Callable[[Trainable, Settings], Rates] = the_same_rate
    unfreezes: bool = False
    changes_first_logits: bool = False
    pretrains: bool = False
    encoders: tuple[Form, ...] = ("text", "causal", "patches", "map")

    @property
    def is_mergeable(self) -> bool:
        """Whether the trained model is one of the source's own architecture."""
        return self.insert is None

    @property
    def trains_source_weights(self) -> bool:
        """Whether what is trained in the encoder are the source's own weights, not additions to them."""
        return self.starts_from_probe and self.is_mergeable and self.merge is nothing_to_merge

    @property
    def is_shardable(self) -> bool:
        """Whether it can be trained with the weights shared out among workers."""
        return self.is_mergeable and not self.unfreezes and not self.pretrains

    def works_on(self, form: Form) -> bool:
        """Whether it trains models of a form. Language models are stored as plain ones: what is added must merge."""
        return form in self.encoders and (form != "causal" or self.is_mergeable)


def train_everything(model: Trainable, settings: Settings) -> None:  # noqa: ARG001 - no settings of its own
    """Prepare: every parameter is trained."""
    model.requires_grad_(True)


def train_only(model: Trainable, names: set[str]) -> None:
    """Train the head and the named parameters of the encoder."""
    for name, parameter in model.encoder.named_parameters():
        parameter.requires_grad_(name in names)
    model.open_head()


def slower_downwards(model: Trainable, settings: Settings) -> Rates:
    """Rates: discriminative, each layer group learns slower than the one above it by ``layer_decay``.

    Source: Howard & Ruder 2018 (ULMFiT), discriminative fine-tuning. The head and the top group learn at the full rate.
    """
    decay = float(settings.get("layer_decay", 1.0))
    groups = layer_groups(model.encoder)
    depths = {name: len(groups) - 1 - depth for depth, names in enumerate(groups) for name in names}
    return {f"encoder.{name}": decay**below for name, below in depths.items()}
