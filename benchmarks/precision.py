"""Which precision each piece of work is faster in, and what compute.precision: auto makes of it.

Features of rows, and one epoch of each strategy at the product's defaults, in float32 and in bfloat16, in turns: a
transformer on reviews and a network of convolutions on emoji. ``auto`` is what calibration chose on the same machine
from features and a few training steps; ``kept`` is the speed of its choice in terms of the faster one, and ``by
product`` that of a rule that takes bfloat16 for everything where a matrix product gains half or more from it.

Convolutions are trained once more with torch's own kernels: gradients of depthwise ones are ours in bfloat16.

Expected (written before measuring): auto keeps .9 or more of the faster one's speed in every row; ours at least 1.3
times torch's kernels where all convolutions are trained in bfloat16. Since then ``auto`` keeps to float32 for
features that bfloat16 turns, as it does EfficientNet-lite's (``benchmarks/image_features``): there it gives speed away.

    python examples/fetch.py images
    python -m benchmarks.precision
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from acclimate.adapters.sources import resolve_source
from acclimate.config_finetune import IMAGE_DEFAULTS, FinetuneSpec
from acclimate.core.probe import Probe
from acclimate.nn.calibrate import PRECISIONS, calibrate
from acclimate.nn.encoder import Encoder
from acclimate.nn.job import LabelledRows
from benchmarks.image_schedules import Images
from benchmarks.labelled_rows import parts, read_rows
from benchmarks.measured import DATA, EXAMPLES, SOURCE, machine, paired_speeds, say, store
from benchmarks.trained_models import fine_tuned

STRATEGIES = ("full", "lora", "partial")
TORCHS = "bf16 by torch's kernels"
PRODUCT_GAIN = 1.5


def epoch(
    strategy: str, source: Path, encoder: Encoder, train: LabelledRows, validation: LabelledRows, defaults: FinetuneSpec
) -> None:
    """One epoch from a head of zeros: what is learned doesn't change what a step costs."""
    classes = int(train.labels.max()) + 1
    head = Probe(np.zeros((classes, encoder.dim)), np.zeros(classes))
    fine_tuned(strategy, source, encoder, head, train, validation, epochs=1, seed=0, defaults=defaults)


def measured(
    source: Path, train: LabelledRows, validation: LabelledRows, defaults: FinetuneSpec, rounds: int
) -> dict[str, Any]:
    """Speeds by work and precision, and what auto would have taken."""
    loaded = Encoder.load(source, precision="fp32")
    encoders = {one: loaded.computing_in(one) for one in PRECISIONS}
    auto = calibrate(
        source,
        train.inputs[:256],
        precision="auto",
        max_length=None,
        strategies={name: defaults.settings_of(name) for name in STRATEGIES},
        batch_size=defaults.batch_size,
    )
    gemm = auto.gemm_tflops
    by_product = "bf16" if gemm["bf16"] >= PRODUCT_GAIN * gemm["fp32"] else "fp32"
    found: dict[str, Any] = {"gemm_gain": round(gemm["bf16"] / gemm["fp32"], 2)}
    for name in ("features", *STRATEGIES):
        work: dict[str, Callable[[], object]] = {}
        for one, encoder in encoders.items():
            work[one] = (
                partial(encoder.embed, train.inputs)
                if name == "features"
                else partial(epoch, name, source, encoder, train, validation, defaults)
            )
        if name == "full" and loaded.reads_images:
            work[TORCHS] = partial(with_torchs_kernels, work["bf16"])
        speeds = paired_speeds(work, "fp32", len(train.labels), rounds)
        chosen = auto.precision[name]
        rates = {one: speeds[one]["rows_per_second"] for one in PRECISIONS}
        found[name] = {
            "fp32": rates["fp32"],
            "bf16": rates["bf16"],
            "ratio_median": speeds["bf16"]["ratio_median"],
            "ratio_lowest": speeds["bf16"]["ratio_lowest"],
            "ratio_highest": speeds["bf16"]["ratio_highest"],
            "auto": chosen,
            "kept": round(rates[chosen] / max(rates.values()), 3),
            "kept_by_product": round(rates[by_product] / max(rates.values()), 3),
        }
        if TORCHS in speeds:
            found[name]["torchs_kernels"] = speeds[TORCHS]["rows_per_second"]
        say(source=source.name, work=name, **found[name])
    return found


def with_torchs_kernels(work: Callable[[], object]) -> None:
    """Training without our kernels of a step."""
    with patch("acclimate.nn.train.step_kernels", lambda _: nullcontext()):
        work()


def main() -> None:
    """Measure, print, and write the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, default=DATA / "reviews.csv", help="columns text and label")
    parser.add_argument("--images", type=Path, default=EXAMPLES / "images" / "emoji-google")
    parser.add_argument("--text-rows", type=int, default=640)
    parser.add_argument("--image-rows", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    texts, images = read_rows(options.csv), Images(options.images)
    minilm = resolve_source(SOURCE, root=Path.cwd(), licence=None, allow_outside=True)[0]
    efficientnet = EXAMPLES / "models" / "efficientnet-lite0"
    of_texts, of_images = FinetuneSpec(), FinetuneSpec.model_validate(IMAGE_DEFAULTS)
    result: dict[str, Any] = {
        "claim": "the faster precision by piece of work, and what auto takes of it",
        "expected": "auto keeps >= .9 of the faster one's speed; our kernels >= 1.3 times torch's (images, full, bf16)",
        "rounds": options.rounds,
        **machine("torch", "transformers"),
    }
    train, held = (texts.some(rows) for rows in parts(len(texts), [options.text_rows, 32], 0))
    result["texts"] = measured(minilm, train, held, of_texts, options.rounds)
    train, held = (images.some(rows) for rows in parts(len(images.paths), [options.image_rows, 32], 0))
    result["images"] = measured(efficientnet, train, held, of_images, options.rounds)
    store("precision", result)


if __name__ == "__main__":
    main()
