"""SetFit's recipe at its defaults, run by ``benchmarks/recipes.py`` in an environment of its own, without acclimate.

``recipe_setfit.py train SOURCE TABLE MODEL SEED``, then ``recipe_setfit.py predict MODEL TABLE OUT``.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory


def train(source: str, table: Path, model: Path, seed: int) -> None:
    """Train on all rows of a table with the columns text and label, and save the model."""
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    labels = sorted({row["label"] for row in rows})
    data = Dataset.from_dict(
        {"text": [row["text"] for row in rows], "label": [labels.index(row["label"]) for row in rows]}
    )
    started = SetFitModel.from_pretrained(source, labels=labels)
    with TemporaryDirectory() as folder:
        # what SetFit reports to by default is not installed; where it writes is the only other choice made here
        arguments = TrainingArguments(output_dir=folder, seed=seed, report_to="none")
        Trainer(model=started, args=arguments, train_dataset=data).train()
    started.save_pretrained(str(model))


def predict(model: Path, table: Path, out: Path) -> None:
    """Write the label of each row's text, one a line."""
    from setfit import SetFitModel

    with table.open(encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    found = SetFitModel.from_pretrained(str(model)).predict(texts)
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
