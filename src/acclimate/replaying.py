"""A registered model's verdict computed again from what the registry keeps of it."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acclimate.config import EvaluateSpec, Goal
from acclimate.config_gate import PolicySpec
from acclimate.errors import IntegrityError, Problem
from acclimate.handing_on import frozen_instead, stood_in_for
from acclimate.judging import judge_evidence
from acclimate.predictions import AnswerScores, ClassPredictions
from acclimate.records import Evaluation, Evidence, Verdict
from acclimate.scoring import scored_answers, scored_classes
from acclimate.wiring import asked_registry

# another machine's processor may add numbers in another order
TOLERANCE = 1e-9
CHAMPION = "champion"


def replay(reference: str, workspace: Path | None) -> dict[str, Any]:
    """Compute a verdict again: scores, intervals and comparisons from the stored predictions, then every check.

    Args:
        reference: ``NAME`` for the highest version, ``NAME@alias`` or ``NAME/7``.
        workspace: where the registry is looked for.

    Returns:
        What was computed, once it agrees.

    Raises:
        ModelError: E-REGISTRY-003, 018 and 022: no such version, or nothing is kept that its verdict was computed from.
        IntegrityError: E-REGISTRY-019 and 023, a stored file was changed; E-GATE-010, the verdict does not follow from
            what it is said to be computed from.
    """
    with tempfile.TemporaryDirectory() as folder:
        version, stored, evidence, predictions = asked_registry(workspace).evidence(reference, Path(folder))
        evaluation, verdict = replayed(version.model_uri, stored, evidence, predictions)
    return {
        "model_uri": version.model_uri,
        "verdict": verdict.verdict,
        "agrees": True,
        "rows": evaluation.rows,
        "metric": evaluation.metric,
        "score": evaluation.score.point,
        "compared_with": [row.other for row in evaluation.comparisons],
        "checks": {row.name: row.outcome for row in verdict.checks},
        "taken_as_stored": _taken(evidence),
    }


def replayed(model_uri: str, stored: Verdict, evidence: Evidence, predictions: Path) -> tuple[Evaluation, Verdict]:
    """The evaluation and the verdict as they are computed now.

    Raises:
        IntegrityError: E-GATE-010, they are not the stored ones.
    """
    evaluation = again(evidence, predictions)
    verdict = judge_evidence(
        evidence.model_copy(update={"evaluation": evaluation}),
        policy=PolicySpec.model_validate(stored.rules),
        run_key=stored.run_key,
        name=stored.name,
    )
    # a policy of an earlier release lacks keys that mean nothing for it
    rules = PolicySpec.model_validate(stored.rules).model_dump(mode="json")
    sealed = stored.model_copy(update={"rules": rules})
    found = [*differences(evidence.evaluation, evaluation), *differences(sealed, verdict)]
    if found:
        hint = "do not rely on this version before it was judged again: acclimate run adaptation.yaml"
        main = Problem("E-GATE-010", f"the verdict can't be computed again: {found[0]}", model_uri, hint)
        raise IntegrityError.of([main, *(Problem("E-GATE-010", says, model_uri) for says in found[1:])])
    return evaluation, verdict


def again(evidence: Evidence, predictions: Path) -> Evaluation:
    """An evaluation with everything in it that follows from the predictions computed anew."""
    was, how = evidence.evaluation, EvaluateSpec.model_validate(evidence.evaluated_by)
    champion = was.comparator.startswith(f"{CHAMPION} ")
    judged: dict[str, Any] = {"metric": was.metric, "comparator": CHAMPION if champion else was.comparator, "how": how}
    if was.calibration is None:
        scored = scored_answers(AnswerScores.read(predictions), **judged)
    else:
        scored = scored_classes(ClassPredictions.read(predictions), was.calibration.temperature, **judged)
    if stood_in_for(evidence.finetune, was) and was.handed_on is not None:
        goal = Goal(at_least=evidence.at_least, at_least_by=evidence.at_least_by)
        trained = evidence.finetune.chosen if evidence.finetune else ""
        scored["handed_on"] = frozen_instead(trained, scored["score"], scored["comparisons"], goal)
    return was.model_copy(update=scored)


def _taken(evidence: Evidence) -> list[str]:
    """What does not follow from predictions, in words."""
    retention = ["what is kept of the source's task"] if evidence.evaluation.retention else []
    stored = ["the stored model's logits beside the evaluated one's"] if evidence.stored else []
    cost = ["time and memory of a row"] if evidence.latency_p95_ms or evidence.memory_bytes else []
    return ["which look at the test rows it was", "rows in several splits", *stored, *retention, *cost]


def differences(stored: Evaluation | Verdict, computed: Evaluation | Verdict) -> list[str]:
    """Where two records differ, by more than rounding; the digest of the evidence is not looked at."""
    was, now = (one.model_dump(mode="json", exclude={"evidence_sha256"}) for one in (stored, computed))
    return [f"{place} is {b!r} now, {a!r} was stored" for place, a, b in _differing(was, now, "")]


def _differing(a: Any, b: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        for name in a:
            yield from _differing(a[name], b[name], f"{place}.{name}".lstrip("."))
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from _differing(x, y, f"{place}[{i}]")
    elif isinstance(a, float) and isinstance(b, float):
        if not math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            yield place, a, b
    elif a != b:
        yield place, a, b


def replay_text(found: dict[str, Any]) -> str:
    """The result for people."""
    outcomes = list(found["checks"].values())
    told = ", ".join(f"{outcomes.count(one)} {one.replace('_', ' ')}" for one in dict.fromkeys(outcomes))
    lines = [
        f"{found['model_uri']}: {found['verdict']}, computed again and the same",
        f"from        the stored predictions on {found['rows']} test rows",
        f"score       {found['metric']} {found['score']:.4f}, compared with {', '.join(found['compared_with'])}",
        f"checks      {told}",
        f"as stored   {'; '.join(found['taken_as_stored'])}",
    ]
    return "\n".join(lines)
