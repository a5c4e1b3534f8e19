"""The registry as teams run it: an MLflow server on PostgreSQL, its artifacts on S3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from acclimate.adapters import mlflow_versions
from acclimate.adapters.mlflow_registry import MlflowRegistry, open_registry
from acclimate.adapters.s3 import S3, S3Uri
from acclimate.config_gate import ApprovalRule, ChecksSpec, PolicySpec
from acclimate.errors import RefusalError, UnavailableError
from acclimate.lookup import lineage
from acclimate.promoting import approve, history, promote, recall, rollback
from acclimate.records import Registration
from acclimate.replaying import replay
from tests.contract import registry_race
from tests.contract.family import World
from tests.contract.judged_models import N, classified, evidence_of, judged
from tests.contract.registry_race import race
from tests.postgresql import PASSWORD, postgresql_server, what_is_missing
from tests.run_records import SOURCE, digest, run_records, verdict_of
from tests.servers import mlflow_server

_NAMES = count()
BUCKET = "postgresql"
PROMOTIONS = f"s3://{BUCKET}/promotions"
RACERS = 4


# a database and two servers of its own; what it shares with SQLite is tested there
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    missing = what_is_missing()
    if missing is not None:
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp("server")
    with (
        postgresql_server() as database,
        mlflow_server(folder, f"s3://{BUCKET}/artifacts", database=database) as address,
    ):
        yield address


@pytest.fixture(scope="module", autouse=True)
def workspace(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace from which everything goes to the server, and promotions to S3."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MLFLOW_TRACKING_URI", server)
        environment.setenv("ACCLIMATE_PROMOTIONS", PROMOTIONS)
        yield tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="module")
def registry(server: str, workspace: Path) -> MlflowRegistry:
    return open_registry(server, workspace, PROMOTIONS)


@pytest.fixture
def name() -> str:
    return f"model-{next(_NAMES)}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    made.mkdir()
    (made / "config.json").write_text('{"model_type": "bert"}')
    (made / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    return made


def register(
    registry: MlflowRegistry, folder: Path, name: str, key: str, *, verdict: dict[str, Any] | None = None, **made: Any
) -> Registration:
    records = run_records(key, name=name, model_digest=digest(key), **made)
    run_id = registry.record_run(records)
    said = verdict_of(records).model_copy(update=verdict or {})
    return registry.register(records, run_id, registry.log_model(run_id, records, folder), said, auto_promote=False)


def stored(folder: str) -> dict[str, bytes]:
    """What lies below a folder on S3, by key."""
    with closing(S3()) as s3:
        return {one.uri.key: s3.get_bytes(one.uri)[0] for one in s3.list(S3Uri(BUCKET, folder))}


def test_one_run_key_is_one_version_whose_bytes_lie_on_s3(
    registry: MlflowRegistry, name: str, folder: Path, tmp_path: Path
) -> None:
    first, again = (register(registry, folder, name, "key") for _ in range(2))
    assert again == first.model_copy(update={"created": False})
    assert [one.version for one in registry.versions(name)] == [1]
    fetched = registry.fetch(f"models:/{name}@challenger", tmp_path / "fetched")
    assert {one.name: one.read_bytes() for one in fetched.iterdir()} == {
        one.name: one.read_bytes() for one in folder.iterdir()
    }
    on_s3 = stored("artifacts")
    weights = (folder / "model.safetensors").read_bytes()
    assert [key for key, data in on_s3.items() if data == weights and key.endswith("model.safetensors")]
    assert not [key for key, data in on_s3.items() if PASSWORD.encode() in data]
    assert PASSWORD not in registry.lineage(name).model_dump_json()


@pytest.mark.slow
def test_racers_of_one_run_key_make_one_version(
    registry: MlflowRegistry, server: str, workspace: Path, name: str, folder: Path
) -> None:
    records = run_records("key", name=name)
    run_id = registry.record_run(records)
    uri = registry.log_model(run_id, records, folder)
    said = race(registry_race.register, [[str(workspace), name, "key", uri, run_id, server, PROMOTIONS]] * RACERS)
    (version,) = mlflow_versions.all_versions(registry._connection, name)
    assert said == [str(version.version)] * RACERS
    assert version.aliases == ("challenger", "champion")
    assert [act["act"] for act in history(name, workspace, None)["acts"]] == ["promote"]


@pytest.mark.slow
def test_racers_that_record_a_new_model_s_run_record_one(
    registry: MlflowRegistry, server: str, workspace: Path, name: str
) -> None:
    said = race(registry_race.record, [[server, str(workspace), name]] * RACERS)
    assert len(set(said)) == 1
    assert registry._connection.client.get_run(said[0]).info.status == "FINISHED"
    assert [one.version for one in registry.versions(f"source--source-of-{name}")] == [1]


def test_promotions_are_approved_recorded_and_rolled_back(
    registry: MlflowRegistry, workspace: Path, name: str, folder: Path
) -> None:
    rules = PolicySpec(name="signed", checks=ChecksSpec(approval=ApprovalRule(required=True, by=["ann"])))
    waits = {"verdict": "HOLD", "if_approved": "PROMOTE", "policy": "signed", "rules": rules.model_dump(mode="json")}
    register(registry, folder, name, "one")
    promote(f"{name}/1", "bob", "the first", None, workspace, None)
    register(registry, folder, name, "two", comparator=f"champion models:/{name}/1", verdict=waits)
    with pytest.raises(RefusalError):
        promote(f"{name}/2", "bob", "at once", None, workspace, None)
    approve(f"{name}/2", "ann", "read 50 answers", workspace, None)
    assert promote(f"{name}/2", "bob", "approved", None, workspace, None)["champion_before"] == 1
    register(registry, folder, name, "three")
    with pytest.raises(UnavailableError):
        promote(f"{name}/3", "bob", "compared with nobody", None, workspace, None)
    assert rollback(name, "eve", "complaints", None, None, workspace, None)["champion"] == 1
    found = history(name, workspace, None)
    assert (found["champion"], found["alias"], found["moved_by_hand"]) == (1, 1, False)
    assert [(act["act"], act["version"], act["by"]) for act in found["acts"]] == [
        ("promote", 1, "bob"),
        ("approve", 2, "ann"),
        ("promote", 2, "bob"),
        ("rollback", 1, "eve"),
    ]
    assert any(key.startswith(f"promotions/{name}-") for key in stored("promotions"))


def test_a_family_is_traced_back_and_recalled(registry: MlflowRegistry, workspace: Path, tmp_path: Path) -> None:
    family = World(registry, tmp_path)
    node = lineage(family.grandchild.removeprefix("models:/"), workspace)
    way = [node["uri"]]
    while node["made_from"]:
        node = node["made_from"][-1]
        way.append(node["uri"])
    assert way == [family.grandchild, family.child, family.old, f"models:/source--{family.source}/1"]
    assert node["digest"] == digest(f"{family.source} 1.0") != SOURCE.digest

    def uris(source: str | None = None, data: str | None = None) -> list[str]:
        return sorted(one.version.model_uri for one in registry.descendants(source, data))

    of_the_old = sorted([family.old, family.chat, family.child, family.grandchild])
    assert uris(f"{family.source}@1.0") == of_the_old
    assert uris(digest(f"{family.source} 2.0")[:16]) == [family.new]
    assert uris(data=family.rows("mail rows")) == sorted([family.old, family.child, family.grandchild])
    assert uris(data=family.rows("a pool")[:12]) == [family.chat]
    blocked = recall(
        f"{family.source}@1.0",
        None,
        act="block",
        by="ann",
        reason="its licence was withdrawn",
        workspace=workspace,
        promotions=None,
    )
    assert sorted(one["model_uri"] for one in blocked["live"]) == of_the_old
    assert {(one["recalled"], tuple(one["aliases"])) for one in blocked["live"]} == {
        ("ann: its licence was withdrawn", ())
    }
    with pytest.raises(RefusalError):
        promote(family.chat, "bob", "all the same", None, workspace, None)


def test_a_verdict_is_computed_again_from_what_lies_on_s3(
    registry: MlflowRegistry, workspace: Path, name: str, folder: Path, tmp_path: Path
) -> None:
    predictions = tmp_path / "predictions.parquet"
    records = classified(predictions, name)
    evidence = evidence_of(records, predictions)
    run_id = registry.record_run(records)
    uri = registry.log_model(run_id, records, folder)
    registry.keep_evidence(run_id, evidence, predictions)
    registry.register(records, run_id, uri, judged(records, evidence), auto_promote=False)
    found = replay(name, workspace)
    assert (found["verdict"], found["agrees"], found["rows"]) == ("PROMOTE", True, N)
    assert predictions.read_bytes() in stored("artifacts").values()
