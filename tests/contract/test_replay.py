"""A verdict is computed again from what a real MLflow keeps: it agrees, or whoever changed something is found."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from acclimate.adapters.mlflow_client import connect
from acclimate.adapters.mlflow_registry import MlflowRegistry
from acclimate.errors import AcclimateError, IntegrityError, ModelError
from acclimate.records import Evidence, Verdict
from acclimate.registry import RunRecords
from acclimate.replaying import replay
from tests.contract.judged_models import N, classified, evidence_of, judged, written
from tests.run_records import digest, run_records, verdict_of

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
