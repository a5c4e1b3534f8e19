"""``acclimate verify``: whatever a model came from, and was changed since, is found."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from acclimate.records import Evidence, Registration, Verdict
from acclimate.verifying import verify, verify_text
from tests.pipeline.project import Outcome, Project


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def mine(finished: tuple[Project, Outcome], tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The finished project for these tests to tamper with; its registry, which names files by place, is told."""
    project = finished[0].copy(tmp_path_factory.mktemp("tampered") / "project")
    before, after = str(finished[0].folder), str(project.folder)
    with closing(sqlite3.connect(project.workspace / "mlflow.db")) as database, database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for _, column, *_ in database.execute(f"PRAGMA table_info({table})").fetchall():
                database.execute(
                    f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) WHERE instr("{column}", ?)',
                    (before, after, before),
                )
    return project


def only(pattern: str) -> Callable[[Project], Path]:
    """The one file of a project that a pattern fits."""

    def find(project: Project) -> Path:
        (found,) = (path for path in project.folder.glob(pattern) if path.is_file())
        return found

    return find


def evidence(ending: str) -> Callable[[Project], Path]:
    """What the registered verdict names; copies of the project keep theirs in the same place."""

    def find(project: Project) -> Path:
        verdict = Verdict.read(project.stage_folder("register"))
        stored = only(f".acclimate/mlartifacts/**/evidence/{verdict.evidence_sha256}.json")(project)
        if ending == "json":
            return stored
        sha256 = Evidence.model_validate_json(stored.read_bytes()).predictions_sha256
        return only(f".acclimate/mlartifacts/**/evidence/{sha256}.parquet")(project)

    return find


def verdict(project: Project) -> Path:
    """The registered one."""
    sha256 = Registration.read(project.stage_folder("register")).verdict_sha256
    return only(f".acclimate/mlartifacts/**/verdicts/{sha256}.json")(project)


# what is changed, and what verify calls it
TAMPERED = {
    "weights": only(".acclimate/mlartifacts/**/data/model/model.safetensors"),
    "head": only(".acclimate/mlartifacts/**/data/model/head.safetensors"),
    "data": only("mail.csv"),
    "verdict": verdict,
    "evidence": evidence("json"),
    "predictions": evidence("parquet"),
    "log": only(".acclimate/promotions/*.jsonl"),
    "source": only("source/model.safetensors"),
}
CALLED = {"head": "weights", "evidence": "predictions"}


def test_an_untouched_model_is_verified_whole(mine):
    project = mine
    found = project.call("verify", "toy-mail@champion", "--json")
    assert (found.code, found.json["outcome"]) == (0, "unchanged"), found.json
    kinds = [one["kind"] for one in found.json["checked"]]
    assert kinds == ["verdict", "predictions", "tags", "weights", "log", "data", "source"]
    text = project.call("verify", "toy-mail").out
    assert text.startswith("models:/toy-mail/1: unchanged")
    assert "mail.csv" in text


# of what registry, project and log hold one each; the others in the long form
QUICK = ("weights", "data", "verdict", "log")


@pytest.mark.parametrize(
    "what", [pytest.param(what, marks=() if what in QUICK else pytest.mark.slow) for what in TAMPERED]
)
def test_a_changed_byte_is_found_and_named(what, mine):
    project = mine
    path = TAMPERED[what](project)
    content = path.read_bytes()
    middle = len(content) // 2
    # in its place, and put back
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    try:
        found = verify("toy-mail", project.workspace, None, project.folder)
        told = project.call("verify", "toy-mail") if what == "data" else None
    finally:
        path.write_bytes(content)
    changed = [one for one in found["checked"] if one["outcome"] == "changed"]
    assert [one["kind"] for one in changed] == [CALLED.get(what, what)]
    assert changed[0]["says"]
    assert found["outcome"] == "changed"
    assert "Do not rely on this model" in verify_text(found)
    assert told is None or (told.code, told.out.strip()) == (76, verify_text(found))


@pytest.mark.parametrize(
    "what", ["data", *(pytest.param(one, marks=pytest.mark.slow) for one in ("source", "predictions", "verdict"))]
)
def test_what_is_gone_is_told_apart_from_what_was_changed(what, mine):
    project = mine
    path = TAMPERED[what](project)
    elsewhere = path.rename(path.with_name("elsewhere"))
    try:
        found = verify("toy-mail", project.workspace, None, project.folder)
    finally:
        elsewhere.rename(path)
    assert [one["kind"] for one in found["checked"] if one["outcome"] == "not found"] == [what]
    assert found["outcome"] == "not found"


def test_data_are_looked_for_where_the_project_is(mine, tmp_path):
    project = mine
    found = project.call("verify", "toy-mail", "--project", str(tmp_path), "--json")
    assert found.code == 75
    assert [one["kind"] for one in found.json["checked"] if one["outcome"] == "not found"] == ["data"]
