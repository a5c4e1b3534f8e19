"""The layers of an encoder in groups, from its input to its output."""

from __future__ import annotations

from typing import Any

import torch

# what a stage of a hierarchical network calls the list of its blocks
_INNER = ("layers", "blocks")


def blocks_of(module: Any) -> dict[str, torch.nn.Module]:
    """The encoder's blocks in order: those of its longest list of one kind; of stages the blocks in each.

    Args:
        module: an encoder.

    Returns:
        Each block by its name in the module.

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
    stages = [(name, layers) for name, layers in found if all(_inner(layer) for layer in layers)]
    if stages:
        name, layers = stages[0]
        return {
            f"{name}.{i}.{inner}.{j}": block
            for i, stage in enumerate(layers)
            for inner in _inner(stage)[:1]
            for j, block in enumerate(getattr(stage, inner))
        }
    name, layers = max(found, key=lambda named: len(named[1]))
    return {f"{name}.{i}": layer for i, layer in enumerate(layers)}


def _inner(stage: torch.nn.Module) -> list[str]:
    lists = (torch.nn.ModuleList, torch.nn.Sequential)
    return [name for name in _INNER if isinstance(getattr(stage, name, None), lists)]


def replace_block(module: Any, name: str, block: torch.nn.Module) -> None:
    """Put another module in the place of a block."""
    parent, _, last = name.rpartition(".")
    module.get_submodule(parent)[int(last)] = block


def layer_groups(module: Any) -> list[list[str]]:
    """Names of the parameters by depth: what lies before the blocks first, then one group a block.

    What lies between or behind blocks joins the one before it.

    Args:
        module: an encoder; its parameters are listed in the order in which they are used.

    Returns:
        Every parameter's name exactly once; at least two groups.
    """
    blocks = list(blocks_of(module))
    groups: list[list[str]] = [[] for _ in range(len(blocks) + 1)]
    depth = 0
    for name, _ in module.named_parameters():
        while depth < len(blocks) and name.startswith(f"{blocks[depth]}."):
            depth += 1
        groups[depth].append(name)
    return groups
