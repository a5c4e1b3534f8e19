"""The learning rate's way down where images are trained: cosine, the default for them, against linear, paired by seed.

Fine-tuning from the probe at the product's defaults but for the schedule and fewer epochs; a seed draws the rows, and
both schedules have the same rows, start and order. Measured: macro-F1 on test rows of the model as trained, and the
epochs until the early stop. The data had no part in the choice: cosine is what the recipes of vision models use.

Expected (written before measuring): no difference of more than .01 in macro-F1 either way.

    python examples/fetch.py images
    python -m benchmarks.image_schedules
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from acclimate.adapters.sources import resolve_source
from acclimate.config_finetune import IMAGE_DEFAULTS, FinetuneSpec
from acclimate.nn.encoder import Encoder
from acclimate.nn.job import IntArray, LabelledRows
from benchmarks.labelled_rows import parts
from benchmarks.measured import EXAMPLES, auto_precision, machine, say, store
from benchmarks.trained_models import chosen_probe, fine_tuned, mean_and_error, score_of

DEFAULTS = FinetuneSpec.model_validate(IMAGE_DEFAULTS)
Schedule = Literal["cosine", "linear"]
SCHEDULES: tuple[Schedule, ...] = ("cosine", "linear")
SETS = ("emoji-google", "emoji-twitter")
STRATEGIES = ("full", "lora")


class Images:
    """Image files of a folder with one folder a class.

    Args:
        folder: their folder.
    """

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.rglob("*.png"))
        self.labels = sorted({path.parent.name for path in self.paths})
        self.classes: IntArray = np.array([self.labels.index(path.parent.name) for path in self.paths])

    def some(self, rows: IntArray) -> LabelledRows:
        """The images of these numbers, as a training takes them."""
        return LabelledRows([self.paths[row].read_bytes() for row in rows], self.classes[rows])


def compared(
    images: Images, strategy: str, seed: int, source: Path, encoder: Encoder, options: argparse.Namespace
) -> dict[str, Any]:
    """Scores and epochs of each schedule on the same rows."""
    sizes = [options.rows, options.validation_rows, options.test_rows]
    train, validation, test = (images.some(rows) for rows in parts(len(images.paths), sizes, seed))
    probe, _ = chosen_probe(encoder.embed(train.inputs), train.labels, len(images.labels), seed)
    found: dict[str, Any] = {}
    for schedule in SCHEDULES:
        result, model = fine_tuned(
            strategy,
            source,
            encoder,
            probe,
            train,
            validation,
            epochs=options.epochs,
            seed=seed,
            defaults=DEFAULTS.model_copy(update={"schedule": schedule}),
        )
        score = score_of(model, test)
        found[schedule] = {"macro_f1": score, "epochs": len(result.history), "best_epoch": result.best_epoch}
        say(strategy=strategy, seed=seed, schedule=schedule, seconds=round(result.seconds, 1), **found[schedule])
    return found


def summary(of_seeds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds, and what cosine gains over linear, paired by seed, with its standard error."""
    gain, error = mean_and_error([seed["cosine"]["macro_f1"] - seed["linear"]["macro_f1"] for seed in of_seeds])
    means = {
        f"{schedule}_{key}": round(float(np.mean([seed[schedule][key] for seed in of_seeds])), 4)
        for key in ("macro_f1", "epochs")
        for schedule in SCHEDULES
    }
    return means | {"gain": round(gain, 4), "standard_error": None if error is None else round(error, 4)}


def main() -> None:
    """Measure, print, and write the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, default=EXAMPLES / "images", help="folder of the image folders")
    parser.add_argument("--source", default=str(EXAMPLES / "models" / "efficientnet-lite0"))
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES))
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--validation-rows", type=int, default=100)
    parser.add_argument("--test-rows", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=8, help="longest training")
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    folder, card = resolve_source(options.source, root=Path.cwd(), licence=None, allow_outside=True)
    some = Images(options.images / SETS[0]).some(range(128)).inputs
    encoder = Encoder.load(folder, precision=auto_precision(folder, some))
    result: dict[str, Any] = {
        "claim": "macro-F1 of images trained with the learning rate's cosine way down, against the linear one",
        "expected": "no difference of more than .01 in macro-F1 either way",
        "source": card.name,
        "precision": encoder.precision,
        "rows": options.rows,
        "epochs": options.epochs,
        "seeds": options.seeds,
        "test_rows": options.test_rows,
        **machine("torch", "transformers", "pillow"),
    }
    for name in SETS:
        images = Images(options.images / name)
        result[name] = {
            strategy: summary(
                [compared(images, strategy, seed, folder, encoder, options) for seed in range(options.seeds)]
            )
            for strategy in options.strategies
        }
    store("image_schedules", result)


if __name__ == "__main__":
    main()
