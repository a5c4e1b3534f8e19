"""A small project on disk and the command line run on it as users do: as a process of its own."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CONFIG = """\
name: toy-mail
source: {model: source, licence: Apache-2.0}
target: {data: mail.csv, text: text, label: label}
goal: {metric: accuracy, at_least: 0.93}
gap: {null_pairs: 50, draws: 5, permutations: 99}
baseline: {bootstraps: 200}
finetune: {arms: [lora, full], max_epochs: {lora: 4, full: 6}}
evaluate: {bootstraps: 200}
gate: {auto_promote: true}
compute: {precision: fp32}
"""


LETTERS = {"negative": "abcdefghijklm", "positive": "nopqrstuvwxyz"}


def invented_word(label: str, rng: np.random.Generator, purity: float) -> str:
    """Five letters; a share ``purity`` of them comes from the class's own half of the alphabet."""
    other = next(name for name in LETTERS if name != label)
    return "".join(rng.choice(list(LETTERS[label if rng.random() < purity else other])) for _ in range(5))


@dataclass
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        (line,) = self.out.splitlines()
        return json.loads(line)


class Project:
    """A folder with a source model, a CSV file and an adaptation.yaml."""

    def __init__(self, folder: Path, tiny_source: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        shutil.copytree(tiny_source, folder / "source")
        (folder / "adaptation.yaml").write_text(CONFIG)

    def copy(self, to: Path) -> Project:
        """The same project elsewhere, with its workspace, for tests that add to it."""
        shutil.copytree(self.folder, to)
        return Project.at(to)

    @classmethod
    def at(cls, folder: Path) -> Project:
        """The project that lies in a folder."""
        found = cls.__new__(cls)
        found.folder = folder
        return found

    def stage_folder(self, stage: str) -> Path:
        (folder,) = (self.workspace / "stages" / stage).iterdir()
        return folder

    @property
    def workspace(self) -> Path:
        return self.folder / ".acclimate"

    def write_rows(self, rows: int = 2000, *, purity: float = 0.67, shuffled: bool = False) -> Project:
        """Write labelled texts of invented words.

        The class shows in the letters only: word pieces see them, TF-IDF of whole words does not.
        """
        rng = np.random.default_rng(7)
        labels = [("negative", "positive")[i % 2] for i in range(rows)]
        texts = [" ".join(invented_word(label, rng, purity) for _ in range(5)) for label in labels]
        if shuffled:
            rng.shuffle(labels)
        with (self.folder / "mail.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            writer.writerows(zip(texts, labels, strict=True))
        return self

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "acclimate", *arguments]
        environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def call(self, *arguments: str) -> Outcome:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=560)
        return Outcome(process.returncode, out, err)

    def run(self, *more: str) -> Outcome:
        return self.call("run", "adaptation.yaml", "--json", *more)

    def events(self) -> list[dict]:
        return [
            json.loads(line)
            for path in sorted(self.workspace.glob("runs/*/events.jsonl"))
            # the last line may be under way
            for line in path.read_text().splitlines(keepends=True)
            if line.endswith("\n")
        ]

    def wait_for(self, event: str, process: subprocess.Popen[str], **fields: object) -> dict:
        for _ in range(1200):
            for found in self.events():
                if found["event"] == event and fields.items() <= found.items():
                    return found
            if process.poll() is not None:
                break
            time.sleep(0.1)
        _, err = process.communicate()
        raise AssertionError(f"no event {event} {fields}; the run ended with {process.returncode}: {err[-2000:]}")
