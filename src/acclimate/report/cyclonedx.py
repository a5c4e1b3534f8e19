"""A lineage as a bill of materials of a model: CycloneDX 1.6, the same bytes for the same model."""

from __future__ import annotations

import json
import re
import uuid
from collections import deque
from collections.abc import Iterator
from typing import Any

from acclimate.records import LineageNode
from acclimate.report.lineage_words import SOURCE_PREFIX, kind_of, name_of, sentence, version_of
from acclimate.report.safety import visible, without_credentials
from acclimate.report.spdx import licences

Part = dict[str, Any]

_COMPONENTS = frozenset(("adapted_model", "source_model", "data"))
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_VERSION_LIMIT = 1024
_CHARS = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*"
# A part of what RFC 3987 allows: what is no such address is told as a property.
_ADDRESS = re.compile(rf"[a-z][a-z0-9+.-]*://[A-Za-z0-9._~-]+(:\d+)?(/{_CHARS})?(\?{_CHARS})?")
# What has a place of its own, and what promotions change while the model stays what it is.
_NOT_TOLD = frozenset(
    ("aliases", "previous_champion", "recalled", "created", "licence", "task", "made_for", "not_for", "limits")
)


def cyclonedx_text(root: LineageNode) -> str:
    """The bill of materials as a file's text."""
    return json.dumps(cyclonedx(root), indent=2) + "\n"


def cyclonedx(root: LineageNode) -> Part:
    """The bill of materials of a registered model.

    The model is what it is about; its sources, what it was adapted from and the data are components. Who uses it by
    which alias is not in it, so that promoting a model leaves it as it is.

    Args:
        root: the model, as the registry traces it.

    Source:
        CycloneDX 1.6, ECMA-424.
    """
    root = LineageNode.model_validate(without_credentials(root.model_dump()))
    parts, uses = _collected(root)
    about = parts.pop(_ref(root, root))
    created = root.facts.get("created", "")
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, _identity(root))}",
        "version": 1,
        "metadata": {
            **({"timestamp": created} if _TIME.fullmatch(created) else {}),
            "tools": {"components": [{"type": "application", "name": "acclimate"}]},
            "component": about,
        },
        "components": list(parts.values()),
        "dependencies": [{"ref": ref, **({"dependsOn": used} if used else {})} for ref, used in uses.items()],
    }


def _identity(root: LineageNode) -> str:
    return f"urn:sha256:{root.digest}" if _is_sha256(root.digest) else visible(root.uri or root.name)


def _is_sha256(digest: str | None) -> bool:
    return _SHA256.fullmatch(digest or "") is not None


def _collected(root: LineageNode) -> tuple[dict[str, Part], dict[str, list[str]]]:
    """Every component by its reference, and what each uses; what occurs twice is one component."""
    parts: dict[str, Part] = {}
    uses: dict[str, list[str]] = {}
    waiting = deque([root])
    while waiting:
        node = waiting.popleft()
        ref = _ref(node, node)
        if ref in parts:
            continue
        parts[ref] = _model(node)
        used = [one for one in node.made_from if one.kind in _COMPONENTS]
        uses[ref] = list(dict.fromkeys(_ref(one, node) for one in used))
        waiting.extend(one for one in used if one.kind != "data")
        for one in used:
            if one.kind == "data":
                uses.setdefault(_ref(one, node), [])
                part = parts.setdefault(_ref(one, node), _data(one, node))
                part["properties"].append(_property("used_as", f"{kind_of(one)} of {name_of(node)}"))
    return parts, uses


def _ref(node: LineageNode, model: LineageNode) -> str:
    """What names a component within the file.

    Args:
        node: a model or data.
        model: the model itself, or what the data were used for.
    """
    if node.kind == "data":
        known = f"sha256:{node.digest}" if _is_sha256(node.digest) else f"{node.name} of {model.uri or model.name}"
        return f"dataset:{known}"
    uri = node.uri or node.name
    return uri if uri.startswith("models:/") else f"model:{uri}"


