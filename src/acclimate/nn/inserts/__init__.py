"""Layers that an adaptation adds to an encoder and that stay in the adapted model: one file and one line here each.

The encoder's own weights are never changed by them, so that a model with inserts is stored as its source's weights and
the inserts' beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from acclimate.nn.inserts import bottleneck, prefix

Settings = Mapping[str, float | int]
Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class InsertKind:
    """One kind of insert.

    Args:
        attach: ``attach(module, settings)`` gives a module with the layers added, its other parameters frozen; random
            numbers come from torch's generator.
        detach: ``detach(module)`` gives the module as it was before.
        settings: names of the settings that decide its shape, which the stored model needs.
    """

    attach: Callable[[Any, Settings], Any]
    detach: Callable[[Any], Any]
    settings: tuple[str, ...]


INSERTS = {
    "adapter": InsertKind(bottleneck.attach, bottleneck.detach, ("bottleneck",)),
    "prefix": InsertKind(prefix.attach, prefix.detach, ("tokens",)),
}


@dataclass(frozen=True)
class Insert:
    """Trained layers that are added to an encoder.

    Args:
        kind: a name in :data:`INSERTS`.
        settings: what decides their shape.
        tensors: their weights, by their names in the module they are attached to.
    """

    kind: str
    settings: Settings
    tensors: Tensors

    @classmethod
    def of(cls, kind: str, settings: Settings, module: Any) -> Insert:
        """Take a copy of what was attached to a module and trained."""
        shape = {name: settings[name] for name in INSERTS[kind].settings if name in settings}
        return cls(kind, shape, {name: value.detach().clone() for name, value in added(module).items()})

    def attached_to(self, module: Any) -> Any:
        """The module with these layers added, frozen.

        Raises:
            ValueError: the weights are not those of such layers.
        """
        with torch.random.fork_rng(devices=[]):
            module = INSERTS[self.kind].attach(module, self.settings)
        places = added(module)
        if {name: tuple(value.shape) for name, value in places.items()} != {
            name: tuple(value.shape) for name, value in self.tensors.items()
        }:
            raise ValueError(f"the weights do not fit an {self.kind} of {dict(self.settings)} on this model")
        with torch.no_grad():
            for name, place in places.items():
                place.copy_(self.tensors[name])
        return module.requires_grad_(False)


def attach(kind: str, module: Any, settings: Settings) -> Any:
    """A module with new layers of a kind added; they alone are trained."""
    return INSERTS[kind].attach(module, settings)


def detach(kind: str, module: Any) -> Any:
    """The module as it was before the layers were added."""
    return INSERTS[kind].detach(module)


def added(module: Any) -> dict[str, torch.nn.Parameter]:
    """The added layers' parameters just after :func:`attach`, by name: the only ones that are trained."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
