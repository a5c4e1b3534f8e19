"""How fast a model is fine-tuned, and how well: our training loop against ``transformers.Trainer`` at its defaults.

All train the same classifier (encoder, mean pooling, linear head) from the same start, head included, on the same
rows, for as many epochs, with the same batch size, peak rate, tokens read and, for LoRA, the same layers of peft. Ours
runs at the product's defaults: batches of rows of like length, 10 % warm-up, weight decay .01, and the precision that
``auto`` takes here; and once more in fp32. Trainer runs at its defaults (random batches padded to their longest row, no
warm-up, no decay), in fp32 and with ``bf16=True``. Each seed draws new rows; within it all modes take turns in one
process, another one first each seed.

Rows per second are of training alone: loading, tokenizing and checkpoints count on neither side (``seconds`` of our
result, ``train_runtime`` of Trainer's). Ours looks at validation after each epoch, which can't be switched off: 32
rows, counted against it. The score is macro-F1 of the last epoch's weights on the test rows, on both sides; ours
answers in the precision it was trained in, as it would be served, Trainer's models in fp32.

Expected (written before measuring): at least 3 times as fast as Trainer in fp32 and 1.8 times as fast as with bf16, for
both strategies, at a score that is equal or better: the mean difference over seeds is no worse than -.01.

    python -m benchmarks.training
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

from acclimate.adapters.sources import resolve_source
from acclimate.nn.encoder import Encoder
from acclimate.nn.job import TrainJob
from acclimate.nn.model import Classifier
from acclimate.nn.strategies import STRATEGIES
from acclimate.nn.train import InProcessTrainer
from acclimate.nn.training_model import Trained, build, finish
from benchmarks.labelled_rows import LabelledData, parts, read_rows
from benchmarks.measured import DATA, SOURCE, auto_precision, in_turn, machine, say, store
from benchmarks.trained_models import chosen_probe, mean_and_error, score_of, text_reader, training_job

ARMS = ("full", "lora")
VALIDATION_ROWS = 32
AUTO, FP32 = "ours_auto", "ours_fp32"
TRAINER_FP32, TRAINER_BF16 = "trainer_fp32", "trainer_bf16"

# training seconds and the trained model
Outcome = tuple[float, Trained]


class WithLoss(torch.nn.Module):
    """The classifier as Trainer wants it: labels in, loss out."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Mean cross-entropy and logits [B, C] of ids and mask [B, T] and classes [B]."""
        logits = self.classifier({"input_ids": input_ids, "attention_mask": attention_mask})
        return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}


def ours(job: TrainJob) -> Outcome:
    """Train with our loop; the last epoch's model."""
    result = InProcessTrainer().train(job)
    history = result.history
    # weights are kept best epoch first
    ranked = sorted(history, key=lambda point: (-point.validation_score, point.epoch))
    last = [point.epoch for point in ranked].index(len(history))
    return result.seconds, finish(job, result.weights[last])


