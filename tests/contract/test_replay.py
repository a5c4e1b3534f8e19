"""A verdict is computed again from what a real MLflow keeps: it agrees, or whoever changed something is found."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from acclimate.adapters.mlflow_client import connect
from acclimate.adapters.mlflow_registry import MlflowRegistry
from acclimate.config_gate import ChecksSpec, LicenceRule, PolicySpec
from acclimate.errors import AcclimateError, IntegrityError, ModelError
from acclimate.judging import judge_evidence
from acclimate.nn.source_card import folder_digest
from acclimate.records import Evidence, HardRow, Retention, Robustness, SeedRun, Verdict
from acclimate.registry import RunRecords
from acclimate.replaying import replay, replay_text
from acclimate.verifying import verify
from tests.contract.judged_models import N, classified, evidence_of, judged, written
from tests.run_records import RULE, digest, interval, run_records, verdict_of

pytestmark = pytest.mark.usefixtures("no_server")

_NAMES = count()


Make = Callable[[Path, str], RunRecords]
Change = Callable[[Any], Any]


@pytest.fixture
def registered(registry: MlflowRegistry, tmp_path: Path) -> Callable[..., str]:
    """Registers as the stage does; what is said of the predictions, or of the verdict, may be changed before."""

    def make(kind: Make, *, evidence_is: Change = lambda one: one, verdict_is: Change = lambda one: one) -> str:
        name, path = f"model-{next(_NAMES)}", tmp_path / "predictions.parquet"
        records = kind(path, name)
        evidence = evidence_is(evidence_of(records, path))
        verdict = judged(records, evidence)
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(name)
        run_id = registry.record_run(records)
        uri = registry.log_model(run_id, records, folder)
        registry.keep_evidence(run_id, evidence, path)
        registry.register(records, run_id, uri, verdict_is(verdict), auto_promote=False)
        return name

    return make


def refused(kind: type[AcclimateError], code: str, name: str, workspace: Path) -> AcclimateError:
    with pytest.raises(kind) as caught:
        replay(name, workspace)
    assert caught.value.code == code
    return caught.value


@pytest.mark.parametrize("kind", [classified, written])
def test_an_honest_verdict_is_computed_again(kind: Make, registered: Callable[..., str], workspace: Path) -> None:
    found = replay(registered(kind), workspace)
    assert (found["verdict"], found["agrees"], found["rows"]) == ("PROMOTE", True, N)


@pytest.mark.parametrize("kind", [classified, written])
def test_a_verdict_on_other_scores_than_the_predictions_give_is_found(
    kind: Make, registered: Callable[..., str], workspace: Path
) -> None:
    def better(evidence: Evidence) -> Evidence:
        score = evidence.evaluation.score
        higher = score.model_copy(update={"point": score.point + 0.01})
        return evidence.model_copy(update={"evaluation": evidence.evaluation.model_copy(update={"score": higher})})

    error = refused(IntegrityError, "E-GATE-010", registered(kind, evidence_is=better), workspace)
    assert any("score.point" in problem.message for problem in error.problems)


@pytest.mark.parametrize("field", ["verdict", "checks", "if_approved", "comparator"])
def test_a_verdict_that_does_not_follow_from_its_evidence_is_found(
    field: str, registered: Callable[..., str], workspace: Path
) -> None:
    def forged(verdict: Verdict) -> Verdict:
        assert verdict.verdict == "PROMOTE"
        checks = [row.model_copy(update={"outcome": "passed"}) for row in verdict.checks]
        changed = {"verdict": "HOLD", "if_approved": "PROMOTE", "comparator": "champion x/1", "checks": checks}
        return verdict.model_copy(update={field: changed[field]})

    error = refused(IntegrityError, "E-GATE-010", registered(classified, verdict_is=forged), workspace)
    assert all(field in problem.message for problem in error.problems)


def in_other_words(verdict: Verdict) -> Verdict:
    checks = [row.model_copy(update={"says": f"said of {row.name} otherwise"}) for row in verdict.checks]
    return verdict.model_copy(update={"checks": checks, "reasons": ["put otherwise"], "next_step": "as before"})


def test_other_words_are_found_where_this_very_release_judged(registered: Callable[..., str], workspace: Path) -> None:
    error = refused(IntegrityError, "E-GATE-010", registered(classified, verdict_is=in_other_words), workspace)
    told = " ".join(problem.message for problem in error.problems)
    assert all(field in told for field in (".says is", "reasons[0] is", "next_step is"))


@pytest.mark.parametrize("release", ["0.0.9", ""])
def test_other_words_of_another_release_are_told_and_no_change(
    release: str, registered: Callable[..., str], workspace: Path
) -> None:
    def other(verdict: Verdict) -> Verdict:
        return in_other_words(verdict).model_copy(update={"release": release})

    name = registered(classified, verdict_is=other)
    found = replay(name, workspace)
    assert (found["agrees"], found["judged_by"]) == (True, release or None)
    assert (release or "earlier release") in found["not_compared"]
    assert "wording is not compared" in replay_text(found)
    checked = {one["kind"]: one for one in verify(name, workspace, None, workspace)["checked"]}
    assert (checked["predictions"]["outcome"], checked["predictions"]["says"]) == ("unchanged", found["not_compared"])


def test_what_another_release_decided_is_compared(registered: Callable[..., str], workspace: Path) -> None:
    def forged(verdict: Verdict) -> Verdict:
        checks = [row.model_copy(update={"outcome": "passed", "says": "passed"}) for row in verdict.checks]
        return verdict.model_copy(update={"release": "0.0.9", "checks": checks})

    error = refused(IntegrityError, "E-GATE-010", registered(classified, verdict_is=forged), workspace)
    assert all(".outcome" in problem.message for problem in error.problems)
    assert "acclimate 0.0.9" in error.problems[0].hint


def test_a_policy_that_this_release_cannot_read_is_told(registered: Callable[..., str], workspace: Path) -> None:
    def loose(verdict: Verdict) -> Verdict:
        rules = copy.deepcopy(verdict.rules)
        rules["checks"]["primary"]["margin"] = 1.0
        return verdict.model_copy(update={"rules": rules})

    name = registered(classified, verdict_is=loose)
    error = refused(ModelError, "E-GATE-011", name, workspace)
    assert "checks.primary.margin" in error.problems[0].message
    checked = {one["kind"]: one["outcome"] for one in verify(name, workspace, None, workspace)["checked"]}
    assert checked["predictions"] == "not found"


def test_a_verdict_that_this_release_cannot_read_was_not_changed(
    registered: Callable[..., str], registry: MlflowRegistry, workspace: Path
) -> None:
    name = registered(classified)
    client = connect(registry.uri, workspace).client
    version = client.get_model_version(name, "1")
    (stored,) = workspace.glob(f"mlartifacts/**/{version.run_id}/artifacts/verdicts/*.json")
    newer = stored.read_text()[:-1] + ',"of_a_later_release":1}'
    sha256 = digest(newer)
    stored.with_name(f"{sha256}.json").write_text(newer)
    client.set_model_version_tag(name, "1", "acclimate.verdict_sha256", sha256)
    refused(ModelError, "E-REGISTRY-018", name, workspace)


def test_all_that_does_not_follow_from_predictions_is_named(registered: Callable[..., str], workspace: Path) -> None:
    def more(evidence: Evidence) -> Evidence:
        evaluation, finetune = evidence.evaluation, evidence.finetune
        assert finetune is not None
        lost = Robustness(change="typos", rows=9, score=interval(0.8), lost=interval(-0.1), comparator_lost=None)
        wrong = HardRow(row_id=digest("row"), text="a", label="positive", predicted="negative", confidence=0.9)
        kept = Retention(rows=9, score=0.8, source_score=0.8, change=interval(0.0), low_one_sided=-0.02)
        fields = {"robustness": [lost], "errors": [wrong], "retention": kept, "perplexity": {"candidate": 2.0}}
        seed = SeedRun(seed=1, score=None, best_epoch=None, model_digest=None)
        arms = [one.model_copy(update={"seeds": [seed]}) if one.chosen else one for one in finetune.arms]
        return evidence.model_copy(
            update={
                "evaluation": evaluation.model_copy(update={**fields, "handed_on": RULE}),
                "finetune": finetune.model_copy(update={"arms": arms}),
                "latency_p95_ms": 3.0,
            }
        )

    always = set(replay(registered(classified), workspace)["taken_as_stored"])
    found = replay(registered(classified, evidence_is=more), workspace)
    assert set(found["taken_as_stored"]) - always == {
        "what is kept of the source's task",
        "time and memory of a row",
        "scores on changed rows",
        "the hardest errors",
        "perplexity",
        "whether further seeds diverged",
        "what rule R10 said",
    }
    assert {"licences", "its temperature", "the model's size", "rows in several splits"} <= always
    assert "scores on changed rows" in replay_text(found)


@pytest.mark.parametrize("ending", ["json", "parquet"])
@pytest.mark.parametrize("what", ["changed", "deleted"])
def test_evidence_that_is_not_there_as_it_was_is_told(
    ending: str, what: str, registered: Callable[..., str], registry: MlflowRegistry, workspace: Path
) -> None:
    name = registered(classified)
    client = connect(registry.uri, workspace).client
    run = client.get_model_version(name, "1").run_id
    (stored,) = workspace.glob(f"mlartifacts/**/{run}/artifacts/evidence/*.{ending}")
    if what == "deleted":
        stored.unlink()
        refused(ModelError, "E-REGISTRY-022", name, workspace)
    else:
        stored.write_bytes(stored.read_bytes()[:-1])
        refused(IntegrityError, "E-REGISTRY-023", name, workspace)


def test_a_verdict_of_before_evidence_was_kept_is_told(
    registry: MlflowRegistry, workspace: Path, tmp_path: Path
) -> None:
    records = run_records(name="old-release", model_digest=digest("old"))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    run_id = registry.record_run(records)
    uri = registry.log_model(run_id, records, tmp_path / "model")
    registry.register(records, run_id, uri, verdict_of(records), auto_promote=False)
    refused(ModelError, "E-REGISTRY-022", "old-release", workspace)


@pytest.mark.parametrize(
    ("others", "rejected"),
    [(True, True), (False, True), (False, False)],
    ids=["other weights rejected", "the same rejected", "the same accepted again"],
)
def test_a_version_whose_run_key_was_judged_again_is_as_it_was(
    registry: MlflowRegistry, workspace: Path, tmp_path: Path, others: bool, rejected: bool
) -> None:
    name, path = f"model-{next(_NAMES)}", tmp_path / "predictions.parquet"
    base = classified(path, name)
    later = base.data.target.model_copy(update={"licence": "no such licence"}) if rejected else base.data.target
    policy = PolicySpec(name="free", checks=ChecksSpec(licence=LicenceRule(at_most="copyleft")))
    for attempt, data in enumerate([base.data, base.data.model_copy(update={"target": later})]):
        folder = tmp_path / f"model-{attempt}"
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(bytes([attempt if others else 0]) * 100)
        scored = base.evaluation.score.model_copy(update={"low": base.evaluation.score.low - (1 - attempt) / 1000})
        evaluation = base.evaluation.model_copy(update={"score": scored})
        gap = base.gap.model_copy(update={"units": [4.0, None][attempt]})
        again = replace(base.stages["evaluate"], digest=digest(f"evaluated in attempt {attempt}"))
        found = {"data": data, "evaluation": evaluation, "gap": gap, "stages": {**base.stages, "evaluate": again}}
        records = with_digest(replace(base, **found), folder_digest(folder))
        evidence = evidence_of(records, path)
        verdict = judge_evidence(evidence, policy=policy, run_key=records.run_key, name=name)
        run_id = registry.record_run(records)
        registry.keep_evidence(run_id, evidence, path)
        uri = registry.log_model(run_id, records, folder) if verdict.verdict != "REJECT" else None
        registry.register(records, run_id, uri, verdict, auto_promote=False)
    (version,) = registry.versions(name)
    assert (version.verdict == "REJECT") is rejected
    assert replay(name, workspace)["verdict"] == version.verdict
    found = {one["kind"]: one["outcome"] for one in verify(name, workspace, None, tmp_path)["checked"]}
    assert (found["verdict"], found["predictions"], found["weights"], found["tags"]) == ("unchanged",) * 4


def with_digest(records: RunRecords, model_digest: str) -> RunRecords:
    """The same records of a model with other weights."""
    assert records.finetune is not None
    own = {"model_digest": model_digest}
    arms = [arm.model_copy(update=own) if arm.chosen else arm for arm in records.finetune.arms]
    return replace(
        records,
        evaluation=records.evaluation.model_copy(update=own),
        finetune=records.finetune.model_copy(update={"arms": arms}),
    )


def test_of_a_verdict_from_before_the_gap_was_kept_its_tags_are_not_held(
    registered: Callable[..., str], registry: MlflowRegistry, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, client = registered(classified), connect(registry.uri, workspace).client
    read = Evidence.model_validate_json

    def as_it_was(stored: bytes) -> Evidence:
        return read(stored).model_copy(update={"gap": None, "outputs": {}})

    monkeypatch.setattr(Evidence, "model_validate_json", as_it_was)
    for tag, outcomes in (("gap", ["unchanged"]), ("score", ["changed"])):
        client.set_model_version_tag(name, "1", f"acclimate.{tag}", "0")
        found = [one for one in verify(name, workspace, None, workspace)["checked"] if one["kind"] == "tags"]
        assert [one["outcome"] for one in found] == outcomes


@pytest.mark.parametrize(
    "tag",
    [
        *("run_key", "verdict", "policy", "source_digest", "data_digest", "reference_digest", "pool_digest"),
        *("test_digest", "source_model", "metric", "score", "score_low", "score_high", "strategy", "comparator"),
        *("setting", "gap", "gap_units", "decision", "decision_rule"),
        *("gap_digest", "decision_digest", "evaluation_digest"),
    ],
)
def test_a_tag_that_lineage_recall_or_models_goes_by_is_held_against_what_was_sealed(
    tag: str, registered: Callable[..., str], registry: MlflowRegistry, workspace: Path
) -> None:
    name, client = registered(classified), connect(registry.uri, workspace).client
    honest = [one for one in verify(name, workspace, None, workspace)["checked"] if one["kind"] == "tags"]
    assert [one["outcome"] for one in honest] == ["unchanged"]
    other = registered(classified)
    value = f"models:/{other}/1" if tag == "source_model" else "0" * 64
    client.set_model_version_tag(name, "1", f"acclimate.{tag}", value)
    found = [one for one in verify(name, workspace, None, workspace)["checked"] if one["kind"] == "tags"]
    assert [(one["name"], one["outcome"]) for one in found] == [(f"acclimate.{tag}", "changed")]
    assert "E-VERIFY-002" in found[0]["says"]