def _model(node: LineageNode) -> Part:
    is_source = node.kind == "source_model"
    version = node.facts.get("revision") if is_source else version_of(node)
    card = _source_card(node) if is_source else _card(node)
    return {
        "type": "machine-learning-model",
        "bom-ref": _ref(node, node),
        "name": node.name.removeprefix(SOURCE_PREFIX) if is_source else node.name,
        **({"version": version[:_VERSION_LIMIT]} if version else {}),
        **({} if is_source else {"description": sentence(node)}),
        **_pinned(node),
        **({"modelCard": card} if card else {}),
        **_fetched(node.facts.get("source_uri")),
        "properties": [*_properties(node.facts), *_evidence(node)],
    }


def _data(node: LineageNode, model: LineageNode) -> Part:
    address = node.facts.get("uri", "")
    contents = {"contents": {"url": address}} if _ADDRESS.fullmatch(address) else {}
    name = f"{kind_of(node)} of {name_of(model)}"
    return {
        "type": "data",
        "bom-ref": _ref(node, model),
        "name": name,
        **_pinned(node),
        "data": [{"type": "dataset", "name": name, **contents}],
        "properties": _properties(node.facts),
    }


def _pinned(node: LineageNode) -> Part:
    """Hash and licence, as far as they are known."""
    stated = licences(node.facts.get("licence"))
    hashed = {"hashes": [{"alg": "SHA-256", "content": node.digest}]} if _is_sha256(node.digest) else {}
    return {**hashed, **({"licenses": stated} if stated else {})}


def _fetched(address: str | None) -> Part:
    if not address or not _ADDRESS.fullmatch(address):
        return {}
    return {"externalReferences": [{"type": "distribution", "url": address}]}


def _source_card(node: LineageNode) -> Part:
    kind = node.facts.get("model_type")
    return {"modelParameters": {"modelArchitecture": kind}} if kind else {}


def _card(node: LineageNode) -> Part:
    """Task, data, result, use and limits of an adapted model."""
    parameters: Part = {"task": node.facts["task"]} if node.facts.get("task") else {}
    refs = dict.fromkeys(_ref(one, node) for one in node.made_from if one.kind == "data")
    parameters |= {"datasets": [{"ref": ref} for ref in refs]} if refs else {}
    metrics = [_metric(one) for one in node.made_from if one.kind == "evaluation" and one.facts.get("score")]
    considered = {"useCases": _lines(node, "made_for"), "technicalLimitations": list(_limits(node))}
    return {
        **({"modelParameters": parameters} if parameters else {}),
        **({"quantitativeAnalysis": {"performanceMetrics": metrics}} if metrics else {}),
        **({"considerations": told} if (told := {name: said for name, said in considered.items() if said}) else {}),
    }


def _metric(evaluation: LineageNode) -> Part:
    facts = evaluation.facts
    ends = {"lowerBound": facts.get("score_low"), "upperBound": facts.get("score_high")}
    known = {name: value for name, value in ends.items() if value}
    return {
        "type": evaluation.name,
        "value": facts["score"],
        **({"confidenceInterval": known} if known else {}),
    }


def _limits(node: LineageNode) -> Iterator[str]:
    if node.facts.get("recalled"):
        yield f"recalled by {node.facts['recalled']}"
    for one in node.made_from:
        if one.kind == "verdict" and one.name not in {"", "PROMOTE"}:
            yield f"the gate did not find it fit for production: {one.name}"
        if one.kind == "source_model" and not licences(one.facts.get("licence")):
            yield f"the licence of {name_of(one)}, which it was adapted from, is unknown"
    yield from (f"not for: {one}" for one in _lines(node, "not_for"))
    yield from _lines(node, "limits")


def _lines(node: LineageNode, fact: str) -> list[str]:
    """A fact of several sentences, one each."""
    return [line for line in node.facts.get(fact, "").splitlines() if line]


def _evidence(node: LineageNode) -> Iterator[Part]:
    """What the model was decided and judged by, arms that were not taken too."""
    for one in node.made_from:
        if one.kind in _COMPONENTS or not one.name:
            continue
        facts = {**one.facts, **({"sha256": one.digest} if one.digest else {})}
        if one.kind == "arm":
            yield _property(f"arm:{one.name}", json.dumps(facts, sort_keys=True))
        else:
            yield _property(one.kind, one.name)
            yield from (_property(f"{one.kind}:{name}", value) for name, value in facts.items())


def _properties(facts: dict[str, str]) -> list[Part]:
    return [_property(name, value) for name, value in facts.items() if name not in _NOT_TOLD]


def _property(name: str, value: str) -> Part:
    return {"name": f"acclimate:{name}", "value": value}
