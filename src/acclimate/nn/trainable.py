"""What strategies change and training moves: a pretrained encoder and a head behind it."""

from __future__ import annotations

from typing import Any, ClassVar

import torch


class Trainable(torch.nn.Module):
    """A pretrained encoder and a head, in the one form that strategies know.

    Args:
        encoder: a transformers model that gives hidden states.
        head: what is computed from them.
        head_is_new: whether the head was made for this task, and is trained whatever else is; else it is a part of the
            pretrained model, like any other.
    """

    head: torch.nn.Module
    forward_methods: ClassVar[tuple[str, ...]] = ()
    """Methods beside ``forward`` by which it is called."""

    def __init__(self, encoder: Any, head: torch.nn.Module, *, head_is_new: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.head_is_new = head_is_new
        self.learns_statistics = False
        """Whether batch normalisation learns its statistics; only a model that starts from random weights does."""

    def open_head(self) -> None:
        """Train the head if it is new, else leave it as it is."""
        self.head.requires_grad_(self.head_is_new)
