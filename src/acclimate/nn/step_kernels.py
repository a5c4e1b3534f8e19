"""What a training step on processors computes otherwise than torch does, entered around it.

It replaces functions of torch while it is entered, so that no module of any model has to be exchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812 - the field's name for it
from torch.overrides import TorchFunctionMode

from acclimate.nn.depthwise import depthwise
from acclimate.nn.dropout import attention, module_dropout

_OURS: Mapping[Callable[..., Any], Callable[..., Any]] = {
    F.dropout: module_dropout,
    F.scaled_dot_product_attention: attention,
    F.conv2d: depthwise,
}


def step_kernels(device: torch.device) -> AbstractContextManager[object]:
    """While it is entered, dropout, attention with dropout and depthwise convolutions are ours; on a GPU, torch's."""
    return _StepKernels() if device.type == "cpu" else nullcontext()


class _StepKernels(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return _OURS.get(func, func)(*args, **(kwargs or {}))
