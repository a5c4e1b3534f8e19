"""Small random vision models and images in which a pattern tells the class."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE = 32
#: One of each form: patches with a class token, and maps with batch normalisation from transformers and from a package.
MODELS = ("vit", "resnet", "efficientnet-lite")
#: The other types on the allowlist.
OTHERS = ("deit", "dinov2", "convnext", "convnextv2")


def png(pixels: np.ndarray) -> bytes:
    """Encode uint8 pixels [H, W, 3]."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def toy_image(kind: int, rng: np.random.Generator, *, side: int = 24, contrast: int = 90, light: int = 60) -> bytes:
    """Stripes across (kind 0), along (1) or both (2), shifted at random, on coarse colours and under noise."""
    stripes = (np.arange(side) // 3 + int(rng.integers(2))) % 2
    pattern = (stripes[:, None] + 0 * stripes, 0 * stripes[:, None] + stripes, stripes[:, None] ^ stripes)[kind]
    ground = np.kron(rng.integers(0, 90, (4, 4, 3)), np.ones((side // 4, side // 4, 1)))
    pixels = light + contrast * pattern[:, :, None] + ground + rng.integers(-10, 11, (side, side, 3))
    return png(np.clip(pixels, 0, 255).astype(np.uint8))


def toy_images(rows: int, seed: int, kinds: int = 2) -> tuple[list[bytes], np.ndarray]:
    """Images and their classes, int64 [rows]."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % kinds
    return [toy_image(int(label), rng) for label in labels], labels.astype(np.int64)


def write_image_source(folder: Path, kind: str, seed: int = 0) -> Path:
    """Write a small random vision model of a kind in :data:`MODELS`."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if kind == "efficientnet-lite":
            _write_efficientnet(folder)
        else:
            _transformers(kind).save_pretrained(folder)
    preprocessing = {
        "size": {"height": SIDE, "width": SIDE},
        "resample": 2,
        "rescale_factor": 1 / 255,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.25, 0.25, 0.25],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    return folder


def _transformers(kind: str) -> Any:
    import transformers

    patches = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "image_size": SIDE,
        "patch_size": 8,
        "hidden_dropout_prob": 0.0,
    }
    stages = {"hidden_sizes": [16, 32], "depths": [2, 2]}
    name, config = {
        "vit": ("ViT", patches),
        "deit": ("Deit" if hasattr(transformers, "DeitConfig") else "DeiT", patches),
        "dinov2": ("Dinov2", patches),
        "resnet": ("ResNet", {**stages, "embedding_size": 16, "layer_type": "bottleneck"}),
        "convnext": ("ConvNext", {**stages, "num_stages": 2}),
        "convnextv2": ("ConvNextV2", {**stages, "num_stages": 2}),
    }[kind]
    return getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**config))


def _write_efficientnet(folder: Path) -> None:
    from safetensors.torch import save_file

    from acclimate.nn.vision.efficientnet_lite import build

    folder.mkdir(parents=True, exist_ok=True)
    module: Any = build({"model_type": "efficientnet-lite", "variant": "lite0", "image_size": SIDE})
    (folder / "config.json").write_text(json.dumps(asdict(module.config)))
    save_file(module.state_dict(), folder / "model.safetensors")
