"""The speed of this machine, measured once for a source model and its data, and stored in the workspace."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

from acclimate.core.decision_policy import could_be_trained
from acclimate.core.evidence import PRETRAINED
from acclimate.digests import code_digest, data_digest
from acclimate.execution import WORK_SECONDS, Context, add_timing
from acclimate.keys import data_digests
from acclimate.records import GENERATION_TASK, Calibration, SourceCard
from acclimate.wiring import source_of

CALIBRATION_ROWS = 256


def calibration_of(context: Context, data: Path) -> Calibration:
    """Throughput of this machine for this source model and data, measured once and stored."""
    config = context.request.adaptation
    folder, card = source_of(context)
    strategies = _measured(context)
    made_of = {
        "code": code_digest("acclimate.nn.calibrate"),
        "machine": None if context.is_shared else _machine(),
        "source": card.digest,
        "precision": config.compute.precision,
        "data": data_digests(data)["target"],
        "max_length": config.generation.max_length if config.task == GENERATION_TASK else config.baseline.max_length,
        "batch_size": config.finetune.batch_size,
        "strategies": strategies,
        **({"pool": data_digests(data).get("pool")} if PRETRAINED in strategies else {}),
        **({"gpus": config.compute.gpus_per_worker} if config.compute.gpus_per_worker else {}),
    }
    name = f"calibration/{data_digest(made_of)[:24]}"
    place = context.home / name
    if context.is_shared:
        context.store.pull(name)
    if not _is_there(place):
        with context.store.lock(name.replace("/", "-")):
            if not _is_there(context.store.pull(name)):
                _calibrate(context, data, folder, card, place)
                context.store.push(name)
    elif context.is_shared:
        context.store.push(name)  # one that a killed run had measured but not yet stored; else nothing to do
    return Calibration.read(place)


def _measured(context: Context) -> dict[str, dict[str, Any]]:
    """The strategies that could be trained, with their settings."""
    config = context.request.adaptation
    names = could_be_trained(config.finetune.arms, has_pool=config.pool is not None)
    return {name: config.finetune.settings_of(name) for name in names}


def _is_there(place: Path) -> bool:
    return (place / Calibration.file_name).is_file()


def _machine() -> list[Any]:
    """What tells one machine's speed from another's.

    In a shared workspace the first measurement is everybody's: steps of one run land on different nodes, and must
    decide the same.
    """
    return [platform.machine(), platform.processor(), _cpu_model(), _threads()]


def _calibrate(context: Context, data: Path, folder: Path, card: SourceCard, place: Path) -> None:
    config = context.request.adaptation
    context.progress("calibrating", says="measuring this machine's speed, once")
    started = time.monotonic()
    measured = (
        _measured_writing(context, data, folder)
        if config.task == GENERATION_TASK
        else _measured_classes(context, data, folder)
    )
    partial = context.scratch / "calibration"
    partial.mkdir(parents=True, exist_ok=True)
    written = measured.model_copy(update={"source_digest": card.digest}).write(partial)
    place.mkdir(parents=True, exist_ok=True)
    add_timing(place, {WORK_SECONDS: round(time.monotonic() - started, 3)})
    written.replace(place / Calibration.file_name)


def _measured_classes(context: Context, data: Path, folder: Path) -> Calibration:
    from acclimate.examples import read_examples
    from acclimate.nn.calibrate import calibrate
    from acclimate.nn.devices import measuring_device

    config = context.request.adaptation
    inputs = read_examples(data, "target", ["train"], None).inputs[:CALIBRATION_ROWS]
    strategies, pool = _measured(context), None
    if config.pool is not None and PRETRAINED in strategies:
        pool = read_examples(data, "pool", ["train"], None).texts[:CALIBRATION_ROWS]
    return calibrate(
        folder,
        inputs,
        pool=pool,
        precision=config.compute.precision,
        max_length=config.baseline.max_length,
        strategies=strategies,
        batch_size=config.finetune.batch_size,
        device=measuring_device(config.compute.gpus_per_worker),
    )


def _measured_writing(context: Context, data: Path, folder: Path) -> Calibration:
    from acclimate.examples import read_examples
    from acclimate.nn.calibrate import calibrate_writing
    from acclimate.nn.causal.judged import pairs_of
    from acclimate.nn.devices import measuring_device

    config = context.request.adaptation
    rows = read_examples(data, "target", ["train"], None)
    return calibrate_writing(
        folder,
        pairs_of(rows.some(range(min(len(rows), CALIBRATION_ROWS)))),
        precision=config.compute.precision,
        max_length=config.generation.max_length,
        strategies=_measured(context),
        batch_size=config.finetune.batch_size,
        device=measuring_device(config.compute.gpus_per_worker),
    )


def _cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def _threads() -> int:
    return int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
