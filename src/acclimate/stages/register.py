"""Stage ``register``: the gate's verdict, and the model version with its lineage or the reasons why not."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from acclimate.config import Goal
from acclimate.config_file import effective_policy
from acclimate.config_gate import GateSpec
from acclimate.examples import Examples, read_examples
from acclimate.judging import Integrity, Waiver, judge_records
from acclimate.nn.adapted import load_adapted
from acclimate.nn.causal.judged import pairs_of
from acclimate.nn.causal.writer import Writer
from acclimate.nn.compared import logits_in_order
from acclimate.nn.frozen import frozen_on_train
from acclimate.nn.model import AdaptedModel
from acclimate.nn.source_card import folder_digest
from acclimate.ports import Progress, Registry, RunRecords, silent
from acclimate.records import Check, Registration, Verdict

CardWriter = Callable[[RunRecords, Path], Path]
SketchWriter = Callable[[Path], Path]

PARITY_ROWS = 256
# Above what adding floats in another order can do to logits; below what any training does to them.
CHANGED = 1e-5
AS_CHAMPION = "Use it: it is the champion now."
AS_CHALLENGER = "Make it the champion: acclimate promote {name}@challenger --reason WHY"
TO_APPROVE = (
    "Somebody else has to answer for it: acclimate approve {name}/VERSION --by NAME --reason WHY; then promote it. "
    "acclimate models {name} shows the version."
)
_STORED_WELL = Integrity(max_logit_difference=0.0, changes_outputs=True, same_model=True)


def register(
    records: RunRecords,
    candidate: Path,
    *,
    data: Path,
    baseline: Path,
    goal: Goal,
    gate: GateSpec,
    registry: Registry,
    write_card: CardWriter,
    write_sketch: SketchWriter,
    artifacts: list[Path],
    out: Path,
    progress: Progress = silent,
) -> Registration:
    """Judge the candidate and register it as far as the verdict goes.

    The model is stored only if nothing but the integrity check can still reject it. What the registry then gives back
    is compared with the candidate before a version is made of it.

    Args:
        records: what the run produced so far.
        candidate: the candidate's model folder; it is left as it is.
        data: ingest's folder; validation rows are read.
        baseline: the baseline's folder; what training started from is read.
        goal: the requirement.
        gate: the policy.
        registry: where runs, models and lineage are kept.
        write_card: writes the model card into a folder, e.g. :func:`acclimate.report.model_card.write_model_card`.
        write_sketch: writes what the model remembers of its target into a folder, beside its weights.
        artifacts: further files to keep with the run.
        out: this stage's folder; gets ``verdict.json``, ``registration.json`` and, if stored, ``model_card.md``.
        progress: told of each step.

    Raises:
        UnavailableError: the registry can't be reached, or the champion moved (E-REGISTRY-020).
    """
    run_id = registry.record_run(records, artifacts)
    look = registry.look(records.evaluation.test_digest, records.run_key)
    verdict = _judged(records, _STORED_WELL, goal, gate, look)
    model_uri = None
    if verdict.verdict == "REJECT":
        verdict = _without_integrity(verdict)
    else:
        model_uri, integrity = _store(
            records, candidate, data, baseline, registry, run_id, write_card, write_sketch, out, progress
        )
        verdict = _judged(records, integrity, goal, gate, look)
    progress("verdict", verdict=verdict.verdict)
    done = registry.register(records, run_id, model_uri, verdict, auto_promote=gate.auto_promote)
    _told_of_other_weights(verdict, records, registry).write(out)
    done.write(out)
    return done


def _told_of_other_weights(verdict: Verdict, records: RunRecords, registry: Registry) -> Verdict:
    """Say so where this run key's one version was made earlier, from the same inputs, with other weights.

    Another machine or another release of acclimate may train slightly other weights. The version that is there stays.
    """
    digest = records.evaluation.model_digest
    for one in registry.versions(records.name):
        theirs = one.tags.get("acclimate.model_digest", digest)
        if one.run_key == records.run_key and theirs != digest:
            says = (
                f"version {one.version} holds this run key with other weights ({theirs[:12]}, these are {digest[:12]})"
            )
            step = f"Use version {one.version}; to register these weights, delete it in MLflow and run again."
            return verdict.model_copy(update={"reasons": [*verdict.reasons, says], "next_step": step})
    return verdict


def _judged(records: RunRecords, integrity: Integrity, goal: Goal, gate: GateSpec, look: int) -> Verdict:
    verdict = judge_records(
        data=records.data,
        source=records.source,
        decision=records.decision,
        finetune=records.finetune,
        evaluation=records.evaluation,
        integrity=integrity,
        at_least=goal.at_least,
        at_least_by=goal.at_least_by,
        policy=effective_policy(gate),
        waivers=[Waiver(one.check, one.by, one.reason) for one in gate.waivers],
        run_key=records.run_key,
        name=records.name,
        look=look,
    )
    if verdict.if_approved == "PROMOTE":
        return verdict.model_copy(update={"next_step": TO_APPROVE.format(name=records.name)})
    if verdict.verdict != "PROMOTE":
        return verdict
    step = AS_CHAMPION if gate.auto_promote else AS_CHALLENGER.format(name=records.name)
    return verdict.model_copy(update={"next_step": step})


def _without_integrity(verdict: Verdict) -> Verdict:
    """A rejection that says of the integrity check what is true: it was not reached."""
    says = "not measured: other checks rejected the candidate before it was stored"
    checks = [
        Check(number=row.number, name=row.name, required=row.required, outcome="not_applicable", numbers={}, says=says)
        if row.name == "integrity"
        else row
        for row in verdict.checks
    ]
    return verdict.model_copy(update={"checks": checks})


def _store(
    records: RunRecords,
    candidate: Path,
    data: Path,
    baseline: Path,
    registry: Registry,
    run_id: str,
    write_card: CardWriter,
    write_sketch: SketchWriter,
    out: Path,
    progress: Progress,
) -> tuple[str | None, Integrity]:
    """Store the candidate with its card, fetch it back and compare."""
    if folder_digest(candidate) != records.evaluation.model_digest:
        return None, Integrity(max_logit_difference=None, changes_outputs=None, same_model=False)
    with tempfile.TemporaryDirectory(dir=out, prefix=".storing-") as temporary:
        staged = _linked_copy(candidate, Path(temporary) / "model", without={"README.md"})
        shutil.copyfile(write_card(records, staged), out / "model_card.md")
        write_sketch(staged)
        progress("storing_model")
        model_uri = registry.log_model(run_id, records, staged)
        stored = registry.fetch(model_uri, Path(temporary) / "fetched")
        progress("checking_stored_model")
        rows = read_examples(data, "target", ["validation"], None)
        some = rows.some(range(min(len(rows), PARITY_ROWS)))
        return model_uri, _integrity(records, candidate, stored, baseline, some)


def _linked_copy(folder: Path, into: Path, *, without: set[str]) -> Path:
    """A copy of a folder whose files are hard links where the file system allows it: nobody may write to them."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        relative = path.relative_to(folder)
        if relative.as_posix() in without:
            continue
        target = into / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, target)
        except OSError:
            shutil.copyfile(path, target)
    return into


def _integrity(records: RunRecords, candidate: Path, stored: Path, baseline: Path, rows: Examples) -> Integrity:
    def outputs(model: AdaptedModel | Writer, where: Path) -> np.ndarray:
        """Logits ``[n, C]``; of a language model each answer's mean loss ``[n]``."""
        if isinstance(model, Writer):
            return model.score(pairs_of(rows)).row_loss
        return logits_in_order(model, rows.inputs, records.evaluation.labels, where=where)

    wanted = outputs(load_adapted(candidate), candidate)
    fetched = load_adapted(stored)
    changes = None
    if records.evaluation.strategy != "frozen":
        # what training started from; the frozen model itself has another head
        start = load_adapted(baseline / "model") if records.data.is_generation else frozen_on_train(baseline)
        changes = bool(np.abs(wanted - outputs(start, baseline)).max() > CHANGED)
    return Integrity(
        max_logit_difference=float(np.abs(wanted - outputs(fetched, stored)).max()),
        changes_outputs=changes,
        same_model=fetched.digest == records.evaluation.model_digest,
    )
