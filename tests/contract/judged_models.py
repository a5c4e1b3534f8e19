"""Records of models with the predictions that their scores were computed from, for tests of what follows from these."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from acclimate.config import EvaluateSpec
from acclimate.config_file import effective_policy
from acclimate.config_gate import GateSpec
from acclimate.digests import file_digest
from acclimate.judging import judge_evidence
from acclimate.predictions import AnswerScores, ClassPredictions, JudgedRows
from acclimate.records import Evidence, StoredModel, Verdict
from acclimate.registry import RunRecords
from acclimate.scoring import scored_answers, scored_classes
from tests.run_records import LABELS, digest, run_records
from tests.writing_records import writing_records

HOW = EvaluateSpec(bootstraps=200)
POLICY = effective_policy(GateSpec())
N = 600


def rows() -> JudgedRows:
    return JudgedRows(
        [digest(f"row {i}") for i in range(N)],
        [f"g{i // 2}" for i in range(N)],
        {"channel": ["mail" if i % 3 else "chat" for i in range(N)]},
    )


def classified(path: Path, name: str) -> RunRecords:
    """Records of a classifier that is right on nine rows of ten, and its predictions."""
    rng, base = np.random.default_rng(0), run_records(name, name=name, model_digest=digest(name))
    truth = rng.integers(len(LABELS), size=N)
    logits = rng.normal(size=(N, len(LABELS))).astype(np.float32) + 4 * np.eye(len(LABELS), dtype=np.float32)[truth]

    def right_on(share: float) -> np.ndarray:
        return np.where(rng.random(N) < share, truth, (truth + 1) % len(LABELS))

    others = {"baseline": right_on(0.7), "tfidf": right_on(0.6), "majority": np.zeros(N, dtype=np.int64)}
    others["random_features"] = right_on(0.55)
    found = ClassPredictions(rows(), LABELS, truth, logits, others)
    found.write(path, 1.5)
    scored = scored_classes(found, 1.5, metric="macro_f1", comparator="baseline", how=HOW)
    return replace(base, evaluation=base.evaluation.model_copy(update=scored))


def written(path: Path, name: str) -> RunRecords:
    """Records of a language model that writes nine answers of ten as they are, and their scores."""
    rng, base = np.random.default_rng(0), writing_records()
    found = AnswerScores(
        rows(),
        (rng.random(N) < 0.9).astype(np.float64),
        {one: (rng.random(N) < 0.5).astype(np.float64) for one in ("baseline", "nearest", "majority", "source_as_is")},
    )
    found.write(path, answers=["a"] * N, written=["a"] * N, nll=rng.random(N))
    scored = scored_answers(found, metric="exact_match", comparator="baseline", how=HOW)
    evaluation = base.evaluation.model_copy(update={**scored, "model_digest": digest(name)})
    assert base.finetune is not None
    arms = [arm.model_copy(update={"model_digest": digest(name)}) if arm.chosen else arm for arm in base.finetune.arms]
    finetune = base.finetune.model_copy(update={"arms": arms})
    return replace(base, name=name, run_key=digest(name), evaluation=evaluation, finetune=finetune)


def evidence_of(records: RunRecords, predictions: Path) -> Evidence:
    """What a verdict on records is computed from."""
    return Evidence(
        data=records.data,
        source=records.source,
        decision=records.decision,
        finetune=records.finetune,
        evaluation=records.evaluation,
        evaluated_by=HOW.model_dump(mode="json"),
        predictions_sha256=file_digest(predictions),
        stored=StoredModel(max_logit_difference=0.0, changes_outputs=True, same_model=True),
        at_least=None,
        at_least_by="point",
        waivers=[],
        look=1,
        auto_promote=False,
        gap=records.gap.in_short,
        outputs=records.outputs,
    )


def judged(records: RunRecords, evidence: Evidence) -> Verdict:
    return judge_evidence(evidence, policy=POLICY, run_key=records.run_key, name=records.name)
