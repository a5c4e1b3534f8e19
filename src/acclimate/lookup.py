"""Answers about what is there already: reports, registered models, lineage."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from shlex import quote
from textwrap import wrap
from typing import Any

from acclimate.errors import ConfigError, ModelError
from acclimate.outcome import REPORT
from acclimate.report.standing import Standing, standing
from acclimate.report.written import write_whole
from acclimate.wiring import asked_registry

NUMBERS_WIDTH = 78
DEFAULT_WORKSPACE = Path(".acclimate")
# facts too long for a line of a tree; the model card and --json have them
_SENTENCES = frozenset(("made_for", "not_for", "limits"))


def report_path(workspace: Path, run_id: str | None) -> Path:
    """The report of a run, by default of the newest.

    Raises:
        ConfigError: E-CONFIG-080, there is no such report.
    """
    runs = workspace.resolve() / "runs"
    found = sorted(runs.glob(f"{run_id or '*'}/{REPORT}"))
    if not found:
        raise ConfigError(
            "E-CONFIG-080",
            f"there is no report of run {run_id}" if run_id else "there is no report yet",
            where=str(runs),
            hint="name the workspace with --workspace, or make one: acclimate run adaptation.yaml",
        )
    return found[-1]


def registered_report(reference: str, workspace: Path | None, promotions: str | None) -> Path:
    """The report of a registered model, as the registry keeps it, with where the version stands now.

    Args:
        reference: ``NAME/7`` or ``NAME@champion``.
        workspace: where the registry is looked for, and the report is written.
        promotions: where promotions are recorded.

    Returns:
        The file, ``reports/NAME-7.html`` in the workspace; an older one is replaced.

    Raises:
        ModelError: E-REGISTRY-003, there is no such version; E-REGISTRY-026, its report was not kept.
        IntegrityError: E-REGISTRY-025, the report was changed; E-PROMOTE-003, the promotion log was.
    """
    from acclimate.report.render import with_standing

    registry = asked_registry(workspace, promotions)
    version, verdict = registry.verdict(reference)
    page = registry.report(version)
    if page is None:
        raise ModelError(
            "E-REGISTRY-026",
            "the registry keeps no report of this version",
            where=version.model_uri,
            hint=f"see acclimate gate explain {version.name}/{version.version}, or run the adaptation again",
        )
    now = standing(version, verdict, registry.promotions(version.name), _options(workspace))
    out = (workspace or DEFAULT_WORKSPACE) / "reports" / f"{version.name}-{version.version}.html"
    return write_whole(out.resolve(), with_standing(page, now), "the report", "name a workspace that you may write to")


def _options(workspace: Path | None) -> str:
    return "" if workspace is None else f" --workspace {quote(str(workspace))}"


def models(name: str | None, workspace: Path | None) -> dict[str, Any]:
    """The live versions of a registered model, lowest first; without a name the names that there are.

    Raises:
        ModelError: E-REGISTRY-003, there is no such model.
    """
    registry = asked_registry(workspace)
    if name is None:
        return {"models": [{"name": one, "champion": champion} for one, champion in registry.adapted().items()]}
    versions = registry.require(name)
    return {
        "name": name,
        "versions": [
            {"version": one.version, "run_key": one.run_key, "verdict": one.verdict, "aliases": list(one.aliases)}
            for one in versions
        ],
    }


def models_text(found: dict[str, Any]) -> str:
    """A listing for people."""
    if "models" in found:
        return _names_text(found["models"])
    if not found["versions"]:
        return f"{found['name']}: no version is registered"
    lines = [f"{'version':<9}{'verdict':<10}{'run key':<16}aliases"]
    lines += [
        f"{version['version']:<9}{version['verdict']:<10}{version['run_key'][:12]:<16}{', '.join(version['aliases'])}"
        for version in found["versions"]
    ]
    return "\n".join(lines)


def _names_text(found: list[dict[str, Any]]) -> str:
    if not found:
        return "no model is registered yet: acclimate run adaptation.yaml"
    width = max(len(one["name"]) for one in found) + 2
    champions = (f"version {one['champion']}" if one["champion"] else "none" for one in found)
    named = zip(found, champions, strict=True)
    return "\n".join([f"{'model':<{width}}champion", *(f"{one['name']:<{width}}{version}" for one, version in named)])


def explain(reference: str, workspace: Path | None, promotions: str | None = None) -> dict[str, Any]:
    """What the gate said of a registered model, check by check, as it is sealed in the registry, and where it stands.

    Args:
        reference: ``NAME`` for the highest version, ``NAME@alias`` or ``NAME/7``.
        workspace: where the registry is looked for.
        promotions: where promotions are recorded.

    Raises:
        ModelError: E-REGISTRY-003, there is no such version; E-REGISTRY-018, there is no verdict of it.
        ConfigError: E-PROMOTE-002, this model's promotions are recorded elsewhere.
        IntegrityError: E-REGISTRY-019, the stored verdict was changed; E-PROMOTE-003, the promotion log was.
    """
    registry = asked_registry(workspace, promotions)
    version, verdict = registry.verdict(reference)
    now = standing(version, verdict, registry.promotions(version.name), _options(workspace))
    return {
        "model_uri": version.model_uri,
        "aliases": list(version.aliases),
        "standing": asdict(now),
        **verdict.model_dump(mode="json"),
    }


def explain_text(found: dict[str, Any]) -> str:
    """A verdict for people: each check with what it says and the numbers it looked at."""
    aliases = f" ({', '.join(found['aliases'])})" if found["aliases"] else ""
    now = Standing(**found["standing"])
    lines = [f"{found['model_uri']}{aliases}: {found['verdict']} by policy {found['policy']}", *now.says, ""]
    for check in found["checks"]:
        outcome = check["outcome"].replace("_", " ")
        required = "required" if check["required"] else "reported"
        lines.append(f"{check['number']:>2}  {check['name']:<12}{required:<10}{outcome:<16}{check['says']}")
        if check["waived"]:
            lines.append(f"{'':<42}waived by {check['waived']}")
        numbers = ", ".join(f"{name} {_shown(value)}" for name, value in check["numbers"].items())
        lines += [f"{'':<42}{line}" for line in wrap(numbers, NUMBERS_WIDTH)]
    return "\n".join([*lines, "", *(f"because {reason}" for reason in found["reasons"]), now.next_step])


def _shown(value: Any) -> str:
    if value is None:
        return "not computed"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def lineage(reference: str, workspace: Path | None) -> dict[str, Any]:
    """What made a registered model, back to its source, and what was made from it directly.

    Args:
        reference: ``NAME`` for the highest version, ``NAME@alias`` or ``NAME/7``.
        workspace: where the registry is looked for.

    Raises:
        ModelError: E-REGISTRY-003, there is no such model, alias or version.
    """
    return asked_registry(workspace).lineage(reference).model_dump(mode="json")


def lineage_file(
    reference: str, workspace: Path | None, *, html: Path | None, cyclonedx: Path | None
) -> dict[str, Any]:
    """Write what made a registered model to a file, whole or not at all.

    Args:
        reference: as :func:`lineage` takes it.
        workspace: where the registry is looked for.
        html: page with a graph; an older file is replaced.
        cyclonedx: bill of materials, CycloneDX 1.6 as JSON; one of the two is given.

    Returns:
        ``model_uri`` and ``path``.

    Raises:
        ConfigError: E-LINEAGE-001, not one of the two.
        ModelError: E-REGISTRY-003, there is no such model, alias or version.
        UnavailableError: E-REPORT-001, the file can't be written; E-REPORT-002, a library is not installed.
    """
    out = html or cyclonedx
    if out is None or (html and cyclonedx):
        hint = "run it twice: with --html FILE, then with --cyclonedx FILE"
        raise ConfigError("E-LINEAGE-001", "one file is written at a time", hint=hint)
    node = asked_registry(workspace).lineage(reference)
    if html:
        from acclimate.report.lineage_page import lineage_html

        text = lineage_html(node)
    else:
        from acclimate.report.cyclonedx import cyclonedx_text

        text = cyclonedx_text(node)
    write_whole(out, text, "the lineage", "name a file in a folder that you may write to")
    return {"model_uri": node.uri, "path": str(out)}


def lineage_text(node: dict[str, Any], depth: int = 0) -> str:
    """A lineage as an indented tree for people."""
    digest = f"  sha256:{node['digest'][:12]}" if node["digest"] else ""
    told = {name: value for name, value in node["facts"].items() if value and name not in _SENTENCES}
    facts = "".join(f"  {name}={value}" for name, value in told.items())
    kind = node["kind"].replace("_", " ")
    lines = [f"{'   ' * depth}{kind}: {node['uri'] or node['name']}{digest}{facts}"]
    lines += [lineage_text(parent, depth + 1) for parent in node["made_from"]]
    lines += [f"{'   ' * depth}made into: {', '.join(node['made_into'])}"] if node["made_into"] else []
    return "\n".join(lines)
