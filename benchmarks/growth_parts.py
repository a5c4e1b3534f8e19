"""One part of a run, in a process of its own: what ``benchmarks/growth.py`` starts and measures.

``python -m benchmarks.growth_parts PART CONFIG`` prints seconds and peak memory as JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from acclimate.adapters.sources import resolve_source
from acclimate.config_file import load_config
from acclimate.examples import Examples, read_examples
from acclimate.execution import WORK_SECONDS, read_timing
from acclimate.records import DataCard, Split
from acclimate.single_stage import run_stage

if TYPE_CHECKING:
    from acclimate.nn.encoder import Encoder

# What computes is imported where it is used: the memory of ingest is to be its own.

STEPS = 20

Seconds = dict[str, float]


def stage(name: str, config: Path) -> Seconds:
    """A stage as ``acclimate stage`` runs it; its own work, without calibration and waiting."""
    # imports are costs of a start, not of rows
    for module in (f"acclimate.stages.{name}", "acclimate.adapters.tables"):
        import_module(module)
    return {"seconds": read_timing(run_stage(name, config))[WORK_SECONDS]}


def features(config: Path) -> Seconds:
    """Embed train and validation as the baseline does first."""
    from acclimate.nn.encoder import cached_embeddings

    data, encoder = run_stage("ingest", config), _encoder(config)
    # the first batch also allocates and builds kernels
    encoder.embed(["first"])
    started = time.perf_counter()
    rows = 0
    with tempfile.TemporaryDirectory() as cache:
        for split in ("train", "validation"):
            rows += len(cached_embeddings(encoder, _read(data, split).inputs, Path(cache)))
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "rows_per_second": rows / seconds, "feature_table_mb": rows * encoder.dim * 4 / 1e6}


def training(config: Path) -> Seconds:
    """Prepare all training rows for full fine-tuning, and take some steps."""
    from acclimate.core.probe import Probe
    from acclimate.nn.batching import shuffled_batches
    from acclimate.nn.guard import clip
    from acclimate.nn.job import LabelledRows
    from acclimate.nn.step import Workers, optimizer_for
    from acclimate.nn.train import learner_of
    from acclimate.nn.training_model import trainable
    from benchmarks.trained_models import training_job

    data, encoder = run_stage("ingest", config), _encoder(config)
    started = time.perf_counter()
    train = _read(data, "train")
    assert train.labels is not None, "the target is labelled"
    classes = int(train.labels.max()) + 1
    with tempfile.TemporaryDirectory() as folder:
        job = training_job(
            "full",
            _source(config),
            encoder,
            Probe(np.zeros((classes, encoder.dim)), np.zeros(classes)),
            LabelledRows(train.inputs, train.labels),
            LabelledRows([], np.zeros(0, dtype=np.int64)),
            epochs=1,
            patience=1,
            seed=0,
            folder=Path(folder),
        )
        learner = learner_of(job)
        batches = shuffled_batches(learner.sizes, batch_size=job.batch_size, rng=np.random.default_rng(0))
    prepared = time.perf_counter()
    parameters = trainable(learner.model)
    optimizer = optimizer_for(job, parameters)
    learner.compute.model.train()
    for step in range(STEPS):
        learner.compute.begin()
        learner.gradients(batches[step % len(batches)], Workers())
        clip(parameters, job.clip_norm, where=f"step {step + 1}")
        optimizer.step()
        learner.compute.refresh()
    return {"seconds": time.perf_counter() - prepared, "prepare_seconds": prepared - started}


def _source(config: Path) -> Path:
    address = load_config(config).config.source.model
    return resolve_source(address, root=config.parent, licence=None, allow_outside=True)[0]


def _encoder(config: Path) -> Encoder:
    from acclimate.nn.encoder import Encoder
    from benchmarks.measured import auto_precision

    return Encoder.load(_source(config), precision=auto_precision(_source(config)))


def _read(data: Path, split: Split) -> Examples:
    return read_examples(data, "target", [split], DataCard.read(data).target.labels)


def peak_mb() -> float:
    """Largest resident set of this process so far, MB.

    Not what ``getrusage`` says: that starts from the size of the process it was forked from.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024 / 1e6


PARTS: dict[str, Callable[[Path], Seconds]] = {
    "ingest": lambda config: stage("ingest", config),
    "gap": lambda config: stage("gap", config),
    "features": features,
    "baseline": lambda config: stage("baseline", config),
    "training": training,
}


def main(words: Sequence[str]) -> None:
    """Do one part and print what it took."""
    name, config = words
    found = PARTS[name](Path(config))
    sys.stdout.write(json.dumps({**found, "peak_mb": peak_mb()}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
