"""How fast this machine is: matrix products, features, and real training steps of each strategy."""

from __future__ import annotations

import copy
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import torch

from acclimate.examples import Inputs
from acclimate.nn.batching import shuffled_batches
from acclimate.nn.causal.model import CausalModel, load_lm
from acclimate.nn.causal.reader import AnswerReader, AnswerRows
from acclimate.nn.causal.scoring import answer_scores
from acclimate.nn.devices import CPU
from acclimate.nn.encoder import Encoder, folder_digest
from acclimate.nn.guard import clip
from acclimate.nn.job import Job, LabelledRows, MaskedJob, Pairs, TrainJob, WritingJob
from acclimate.nn.step import Workers, optimizer_for
from acclimate.nn.step_kernels import step_kernels
from acclimate.nn.strategies import STRATEGIES, Settings
from acclimate.nn.train import learner_of
from acclimate.nn.training_model import trainable
from acclimate.records import FEATURES, PRETRAINING, Calibration

Precision = Literal["fp32", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")

# bf16 costs some accuracy of the numbers: it must pay, and by more than two measurements of one thing differ
BF16_GAIN = 1.2
# of features in bf16 with those in fp32, of any row: MiniLM's have .9998, EfficientNet-lite's .994
MIN_COSINE = 0.999
GEMM_SIZES = (256, 1024)
GEMM_REPEATS = 5
# of the smaller product: a processor without bf16 of its own takes seconds for the larger
SLOW_SECONDS = 0.01
TRAINING_STEPS = 5
FEATURE_ROWS = 256
# a strategy is measured no longer than this, on a slow machine by a single step after the first
ENOUGH_SECONDS = 3.0


def measure_gemm(device: torch.device = CPU) -> dict[str, float]:
    """Speed of square matrix products on a device.

    Returns:
        TFLOP/s by precision, ``fp32`` and ``bf16``: the best of a few repeats, since others can only slow us down. Of
        the largest product that does not take long.
    """
    return {"fp32": _gemm_speed(torch.float32, device), "bf16": _gemm_speed(torch.bfloat16, device)}


def _gemm_speed(dtype: torch.dtype, device: torch.device) -> float:
    speed = 0.0
    for size in GEMM_SIZES:
        a = torch.ones(size, size, dtype=dtype, device=device)
        # a GPU works on after the call: only a number that is read is there
        seconds = _fastest(lambda a=a: float((a @ a)[0, 0]))  # type: ignore[misc]  # mypy can't infer a lambda with a default
        speed = 2 * size**3 / seconds / 1e12
        if seconds > SLOW_SECONDS:
            break
    return speed


def _fastest(work: Callable[[], object]) -> float:
    work()
    taken = []
    for _ in range(GEMM_REPEATS):
        start = perf_counter()
        work()
        taken.append(perf_counter() - start)
    return min(taken)


def choose_precision(precision: str, measure: Callable[[Precision], float]) -> tuple[Precision, float]:
    """The precision that a piece of work is done in, and the speed at which it is.

    Args:
        precision: ``fp32`` or ``bf16`` as wished, or ``auto``: bf16 where it is at least 1.2 times as fast.
        measure: does some of the work in a precision.

    Returns:
        The precision, and what ``measure`` returned for it.
    """
    if precision != "auto":
        chosen: Precision = "bf16" if precision == "bf16" else "fp32"
        return chosen, measure(chosen)
    speeds = {one: measure(one) for one in PRECISIONS}
    chosen = "bf16" if speeds["bf16"] >= BF16_GAIN * speeds["fp32"] else "fp32"
    return chosen, speeds[chosen]


def calibrate(
    source_folder: Path,
    inputs: Inputs,
    *,
    precision: str,
    max_length: int | None,
    strategies: Mapping[str, Settings],
    batch_size: int,
    pool: Sequence[str] | None = None,
    device: torch.device = CPU,
) -> Calibration:
    """Measure throughput on real rows: features, a few real steps of each strategy, and of pretraining.

    Args:
        source_folder: the source model.
        inputs: texts or images of the target, at least one; a few hundred are enough.
        precision: ``fp32``, ``bf16`` or ``auto``, which keeps to fp32 for features where bf16 turns those of a row by a
            cosine below .999.
        max_length: tokens of a text, or pixels of a image's side, that are read; None takes the model's own.
        strategies: settings by name in :data:`acclimate.nn.strategies.STRATEGIES`.
        batch_size: rows a training step.
        pool: texts that are pretrained on, where a strategy does so; None takes ``inputs``.
        device: what training will compute on; features are computed on the processors.

    Returns:
        Rows per second and the precision of each work: ``features``, each strategy, and ``pretraining`` where one
        pretrains. Validation and checkpoints of an epoch come on top.

    Raises:
        ModelError: the source can't be loaded.
        ConfigError: E-TRAIN-038 or 039, a layer that a strategy is to adapt or make anew is not there.
    """
    gemm = measure_gemm(device)
    precision = _worth_measuring(precision, gemm)
    loaded = Encoder.load(source_folder, precision="fp32", max_length=max_length)
    encoders = {one: loaded.computing_in(one) for one in PRECISIONS}
    tried = [one for one in PRECISIONS if precision in ("auto", one)]
    found = {one: _features(encoders[one], inputs[:FEATURE_ROWS]) for one in tried}
    # NaN counts as turned
    turned = precision == "auto" and not lowest_cosine(found["bf16"].values, found["fp32"].values) >= MIN_COSINE

    def training(strategy: str, one: Precision) -> float:
        return _training_speed(job(strategy, one), device)

    def job(strategy: str, one: Precision) -> TrainJob:
        return _job(strategy, strategies[strategy], encoders[one], source_folder, inputs, batch_size)

    of_features = "fp32" if turned else precision
    measured = {FEATURES: choose_precision(of_features, lambda one: found[one].rows_per_second)}
    for strategy in strategies:
        measured[strategy] = choose_precision(precision, partial(training, strategy))
        if STRATEGIES[strategy].pretrains:
            texts = [one for one in inputs if isinstance(one, str)] if pool is None else pool
            chosen = measured[strategy][0]
            measured[PRETRAINING] = chosen, _training_speed(_masked_job(job(strategy, chosen), texts), device)
    return _calibration(source_folder, gemm, measured, device)


def calibrate_writing(
    source_folder: Path,
    pairs: Pairs,
    *,
    precision: str,
    max_length: int,
    strategies: Mapping[str, Settings],
    batch_size: int,
    device: torch.device = CPU,
) -> Calibration:
    """The same for a causal language model: ``features`` is the speed at which given answers are scored.

    Args:
        source_folder: the source model.
        pairs: rows of the target, at least one; a few hundred are enough.
        precision: ``auto``, ``fp32`` or ``bf16``.
        max_length: tokens of prompt and answer together.
        strategies: settings by name.
        batch_size: rows a training step.
        device: what training will compute on; answers are scored on the processors.

    Raises:
        ModelError: the source can't be loaded.
        ConfigError: E-TRAIN-038 or 039, a layer that a strategy is to adapt or make anew is not there.
        DataError: E-DATA-070, a row has more tokens than are read.
    """
    gemm = measure_gemm(device)
    precision = _worth_measuring(precision, gemm)
    lm = load_lm(source_folder)
    rows = AnswerReader.load(source_folder, lm.config, max_length).rows(pairs)

    def training(strategy: str, one: Precision) -> float:
        job = WritingJob(
            strategy=strategy,
            settings={**strategies[strategy], "learning_rate": 1e-5},
            source=source_folder,
            source_digest="",
            train=pairs,
            validation=Pairs(None if pairs.prompts is None else (), ()),
            max_length=max_length,
            precision=one,
            **_SHORT,
            batch_size=batch_size,
            folder=source_folder,
        )
        return _training_speed(job, device)

    measured = {FEATURES: choose_precision(precision, partial(_scoring_speed, lm, rows))}
    measured |= {name: choose_precision(precision, partial(training, name)) for name in strategies}
    return _calibration(source_folder, gemm, measured, device)


def _worth_measuring(precision: str, gemm: Mapping[str, float]) -> str:
    """Where even matrix products gain nothing from bf16, no model does, and there it can be slower by far."""
    return "fp32" if precision == "auto" and gemm["bf16"] < gemm["fp32"] else precision


def _calibration(
    source_folder: Path,
    gemm: Mapping[str, float],
    measured: Mapping[str, tuple[Precision, float]],
    device: torch.device,
) -> Calibration:
    return Calibration(
        machine=_machine(device),
        source_digest=folder_digest(source_folder),
        precision={name: chosen for name, (chosen, _) in measured.items()},
        gemm_tflops={name: round(value, 4) for name, value in gemm.items()},
        rows_per_second={name: round(speed, 2) for name, (_, speed) in measured.items()},
    )


# what a few steps are measured with: it doesn't change what a step costs
_SHORT: dict[str, Any] = {
    "metric": "accuracy",
    "epochs": 1,
    "schedule": "linear",
    "warmup": 0.0,
    "weight_decay": 0.01,
    "clip_norm": 1.0,
    "patience": 1,
    "keep": 1,
    "seed": 0,
}


def _job(
    strategy: str, settings: Settings, encoder: Encoder, source_folder: Path, inputs: Inputs, batch_size: int
) -> TrainJob:
    """A job of two made-up classes: what is learned doesn't change what a step costs."""
    return TrainJob(
        strategy=strategy,
        settings={**settings, "learning_rate": 1e-5},
        source=source_folder,
        source_digest=encoder.digest,
        probe_weight=np.zeros((2, encoder.dim), dtype=np.float32),
        probe_bias=np.zeros(2, dtype=np.float32),
        train=LabelledRows(inputs, np.arange(len(inputs)) % 2),
        validation=LabelledRows([], np.zeros(0, dtype=np.int64)),
        **_SHORT,
        batch_size=batch_size,
        max_length=encoder.max_length,
        precision="bf16" if encoder.precision == "bf16" else "fp32",
        folder=source_folder,
    )


def _masked_job(job: TrainJob, texts: Sequence[str]) -> MaskedJob:
    """The pretraining before a job."""
    same = {name: getattr(job, name) for name in ("strategy", "source", "source_digest", "max_length", "precision")}
    settings = {"learning_rate": 1e-5, "masked_share": job.settings["masked_share"]}
    folder, size = job.folder, job.batch_size
    return MaskedJob(**same, **_SHORT, settings=settings, batch_size=size, train=texts, held_out=(), folder=folder)


@dataclass(frozen=True)
class _Features:
    """Features [n, d], and at what speed they came."""

    values: np.ndarray
    rows_per_second: float


def _features(encoder: Encoder, inputs: Inputs) -> _Features:
    encoder.embed(inputs[:32])
    start = perf_counter()
    values = encoder.embed(inputs)
    return _Features(values, len(inputs) / (perf_counter() - start))


def lowest_cosine(a: np.ndarray, b: np.ndarray) -> float:
    """The lowest cosine between a row of one table and the same of the other, ``[n, d]`` each; of two zeros 1."""
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    both_zero = ~(a.any(axis=1) | b.any(axis=1))
    return float(np.where(both_zero, 1.0, (a * b).sum(axis=1) / np.where(norms == 0.0, 1.0, norms)).min())


def _scoring_speed(lm: Any, rows: AnswerRows, precision: Precision) -> float:
    model = CausalModel(copy.deepcopy(lm).to(torch.bfloat16) if precision == "bf16" else lm)
    start = perf_counter()
    answer_scores(model, rows)
    return len(rows) / (perf_counter() - start)


def _training_speed(job: Job, device: torch.device) -> float:
    """Rows per second in steps as the training loop takes them.

    The median of the steps' padded tokens per second, so that one step that was held up doesn't count.
    """
    learner = learner_of(job, device)
    parameters = trainable(learner.model)
    optimizer = optimizer_for(job, parameters)
    sizes, compute = learner.sizes, learner.compute
    batches = shuffled_batches(sizes, batch_size=job.batch_size, rng=np.random.default_rng(job.seed))
    padded = [len(batch) * max(sizes[row] for row in batch) for batch in batches]
    compute.model.train()
    rates, began = [], perf_counter()
    for step in range(1 + TRAINING_STEPS):
        start, i = perf_counter(), step % len(batches)
        compute.begin()
        with step_kernels(device):
            learner.gradients(batches[i], Workers())
        clip(parameters, job.clip_norm, where="calibration")
        optimizer.step()
        compute.refresh()
        rates.append(padded[i] / (perf_counter() - start))
        if step > 0 and perf_counter() - began > ENOUGH_SECONDS:
            break
    # the first step also allocates and builds kernels
    return float(np.median(rates[1:])) * len(sizes) / sum(padded)


def _machine(device: torch.device) -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = models[0] if models else platform.processor() or "unknown processor"
    gpu = "" if device.type == "cpu" else f", {torch.cuda.get_device_name(device)}"
    return f"{platform.machine()}, {name}, {torch.get_num_threads()} threads{gpu}"
