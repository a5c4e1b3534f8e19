"""The Registry port on a real MLflow with its embedded SQLite store."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from acclimate.adapters import mlflow_versions
from acclimate.adapters.mlflow_client import connect, local_uri
from acclimate.adapters.mlflow_embedded import read_versions
from acclimate.adapters.mlflow_registry import MlflowRegistry, open_registry
from acclimate.adapters.mlflow_versions import expected_champion
from acclimate.digests import data_digest
from acclimate.errors import IntegrityError, ModelError, UnavailableError
from acclimate.lookup import models, models_text
from acclimate.records import InputFile, Registration
from acclimate.registry import FinishedStage, RunRecords
from acclimate.wiring import asked_registry
from tests.contract import registry_race
from tests.contract.registry_race import race
from tests.run_records import PRETRAINING, SOURCE, digest, run_records, verdict_of
from tests.writing_records import writing_records

pytestmark = pytest.mark.usefixtures("no_server")

_NAMES = count()


@pytest.fixture
def name() -> str:
    return f"model-{next(_NAMES)}"


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}')
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    return folder


def register(
    registry: MlflowRegistry, records: RunRecords, folder: Path, verdict: str = "PROMOTE", *, auto_promote: bool = True
) -> Registration:
    run_id = registry.record_run(records)
    uri = registry.log_model(run_id, records, folder)
    return registry.register(records, run_id, uri, verdict_of(records, verdict), auto_promote=auto_promote)


# --- runs -------------------------------------------------------------------------------------


def test_a_run_keeps_parameters_metrics_data_tags_and_records(
    registry: MlflowRegistry, workspace: Path, name: str, tmp_path: Path
) -> None:
    records = run_records(name=name)
    run_id = registry.record_run(records)
    client = connect(local_uri(workspace), workspace).client
    run = client.get_run(run_id)
    assert run.data.params["goal.metric"] == "macro_f1"
    assert run.data.params["finetune.lora.rank"] == "16"
    assert run.data.metrics["test.macro_f1"] == pytest.approx(0.9)
    assert run.data.metrics["test.macro_f1.low"] == pytest.approx(0.88)
    assert run.data.metrics["gap.units"] == pytest.approx(4.0)
    assert run.data.metrics["arm.lora.validation_score"] == pytest.approx(0.85)
    assert [point.step for point in client.get_metric_history(run_id, "arm.full.epoch_train_loss")] == [1, 2]
    assert json.loads(run.data.tags["acclimate.arm.lora"])["chosen"] is False
    assert run.data.tags["acclimate.decision_rule"] == "R5"
    assert "LARGE" in run.data.tags["mlflow.note.content"]
    assert {entry.dataset.digest for entry in run.inputs.dataset_inputs} == {
        digest("target")[:36],
        digest("reference")[:36],
        digest("test")[:36],
    }
    assert len(run.inputs.model_inputs) == 1
    assert run.info.status == "FINISHED"
    assert {file.path for file in client.list_artifacts(run_id)} == {"records", "tables"}
    tables = {one["path"]: one["type"] for one in json.loads(run.data.tags["mlflow.loggedArtifacts"])}
    assert tables == {file.path: "table" for file in client.list_artifacts(run_id, "tables")}
    # as MLflow itself reads what its log_table wrote
    table = pd.read_json(client.download_artifacts(run_id, "tables/comparisons.json", str(tmp_path)), orient="split")
    assert list(table["compared with"]) == [one.other for one in records.evaluation.comparisons]
    assert list(table["difference"]) == [one.difference.point for one in records.evaluation.comparisons]
    arms = pd.read_json(client.download_artifacts(run_id, "tables/arms.json", str(tmp_path)), orient="split")
    assert list(arms["arm"][arms["handed on"]]) == ["full"]
    experiment = client.get_experiment(run.info.experiment_id)
    assert experiment.name == name
    assert experiment.tags["mlflow.experiment.primaryMetric.name"] == "test.macro_f1"


def below(workspace: Path, run_id: str) -> list[Any]:
    client = connect(local_uri(workspace), workspace).client
    experiment = client.get_run(run_id).info.experiment_id
    return list(client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run_id}'"))


def nested(workspace: Path, run_id: str) -> dict[str, Any]:
    """The runs below a run, by name."""
    found = below(workspace, run_id)
    assert len({run.info.run_name for run in found}) == len(found)
    return {run.info.run_name: run for run in found}


def test_a_run_has_a_nested_run_for_each_stage_with_its_times_and_what_it_found(
    registry: MlflowRegistry, workspace: Path, name: str, tmp_path: Path
) -> None:
    seconds = {"ingest": 0.5, "gap": 3.0, "baseline": 4.0, "decide": 0.25, "finetune": 90.0, "evaluate": 2.0}
    started = {stage: 1.7e9 + 100 * place for place, stage in enumerate(seconds)}
    stages = {
        stage: FinishedStage(digest(f"{stage} key"), took, started[stage], {"code": digest(stage)})
        for stage, took in seconds.items()
    }
    records = replace(run_records(name=name), stages=stages)
    run_id = registry.record_run(records)
    assert registry.record_run(records) == run_id
    runs = nested(workspace, run_id)
    assert set(runs) == set(seconds)
    for stage, took in seconds.items():
        info = runs[stage].info
        assert (info.status, info.start_time) == ("FINISHED", started[stage] * 1000)
        assert info.end_time - info.start_time == took * 1000
        assert runs[stage].data.metrics["seconds"] == took
        assert runs[stage].data.tags["acclimate.made_of.code"] == digest(stage)
    assert runs["ingest"].data.metrics["rows.target.train"] == records.data.target.splits["train"].rows
    assert runs["gap"].data.metrics["gap.units"] == pytest.approx(4.0)
    assert runs["finetune"].data.params["finetune.lora.rank"] == "16"
    assert runs["finetune"].data.metrics["arm.lora.validation_score"] == pytest.approx(0.85)
    assert runs["evaluate"].data.metrics["test.macro_f1"] == pytest.approx(0.9)
    client = connect(local_uri(workspace), workspace).client
    run = client.get_run(run_id)
    assert run.info.end_time - run.info.start_time == sum(seconds.values()) * 1000
    assert [
        point.step for point in client.get_metric_history(runs["finetune"].info.run_id, "arm.full.epoch_train_loss")
    ] == [1, 2]
    registry.register(records, run_id, None, verdict_of(records, "REJECT"), auto_promote=False)
    last = nested(workspace, run_id)["gate"]
    assert (last.info.status, last.data.tags["acclimate.verdict"]) == ("FINISHED", "REJECT")
    table = client.download_artifacts(last.info.run_id, "tables/checks.json", str(tmp_path))
    assert list(pd.read_json(table, orient="split")["check"]) == [one.name for one in verdict_of(records).checks]


def test_a_nested_run_that_was_left_half_written_is_finished_by_the_next_record(
    registry: MlflowRegistry, workspace: Path, name: str
) -> None:
    records = run_records(name=name)
    run_id = registry.record_run(records)
    client = connect(local_uri(workspace), workspace).client
    parent = client.get_run(run_id)
    whole = nested(workspace, run_id)
    client.delete_run(whole["evaluate"].info.run_id)
    tags = {"mlflow.parentRunId": run_id, "acclimate.stage_key": records.stages["evaluate"].key}
    client.create_run(parent.info.experiment_id, 1000, tags, "evaluate")
    assert registry.record_run(records) == run_id
    found = nested(workspace, run_id)
    assert set(found) == set(whole)
    assert found["evaluate"].info.status == "FINISHED"
    assert found["evaluate"].data.metrics == whole["evaluate"].data.metrics


def test_a_stage_that_was_run_again_on_something_else_is_one_more_nested_run(
    registry: MlflowRegistry, workspace: Path, name: str
) -> None:
    records = run_records(name=name)
    run_id = registry.record_run(records)
    again = replace(records, stages={**records.stages, "evaluate": FinishedStage(digest(f"{name} again"), 7.0)})
    assert registry.record_run(again) == run_id
    found = below(workspace, run_id)
    assert sorted(one.info.run_name for one in found) == ["evaluate", "evaluate", "ingest"]
    assert {one.data.metrics["seconds"] for one in found if one.info.run_name == "evaluate"} == {2.0, 7.0}


def test_a_request_that_is_sent_twice_leaves_one_run_of_each(
    registry: MlflowRegistry, workspace: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = registry._connection.client
    create = client.create_run

    def twice(*arguments: Any, **options: Any) -> Any:
        create(*arguments, **options)
        return create(*arguments, **options)

    monkeypatch.setattr(client, "create_run", twice)
    run_id = registry.record_run(run_records(name=name))
    assert set(nested(workspace, run_id)) == {"ingest", "evaluate"}
    experiment = client.get_experiment_by_name(name).experiment_id
    found = client.search_runs([experiment])
    assert len(found) == 3
    assert {one.info.status for one in found} == {"FINISHED"}


def test_a_run_that_was_ended_as_failed_is_finished_by_the_next_record(
    registry: MlflowRegistry, workspace: Path, name: str
) -> None:
    records = run_records(name=name)
    run_id = registry.record_run(records)
    client = connect(local_uri(workspace), workspace).client
    client.set_terminated(run_id, "FAILED")
    registry.record_run(records)
    assert client.get_run(run_id).info.status == "FINISHED"


def test_looks_are_counted_in_the_order_in_which_runs_were_recorded(registry: MlflowRegistry, name: str) -> None:
    quick = replace(run_records(name, name=name), stages={"evaluate": FinishedStage(digest("quick"), 1.0)})
    long = replace(run_records(f"{name}-long", name=name), stages={"evaluate": FinishedStage(digest("long"), 9000.0)})
    for records in (quick, long):
        registry.record_run(records)
    assert registry.look(long.evaluation.test_digest, long.run_key) == 1 + registry.look(
        quick.evaluation.test_digest, quick.run_key
    )


def test_files_that_are_kept_again_take_the_place_of_earlier_ones(
    registry: MlflowRegistry, workspace: Path, name: str, tmp_path: Path
) -> None:
    run_id = registry.record_run(run_records(name=name))
    folder = tmp_path / "pages"
    (folder / "figures").mkdir(parents=True)
    (folder / "figures" / "arms.svg").write_text("<svg/>")
    client = connect(local_uri(workspace), workspace).client
    for page in ("one", "two"):
        (folder / "report.html").write_text(page)
        registry.keep_files(run_id, folder)
        assert Path(client.download_artifacts(run_id, "report.html", str(tmp_path))).read_text() == page
    assert [file.path for file in client.list_artifacts(run_id, "figures")] == ["figures/arms.svg"]


def test_the_report_of_a_version_is_given_back_as_it_was_kept_or_not_at_all(
    registry: MlflowRegistry, workspace: Path, name: str, model_folder: Path, tmp_path: Path
) -> None:
    done = register(registry, run_records(name=name), model_folder)
    version = registry.version(f"{name}@champion")
    assert registry.report(version) is None
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "report.html").write_text("<!doctype html>\n<p>über</p>", encoding="utf-8")
    registry.keep_files(done.mlflow_run_id, folder)
    assert registry.report(version) == "<!doctype html>\n<p>über</p>"
    (folder / "report.html").write_text("<script>alert(1)</script>", encoding="utf-8")
    connect(local_uri(workspace), workspace).client.log_artifacts(done.mlflow_run_id, str(folder))
    with pytest.raises(IntegrityError) as caught:
        registry.report(version)
    assert caught.value.code == "E-REGISTRY-025"


def test_a_run_that_writes_keeps_perplexities_and_no_calibration(registry: MlflowRegistry, workspace: Path) -> None:
    run_id = registry.record_run(writing_records())
    run = connect(local_uri(workspace), workspace).client.get_run(run_id)
    expected = {
        "test.exact_match": 0.82,
        "test.minus.nearest": 0.55,
        "test.perplexity.candidate": 1.375,
        "baseline.zero_shot": 0.12,
        "baseline.few_shot": 0.31,
        "baseline.perplexity": 11.75,
        "gap.perplexity.reference": 13.0,
        "gap.perplexity.ratio.high": 3.61,
    }
    assert {name: run.data.metrics[name] for name in expected} == pytest.approx(expected)
    assert not [name for name in run.data.metrics if "calibration" in name]
    assert "Baseline (asked with 4 examples, exact_match): 0.310" in run.data.tags["mlflow.note.content"]


def test_the_same_run_key_is_the_same_run_and_may_change_what_is_not_in_the_key(
    registry: MlflowRegistry, workspace: Path, name: str
) -> None:
    first = run_records(name=name)
    run_id = registry.record_run(first)
    first.config["gate"]["margin"] = 0.02
    assert registry.record_run(first) == run_id
    client = connect(local_uri(workspace), workspace).client
    assert client.get_run(run_id).data.tags["config.gate.margin"] == "0.02"
    assert len(client.get_metric_history(run_id, "test.macro_f1")) == 1


def test_on_a_cluster_the_image_of_the_step_is_a_tag(
    registry: MlflowRegistry, workspace: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(local_uri(workspace), workspace).client
    own = registry.record_run(run_records(f"{name}-laptop", name=name))
    assert "acclimate.image" not in client.get_run(own).data.tags
    monkeypatch.setenv("ACCLIMATE_STEP_IMAGE", "registry.example/acclimate@sha256:" + "ab" * 32)
    run = client.get_run(registry.record_run(run_records(name=name)))
    assert run.data.tags["acclimate.image"] == "registry.example/acclimate@sha256:" + "ab" * 32


def test_a_program_may_turn_to_another_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for place in ("one", "two", "one"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", local_uri(tmp_path / place))
        asked = asked_registry(tmp_path)
        if place not in found:
            asked.record_run(run_records(name=place, source=SOURCE.model_copy(update={"name": f"org/{place}"})))
        found += [one for one in ("one", "two") if asked.versions(f"source--org-{one}")]
    assert found == ["one", "two", "one"]


def test_credentials_reach_no_tag_or_parameter(registry: MlflowRegistry, workspace: Path, name: str) -> None:
    records = run_records(name=name, source_uri="https://user:hunter2@models.example/tiny")
    records.config["tracking"]["uri"] = "https://user:hunter2@mlflow.example"
    run = connect(local_uri(workspace), workspace).client.get_run(registry.record_run(records))
    assert "hunter2" not in json.dumps([run.data.tags, run.data.params])
    assert "mlflow.example" in run.data.tags["config.tracking.uri"]


# --- leftovers of a registration that was cut off -----------------------------------------------


def leave_one_over(workspace: Path, name: str) -> int:
    """A second version of the highest one's run key, as a registrar leaves it that is killed too early."""
    client = connect(local_uri(workspace), workspace).client
    last = max(client.search_model_versions(f"name = '{name}'"), key=lambda one: int(one.version))
    return int(client.create_model_version(name, last.source, run_id=last.run_id, tags=dict(last.tags)).version)


