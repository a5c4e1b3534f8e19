"""What pretraining on the target's own texts is worth before fine-tuning: ``tapt`` against ``full``, paired by seed.

Full fine-tuning from the source model, and the same after masked-language-model pretraining on a pool of unlabelled
texts of the same domain, as the stage ``finetune`` does it at its defaults. A seed draws labelled rows; both have the
same rows, order and dropout, and each starts from the probe fitted on its own encoder's features. The pool is the rest
of the data set's rows, without labels; no text of validation or test is among them. The validation rows are as many as
the labelled ones, as far as there are 500. Measured: macro-F1 on test rows of the model as trained, and the seconds
that both trainings took.

Expected (the published pattern, written before measuring): a gain where the domain is far from the source's own texts
and labels are few (Gururangan et al. 2020: .5 to 4 points of F1 by TAPT with a few thousand texts), at most .01 with
many labels. The source is a model of sentence embeddings, not one of masked tokens: its pretraining may undo some of
that, so a loss with few labels would not surprise.

    python -m benchmarks.pretraining
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from acclimate.adapters.sources import resolve_source
from acclimate.arms.pretraining import Pretrainer
from acclimate.core.probe import Probe
from acclimate.nn.encoder import Encoder
from acclimate.nn.model import AdaptedModel
from acclimate.nn.train import InProcessTrainer
from acclimate.records import SourceCard
from benchmarks.labelled_rows import LabelledData, of_each_class, parts, read_rows
from benchmarks.measured import DATA, SOURCE, auto_precision, machine, say, store
from benchmarks.trained_models import DEFAULTS, chosen_probe, fine_tuned, mean_and_error, score_of

SETS = ("reviews", "movies", "topics")
SIZES = (20, 100)
MOST_VALIDATION_ROWS = 500
PLAIN: Literal["full"] = "full"
PRETRAINED: Literal["tapt"] = "tapt"


class Source(NamedTuple):
    """The model that both start from: where it lies, what it is, and itself."""

    folder: Path
    card: SourceCard
    encoder: Encoder


def compared(source: Source, read: LabelledData, size: int, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Scores and seconds of both trainings on the same rows."""
    test, among = parts(len(read), [options.test_rows, len(read) - options.test_rows], 0)
    few = min(size, MOST_VALIDATION_ROWS // len(read.labels))
    train_rows, validation_rows = of_each_class(read.classes, among, [size, few], seed)
    train, validation = read.some(train_rows), read.some(validation_rows)
    pool = read.some_texts(np.setdiff1d(among, [*train_rows, *validation_rows])[: options.pool_rows])
    probe, c = chosen_probe(source.encoder.embed(train.inputs), train.labels, len(read.labels), seed)

    def tuned(folder: Path, encoder: Encoder, start: Probe) -> tuple[float, float]:
        epochs = DEFAULTS.max_epochs[PLAIN]
        result, model = fine_tuned(PLAIN, folder, encoder, start, train, validation, epochs=epochs, seed=seed)
        return score_of(model, read.some(test)), result.seconds

    score, seconds = tuned(source.folder, source.encoder, probe)
    found: dict[str, Any] = {PLAIN: {"macro_f1": score, "seconds": seconds}}
    frozen = AdaptedModel.build(
        source.encoder, probe.weight, probe.bias, read.labels, strategy="frozen", source=source.card
    )
    pretrainer = Pretrainer(
        frozen,
        source.folder,
        train,
        lambda: pool,
        probe_c=c,
        max_length=source.encoder.max_length,
        config=DEFAULTS.model_copy(update={"seed": seed}),
        precision={PRETRAINED: "bf16" if source.encoder.precision == "bf16" else "fp32"},
        train=InProcessTrainer().train,
    )
    with tempfile.TemporaryDirectory() as kept:
        start = pretrainer.started(DEFAULTS.settings_of(PRETRAINED), Path(kept))
        own = start.model
        head = Probe(own.weight.astype(np.float64), own.bias.astype(np.float64))
        score, seconds = tuned(start.folder, own.encoder, head)
    found[PRETRAINED] = {
        "macro_f1": score,
        "seconds": start.seconds + seconds,
        "masked_loss_before": start.facts.loss_before,
        "masked_loss_after": start.facts.loss_after,
    }
    say(size=size, seed=seed, pool=len(pool), **found)
    return found | {"pool_rows": len(pool)}


def summary(of_seeds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds, and the gain by pretraining, paired by seed, with its standard error."""

    def mean(name: str, key: str) -> float:
        return float(np.mean([seed[name][key] for seed in of_seeds]))

    gain, error = mean_and_error([seed[PRETRAINED]["macro_f1"] - seed[PLAIN]["macro_f1"] for seed in of_seeds])
    return {
        "pool_rows": of_seeds[0]["pool_rows"],
        PLAIN: round(mean(PLAIN, "macro_f1"), 4),
        PRETRAINED: round(mean(PRETRAINED, "macro_f1"), 4),
        "gain": round(gain, 4),
        "standard_error": None if error is None else round(error, 4),
        "seconds_ratio": round(mean(PRETRAINED, "seconds") / mean(PLAIN, "seconds"), 2),
        "masked_loss_before": round(mean(PRETRAINED, "masked_loss_before"), 3),
        "masked_loss_after": round(mean(PRETRAINED, "masked_loss_after"), 3),
    }


def main() -> None:
    """Measure, print, and write the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the CSV files")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="training rows a class")
    parser.add_argument("--pool-rows", type=int, default=2000, help="texts without labels at most")
    parser.add_argument("--test-rows", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--source", default=SOURCE)
    options = parser.parse_args()
    folder, card = resolve_source(options.source, root=Path.cwd(), licence=None, allow_outside=True)
    source = Source(folder, card, Encoder.load(folder, precision=auto_precision(folder)))
    result: dict[str, Any] = {
        "claim": "full fine-tuning after pretraining on texts of the target without labels, against without",
        "expected": "a gain in macro-F1 with 20 rows a class, at most .01 with 100; a loss with 20 would not surprise",
        "source": f"{card.name} {card.revision}",
        "precision": source.encoder.precision,
        "seeds": options.seeds,
        "test_rows": options.test_rows,
        **machine("torch", "transformers"),
    }
    for name in options.sets:
        read = read_rows(options.data / f"{name}.csv")
        result[name] = {
            f"{size}_rows_a_class": summary(
                [compared(source, read, size, seed, options) for seed in range(options.seeds)]
            )
            for size in options.sizes
        }
    store("pretraining", result)


if __name__ == "__main__":
    main()
