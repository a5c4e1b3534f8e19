"""The recipe of transformers' guide to text classification, run by ``benchmarks/recipes.py``, without acclimate.

Rate 2e-5, batches of 16, weight decay .01, 3 epochs; validation after each, and the best of them, by its loss,
is saved.

``recipe_trainer.py train SOURCE TABLE MODEL SEED``, then ``recipe_trainer.py predict MODEL TABLE OUT``.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

BATCH_ROWS = 16
PREDICTED_AT_ONCE = 32


def read(table: Path) -> list[dict[str, str]]:
    """The rows of a table."""
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def train(source: str, table: Path, model: Path, seed: int) -> None:
    """Train on a table with the columns text, label and split (train, validation), and save the model."""
    import transformers

    rows = read(table)
    labels = sorted({row["label"] for row in rows})
    transformers.set_seed(seed)
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)

    def of_split(split: str) -> list[dict[str, Any]]:
        chosen = [row for row in rows if row["split"] == split]
        ids = tokenizer([row["text"] for row in chosen], truncation=True)["input_ids"]
        return [
            {"input_ids": own, "attention_mask": [1] * len(own), "labels": labels.index(row["label"])}
            for own, row in zip(ids, chosen, strict=True)
        ]

    started = transformers.AutoModelForSequenceClassification.from_pretrained(
        source,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )
    with TemporaryDirectory() as folder:
        training = transformers.Trainer(
            model=started,
            args=transformers.TrainingArguments(
                output_dir=folder,
                learning_rate=2e-5,
                per_device_train_batch_size=BATCH_ROWS,
                per_device_eval_batch_size=BATCH_ROWS,
                num_train_epochs=3,
                weight_decay=0.01,
                eval_strategy="epoch",
                save_strategy="epoch",
                load_best_model_at_end=True,
                report_to="none",
                seed=seed,
            ),
            train_dataset=of_split("train"),
            eval_dataset=of_split("validation"),
            processing_class=tokenizer,
            data_collator=transformers.DataCollatorWithPadding(tokenizer),
        )
        training.train()
        training.save_model(str(model))


def predict(model: Path, table: Path, out: Path) -> None:
    """Write the label of each row's text, one a line."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    trained = transformers.AutoModelForSequenceClassification.from_pretrained(model).eval()
    texts, found = [row["text"] for row in read(table)], []
    for start in range(0, len(texts), PREDICTED_AT_ONCE):
        batch = tokenizer(texts[start : start + PREDICTED_AT_ONCE], truncation=True, padding=True, return_tensors="pt")
        with torch.no_grad():
            logits = trained(**batch).logits  # [B, C]
        found += [trained.config.id2label[i] for i in logits.argmax(dim=1).tolist()]
    out.write_text("".join(f"{label}\n" for label in found), encoding="utf-8")


def main(words: Sequence[str]) -> None:
    """Do what the command line says."""
    what, first, table, out, *seed = words
    if what == "train":
        train(first, Path(table), Path(out), int(seed[0]))
    else:
        predict(Path(first), Path(table), Path(out))


if __name__ == "__main__":
    main(sys.argv[1:])