def test_a_leftover_is_no_version_to_anybody_and_is_deleted_by_the_next_registration(
    registry: MlflowRegistry, workspace: Path, name: str, model_folder: Path
) -> None:
    records = run_records(name=name)
    register(registry, records, model_folder, "SHADOW")
    over = leave_one_over(workspace, name)
    assert [one.version for one in registry.versions(name)] == [1]
    assert read_versions(workspace / "mlflow.db", name) == registry.versions(name)
    assert [one.version for one in registry.require(name)] == [1]
    assert registry.version(name).version == 1
    for refused in (registry.version, registry.lineage, lambda one: registry.promote(one, "ann", "newer", None)):
        with pytest.raises(ModelError) as caught:
            refused(f"{name}/{over}")
        assert caught.value.code == "E-REGISTRY-003"
    # what is withdrawn must not come back by a leftover
    made = registry.descendants(None, records.data.target.digest)
    assert {one.version.version for one in made if one.version.name == name} == {1, over}
    assert registry.recall(f"{name}/{over}", "ann", "its licence was withdrawn").version == over
    register(registry, records, model_folder, "SHADOW")
    client = connect(local_uri(workspace), workspace).client
    assert [one.version for one in client.search_model_versions(f"name = '{name}'")] == [1]


def test_what_somebody_gave_an_alias_by_hand_is_no_leftover(
    registry: MlflowRegistry, workspace: Path, name: str, model_folder: Path
) -> None:
    register(registry, run_records(name=name), model_folder, "SHADOW")
    over = leave_one_over(workspace, name)
    connect(local_uri(workspace), workspace).client.set_registered_model_alias(name, "mine", str(over))
    assert [one.version for one in registry.versions(name)] == [1, over]
    assert registry.version(f"{name}@mine").version == over
    register(registry, run_records(name=name), model_folder, "SHADOW")
    assert registry.version(f"{name}@mine").version == over


