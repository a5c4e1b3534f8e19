"""Bottleneck adapters: h + up(gelu(down(h))) behind each block, the identity at the start.

Source: Houlsby et al. 2019; one a block, behind its feed-forward part: Pfeiffer et al. 2021.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from acclimate.nn.layer_groups import blocks_of, replace_block

DEFAULT_SIZE = 64


class WithAdapter(torch.nn.Module):
    """A block with a bottleneck behind it.

    Args:
        block: the block; its output, or the first part of it, is the hidden state [B, T, d].
        dim: d.
        size: units of the bottleneck.
    """

    def __init__(self, block: torch.nn.Module, dim: int, size: int) -> None:
        super().__init__()
        self.block = block
        self.down = torch.nn.Linear(dim, size)
        self.up = torch.nn.Linear(size, dim)
        torch.nn.init.zeros_(self.up.weight)
        torch.nn.init.zeros_(self.up.bias)

    def forward(self, *states: Any, **options: Any) -> Any:
        """As the block, its hidden state changed."""
        output = self.block(*states, **options)
        hidden, *rest = output if isinstance(output, tuple) else (output,)
        changed = hidden + self.up(torch.nn.functional.gelu(self.down(hidden)))
        return (changed, *rest) if isinstance(output, tuple) else changed


def attach(module: Any, settings: Mapping[str, float | int]) -> Any:
    """Put a bottleneck behind each block; everything else is frozen."""
    module.requires_grad_(False)
    size = int(settings.get("bottleneck", DEFAULT_SIZE))
    for name, block in blocks_of(module).items():
        replace_block(module, name, WithAdapter(block, module.config.hidden_size, size))
    return module


def detach(module: Any) -> Any:
    """Take the bottlenecks out again."""
    for name, block in blocks_of(module).items():
        if isinstance(block, WithAdapter):
            replace_block(module, name, block.block)
    return module
