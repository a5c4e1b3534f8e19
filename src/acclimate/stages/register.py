"""Stage ``register``: the gate's verdict, and the model version with its lineage or the reasons why not."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.config import Goal
from acclimate.config_file import effective_policy
from acclimate.config_gate import CostRule, GateSpec
from acclimate.digests import file_digest
from acclimate.examples import Examples, read_examples
from acclimate.judging import judge_evidence
from acclimate.nn import serving_cost
from acclimate.nn.adapted import load_adapted
from acclimate.nn.causal.judged import pairs_of
from acclimate.nn.causal.writer import Writer
from acclimate.nn.compared import logits_in_order
from acclimate.nn.frozen import frozen_on_train
from acclimate.nn.model import AdaptedModel
from acclimate.nn.serving_cost import MEMORY_ROWS
from acclimate.nn.source_card import folder_digest
from acclimate.ports import Progress, silent
from acclimate.predictions import FILE
from acclimate.records import Evidence, Registration, StoredModel, Verdict, WaivedCheck
from acclimate.registry import RegisteredVersion, Registry, RunRecords, licence_of_run

CardWriter = Callable[[RunRecords, Path], Path]
SketchWriter = Callable[[Path], Path]

PARITY_ROWS = 256
# Above what adding floats in another order can do to logits; below what any training does to them.
CHANGED = 1e-5


def register(
    records: RunRecords,
    candidate: Path,
    *,
    data: Path,
    baseline: Path,
    evaluation: Path,
    goal: Goal,
    gate: GateSpec,
    registry: Registry,
    write_card: CardWriter,
    write_sketch: SketchWriter,
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
        evaluation: evaluate's folder, whose predictions are kept in the registry.
        goal: the requirement.
        gate: the policy.
        registry: where runs, models and lineage are kept.
        write_card: writes the model card into a folder, e.g. :func:`acclimate.report.model_card.write_model_card`.
        write_sketch: writes what the model remembers of its target into a folder, beside its weights.
        out: this stage's folder; gets ``verdict.json``, ``registration.json`` and, if stored, ``model_card.md``.
        progress: told of each step.

    Raises:
        UnavailableError: the registry can't be reached, or the champion moved (E-REGISTRY-020).
    """
    run_id = registry.record_run(records)
    predictions, policy = evaluation / FILE, effective_policy(gate)
    evidence = Evidence(
        data=records.data,
        source=records.source,
        decision=records.decision,
        finetune=records.finetune,
        evaluation=records.evaluation,
        evaluated_by=records.config["evaluate"],
        predictions_sha256=file_digest(predictions),
        stored=None,
        at_least=goal.at_least,
        at_least_by=goal.at_least_by,
        waivers=[WaivedCheck(check=one.check, by=one.by, reason=one.reason) for one in gate.waivers],
        look=registry.look(records.evaluation.test_digest, records.run_key),
        auto_promote=gate.auto_promote,
        gap=records.gap.in_short,
        outputs=records.outputs,
        **_limited_cost(policy.checks.cost, evaluation, candidate, data, progress),
    )
    judge: dict[str, Any] = {"policy": policy, "run_key": records.run_key, "name": records.name}
    verdict, model_uri = judge_evidence(evidence, **judge), None
    if verdict.verdict != "REJECT":
        model_uri, stored = _store(
            records, candidate, data, baseline, registry, run_id, write_card, write_sketch, out, progress
        )
        evidence = evidence.model_copy(update={"stored": stored})
        verdict = judge_evidence(evidence, **judge)
    registry.keep_evidence(run_id, evidence, predictions)
    progress("verdict", verdict=verdict.verdict)
    _warn_of_licence(records, registry, progress)
    done = registry.register(records, run_id, model_uri, verdict, auto_promote=gate.auto_promote)
    done = done.model_copy(update={"other_weights": _other_weights(records, registry, verdict, done.verdict_sha256)})
    if done.recalled:
        progress("warning", says=f"{done.model_uri} gets no alias: it was recalled by {done.recalled}")
    verdict.write(out)
    done.write(out)
    return done