# --- registration -----------------------------------------------------------------------------


def test_promote_sets_both_aliases_and_tags_the_version(
    registry: MlflowRegistry, name: str, model_folder: Path
) -> None:
    records = run_records(name=name)
    done = register(registry, records, model_folder)
    assert (done.version, done.created, done.model_uri) == (1, True, f"models:/{name}/1")
    assert done.aliases == ["challenger", "champion"]
    assert registry._connection.client.get_model_version(name, "1").description.startswith("**Adaptation")
    (version,) = registry.versions(name)
    assert (version.run_key, version.verdict) == (records.run_key, "PROMOTE")
    expected = data_digest(verdict_of(records).model_dump(mode="json"))
    assert version.tags["acclimate.verdict_sha256"] == done.verdict_sha256 == expected
    assert version.tags["acclimate.previous_champion"] == ""
    assert registry.champion(name) == version


@pytest.mark.parametrize(
    ("verdict", "auto_promote", "aliases"),
    [("PROMOTE", False, ["challenger"]), ("SHADOW", True, ["challenger"]), ("HOLD", True, [])],
)
def test_aliases_follow_the_verdict(
    registry: MlflowRegistry, name: str, model_folder: Path, verdict: str, auto_promote: bool, aliases: list[str]
) -> None:
    done = register(registry, run_records(name=name), model_folder, verdict, auto_promote=auto_promote)
    assert done.aliases == aliases
    assert done.version == 1


