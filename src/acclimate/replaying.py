"""A registered model's verdict computed again from what the registry keeps of it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from acclimate.agreement import differences, one_sided
from acclimate.config import EvaluateSpec, Goal
from acclimate.config_base import Section
from acclimate.config_gate import PolicySpec
from acclimate.errors import IntegrityError, ModelError, Problem
from acclimate.handing_on import frozen_instead, stood_in_for
from acclimate.judging import judge_evidence
from acclimate.predictions import AnswerScores, ClassPredictions
from acclimate.records import Evaluation, Evidence, Verdict
from acclimate.scoring import scored_answers, scored_classes
from acclimate.version import __version__
from acclimate.wiring import asked_registry

S = TypeVar("S", bound=Section)
CHAMPION = "champion"


def replay(reference: str, workspace: Path | None) -> dict[str, Any]:
    """Compute a verdict again: scores, intervals and comparisons from the stored predictions, then every check.

    Args:
        reference: ``NAME`` for the highest version, ``NAME@alias`` or ``NAME/7``.
        workspace: where the registry is looked for.

    Returns:
        What was computed, once it agrees; of another release's verdict also what is not compared.

    Raises:
        ModelError: E-REGISTRY-003, 018 and 022: no such version, or nothing is kept that its verdict was computed from;
            E-GATE-011, this release can't read by what it was judged.
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
        "judged_by": stored.release or None,
        "not_compared": not_compared(stored, verdict),
    }


def replayed(model_uri: str, stored: Verdict, evidence: Evidence, predictions: Path) -> tuple[Evaluation, Verdict]:
    """The evaluation and the verdict as they are computed now.

    Raises:
        ModelError: E-GATE-011, this release can't read by what it was judged.
        IntegrityError: E-GATE-010, they are not the stored ones.
    """
    policy = _read(PolicySpec, stored.rules, "policy", model_uri, stored)
    how = _read(EvaluateSpec, evidence.evaluated_by, "way to evaluate", model_uri, stored)
    evaluation = again(evidence, how, predictions)
    verdict = judge_evidence(
        evidence.model_copy(update={"evaluation": evaluation}), policy=policy, run_key=stored.run_key, name=stored.name
    )
    # a policy of an earlier release lacks keys that mean nothing for it
    sealed = stored.model_copy(update={"rules": policy.model_dump(mode="json")})
    same = stored.release == __version__
    found = differences(evidence.evaluation, evaluation, same_release=same)
    found += differences(sealed, verdict, same_release=same)
    if found:
        hint = "do not rely on this version before it was judged again: acclimate run adaptation.yaml"
        if not same:
            hint += f"; or the releases compute it differently: replay it with {_release(stored)}"
        main = Problem("E-GATE-010", f"the verdict can't be computed again: {found[0]}", model_uri, hint)
        raise IntegrityError.of([main, *(Problem("E-GATE-010", says, model_uri) for says in found[1:])])
    return evaluation, verdict


def _read(model: type[S], written: dict[str, Any], what: str, model_uri: str, stored: Verdict) -> S:
    try:
        return model.model_validate(written)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        says = f"{'.'.join(map(str, first['loc']))[:100]}: {first['msg'][:200]}"
        raise ModelError(
            "E-GATE-011",
            f"the {what} of this verdict can't be read by acclimate {__version__}: {says}",
            where=model_uri,
            hint=f"replay it with {_release(stored)}, or judge the model again: acclimate run adaptation.yaml",
        ) from error


def _release(stored: Verdict) -> str:
    return f"acclimate {stored.release[:40]}" if stored.release else "the release that judged it"


def not_compared(stored: Verdict, computed: Verdict) -> str:
    """What another release need not say alike, for people; empty where this one judged."""
    if stored.release == __version__:
        return ""
    alone = one_sided(stored, computed)
    checks = f", nor the checks that only one of both has ({', '.join(alone)})" if alone else ""
    judged = f"acclimate {stored.release[:40]}" if stored.release else "an earlier release of acclimate"
    return f"judged by {judged}, this is {__version__}: wording is not compared{checks}"


def again(evidence: Evidence, how: EvaluateSpec, predictions: Path) -> Evaluation:
    """An evaluation with everything in it that follows from the predictions computed anew."""
    was = evidence.evaluation
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
    was, finetune = evidence.evaluation, evidence.finetune
    seeds = [run for arm in finetune.arms if arm.chosen for run in arm.seeds] if finetune else []
    rule = was.handed_on if not stood_in_for(finetune, was) else None
    named = [
        ("which look at the test rows it was", True),
        ("rows in several splits", True),
        ("what was asked for, and which controls were due", True),
        ("licences", True),
        ("the model's size", True),
        ("its temperature", was.calibration),
        ("the stored model's logits beside the evaluated one's", evidence.stored),
        ("what is kept of the source's task", was.retention),
        ("time and memory of a row", evidence.latency_p95_ms or evidence.memory_bytes),
        ("scores on changed rows", was.robustness),
        ("the hardest errors", was.errors),
        ("perplexity", was.perplexity),
        ("whether further seeds diverged", seeds),
        ("what rule R10 said", rule),
    ]
    return [words for words, is_there in named if is_there]


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
    lines += [f"release     {found['not_compared']}"] if found["not_compared"] else []
    return "\n".join(lines)
