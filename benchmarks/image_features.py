"""How fast frozen features of images are, against the plain loop that one writes without us.

The plain loop: transformers' own image processor (PIL), batches of 32 in the order of the files, the model in fp32 in
``inference_mode``, mean over places. Both read the same encoded files and decode them in the measured time. All take
turns in one process, another one first each round.

Expected (written before measuring): fp32 at least 1.3 times the plain loop, bf16 at least 2 times, cosine >= .999.
``auto``, which users get, is to have 3 times and .9998.

    python examples/fetch.py images
    python -m benchmarks.image_features
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image

from acclimate.nn.calibrate import lowest_cosine
from acclimate.nn.encoder import PRECISIONS, Encoder
from benchmarks.measured import EXAMPLES, auto_precision, machine, paired_speeds, store

PLAIN = "plain_loop"
BATCH = 32

Embed = Callable[[list[bytes]], np.ndarray]


def plain_loop(folder: Path, encoder: Encoder) -> Embed:
    """The usual way: open, process, stack, forward, mean."""
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    module = encoder.module

    def embed(images: list[bytes]) -> np.ndarray:
        found = []
        with torch.inference_mode():
            for start in range(0, len(images), BATCH):
                opened = [on_white(raw) for raw in images[start : start + BATCH]]
                pixels = processor(opened, return_tensors="pt")["pixel_values"]
                found.append(module(pixel_values=pixels).last_hidden_state.mean(dim=(2, 3)))
        return torch.cat(found).numpy()

    return embed


def on_white(raw: bytes) -> Image.Image:
    """An image without its transparency."""
    image = Image.open(io.BytesIO(raw)).convert("RGBA")
    ground = Image.new("RGBA", image.size, "white")
    ground.alpha_composite(image)
    return ground.convert("RGB")


def main() -> None:
    """Measure, print, and write the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, default=EXAMPLES / "images" / "emoji-google")
    parser.add_argument("--source", type=Path, default=EXAMPLES / "models" / "efficientnet-lite0")
    parser.add_argument("--rows", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    images = [path.read_bytes() for path in sorted(options.images.rglob("*.png"))[: options.rows]]
    encoders = {precision: Encoder.load(options.source, precision=precision) for precision in PRECISIONS}
    embeds: dict[str, Embed] = {PLAIN: plain_loop(options.source, encoders["fp32"])}
    embeds |= {precision: encoder.embed for precision, encoder in encoders.items()}
    features = {name: embed(images) for name, embed in embeds.items()}
    work = {name: partial(embed, images) for name, embed in embeds.items()}
    found = paired_speeds(work, PLAIN, len(images), options.rounds)
    for name in PRECISIONS:
        found[name]["cosine_lowest"] = round(lowest_cosine(features[name], features[PLAIN]), 6)
    result = {
        "claim": "features of images, against a plain loop over transformers' image processor and the model",
        "expected": "fp32 >= 1.3 times the plain loop, bf16 >= 2 times; cosine >= .999",
        "source": options.source.name,
        "images": f"{len(images)} of {options.images.name}",
        "rounds": options.rounds,
        "auto": auto_precision(options.source, images),
        **machine("torch", "transformers", "pillow"),
        **found,
    }
    store("image_features", result)


if __name__ == "__main__":
    main()
