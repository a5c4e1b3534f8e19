"""Encoders that installed packages add under a name on the allowlist. Loads no torch.

A package adds one by an entry point of the group ``acclimate.encoders``: a function that takes the content of
``config.json`` and gives a module. The module's ``config`` is a dataclass of that content with ``hidden_size``; its
``forward(pixel_values)`` gives an object with ``last_hidden_state`` [B, d, H, W]. Its layers may say what can be
folded, see :func:`acclimate.nn.folding.folded`.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

from acclimate.digests import code_digest
from acclimate.errors import ModelError
from acclimate.nn.preflight import IMAGE_MODEL_TYPES

GROUP = "acclimate.encoders"


def entry_point(model_type: str) -> EntryPoint:
    """The one entry point that provides an encoder.

    Raises:
        ModelError: E-MODEL-016, there is none, or more than one.
    """
    found = {point.value: point for point in entry_points(group=GROUP, name=model_type)}
    if len(found) == 1:
        return next(iter(found.values()))
    says = f"several installed packages provide the encoder {model_type!r}: {', '.join(sorted(found))}"
    if not found:
        says = f"no installed package provides the encoder {model_type!r}"
    hint = f"install the one package that is to register it in the entry-point group {GROUP}"
    raise ModelError("E-MODEL-016", says, hint=hint)


@cache
def encoder_code(model_type: str) -> tuple[str, ...]:
    """What identifies the code of an encoder that transformers lacks; nothing for the others.

    Raises:
        ModelError: E-MODEL-016, it is not installed.
    """
    known = IMAGE_MODEL_TYPES.get(model_type)
    if known is None or known.is_transformers:
        return ()
    point = entry_point(model_type)
    if point.module.startswith("acclimate."):
        return (point.value, code_digest(point.module))
    spec = find_spec(point.module)
    source = Path(spec.origin).read_bytes() if spec and spec.origin else b""
    version = f"{point.dist.name} {point.dist.version}" if point.dist else ""
    return (point.value, version, hashlib.sha256(source).hexdigest())
