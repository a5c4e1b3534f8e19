"""The layers of an encoder in groups, from its input to its output."""

from __future__ import annotations

from typing import Any

import torch


def blocks_of(module: Any) -> tuple[str, torch.nn.ModuleList]:
    """The encoder's stack of blocks: its longest list of layers of one kind.

    Args:
        module: an encoder.

    Returns:
        Its name in the module, and the list.

    Raises:
        ValueError: it has no such list.
    """
    found = [
        (name, layers)
        for name, layers in module.named_modules()
        if isinstance(layers, torch.nn.ModuleList) and len({type(layer) for layer in layers}) == 1
    ]
    if not found:
        raise ValueError(f"{type(module).__name__} has no list of blocks of one kind")
    return max(found, key=lambda named: len(named[1]))


def layer_groups(module: Any) -> list[list[str]]:
    """Names of the parameters by depth: embeddings first, then one group a block; what follows joins the last.

    Args:
        module: an encoder; its parameters are listed in the order in which they are used, blocks in one stretch.

    Returns:
        Every parameter's name exactly once; at least two groups.
    """
    prefix, blocks = blocks_of(module)
    groups: list[list[str]] = [[] for _ in range(len(blocks) + 1)]
    depth = 0
    for name, _ in module.named_parameters():
        if name.startswith(f"{prefix}."):
            depth = 1 + int(name[len(prefix) + 1 :].split(".")[0])
        groups[depth].append(name)
    return groups