def test_reject_registers_nothing_but_records_the_verdict(
    registry: MlflowRegistry, workspace: Path, name: str, model_folder: Path
) -> None:
    records = run_records(name=name)
    done = register(registry, records, model_folder, "REJECT")
    assert (done.model_uri, done.version, done.created, done.aliases) == (None, None, False, [])
    assert registry.versions(name) == []
    run = connect(local_uri(workspace), workspace).client.get_run(done.mlflow_run_id)
    assert run.data.tags["acclimate.verdict"] == "REJECT"


def test_registering_again_creates_nothing_and_keeps_all_ids(
    registry: MlflowRegistry, name: str, model_folder: Path
) -> None:
    records = run_records(name=name)
    first = register(registry, records, model_folder)
    again = register(registry, records, model_folder)
    assert again == first.model_copy(update={"created": False})
    assert len(registry.versions(name)) == 1


def test_a_second_verdict_on_the_same_model_replaces_the_first(
    registry: MlflowRegistry, name: str, model_folder: Path
) -> None:
    records = run_records(name=name)
    register(registry, records, model_folder, "HOLD")
    done = register(registry, records, model_folder, "PROMOTE")
    assert done.aliases == ["challenger", "champion"]
    assert [one.verdict for one in registry.versions(name)] == ["PROMOTE"]


