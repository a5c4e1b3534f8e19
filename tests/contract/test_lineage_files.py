"""Lineage as files from a real MLflow: a chain as a page and as a bill of materials, by the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from acclimate.adapters.mlflow_client import local_uri
from acclimate.adapters.mlflow_registry import MlflowRegistry, open_registry
from acclimate.cli import app
from acclimate.promoting import promote, recall
from acclimate.registry import FinishedStage, RunRecords
from acclimate.report.considerations import considerations
from tests.bom_schema import BOM
from tests.run_records import SOURCE, digest, run_records, verdict_of
from tests.unit.report.test_render import assert_inert, shown

pytestmark = pytest.mark.usefixtures("no_server")


def make(registry: MlflowRegistry, folder: Path, key: str, **changes: Any) -> str:
    records = run_records(key, name=f"{key}-mail", model_digest=digest(key), **changes)
    target = records.data.target.model_copy(update={"digest": digest(f"{key} rows"), "licence": "CC-BY-4.0"})
    records = replace(records, data=records.data.model_copy(update={"target": target}))
    records.config["card"]["not_for"] = ["deciding about people"]
    return make_of(registry, folder, key, replace(records, considerations=considerations(records)))


def make_of(registry: MlflowRegistry, folder: Path, key: str, records: RunRecords) -> str:
    model = folder / key
    model.mkdir()
    (model / "config.json").write_text(key)
    run_id = registry.record_run(records)
    stored = registry.log_model(run_id, records, model)
    return str(registry.register(records, run_id, stored, verdict_of(records), auto_promote=False).model_uri)


@pytest.fixture(scope="module")
def registry(workspace: Path) -> MlflowRegistry:
    return open_registry(local_uri(workspace), workspace)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workspace")
    registry = open_registry(local_uri(folder), folder)
    models = tmp_path_factory.mktemp("models")
    parent = make(registry, models, "parent")
    make(registry, models, "child", source_uri=parent)
    return folder


@pytest.fixture
def called(workspace: Path) -> Callable[..., Result]:
    return lambda *words: CliRunner().invoke(app, ["lineage", *map(str, words), "--workspace", str(workspace)])


def test_a_chain_becomes_a_page(called: Callable[..., Result], tmp_path: Path) -> None:
    out = tmp_path / "new" / "lineage.html"
    done = called("child-mail", "--html", out)
    assert (done.exit_code, done.stdout) == (0, f"models:/child-mail/1 -> {out}\n")
    page = out.read_text(encoding="utf-8")
    assert_inert(page)
    text = shown(page)
    assert text.startswith("What child-mail/1 was made from")
    assert all(digest(name) in text for name in ("child", "parent", "source", "child rows", "parent rows"))
    assert all(part in text for part in ("parent-mail/1", "tiny-bert", "CC-BY-4.0", "Apache-2.0", "not taken"))


def test_a_chain_becomes_a_valid_bill_of_materials_that_promotion_leaves_as_it_is(
    called: Callable[..., Result], workspace: Path, tmp_path: Path
) -> None:
    out, again = tmp_path / "bom.json", tmp_path / "again.json"
    told = json.loads(called("child-mail", "--cyclonedx", out, "--json").stdout)
    assert told == {"model_uri": "models:/child-mail/1", "path": str(out)}
    text = out.read_text(encoding="utf-8")
    assert BOM.validate_str(text) is None
    bom = json.loads(text)
    assert bom["metadata"]["component"]["modelCard"]["modelParameters"]["task"] == "text-classification"
    assert bom["metadata"]["timestamp"].endswith("Z")
    told = bom["metadata"]["component"]["modelCard"]["considerations"]
    assert told["useCases"] == ["Giving texts like those of its target data one of 2 labels."]
    assert "not for: deciding about people" in told["technicalLimitations"]
    parts = {one["bom-ref"]: one for one in bom["components"]}
    assert parts["models:/parent-mail/1"]["hashes"] == [{"alg": "SHA-256", "content": digest("parent")}]
    assert parts[f"dataset:sha256:{digest('child rows')}"]["licenses"] == [{"license": {"id": "CC-BY-4.0"}}]
    source = f"models:/source--{SOURCE.name}/1"
    assert parts[source]["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    promote("child-mail/1", "ann", "better", None, workspace, None)
    called("child-mail@champion", "--cyclonedx", again)
    assert again.read_bytes() == out.read_bytes()


def test_a_recalled_parent_is_seen_in_both(called: Callable[..., Result], workspace: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"data": None, "by": "ann", "workspace": workspace, "promotions": None}
    recall("parent-mail/1", act="block", reason="its licence was withdrawn", **options)
    try:
        called("child-mail", "--html", tmp_path / "page.html")
        called("child-mail", "--cyclonedx", tmp_path / "bom.json")
    finally:
        recall("parent-mail/1", act="lift", reason="it was not", **options)
    assert "ann: its licence was withdrawn" in shown((tmp_path / "page.html").read_text(encoding="utf-8"))
    bom = json.loads((tmp_path / "bom.json").read_text(encoding="utf-8"))
    (parent,) = (one for one in bom["components"] if one["bom-ref"] == "models:/parent-mail/1")
    limits = parent["modelCard"]["considerations"]["technicalLimitations"]
    assert limits[0] == "recalled by ann: its licence was withdrawn"


def test_an_older_file_is_replaced_and_kept_where_nothing_can_be_written(
    called: Callable[..., Result], tmp_path: Path
) -> None:
    out = tmp_path / "bom.json"
    out.write_text("older")
    assert called("nobody", "--cyclonedx", out).exit_code == 4
    assert out.read_text() == "older"
    assert called("child-mail", "--cyclonedx", out).exit_code == 0
    assert out.read_text().startswith("{")
    taken = called("child-mail", "--html", tmp_path, "--json")
    assert (taken.exit_code, json.loads(taken.stdout)["error"]["code"]) == (75, "E-REPORT-001")
    assert [path.name for path in tmp_path.iterdir()] == ["bom.json"]


def test_one_file_is_written_at_a_time(called: Callable[..., Result], tmp_path: Path) -> None:
    done = called("child-mail", "--html", tmp_path / "a", "--cyclonedx", tmp_path / "b", "--json")
    assert (done.exit_code, json.loads(done.stdout)["error"]["code"]) == (2, "E-LINEAGE-001")
    assert "run it twice" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_was_made_of_it_is_told_in_text_json_and_page(called: Callable[..., Result], tmp_path: Path) -> None:
    assert json.loads(called("parent-mail", "--json").stdout)["made_into"] == ["models:/child-mail/1"]
    assert called("parent-mail").stdout.splitlines()[-1] == "made into: models:/child-mail/1"
    assert "made into" not in called("child-mail").stdout
    for name, told in (("parent-mail", True), ("child-mail", False)):
        out = tmp_path / f"{name}.html"
        called(name, "--html", out)
        assert ("Made into: models:/child-mail/1" in shown(out.read_text(encoding="utf-8"))) is told


def test_gap_decision_and_evaluation_are_pinned_by_what_their_stages_wrote(
    registry: MlflowRegistry, tmp_path: Path
) -> None:
    records = run_records("pinned", name="pinned-mail", model_digest=digest("pinned"))
    written = {name: FinishedStage(digest(name), 1.0, digest=digest(f"{name} wrote")) for name in ("gap", "decide")}
    silent = replace(records.stages["evaluate"], digest=None)
    make_of(registry, tmp_path, "pinned", replace(records, stages={**records.stages, **written, "evaluate": silent}))
    found = {one.kind: one.digest for one in registry.lineage("pinned-mail").made_from}
    assert (found["gap"], found["decision"]) == (digest("gap wrote"), digest("decide wrote"))
    assert found["evaluation"] is None, "a stage of an older release does not tell"


def test_without_a_file_it_is_the_tree_it_was(called: Callable[..., Result]) -> None:
    tree = called("child-mail").stdout
    assert tree.startswith("adapted model: models:/child-mail/1  sha256:")
    assert "deciding about people" not in tree
    found = json.loads(called("child-mail", "--json").stdout)
    assert found["facts"]["not_for"].splitlines()[0] == "deciding about people"
    assert found["facts"]["task"] == "text-classification"
    assert found["made_into"] == []
    assert found["made_from"][-1]["uri"] == "models:/parent-mail/1"