def _limited_cost(
    limits: CostRule, evaluation: Path, candidate: Path, data: Path, progress: Progress
) -> dict[str, float]:
    """What evaluate measured of time and memory, as far as the policy sets a limit: it differs each time.

    Memory that could not be measured then is measured now: what was in the way may have passed.
    """
    path = evaluation / "timing.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    cost = {}
    if limits.latency_p95_ms_at_most is not None and "latency_p95_ms" in found:
        cost["latency_p95_ms"] = float(found["latency_p95_ms"])
    if limits.memory_mb_at_most is not None:
        rows = read_examples(data, "target", ["validation"], None).inputs[:MEMORY_ROWS]
        memory = found.get("peak_memory_bytes") or serving_cost.serving_memory(candidate, rows, progress=progress)
        cost |= {} if memory is None else {"memory_bytes": int(memory)}
    return cost


def _warn_of_licence(records: RunRecords, registry: Registry, progress: Progress) -> None:
    """Say so where another licence is known now than when the version of this run key was told last."""
    now = licence_of_run(records) or "unknown"
    for one in registry.versions(records.name):
        before = one.tags.get("acclimate.licence", now)
        if one.run_key == records.run_key and before != now:
            says = f"the licence of version {one.version} is {now}, not {before}: its tags say so now"
            card = "the model card stored with it stays as it is. To renew that, delete the version and run again"
            progress("warning", says=f"{says}, {card}")


def _other_weights(records: RunRecords, registry: Registry, verdict: Verdict, sealed: str) -> str | None:
    """Say so where this run key's one version is not what was judged now, or stays what it was judged to be before.

    Another machine or another release of acclimate may train slightly other weights. The version that is there stays.
    """
    for one in registry.versions(records.name):
        if one.run_key == records.run_key:
            refused = verdict.verdict in {"REJECT", "HOLD"}
            return _beside_a_refused(records, one, sealed) if refused else _in_place_of(records, one)
    return None


def _in_place_of(records: RunRecords, one: RegisteredVersion) -> str | None:
    digest = records.evaluation.model_digest
    theirs = one.tags.get("acclimate.model_digest", digest)
    if theirs == digest:
        return None
    own, other = records.evaluation.strategy, one.tags.get("acclimate.strategy")
    if "frozen" in (own, other) and own != other:
        return (
            f"Version {one.version} of this run key is not this model but the {other} one, judged when another "
            f"or no champion was in use. To register this {own} one, delete it in MLflow and run again."
        )
    return (
        f"Use version {one.version}: it holds this run key with other weights ({theirs[:12]}, these are "
        f"{digest[:12]}). To register these, delete it in MLflow and run again."
    )


def _beside_a_refused(records: RunRecords, one: RegisteredVersion, sealed: str) -> str | None:
    digest = records.evaluation.model_digest
    theirs, is_told = one.tags.get("acclimate.model_digest", digest), one.tags.get("acclimate.verdict_sha256") == sealed
    if theirs == digest and is_told:
        return None
    held = "these weights" if theirs == digest else f"other weights ({theirs[:12]}, these are {digest[:12]})"
    named = f"Version {one.version} of this run key holds {held}"
    if is_told:
        return f"{named} and is rejected with them."
    if "champion" in one.aliases:
        withdraw = f"acclimate rollback {one.name} --reason WHY"
        return f"{named} and is still the champion. If what is said here holds for it, take it out of use: {withdraw}"
    explain = f"acclimate gate explain {one.name}/{one.version}"
    return f"{named} and keeps its own verdict, {one.verdict}. Do not take it for what was judged here: {explain}"


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
) -> tuple[str | None, StoredModel]:
    """Store the candidate with its card, fetch it back and compare."""
    if folder_digest(candidate) != records.evaluation.model_digest:
        return None, StoredModel(max_logit_difference=None, changes_outputs=None, same_model=False)
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


def _integrity(records: RunRecords, candidate: Path, stored: Path, baseline: Path, rows: Examples) -> StoredModel:
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
    return StoredModel(
        max_logit_difference=float(np.abs(wanted - outputs(fetched, stored)).max()),
        changes_outputs=changes,
        same_model=fetched.digest == records.evaluation.model_digest,
    )