@pytest.mark.parametrize("verdict", ["HOLD", "REJECT"])
def test_the_champion_keeps_the_verdict_that_made_it_so(
    registry: MlflowRegistry, workspace: Path, name: str, model_folder: Path, tmp_path: Path, verdict: str
) -> None:
    records = run_records(name=name)
    first = register(registry, records, model_folder)
    later = register(registry, records, model_folder, verdict)
    (version,) = registry.versions(name)
    assert (version.verdict, version.aliases) == ("PROMOTE", ("challenger", "champion"))
    assert version.tags["acclimate.verdict_sha256"] == first.verdict_sha256 != later.verdict_sha256
    client = connect(local_uri(workspace), workspace).client
    for done, says in ((first, "PROMOTE"), (later, verdict)):
        path = client.download_artifacts(done.mlflow_run_id, f"verdicts/{done.verdict_sha256}.json", str(tmp_path))
        stored = Path(path).read_bytes()
        assert hashlib.sha256(stored).hexdigest() == done.verdict_sha256
        assert json.loads(stored)["verdict"] == says


def test_a_verdict_is_read_back_by_any_name_of_its_version(
    registry: MlflowRegistry, name: str, model_folder: Path
) -> None:
    records = run_records(name=name)
    register(registry, records, model_folder)
    for reference in (name, f"{name}/1", f"{name}@champion", f"models:/{name}/1"):
        version, verdict = registry.verdict(reference)
        assert (version.version, verdict) == (1, verdict_of(records))


@pytest.mark.parametrize("damage", ["flip", "another", "remove"])
def test_a_verdict_that_was_changed_is_found(
    registry: MlflowRegistry, workspace: Path, name: str, model_folder: Path, damage: str
) -> None:
    done = register(registry, run_records(name=name), model_folder)
    (stored,) = (workspace / "mlartifacts" / name).rglob(f"verdicts/{done.verdict_sha256}.json")
    if damage == "flip":
        stored.write_text(stored.read_text().replace("PROMOTE", "SHADOW"))
    elif damage == "another":
        stored.write_text("{}")
    else:
        stored.unlink()
    with pytest.raises(ModelError if damage == "remove" else IntegrityError) as caught:
        registry.verdict(name)
    assert caught.value.code == ("E-REGISTRY-018" if damage == "remove" else "E-REGISTRY-019")


def test_a_source_model_has_no_verdict(registry: MlflowRegistry, name: str) -> None:
    registry.record_run(run_records(name=name, source=SOURCE.model_copy(update={"name": f"org/{name}"})))
    with pytest.raises(ModelError) as caught:
        registry.verdict(f"source--org-{name}")
    assert caught.value.code == "E-REGISTRY-018"


def test_duplicates_left_by_a_killed_registration_are_removed(
    registry: MlflowRegistry, workspace: Path, name: str, model_folder: Path
) -> None:
    records = run_records(name=name)
    first = register(registry, records, model_folder)
    client = connect(local_uri(workspace), workspace).client
    source = client.get_model_version(name, "1").source
    client.create_model_version(name, source, run_id=first.mlflow_run_id, tags={"acclimate.run_key": records.run_key})
    assert register(registry, records, model_folder).version == 1
    assert [one.version for one in mlflow_versions.all_versions(registry._connection, name)] == [1]


def test_other_bytes_for_the_same_run_key_leave_the_first_version_alone(
    registry: MlflowRegistry, name: str, model_folder: Path
) -> None:
    register(registry, run_records(name=name), model_folder, "HOLD")
    (model_folder / "model.safetensors").write_bytes(b"trained again, on another machine")
    done = register(registry, run_records(name=name, model_digest=digest("other")), model_folder, "PROMOTE")
    assert (done.version, done.created, done.aliases) == (1, False, [])
    assert [one.verdict for one in registry.versions(name)] == ["HOLD"]


def test_the_next_champion_remembers_the_last(registry: MlflowRegistry, name: str, model_folder: Path) -> None:
    register(registry, run_records("one", name=name), model_folder)
    done = register(registry, run_records("two", name=name, comparator=f"champion models:/{name}/1"), model_folder)
    assert done.aliases == ["challenger", "champion"]
    champion = registry.champion(name)
    assert champion is not None
    assert (champion.version, champion.tags["acclimate.previous_champion"]) == (2, "1")


def test_a_champion_that_moved_is_not_replaced(registry: MlflowRegistry, name: str, model_folder: Path) -> None:
    register(registry, run_records("one", name=name), model_folder)
    with pytest.raises(UnavailableError) as caught:
        register(registry, run_records("two", name=name, comparator="baseline"), model_folder)
    assert caught.value.code == "E-REGISTRY-020"
    assert [one.version for one in registry.versions(name)] == [1]
    champion = registry.champion(name)
    assert champion is not None
    assert champion.version == 1