def trainer(job: TrainJob, *, bf16: bool) -> Outcome:
    """Train with transformers' Trainer at its defaults."""
    encoder, classifier = build(dataclasses.replace(job, precision="fp32"))
    rows = [
        {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": int(label)}
        for ids, label in zip(text_reader(encoder).prepare(job.train.inputs).ids, job.train.labels, strict=True)
    ]
    training = transformers.Trainer(
        model=WithLoss(classifier),
        args=transformers.TrainingArguments(
            output_dir=str(job.folder),
            num_train_epochs=job.epochs,
            per_device_train_batch_size=job.batch_size,
            learning_rate=float(job.settings["learning_rate"]),
            seed=job.seed,
            bf16=bf16,
            use_cpu=True,
            save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=rows,
        data_collator=transformers.DataCollatorWithPadding(text_reader(encoder).tokenizer),
    )
    training.remove_callback(transformers.PrinterCallback)
    seconds = float(training.train().metrics["train_runtime"])
    STRATEGIES[job.strategy].merge(classifier)
    classifier.eval()
    head = classifier.head
    weight, bias = (value.detach().numpy().copy() for value in (head.weight, head.bias))
    return seconds, Trained(encoder.with_module(classifier.encoder), weight, bias)


def modes(auto: str) -> dict[str, Callable[[TrainJob], Outcome]]:
    """Who trains, by name; where auto takes fp32 there is nothing to run twice."""
    found: dict[str, Callable[[TrainJob], Outcome]] = {AUTO: ours}
    if auto != "fp32":
        found[FP32] = lambda job: ours(dataclasses.replace(job, precision="fp32"))
    return found | {
        TRAINER_FP32: lambda job: trainer(job, bf16=False),
        TRAINER_BF16: lambda job: trainer(job, bf16=True),
    }


def measured(options: argparse.Namespace, read: LabelledData, folder: Path, encoder: Encoder) -> dict[str, Any]:
    """Speed and score of each strategy, mode and seed."""
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    who = modes(encoder.precision)
    for seed in range(options.seeds):
        sizes = [options.rows, VALIDATION_ROWS, options.test_rows]
        train, validation, test = (read.some(rows) for rows in parts(len(read), sizes, seed))
        probe, _ = chosen_probe(encoder.embed(train.inputs), train.labels, len(read.labels), seed)
        for arm in options.arms:
            for mode in in_turn(list(who), seed):
                with tempfile.TemporaryDirectory() as kept:
                    job = training_job(
                        arm,
                        folder,
                        encoder,
                        probe,
                        train,
                        validation,
                        epochs=options.epochs,
                        patience=options.epochs,
                        keep=options.epochs,
                        seed=seed,
                        folder=Path(kept),
                    )
                    seconds, model = who[mode](job)
                point = {"rows_per_second": options.rows * options.epochs / seconds, "macro_f1": score_of(model, test)}
                say(seed=seed, arm=arm, mode=mode, seconds=round(seconds, 1), **point)
                for name, value in point.items():
                    found.setdefault(arm, {}).setdefault(mode, {}).setdefault(name, []).append(value)
    return {arm: summary(by_mode) for arm, by_mode in found.items()}


def summary(by_mode: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """Medians and means over seeds, and ours against each of Trainer's modes seed by seed."""
    found: dict[str, Any] = {}
    for mode, values in by_mode.items():
        found[mode] = {
            "rows_per_second": round(statistics.median(values["rows_per_second"]), 1),
            "macro_f1": round(statistics.mean(values["macro_f1"]), 4),
            "macro_f1_by_seed": [round(value, 4) for value in values["macro_f1"]],
        }
    for own in (mode for mode in by_mode if mode in {AUTO, FP32}):
        for other in (TRAINER_FP32, TRAINER_BF16):
            a, b = by_mode[own], by_mode[other]
            ratios = [x / y for x, y in zip(a["rows_per_second"], b["rows_per_second"], strict=True)]
            mean, error = mean_and_error([x - y for x, y in zip(a["macro_f1"], b["macro_f1"], strict=True)])
            found[f"{own}_to_{other}"] = {
                "ratio_median": round(statistics.median(ratios), 3),
                "ratio_lowest": round(min(ratios), 3),
                "ratio_highest": round(max(ratios), 3),
                "macro_f1_difference": round(mean, 4),
                "standard_error": None if error is None else round(error, 4),
            }
    return found


def main() -> None:
    """Measure, print, and write the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", type=Path, nargs="?", default=DATA / "movies.csv", help="columns text and label")
    parser.add_argument("--rows", type=int, default=2000, help="training rows")
    parser.add_argument("--test-rows", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--source", default=SOURCE)
    options = parser.parse_args()
    folder, card = resolve_source(options.source, root=Path.cwd(), licence=None, allow_outside=True)
    encoder = Encoder.load(folder, precision=auto_precision(folder))
    read = read_rows(options.csv)
    found = measured(options, read, folder, encoder)
    result = {
        "claim": "speed and score of fine-tuning, against transformers.Trainer at its defaults",
        "expected": "ours_auto >= 3 times trainer_fp32, >= 1.8 times trainer_bf16; macro-F1 within .01 or better",
        "source": f"{card.name} {card.revision}",
        "data": options.csv.name,
        "rows": options.rows,
        "test_rows": options.test_rows,
        "epochs": options.epochs,
        "seeds": options.seeds,
        "auto": encoder.precision,
        **machine("accelerate", "peft", "torch", "transformers"),
        **found,
    }
    store("training", result)


if __name__ == "__main__":
    main()
