"""Vision models: those of transformers, and those that installed packages add."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file

from acclimate.errors import ModelError
from acclimate.nn.loading import load_module, loading, quiet, random_module
from acclimate.nn.preflight import IMAGE_MODEL_TYPES, weight_files
from acclimate.nn.vision.installed import entry_point

Build = Callable[[Mapping[str, Any]], torch.nn.Module]


def image_module(folder: Path, config: Mapping[str, Any], random_seed: int | None) -> torch.nn.Module:
    """The module of a folder that passed the preflight.

    Args:
        folder: its folder.
        config: the content of its ``config.json``.
        random_seed: seed of random weights to use instead of the stored ones; None for the stored ones.

    Raises:
        ModelError: E-MODEL-014 and 015, the weights don't fit; E-MODEL-016, the encoder's code is not installed.
    """
    model_type = str(config["model_type"])
    if IMAGE_MODEL_TYPES[model_type].is_transformers:
        if random_seed is not None:
            return random_module(folder, random_seed)
        return load_module(transformers.AutoModel, folder)
    build: Build = entry_point(model_type).load()
    with torch.random.fork_rng(devices=[]), loading(folder):
        torch.manual_seed(random_seed or 0)
        module = build(config).float()
    if random_seed is None:
        _put_weights(module, folder)
    return module


def _put_weights(module: torch.nn.Module, folder: Path) -> None:
    stored: dict[str, torch.Tensor] = {}
    for path in weight_files(folder):
        stored |= load_file(path)
    try:
        module.load_state_dict(stored)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]] or [str(error)]
        raise ModelError(
            "E-MODEL-015",
            f"the weights are not those of the architecture: {lines[0][:200]}",
            where=str(folder),
            hint="config.json and the weights are of different models; fetch both again",
        ) from error


def save_module(module: Any, folder: Path) -> None:
    """Write ``config.json`` and ``model.safetensors`` of an encoder."""
    if hasattr(module, "save_pretrained"):
        with quiet():
            module.save_pretrained(folder)
        return
    (folder / "config.json").write_text(
        json.dumps(asdict(module.config), indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )
    tensors = {name: value.contiguous() for name, value in module.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
