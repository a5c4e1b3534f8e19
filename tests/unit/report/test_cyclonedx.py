"""The bill of materials: valid by the official schema, complete, and the same for the same model."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acclimate.records import LineageNode
from acclimate.report.cyclonedx import cyclonedx, cyclonedx_text
from acclimate.report.spdx import IDS, licences
from tests.bom_schema import BOM
from tests.run_records import digest
from tests.unit.report.lineages import adapted, chain, leaf, poisoned, source
from tests.unit.report.test_render import HOSTILE


def checked(root: LineageNode) -> dict[str, Any]:
    """The bill, valid and with every reference to something that is there, named once."""
    text = cyclonedx_text(root)
    assert BOM.validate_str(text) is None
    bom: dict[str, Any] = json.loads(text)
    refs = [bom["metadata"]["component"]["bom-ref"], *(one["bom-ref"] for one in bom["components"])]
    assert len(refs) == len(set(refs))
    assert sorted(one["ref"] for one in bom["dependencies"]) == sorted(refs)
    for one in bom["dependencies"]:
        assert set(one.get("dependsOn", [])) <= set(refs) - {one["ref"]}
    return bom


def by_ref(bom: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["bom-ref"]: one for one in bom["components"]}


@pytest.mark.parametrize(
    "root",
    [adapted(1, source(), pool=True), chain(50), adapted(1, source(), arms=40), source()],
    ids=["model", "chain", "many arms", "source"],
)
def test_it_is_valid(root: LineageNode) -> None:
    checked(root)


def test_the_model_has_its_digest_task_score_and_interval() -> None:
    model = checked(adapted(4, source()))["metadata"]["component"]
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", "mail", "4")
    assert model["hashes"] == [{"alg": "SHA-256", "content": digest("model 4")}]
    card = model["modelCard"]
    assert card["modelParameters"]["task"] == "text-classification"
    assert card["quantitativeAnalysis"]["performanceMetrics"] == [
        {
            "type": "macro_f1",
            "value": "0.874213",
            "confidenceInterval": {"lowerBound": "0.8512", "upperBound": "0.897"},
        }
    ]
    assert "considerations" not in card


def test_source_and_data_are_components_with_digest_and_licence() -> None:
    bom = checked(adapted(4, source(), pool=True))
    parts = by_ref(bom)
    model = parts["models:/source--minilm/1"]
    assert (model["name"], model["version"]) == ("minilm", "1.2.0")
    assert model["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert model["externalReferences"] == [{"type": "distribution", "url": "package://minilm/model"}]
    target = parts[f"dataset:sha256:{digest('target 4')}"]
    assert (target["type"], target["name"]) == ("data", "target data of mail/4")
    assert target["licenses"] == [{"license": {"id": "CC-BY-4.0"}}]
    assert target["data"][0]["contents"] == {"url": "s3://mail/rows.parquet"}
    uses = {one["ref"]: one.get("dependsOn", []) for one in bom["dependencies"]}
    assert set(uses["models:/mail/4"]) == set(parts)
    datasets = bom["metadata"]["component"]["modelCard"]["modelParameters"]["datasets"]
    assert [one["ref"] for one in datasets] == [ref for ref in uses["models:/mail/4"] if ref.startswith("dataset:")]


def test_a_chain_leads_to_its_source_and_shared_data_are_one_component() -> None:
    bom = checked(chain(3))
    uses = {one["ref"]: one.get("dependsOn", []) for one in bom["dependencies"]}
    ref, seen = "models:/mail/3", []
    while ref:
        seen.append(ref)
        ref = next((one for one in uses[ref] if one.startswith("models:/")), "")
    assert seen == ["models:/mail/3", "models:/mail/2", "models:/mail/1", "models:/source--minilm/1"]
    shared = by_ref(bom)[f"dataset:sha256:{digest('reference')}"]
    assert [one["value"] for one in shared["properties"]] == [f"reference data of mail/{i}" for i in (3, 2, 1)]


def test_limits_are_told() -> None:
    root = adapted(1, source(licence="unknown"), verdict="HOLD", recalled="ann: its licence was withdrawn")
    assert checked(root)["metadata"]["component"]["modelCard"]["considerations"]["technicalLimitations"] == [
        "recalled by ann: its licence was withdrawn",
        "the gate did not find it fit for production: HOLD",
        "the licence of minilm, which it was adapted from, is unknown",
    ]


def test_what_it_is_for_and_what_not_are_told_with_its_limits() -> None:
    told = {"made_for": "Sorting mail.", "not_for": "Chats.\nCommercial use.", "limits": "Weakest slice: fax."}
    model = checked(adapted(1, source(), verdict="HOLD", **told))["metadata"]["component"]
    assert model["modelCard"]["considerations"] == {
        "useCases": ["Sorting mail."],
        "technicalLimitations": [
            "the gate did not find it fit for production: HOLD",
            "not for: Chats.",
            "not for: Commercial use.",
            "Weakest slice: fax.",
        ],
    }
    assert not [one for one in model["properties"] if one["value"] in told.values()]


def test_the_same_model_gives_the_same_file_whatever_alias_it_has() -> None:
    plain = cyclonedx_text(adapted(4, source()))
    assert plain == cyclonedx_text(adapted(4, source(), aliases="champion", previous_champion="3"))
    other = cyclonedx(adapted(5, source()))
    assert cyclonedx(adapted(4, source()))["serialNumber"] != other["serialNumber"]
    assert other["metadata"]["timestamp"] == "2026-06-01T10:00:00Z"
    assert "timestamp" not in checked(adapted(5, source(), created="yesterday"))["metadata"]


def test_what_is_no_digest_is_no_hash() -> None:
    whole = adapted(1, source())
    odd = [leaf("data", "target", "not a digest", uri="s3://b/mail.csv and 1 more"), leaf("data", "pool")]
    bom = checked(whole.model_copy(update={"digest": None, "made_from": odd}))
    assert "hashes" not in bom["metadata"]["component"]
    parts = by_ref(bom)
    assert set(parts) == {"dataset:target of models:/mail/1", "dataset:pool of models:/mail/1"}
    assert all("hashes" not in one and "contents" not in one["data"][0] for one in parts.values())


@pytest.mark.parametrize("address", ["https://host/a b", "https://host/%zz", "https://[host/model", "https://host/<a>"])
def test_the_validator_refuses_what_is_no_address(address: str) -> None:
    bom = cyclonedx(adapted(1, source()))
    reference = {"type": "website", "url": address}
    assert BOM.validate_str(json.dumps({**bom, "externalReferences": [reference]})) is not None
    assert BOM.validate_str(json.dumps({**bom, "externalReferences": [{**reference, "url": "https://host/a"}]})) is None


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_stay_valid(text: str) -> None:
    checked(poisoned(chain(2), text))
    checked(poisoned(adapted(1, source(), made_for="", not_for="", limits=""), text))


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=40) | st.from_regex(r"[a-z]+://[!-~]{0,20}", fullmatch=True))
def test_any_text_stays_valid(text: str) -> None:
    checked(poisoned(adapted(1, source()), text))


def test_credentials_are_taken_out() -> None:
    text = cyclonedx_text(adapted(1, source(source_uri="https://ann:hunter2@host/model")))
    assert "hunter2" not in text


def test_every_id_is_one_of_spdx() -> None:
    schema = files("cyclonedx.schema") / "_res" / "spdx.SNAPSHOT.schema.json"
    known = set(json.loads(schema.read_text(encoding="utf-8"))["enum"])
    assert set(IDS.values()) <= known


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, []),
        ("unknown", []),
        ("mit", [{"license": {"id": "MIT"}}]),
        ("MIT and (apache-2.0 OR MPL-2.0)", [{"expression": "MIT AND (Apache-2.0 OR MPL-2.0)"}]),
        ("MIT AND", [{"license": {"name": "MIT AND"}}]),
        ("MIT OR Ours", [{"license": {"name": "MIT OR Ours"}}]),
        ("own data", [{"license": {"name": "own data"}}]),
        ("llama3.2", [{"license": {"name": "llama3.2"}}]),
    ],
)
def test_a_licence_is_an_id_an_expression_or_a_name(text: str | None, told: list[dict[str, Any]]) -> None:
    assert licences(text) == told