def test_who_is_overtaken_by_its_own_run_key_is_not_refused(
    registry: MlflowRegistry, name: str, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, read = run_records(name=name), mlflow_versions.aliases
    uri = registry.log_model(registry.record_run(records), records, model_folder)

    def overtaken(connection: Any, asked: str) -> dict[str, int]:
        if asked == name:
            monkeypatch.setattr(mlflow_versions, "aliases", read)
            register(registry, records, model_folder)
        return read(connection, asked)

    monkeypatch.setattr(mlflow_versions, "aliases", overtaken)
    done = registry.register(records, registry.record_run(records), uri, verdict_of(records), auto_promote=True)
    assert (done.version, done.created, done.aliases) == (1, False, ["challenger", "champion"])


def test_an_older_version_takes_no_alias_back(registry: MlflowRegistry, name: str, model_folder: Path) -> None:
    first = run_records("one", name=name)
    register(registry, first, model_folder)
    register(registry, run_records("two", name=name, comparator=f"champion {name}/1"), model_folder)
    with pytest.raises(UnavailableError):
        register(registry, first, model_folder)
    champion = registry.champion(name)
    assert champion is not None
    assert champion.aliases == ("challenger", "champion")
    assert champion.version == 2


def test_a_model_of_another_run_is_refused(registry: MlflowRegistry, name: str, model_folder: Path) -> None:
    one, two = run_records("one", name=name), run_records("two", name=name)
    uri = registry.log_model(registry.record_run(one), one, model_folder)
    with pytest.raises(IntegrityError) as caught:
        registry.register(two, registry.record_run(two), uri, verdict_of(two), auto_promote=True)
    assert caught.value.code == "E-REGISTRY-014"
    assert registry.versions(name) == []


def test_one_source_model_is_one_version_a_digest(registry: MlflowRegistry, name: str) -> None:
    card = SOURCE.model_copy(update={"name": f"org/{name}"})
    newer = card.model_copy(update={"digest": digest("newer"), "revision": "0.2.0"})
    for one in (card, card, newer, card):
        registry.record_run(run_records(name=name, source=one))
    versions = registry.versions(f"source--org-{name}")
    assert [one.tags["acclimate.revision"] for one in versions] == ["0.1.0", "0.2.0"]
    assert versions[0].tags["acclimate.licence"] == "Apache-2.0"


@pytest.mark.parametrize(
    ("comparator", "version"),
    [
        ("champion mail/3", 3),
        ("champion models:/mail/3", 3),
        ("models:/mail/3", 3),
        ("baseline", None),
        ("champion other/3", None),
    ],
)
def test_the_expected_champion_is_read_from_the_evaluation(comparator: str, version: int | None) -> None:
    assert expected_champion("mail", comparator) == version


# --- fetching ---------------------------------------------------------------------------------


def test_every_uri_fetches_the_same_bytes_once(
    registry: MlflowRegistry, name: str, model_folder: Path, tmp_path: Path
) -> None:
    done = register(registry, run_records(name=name), model_folder)
    into = tmp_path / "fetched"
    uris = [f"models:/{name}/1", f"models:/{name}@champion", f"runs:/{done.mlflow_run_id}/model"]
    folders = {registry.fetch(uri, into) for uri in uris}
    assert len(folders) == 1
    folder = folders.pop()
    for file in model_folder.iterdir():
        assert (folder / file.name).read_bytes() == file.read_bytes()
    assert list(into.iterdir()) == [folder]


@pytest.mark.parametrize("damage", ["flip", "truncate", "add", "remove", "empty"])
def test_changed_bytes_in_the_store_are_found(
    registry: MlflowRegistry, workspace: Path, name: str, model_folder: Path, tmp_path: Path, damage: str
) -> None:
    register(registry, run_records(name=name), model_folder)
    (stored,) = (workspace / "mlartifacts" / name).rglob("model.safetensors")
    whole = stored.read_bytes()
    if damage == "flip":
        stored.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    elif damage == "truncate":
        stored.write_bytes(whole[:-1])
    elif damage == "add":
        stored.with_name("extra.bin").write_bytes(b"x")
    elif damage == "remove":
        stored.unlink()
    else:
        for file in stored.parent.iterdir():
            file.unlink()
        stored.parent.rmdir()
    with pytest.raises(IntegrityError) as caught:
        registry.fetch(f"models:/{name}/1", tmp_path / "fetched")
    assert caught.value.code == "E-REGISTRY-011"


def test_a_damaged_fetched_copy_is_fetched_again(
    registry: MlflowRegistry, name: str, model_folder: Path, tmp_path: Path
) -> None:
    register(registry, run_records(name=name), model_folder)
    folder = registry.fetch(f"models:/{name}/1", tmp_path)
    (folder / "config.json").write_text("{}")
    assert registry.fetch(f"models:/{name}/1", tmp_path) == folder
    assert (folder / "config.json").read_bytes() == (model_folder / "config.json").read_bytes()


@pytest.mark.parametrize(
    "uri", ["mail", "models:/", "models:/a/b/c", "runs:/xyz", "s3://bucket/model", "models:/a@b@c"]
)
def test_what_is_no_model_uri_is_refused(registry: MlflowRegistry, tmp_path: Path, uri: str) -> None:
    with pytest.raises(ModelError) as caught:
        registry.fetch(uri, tmp_path)
    assert caught.value.code == "E-REGISTRY-007"


def test_unknown_names_versions_and_aliases_name_the_nearest(
    registry: MlflowRegistry, model_folder: Path, tmp_path: Path
) -> None:
    register(registry, run_records(name="support-letters"), model_folder)
    for uri, hint in [
        ("models:/suport-leters/1", "support-letters"),
        ("models:/support-letters/7", "1"),
        ("models:/support-letters@chanpion", "champion"),
    ]:
        with pytest.raises(ModelError) as caught:
            registry.fetch(uri, tmp_path)
        assert caught.value.code == "E-REGISTRY-003"
        assert hint in caught.value.hint


def test_a_model_without_our_digest_is_refused(
    registry: MlflowRegistry, workspace: Path, name: str, tmp_path: Path
) -> None:
    client = connect(local_uri(workspace), workspace).client
    client.create_registered_model(name)
    client.create_model_version(name, str(tmp_path))
    with pytest.raises(ModelError) as caught:
        registry.fetch(f"models:/{name}/1", tmp_path / "fetched")
    assert caught.value.code == "E-REGISTRY-012"


# --- listing and lineage ----------------------------------------------------------------------


def test_models_are_listed_as_the_command_line_prints_them(
    registry: MlflowRegistry, name: str, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acclimate.lookup.asked_registry", lambda _: registry)
    records = run_records(name=name)
    register(registry, records, model_folder, "SHADOW")
    version = {"version": 1, "run_key": records.run_key, "verdict": "SHADOW", "aliases": ["challenger"]}
    assert models(name, None) == {"name": name, "versions": [version]}
    named = models(None, None)["models"]
    assert {"name": name, "champion": None} in named
    assert not [one for one in named if one["name"].startswith(("source--", "acclimate--"))]
    assert f"{name} " in models_text({"models": named})
    with pytest.raises(ModelError) as caught:
        models(f"{name}-unknown", None)
    assert name in caught.value.hint


def test_lineage_walks_back_to_the_source_through_a_parent(
    registry: MlflowRegistry, name: str, model_folder: Path
) -> None:
    register(registry, run_records("parent", name=name), model_folder)
    child = run_records("child", name=f"{name}-child", source_uri=f"models:/{name}/1")
    register(registry, child, model_folder, "HOLD")
    node = registry.lineage(f"{name}-child")
    assert (node.kind, node.uri, node.digest) == ("adapted_model", f"models:/{name}-child/1", digest("model"))
    kinds = [one.kind for one in node.made_from]
    assert kinds == [
        *("verdict", "evaluation", "arm", "arm", "arm", "decision", "gap", "data", "data", "adapted_model"),
    ]
    assert next(one for one in node.made_from if one.name == "lora").facts["chosen"] == "false"
    parent = node.made_from[-1]
    assert parent.uri == f"models:/{name}/1"
    source = parent.made_from[-1]
    assert (source.kind, source.digest, source.made_from) == ("source_model", SOURCE.digest, [])
    assert source.facts["licence"] == "Apache-2.0"


def test_where_data_were_fetched_from_is_kept_with_run_and_lineage(
    registry: MlflowRegistry, workspace: Path, name: str, model_folder: Path
) -> None:
    plain = run_records(name=name)
    on_s3 = InputFile(uri="s3://b/mail.csv", sha256=digest("a"), size_bytes=1, etag="abc", version_id="v-7")
    by_dvc = InputFile(uri="dvc://mail.csv@v1", sha256=digest("b"), size_bytes=1, dvc_rev="c0ffee", md5="d1ce")
    reference = plain.data.reference
    assert reference is not None
    data = plain.data.model_copy(
        update={
            "target": plain.data.target.model_copy(update={"files": [on_s3, on_s3]}),
            "reference": reference.model_copy(update={"files": [by_dvc]}),
        }
    )
    done = register(registry, replace(plain, data=data), model_folder)
    leaves = {leaf.name: leaf.facts for leaf in registry.lineage(name).made_from if leaf.kind == "data"}
    assert leaves == {
        "target": {"uri": "s3://b/mail.csv and 1 more", "version": "v-7", "etag": "abc"},
        "reference": {"uri": "dvc://mail.csv@v1", "dvc_rev": "c0ffee", "md5": "d1ce"},
    }
    run = connect(local_uri(workspace), workspace).client.get_run(done.mlflow_run_id)
    kinds = {one.tags[0].value: one.dataset for one in run.inputs.dataset_inputs}
    assert (kinds["target"].source_type, kinds["reference"].source_type) == ("s3", "dvc")
    assert json.loads(kinds["reference"].source)["origins"] == [
        {"uri": "dvc://mail.csv@v1", "dvc_rev": "c0ffee", "md5": "d1ce"}
    ]


def test_a_pool_is_in_the_run_and_the_lineage(
    registry: MlflowRegistry, name: str, model_folder: Path, workspace: Path
) -> None:
    plain = run_records(name=name)
    pool = plain.data.target.model_copy(update={"digest": digest("pool"), "licence": "CC0-1.0", "labels": None})
    finetune = plain.finetune
    assert finetune is not None
    arms = [arm.model_copy(update={"pretraining": PRETRAINING}) if arm.chosen else arm for arm in finetune.arms]
    records = replace(
        plain,
        data=plain.data.model_copy(update={"pool": pool}),
        finetune=finetune.model_copy(update={"arms": arms}),
    )
    done = register(registry, records, model_folder)
    leaves = {leaf.name: leaf for leaf in registry.lineage(name).made_from if leaf.kind == "data"}
    assert (leaves["pool"].digest, leaves["pool"].facts) == (digest("pool"), {"licence": "CC0-1.0"})
    run = connect(local_uri(workspace), workspace).client.get_run(done.mlflow_run_id)
    assert {one.tags[0].value for one in run.inputs.dataset_inputs} == {"target", "reference", "pool", "test"}
    (dataset,) = (one.dataset for one in run.inputs.dataset_inputs if one.tags[0].value == "pool")
    assert json.loads(dataset.source)["licence"] == "CC0-1.0"
    assert run.data.metrics["arm.full.masked_loss_after"] == pytest.approx(2.5)
    assert json.loads(run.data.tags["acclimate.arm.full"])["pretraining"]["pool_rows"] == 2000


def test_however_many_versions_there_are_a_reference_reads_one(
    registry: MlflowRegistry, name: str, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("one", "two", "three"):
        register(registry, run_records(key, name=name), model_folder, "SHADOW")
    register(registry, run_records("child", name=f"{name}-child", source_uri=f"models:/{name}/2"), model_folder)
    client, read = registry._connection.client, []
    search = client.search_model_versions

    def counted(*arguments: Any, **options: Any) -> Any:
        page = search(*arguments, **options)
        read.append(len(page))
        return page

    monkeypatch.setattr(client, "search_model_versions", counted)
    found = [registry.version(f"{name}{which}") for which in ("", "/2", "@challenger")]
    assert [(one.version, one.aliases) for one in found] == [(3, ("challenger",)), (2, ()), (3, ("challenger",))]
    assert registry.lineage(f"{name}-child").made_from[-1].uri == f"models:/{name}/2"
    # of a version without alias also whether a lower one has its run key
    assert read == [1] * 7 + [0] * 3, "the source is no copy of a model, and nothing was made from the child"


@pytest.mark.parametrize("number", ["0", "2147483648", "99999999999999999999"])
def test_a_number_that_no_version_can_have_is_unknown(
    registry: MlflowRegistry, name: str, model_folder: Path, number: str
) -> None:
    register(registry, run_records(name=name), model_folder)
    with pytest.raises(ModelError) as caught:
        registry.version(f"{name}/{number}")
    assert (caught.value.code, caught.value.hint) == ("E-REGISTRY-003", "did you mean 1?")


def test_lineage_takes_aliases_and_numbers(registry: MlflowRegistry, name: str, model_folder: Path) -> None:
    register(registry, run_records("one", name=name), model_folder)
    register(registry, run_records("two", name=name), model_folder, "HOLD")
    uris = [registry.lineage(f"{name}{which}").uri for which in ("", "@champion", "/1")]
    assert uris == [f"models:/{name}/2", f"models:/{name}/1", f"models:/{name}/1"]
    for unknown in (f"{name}@nobody", f"{name}/9", "nobody-knows-this"):
        with pytest.raises(ModelError):
            registry.lineage(unknown)


# --- races ------------------------------------------------------------------------------------


def test_six_processes_registering_one_run_key_leave_one_version(
    registry: MlflowRegistry, workspace: Path, name: str, model_folder: Path
) -> None:
    records = run_records("race", name=name)
    run_id = registry.record_run(records)
    uri = registry.log_model(run_id, records, model_folder)
    said = race(registry_race.register, [[str(workspace), name, "race", uri, run_id]] * 6)
    (version,) = registry.versions(name)
    assert said == [str(version.version)] * 6
    assert version.aliases == ("challenger", "champion")


def test_of_four_candidates_compared_with_the_same_champion_one_succeeds_it(
    registry: MlflowRegistry, workspace: Path, name: str, model_folder: Path
) -> None:
    jobs = []
    for key in ("a", "b", "c", "d"):
        records = run_records(key, name=name)
        run_id = registry.record_run(records)
        jobs.append([str(workspace), name, key, registry.log_model(run_id, records, model_folder), run_id])
    said = race(registry_race.register, jobs)
    champion = registry.champion(name)
    assert champion is not None
    assert sorted(said) == sorted([str(champion.version), *["E-REGISTRY-020"] * 3])
    succeeded = [one for one in registry.versions(name) if "acclimate.previous_champion" in one.tags]
    assert succeeded == [champion]


def test_two_processes_may_create_the_store_at_once(tmp_path: Path) -> None:
    workspace = tmp_path / "new" / "workspace"
    said = race(registry_race.open_store, [[str(workspace)]] * 2)
    found = open_registry(None, workspace).record_run(run_records())
    assert found in said
    assert all(len(one) == len(found) for one in said), said
    assert not list(workspace.glob("*.partial"))


def test_a_new_store_is_made_and_used_without_a_word(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.contract import registry_race\n"
        "registry_race.open_store(sys.argv[1])()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
