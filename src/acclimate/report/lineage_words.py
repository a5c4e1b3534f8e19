"""What a lineage says of each thing: a few words that fit a box, and the model in a sentence."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from itertools import accumulate

from acclimate.records import LineageNode
from acclimate.report.lineage_graph import Vertex
from acclimate.report.safety import visible
from acclimate.report.wording import GAPS, metric_name

SOURCE_PREFIX = "source--"
ROOM, MORE_ROOM = 15, 18
_DIGEST_SHOWN = 12
_TONES = {"PROMOTE": "good", "SHADOW": "fair", "HOLD": "fair", "REJECT": "bad"}


@dataclass(frozen=True)
class Words:
    """What stands in a box.

    Args:
        kind: what it is.
        title: its name, cut to the room there is.
        line: what matters most about it, cut too.
        tone: good, fair, bad or calm where that is to be seen; empty where not.
        whole: all of it, for those who point at it or have it read out.
    """

    kind: str
    title: str
    line: str
    tone: str
    whole: str


def words(vertex: Vertex) -> Words:
    """What a box says."""
    node = vertex.node
    number = version_of(node)
    kind = f"model, version {number}" if number else kind_of(node)
    title, line = _said(vertex)
    tone = _TONES.get(node.name, "calm") if node.kind == "verdict" else "bad" if node.facts.get("recalled") else ""
    whole = visible(", ".join(part for part in (f"{kind} {title}", line) if part))
    return Words(kind, cut(title, ROOM), cut(line, MORE_ROOM), tone, whole)


def kind_of(node: LineageNode) -> str:
    """What a thing is, in words: data are named by what they were for."""
    if node.kind == "data":
        return "pool of texts" if node.name == "pool" else f"{node.name} data"
    return node.kind.replace("_", " ")


def name_of(node: LineageNode) -> str:
    """A model as people name it: ``NAME/VERSION``, a source model without the registry's prefix; else the name."""
    if node.kind not in {"adapted_model", "source_model"}:
        return node.name
    number = version_of(node)
    return f"{node.name}/{number}" if number else node.name.removeprefix(SOURCE_PREFIX)


def version_of(node: LineageNode) -> str:
    """Version of an adapted model; empty of all else."""
    number = (node.uri or "").rpartition("/")[2]
    return number if node.kind == "adapted_model" and number.isdecimal() else ""


def sentence(root: LineageNode) -> str:
    """In one sentence: from what, how and with which verdict a model was made."""
    if root.kind == "source_model":
        return "A source model, pinned by its digest."
    found = {one.kind: one for one in root.made_from}
    source = found.get("adapted_model") or found.get("source_model")
    how = found["evaluation"].facts.get("strategy") if "evaluation" in found else None
    said = f"Adapted from {name_of(source)}" if source else "A model whose origin the registry does not know"
    said += f" by the strategy {how}" if how else ""
    verdict = found.get("verdict")
    said += f"; the gate said {verdict.name}" if verdict and verdict.name else ""
    policy = verdict.facts.get("policy") if verdict else None
    return said + (f" by policy {policy}" if policy else "") + "."


def cut(text: str, room: int) -> str:
    """The beginning of a text that is no wider than ``room`` narrow letters, on one line, hidden characters shown."""
    line = visible(" ".join(text.split()))
    wide = [2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1 for char in line]
    if sum(wide) <= room:
        return line
    ends = list(accumulate(wide))
    return line[: sum(end < room for end in ends)] + "…"


def _said(vertex: Vertex) -> tuple[str, str]:
    """Title and line of a box, at full length."""
    node, facts = vertex.node, vertex.node.facts
    titles = {
        "data": (node.digest or "no digest")[:_DIGEST_SHOWN],
        "gap": GAPS.get(node.name, node.name),
        "evaluation": f"{metric_name(node.name)} {_digits(facts.get('score'))}".strip(),
        "source_model": name_of(node),
    }
    lines = {
        "source_model": "recalled"
        if facts.get("recalled")
        else _joined(facts.get("revision"), facts.get("licence"), facts.get("state")),
        "adapted_model": "recalled" if facts.get("recalled") else _aliases(facts.get("aliases", "")),
        "data": facts.get("licence") or facts.get("uri", ""),
        "gap": _after("", _digits(facts.get("gap_units"), 1), " gap units"),
        "decision": _after("rule ", facts.get("decision_rule")),
        "arm": _joined(_digits(facts.get("validation_score")), _fate(vertex)),
        "evaluation": _after(_digits(facts.get("score_low")), _digits(facts.get("score_high")), between=" to "),
        "verdict": _after("policy ", facts.get("policy")),
    }
    return titles.get(node.kind, node.name), lines[node.kind]


def _fate(arm: Vertex) -> str:
    if arm.handed_on:
        return "chosen"
    return "control" if arm.node.facts.get("role") == "control" else "not taken"


def _joined(*parts: str | None) -> str:
    return " · ".join(part for part in parts if part)


def _after(before: str, value: str | None, after: str = "", between: str = "") -> str:
    """A value between two texts; nothing where there is none."""
    return f"{before}{between}{value}{after}" if value else ""


def _aliases(named: str) -> str:
    """Aliases with what is in use first."""
    return ", ".join(sorted(named.split(", "), key=lambda alias: alias != "champion"))


def _digits(number: str | None, digits: int = 3) -> str:
    """A number with so many digits after the point; what is no number as it is."""
    try:
        return f"{float(number or ''):.{digits}f}"
    except ValueError:
        return number or ""
