"""Made-up lineages: a source, a model, chains of models."""

from __future__ import annotations

from typing import Any

from acclimate.records import LineageNode
from tests.run_records import digest

ARMS = ["full", "lora", "scratch", "adapter", "tapt", "prefix", "partial"]


def leaf(kind: Any, name: str, sha256: str | None = None, **facts: str) -> LineageNode:
    return LineageNode(kind=kind, name=name, uri=None, digest=sha256, facts=facts, made_from=[])


def source(name: str = "minilm", licence: str = "Apache-2.0", **facts: str) -> LineageNode:
    return LineageNode(
        kind="source_model",
        name=f"source--{name}",
        uri=f"models:/source--{name}/1",
        digest=digest(name),
        facts={"source_uri": f"package://{name}/model", "revision": "1.2.0", "licence": licence, "model_type": "bert"}
        | facts,
        made_from=[],
    )


def arm(name: str, number: int, *, chosen: bool, pretraining: str = "") -> LineageNode:
    facts = {"role": "control" if name == "scratch" else "arm", "chosen": "true" if chosen else "false"}
    facts |= {"validation_score": f"{0.9 - number / 100:.6g}", "model_digest": digest(name)}
    return leaf("arm", name, **facts | ({"pretraining": pretraining} if pretraining else {}))


def adapted(
    number: int,
    parent: LineageNode,
    *,
    name: str = "mail",
    arms: int = 4,
    verdict: str = "PROMOTE",
    pool: bool = False,
    **facts: str,
) -> LineageNode:
    names = [ARMS[i] if i < len(ARMS) else f"strategy{i}" for i in range(arms)]
    made = [
        leaf("verdict", verdict, digest(f"verdict {number}"), policy="standard"),
        leaf("evaluation", "macro_f1", strategy="lora", score="0.874213", score_low="0.8512", score_high="0.897"),
        *(
            arm(one, i, chosen=i == 1, pretraining='{"rows": 9}' if pool and one == "tapt" else "")
            for i, one in enumerate(names)
        ),
        leaf("decision", "lora+full", decision_rule="R5"),
        leaf("gap", "LARGE", gap_units="4.23145", setting="supervised adaptation"),
        leaf("data", "target", digest(f"target {number}"), uri="s3://mail/rows.parquet", licence="CC-BY-4.0"),
        leaf("data", "reference", digest("reference")),
        *([leaf("data", "pool", digest("pool"), licence="CC0-1.0")] if pool else []),
        parent,
    ]
    return LineageNode(
        kind="adapted_model",
        name=name,
        uri=f"models:/{name}/{number}",
        digest=digest(f"model {number}"),
        facts={"task": "text-classification", "run_key": digest(f"key {number}"), "created": "2026-06-01T10:00:00Z"}
        | facts,
        made_from=made,
    )


def chain(length: int) -> LineageNode:
    """A model adapted from a model, so many times."""
    node = source()
    for number in range(1, length + 1):
        node = adapted(number, node, arms=3 + number % 5, pool=number % 3 == 0)
    return node


def poisoned(node: LineageNode, text: str) -> LineageNode:
    """Every free text of a lineage replaced; two models keep telling themselves apart by their address."""
    return node.model_copy(
        update={
            "name": text,
            "uri": node.uri and f"{node.uri} {text}",
            "digest": text,
            "facts": dict.fromkeys((*node.facts, text, "recalled", "aliases", "uri", "licence", "state"), text),
            "made_from": [poisoned(one, text) for one in node.made_from],
            "made_into": [text, f"models:/{text}/1"],
        }
    )
