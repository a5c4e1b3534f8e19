"""What a gate policy means for an adaptation.yaml: its file is read, and what it asks for must be measurable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from acclimate.config_file.findings import Found, finding, get
from acclimate.config_file.paths import resolve_data_path
from acclimate.config_file.places import Places
from acclimate.config_file.policies import BUILT_IN, built_in_policy, instead_of, read_policy
from acclimate.config_file.yaml_nodes import NodePath
from acclimate.config_gate import PolicySpec
from acclimate.errors import ConfigError, DataError, Problem

POLICY: NodePath = ("gate", "policy")


def fill_policy(raw: dict[str, Any], places: Places, home: Path, root: Path, *, allow_outside: bool) -> list[Found]:
    """Read the policy's file into ``gate.rules``, and add what it asks for where nothing else is given.

    Args:
        raw: the configuration as plain values; changed.
        places: where they were written.
        home: folder of the YAML, which paths are relative to.
        root: the project root, which the policy must lie under.
        allow_outside: it may lie elsewhere.

    Returns:
        What is wrong with the policy, or with what it asks for.
    """
    gate = raw.get("gate", {})
    if not isinstance(gate, dict):
        return []
    written = gate.get("policy", "standard")
    if not isinstance(written, str) or not written:
        return []
    if gate.get("rules") is None and written not in BUILT_IN:
        policy, problems = _from_file(written, places, home, root, allow_outside=allow_outside)
        if policy is None:
            return [((*POLICY, i), problem) for i, problem in enumerate(problems)]
        gate["policy"], gate["rules"] = policy.name, policy.model_dump(mode="json")
    policy = _given(gate)
    if policy is None:
        return []
    if policy.name != gate.get("policy", "standard") or (policy.name in BUILT_IN and _differs(policy)):
        says = f"is {gate.get('policy', 'standard')}, and gate.rules hold another policy"
        return [finding(places, POLICY, "E-CONFIG-035", says, "leave gate.rules out, and name a policy or its file")]
    if policy.checks.controls.scratch:
        finetune = raw.setdefault("finetune", {})
        if isinstance(finetune, dict):
            finetune.setdefault("scratch_control", True)
    if _blocks_without_seeds(policy):
        finetune = raw.setdefault("finetune", {})
        if isinstance(finetune, dict):
            finetune.setdefault("seeds", policy.checks.seeds.at_least)
    return list(_demands(raw, policy, places))


def _given(gate: dict[str, Any]) -> PolicySpec | None:
    """The policy that applies; None where its content is no policy, which the schema says."""
    if gate.get("rules") is None:
        return built_in_policy(gate.get("policy", "standard"))
    try:
        return PolicySpec.model_validate(gate["rules"])
    except ValidationError:
        return None


def _differs(policy: PolicySpec) -> bool:
    return policy != built_in_policy(policy.name)


def _from_file(
    written: str, places: Places, home: Path, root: Path, *, allow_outside: bool
) -> tuple[PolicySpec | None, list[Problem]]:
    where = places.where(POLICY)
    if "/" not in written and not written.endswith((".yaml", ".yml")):
        says = f"gate.policy is {written[:100]!r}, and there is no policy of that name"
        return None, [Problem("E-CONFIG-024", says, where, instead_of(written))]
    try:
        path = resolve_data_path(written, home, root, allow_outside, where=where, name="gate.policy")
    except DataError as error:
        return None, [Problem("E-GATE-002", error.problems[0].message, where, error.problems[0].hint)]
    except ConfigError as error:
        return None, list(error.problems)
    if not path.is_file():
        return None, [Problem("E-GATE-002", f"the policy {written[:100]} is no file", where, "name a YAML file")]
    return read_policy(path, written, where)


def _blocks_without_seeds(policy: PolicySpec) -> bool:
    """Fewer trainings than the policy's number of seeds would end at the gate."""
    return policy.checks.seeds.required and policy.checks.seeds.warning_blocks


def _demands(raw: dict[str, Any], policy: PolicySpec, places: Places) -> Iterator[Found]:
    """What the policy asks for, and this file leaves out or contradicts: found now, not at the gate."""
    checks = policy.checks

    def unmet(path: NodePath, says: str, hint: str) -> Found:
        return finding(places, path, "E-CONFIG-035", f"{says} by the policy {policy.name}", hint)

    if checks.leakage.grouped and get(raw, "target", "group") is None:
        hint = "name the column whose rows belong together, e.g. a patient's"
        yield unmet(("target", "group"), "is missing, and asked for", hint)
    slices = get(raw, "target", "slices")
    for column in checks.slices.columns:
        if not isinstance(slices, list) or column not in slices:
            yield unmet(("target", "slices"), f"lacks {column}, which is asked for", f"add {column} to target.slices")
    reference = get(raw, "source", "reference")
    unlabelled = isinstance(reference, dict) and reference.get("label", "label") is None
    if checks.retention.required and unlabelled and get(raw, "task") != "text-generation":
        hint = "name the column of its labels, or leave the reference out"
        yield unmet(("source", "reference", "label"), "is null, and retention, which needs labels, is asked for", hint)
    if checks.controls.scratch and get(raw, "finetune", "scratch_control") is False:
        yield unmet(("finetune", "scratch_control"), "is false, and the control is asked for", "leave it out")
    seeds = get(raw, "finetune", "seeds")
    if _blocks_without_seeds(policy) and isinstance(seeds, int) and seeds < checks.seeds.at_least:
        hint = f"leave it out, or give {checks.seeds.at_least} or more"
        yield unmet(("finetune", "seeds"), f"is {seeds}, and {checks.seeds.at_least} are asked for", hint)
    if checks.approval.required and get(raw, "gate", "auto_promote") is True:
        hint = "leave it out; a version is promoted once somebody has approved it"
        yield unmet(("gate", "auto_promote"), "is true, and an approval is asked for", hint)
    waivers = get(raw, "gate", "waivers")
    for i, waiver in enumerate(waivers if isinstance(waivers, list) else ()):
        rule = getattr(checks, str(get(waiver, "check")), None)
        by, may = get(waiver, "by"), getattr(rule, "waived_by", None)
        if may is not None and isinstance(by, str) and by not in may:
            hint = f"it lets {', '.join(may)} waive it" if may else "it lets nobody waive it"
            yield unmet(("gate", "waivers", i, "by"), f"is {by[:60]!r}, who may not waive this check", hint)
