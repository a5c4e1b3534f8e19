"""What made a model: from a version back through verdict, evaluation, arms, decision, gap and data to the source."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from acclimate.adapters.mlflow_client import Connection
from acclimate.adapters.mlflow_errors import is_error
from acclimate.adapters.mlflow_search import adapted_as, digest_of, made_from, with_aliases
from acclimate.adapters.mlflow_tags import (
    ARM_PREFIX,
    DATA_DIGEST,
    DECISION_DIGEST,
    EVALUATION_DIGEST,
    GAP_DIGEST,
    KIND,
    MODEL_DIGEST,
    POOL_DIGEST,
    REFERENCE_DIGEST,
    RUN_KEY,
    SOURCE_DIGEST,
    SOURCE_KIND,
    SOURCE_MODEL,
    VERDICT,
    VERDICT_SHA256,
)
from acclimate.adapters.mlflow_versions import find_version, version_at, without_leftovers
from acclimate.records import LineageNode
from acclimate.registry import RegisteredVersion

_DEPTH_LIMIT = 50
_OF_ADAPTED = (
    *("task", "run_key", "code_version", "previous_champion", "licence", "recalled"),
    *("made_for", "not_for", "limits"),
)
_ORIGIN = ("uri", "version", "etag", "dvc_rev", "md5", "licence")


def trace(connection: Connection, reference: str) -> LineageNode:
    """What made a model, as a tree whose leaves are data and source models, and what was made from it directly.

    Args:
        connection: the registry.
        reference: ``NAME`` (its highest version), ``NAME@alias`` or ``NAME/7``; ``models:/`` may stand before it.

    Raises:
        ModelError: E-REGISTRY-003, there is no such model, alias or version.
    """
    version = find_version(connection, reference)
    node = _model_node(connection, version, _DEPTH_LIMIT)
    return node.model_copy(update={"made_into": _children(connection, version)})


def _children(connection: Connection, version: RegisteredVersion) -> list[str]:
    found = made_from(connection, version.model_uri, digest_of(version))
    adapted = [one for one in found if one.tags.get(KIND) != SOURCE_KIND]
    lowest_first = sorted(adapted, key=lambda one: (one.name, one.version))
    return [one.model_uri for one in without_leftovers(lowest_first)]


def _model_node(connection: Connection, version: RegisteredVersion, depth: int) -> LineageNode:
    if version.tags.get(KIND) == SOURCE_KIND:
        return LineageNode(
            kind="source_model",
            name=version.name,
            uri=version.model_uri,
            digest=version.tags.get(SOURCE_DIGEST),
            facts=_facts(version.tags, "source_uri", "revision", "licence", "model_type", "parameters", "recalled"),
            made_from=[],
        )
    stored = connection.client.get_model_version(version.name, str(version.version))
    return LineageNode(
        kind="adapted_model",
        name=version.name,
        uri=version.model_uri,
        digest=version.tags.get(MODEL_DIGEST),
        facts={
            **_facts(version.tags, *_OF_ADAPTED),
            **_created(stored),
            **_aliases(version),
        },
        made_from=[*_evidence(connection, version, stored.run_id), *_parents(connection, version, depth)],
    )


def _created(stored: Any) -> dict[str, str]:
    """When MLflow got the version, to the second, in UTC."""
    if not stored.creation_timestamp:
        return {}
    at = datetime.fromtimestamp(stored.creation_timestamp // 1000, UTC)
    return {"created": at.strftime("%Y-%m-%dT%H:%M:%SZ")}


def _aliases(version: RegisteredVersion) -> dict[str, str]:
    return {"aliases": ", ".join(version.aliases)} if version.aliases else {}


def _facts(tags: dict[str, str], *names: str) -> dict[str, str]:
    return {name: tags[f"acclimate.{name}"] for name in names if tags.get(f"acclimate.{name}")}


def _parents(connection: Connection, version: RegisteredVersion, depth: int) -> list[LineageNode]:
    uri = version.tags.get(SOURCE_MODEL)
    if uri is None:
        return []
    if depth == 0:
        return [LineageNode(kind="source_model", name="and so on", uri=uri, digest=None, facts={}, made_from=[])]
    parent = version_at(connection, uri)
    if parent is None:
        name = uri.removeprefix("models:/").rpartition("/")[0]
        gone = {"state": "deleted from the registry"}
        digest = version.tags.get(SOURCE_DIGEST)
        return [LineageNode(kind="source_model", name=name, uri=uri, digest=digest, facts=gone, made_from=[])]
    if parent.tags.get(KIND) == SOURCE_KIND:
        # a copy of an adapted model is that model
        copied = [one for one in adapted_as(connection, digest_of(parent)) if one.model_uri != version.model_uri]
        parent = next(iter(with_aliases(connection, copied[:1])), parent)
    return [_model_node(connection, parent, depth - 1)]


def _evidence(connection: Connection, version: RegisteredVersion, run_id: str | None) -> list[LineageNode]:
    tags = version.tags
    run_tags = _run_tags(connection, run_id) if run_id and RUN_KEY in tags else {}
    nodes = [
        _leaf("verdict", tags.get(VERDICT, ""), tags.get(VERDICT_SHA256), _facts(tags, "policy")),
        _leaf(
            "evaluation",
            tags.get("acclimate.metric", ""),
            tags.get(EVALUATION_DIGEST),
            _facts(tags, "strategy", "score", "score_low", "score_high", "comparator"),
        ),
        *(
            _leaf("arm", name.removeprefix(ARM_PREFIX), None, _plain(json.loads(value)))
            for name, value in sorted(run_tags.items())
            if name.startswith(ARM_PREFIX)
        ),
        _leaf("decision", tags.get("acclimate.decision", ""), tags.get(DECISION_DIGEST), _facts(tags, "decision_rule")),
        _leaf("gap", tags.get("acclimate.gap", ""), tags.get(GAP_DIGEST), _facts(tags, "gap_units", "setting")),
        _leaf("data", "target", tags.get(DATA_DIGEST), _origin(tags, "data")),
    ]
    if REFERENCE_DIGEST in tags:
        nodes.append(_leaf("data", "reference", tags[REFERENCE_DIGEST], _origin(tags, "reference")))
    if POOL_DIGEST in tags:
        nodes.append(_leaf("data", "pool", tags[POOL_DIGEST], _origin(tags, "pool")))
    return nodes


def _origin(tags: dict[str, str], table: str) -> dict[str, str]:
    named = {name: tags.get(f"acclimate.{table}_{name}") for name in _ORIGIN}
    return {name: value for name, value in named.items() if value}


def _leaf(kind: Any, name: str, digest: str | None, facts: dict[str, str]) -> LineageNode:
    return LineageNode(kind=kind, name=name, uri=None, digest=digest, facts=facts, made_from=[])


def _plain(values: dict[str, Any]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}


def _run_tags(connection: Connection, run_id: str) -> dict[str, str]:
    """Tags of a run; empty where somebody deleted it."""
    from mlflow.exceptions import MlflowException

    try:
        return dict(connection.client.get_run(run_id).data.tags)
    except MlflowException as error:
        if not is_error(error, "RESOURCE_DOES_NOT_EXIST"):
            raise
        return {}
