"""Finetune as a piece of work, and the model a branch hands on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acclimate.calibrating import calibration_of
from acclimate.digests import code_digest, data_digest
from acclimate.execution import Context, Work, content_digest, execute
from acclimate.keys import data_digests, of_generation, run_key
from acclimate.records import Evaluation, FinetuneReport, Manifest
from acclimate.wiring import source_of, trainer_of


@dataclass(frozen=True)
class Candidate:
    """The model that is judged: its folder, its strategy, and the finetune folder if there was one."""

    model: Path
    strategy: str
    finetune: Path | None


def finetune_work(context: Context, data: Path, baseline: Path, decision: Path) -> Work:
    """Finetune: keyed by the decision, the baseline and the training settings."""
    config = context.request.adaptation
    folder, card = source_of(context)
    calibration = calibration_of(context, data)
    made_of = {
        "data": data_digests(data),
        "source": card.model_dump(mode="json"),
        "baseline": content_digest(baseline),
        "decision": content_digest(decision),
        "calibration": calibration.model_dump(mode="json"),
        "finetune": config.finetune.model_dump(mode="json"),
        "goal": config.goal.model_dump(mode="json"),
        "max_length": config.baseline.max_length,
        **of_generation(config),
        "workers": config.compute.workers,
        **({"sharded": True} if config.compute.sharded else {}),
        "trainer": code_digest("acclimate.nn.train" if config.compute.most_workers == 1 else "acclimate.adapters.ray"),
    }
    checkpoints = _checkpoints(made_of)

    def call(out: Path) -> dict[str, Any]:
        from acclimate.stages.finetune import finetune

        def progress(event: str, /, **fields: Any) -> None:
            if event in {"epoch", "checkpoint"}:
                context.store.push(checkpoints)
            context.progress(event, **fields)

        report = finetune(
            data,
            folder,
            card,
            baseline,
            decision,
            calibration,
            config=config.finetune,
            goal=config.goal,
            max_length=config.baseline.max_length,
            generation=config.generation,
            trainer=trainer_of(context),
            checkpoints=context.store.pull(checkpoints),
            out=out,
            progress=progress,
        )
        return {"chosen": report.chosen}

    return Work("finetune", "acclimate.stages.finetune", made_of, call, run_key(context, data))


def _checkpoints(made_of: dict[str, Any]) -> str:
    """The shared folder where a training keeps its checkpoints until it is finished.

    Trainings that differ in anything, be it a seed, never meet in it.
    """
    return f"checkpoints/{data_digest(made_of)[:24]}"


def finetune_step(context: Context, data: Path, baseline: Path, decision: Path) -> Path:
    """Train, then forget the checkpoints. In a pod, more than one worker are a RayJob's: that trains and forgets."""
    work = finetune_work(context, data, baseline, decision)
    if context.request.adaptation.compute.most_workers > 1:
        from acclimate.rayjob_training import finetune_on_cluster, is_for_a_rayjob

        if is_for_a_rayjob(context):
            named = {"data": data, "baseline": baseline, "decision": decision}
            references = {role: context.store.reference(folder) for role, folder in named.items()}
            return finetune_on_cluster(context, work, references)
    folder = execute(context, work)
    context.store.remove(_checkpoints(work.made_of))
    return folder


def candidate_of(candidate: Path, baseline: Path) -> Candidate:
    """The model handed on by a branch: finetune's chosen arm, or the frozen baseline."""
    if Manifest.read(candidate).stage != "finetune":
        return Candidate(baseline / "model", "frozen", None)
    chosen = FinetuneReport.read(candidate).chosen
    model = baseline / "model" if chosen == "frozen" else candidate / "arms" / chosen / "model"
    return Candidate(model, chosen, candidate)


def handed_on(candidate: Path, baseline: Path, evaluation: Evaluation) -> Path:
    """Folder of the model that was evaluated: the branch's, or the frozen baseline in its place."""
    model = candidate_of(candidate, baseline)
    return baseline / "model" if evaluation.strategy == "frozen" else model.model
