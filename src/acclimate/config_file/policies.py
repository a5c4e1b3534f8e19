"""Gate policies: those that acclimate brings, and reading one's own, all problems at once with their lines."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from acclimate.config_file.findings import Found
from acclimate.config_file.places import Places
from acclimate.config_file.wording import in_our_words, nearest
from acclimate.config_file.yaml_nodes import MAX_BYTES, NodePath, decode_yaml, parse_yaml
from acclimate.config_gate import GateSpec, PolicySpec
from acclimate.errors import ConfigError, Problem

BUILT_IN = ("standard", "strict", "medical")
_AT: NodePath = ("gate", "rules")


def instead_of(name: str) -> str:
    """What to do about a name that no policy has."""
    meant = nearest(name, BUILT_IN)
    return f"did you mean {meant}?" if meant else f"write {', '.join(BUILT_IN)}, or the path of a YAML file"


def policy_text(name: str) -> str:
    """The YAML of a policy that acclimate brings, with its comments.

    Raises:
        ConfigError: E-GATE-001, there is none of that name.
    """
    if name not in BUILT_IN:
        raise ConfigError("E-GATE-001", f"there is no gate policy {name[:100]}", hint=instead_of(name))
    return files("acclimate").joinpath("policies", f"{name}.yaml").read_text("utf-8")


@cache
def built_in_policy(name: str) -> PolicySpec:
    """A policy that acclimate brings, by its name.

    Raises:
        ConfigError: E-GATE-001, there is none of that name.
    """
    return PolicySpec.model_validate(parse_yaml(policy_text(name), str).value)


def effective_policy(gate: GateSpec) -> PolicySpec:
    """The policy that a section ``gate`` asks for, with the margin and error rate that it sets itself.

    Raises:
        ConfigError: E-GATE-001, there is no such policy.
    """
    policy = (gate.rules or built_in_policy(gate.policy)).model_dump()
    own = {name: value for name, value in (("margin", gate.margin), ("alpha", gate.alpha)) if value is not None}
    policy["checks"]["primary"] |= own
    return PolicySpec.model_validate(policy)


def read_policy(path: Path, shown: str, where: str) -> tuple[PolicySpec | None, list[Problem]]:
    """Read a policy's YAML file.

    Args:
        path: the file.
        shown: how it is named in problems.
        where: what names it.

    Returns:
        The policy, None where anything is wrong, and all that is.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        hint = "name a YAML file that can be read"
        return None, [Problem("E-GATE-002", f"the policy {shown} can't be read: {error.strerror}", where, hint)]
    text, problems = decode_yaml(data, shown)
    if problems:
        return None, problems
    document = parse_yaml(text, lambda line: f"{shown}:{line}")
    problems = [problem for _, problem in document.problems]
    if problems:
        return None, problems
    if not isinstance(document.value, dict):
        hint = "start from one of acclimate's: acclimate gate policy standard"
        return None, [Problem("E-GATE-002", "the policy has no `key: value` lines", f"{shown}:1", hint)]
    places = Places(shown, {(*_AT, *path): line for path, line in document.lines.items()}, inside=_AT)
    policy, found = _validated(document.value, places)
    if policy is not None and policy.name in BUILT_IN and policy != built_in_policy(policy.name):
        hint = "give it another name: verdicts cite it"
        says = f"name is {policy.name}, a policy of acclimate's with other content"
        return None, [Problem("E-GATE-002", says, places.where((*_AT, "name")), hint)]
    return policy, [problem for _, problem in sorted(found, key=lambda entry: places.order(entry[0]))]


def _validated(raw: dict[str, Any], places: Places) -> tuple[PolicySpec | None, list[Found]]:
    try:
        return PolicySpec.model_validate(raw), []
    except ValidationError as error:
        found = []
        for detail in error.errors(include_url=False, include_context=False):
            at = (*_AT, *detail["loc"])
            found.append((at, in_our_words({**detail, "loc": at}, places)))
        return None, found
