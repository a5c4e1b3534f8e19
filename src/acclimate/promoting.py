"""Acts on a registered model's champion and challenger, as the command line asks for them and tells of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from acclimate.adapters.promotion_rules import Acting, user, without_the_deleted
from acclimate.errors import AcclimateError, ConfigError, UnavailableError
from acclimate.registry import Descendant, Move, Registry
from acclimate.wiring import asked_registry


def promote(
    reference: str, by: str | None, reason: str, expect: str | None, workspace: Path | None, promotions: str | None
) -> dict[str, Any]:
    """Make a version the champion.

    Args:
        reference: ``NAME/7``, ``NAME@challenger``, or ``NAME`` for the highest version.
        by: who does it; None: the account this process runs as.
        reason: why.
        expect: version that has to be the champion until then, or ``none``; None: the one it was compared with.
        workspace: where the registry is looked for.
        promotions: where promotions are recorded.

    Raises:
        RefusalError: E-PROMOTE-001, the gate does not let it.
        UnavailableError: E-REGISTRY-020, another is champion by now; E-PROMOTE-013, it was judged again meanwhile.
        IntegrityError: E-PROMOTE-003, the log was changed; E-PROMOTE-004, the alias was moved by hand.
    """
    registry = asked_registry(workspace, promotions)
    return _moved(registry, registry.promote(reference, by or user(), reason, expect))


def rollback(
    name: str,
    by: str | None,
    reason: str,
    expect: str | None,
    to: str | None,
    workspace: Path | None,
    promotions: str | None,
) -> dict[str, Any]:
    """Go back to the champion before, or to the one that ``to`` names; the other arguments are :func:`promote`'s.

    Raises:
        ConfigError: E-PROMOTE-005, there is no such champion.
        UnavailableError: E-REGISTRY-020, another is champion by now.
        IntegrityError: E-PROMOTE-003, the log was changed; E-PROMOTE-004, the alias was moved by hand.
    """
    registry = asked_registry(workspace, promotions)
    return _moved(registry, registry.rollback(name, by or user(), reason, expect, to))


def shadow(
    reference: str, by: str | None, reason: str, workspace: Path | None, promotions: str | None
) -> dict[str, Any]:
    """Make a version the challenger; the arguments are :func:`promote`'s.

    Raises:
        RefusalError: E-PROMOTE-001, the gate does not let it.
    """
    version = asked_registry(workspace, promotions).shadow(reference, by or user(), reason)
    return {"name": version.name, "version": version.version, "challenger": version.version}


def approve(reference: str, by: str, reason: str, workspace: Path | None, promotions: str | None) -> dict[str, Any]:
    """Answer for a version; the arguments are :func:`promote`'s.

    Raises:
        ConfigError: E-PROMOTE-006, no version is named.
        RefusalError: E-PROMOTE-006, the policy asks for no approval, or for somebody else's.
    """
    if "/" not in reference.removeprefix("models:/"):
        raise ConfigError(
            "E-PROMOTE-006",
            "name the version that is approved: the highest may be another by now",
            where=reference[:100],
            hint="NAME/VERSION, as acclimate models NAME lists them",
        )
    version, verdict = asked_registry(workspace, promotions).approve(reference, by, reason)
    following = "shadow" if verdict.if_approved == "SHADOW" else "promote"
    return {"name": version.name, "version": version.version, "approved_by": by, "next": following}


def recall(
    source: str | None,
    data: str | None,
    *,
    act: Literal["list", "block", "lift"],
    by: str | None,
    reason: str,
    workspace: Path | None,
    promotions: str | None,
) -> dict[str, Any]:
    """Every live version that was made from something, and what was done to them.

    Args:
        source: ``SOURCE@REVISION``, ``SOURCE``, the beginning of its digest, or an adapted model ``NAME/VERSION``,
            which belongs to what is found.
        data: digest of rows, or its beginning; one of the two is given.
        act: block takes the aliases of all of them and lets neither them nor what is made from it later have any; lift
            undoes that but for the aliases. Both do what they can, whatever fails on the way.
        by: who does it; None: the account this process runs as.
        reason: why.
        workspace: where the registry is looked for.
        promotions: where promotions are recorded.

    Raises:
        ConfigError: E-RECALL-001, that is no digest; E-RECALL-002, not one of source and data.
        ModelError: E-REGISTRY-003, the registry knows no such source.
        AcclimateError: E-RECALL-003, some versions were not blocked or readmitted; of the first one's kind.
    """
    if (source is None) == (data is None):
        hint = "acclimate recall SOURCE@REVISION, or acclimate recall --data DIGEST"
        raise ConfigError("E-RECALL-002", "name a source model or the digest of data", hint=hint)
    registry = asked_registry(workspace, promotions)
    if act != "list":
        _carry_out(registry, source, data, act, Acting(by or user(), reason))
    found = registry.descendants(source, data)
    live = [
        {
            "model_uri": one.version.model_uri,
            "aliases": list(one.version.aliases),
            "verdict": one.version.verdict,
            "made_from": one.way,
            "recalled": one.version.tags.get("acclimate.recalled"),
        }
        for one in found
    ]
    return {"source": source, "data": data, "act": act, "recalled": registry.withdrawn(source, data), "live": live}


def _carry_out(
    registry: Registry, source: str | None, data: str | None, act: Literal["block", "lift"], acting: Acting
) -> None:
    """Block or readmit every descendant, whatever comes of the others.

    What is to come is barred first: what is registered from then on sees it, what was registered before is found.
    """
    failed: dict[str, AcclimateError] = {}

    def attempt(what: str, done: Callable[[], object]) -> None:
        try:
            done()
        except AcclimateError as error:
            failed[what] = error

    def withdrawn() -> None:
        if act == "block":
            registry.withdraw(source, data, acting.by, acting.reason)
        else:
            registry.restore(source, data)

    attempt("what is made from it later", withdrawn)
    found = registry.descendants(source, data)
    each = registry.recall if act == "block" else registry.readmit
    for one in found:
        attempt(one.version.model_uri, partial(each, one.version.model_uri, acting.by, acting.reason))
    if failed:
        raise _incomplete(act, found, failed)


def _incomplete(
    act: Literal["block", "lift"], found: list[Descendant], failed: dict[str, AcclimateError]
) -> AcclimateError:
    """E-RECALL-003, with every error that was met; to be tried again only where that can help with all of them."""
    lasting = [error for error in failed.values() if not isinstance(error, UnavailableError)]
    done = "blocked" if act == "block" else "readmitted"
    succeeded = sum(one.version.model_uri not in failed for one in found)
    problems = [
        replace(problem, where=what if problem.where in ("", what) else f"{what}: {problem.where}")
        for what, error in failed.items()
        for problem in error.problems
    ]
    kind = type(next(iter(lasting or failed.values())))
    return kind(
        "E-RECALL-003",
        f"{succeeded} of {len(found)} live versions were {done}; not {done}: {', '.join(failed)}",
        hint="see to what is told of each, then do it again: what is done already stays as it is",
        more=problems,
    )


def recall_text(found: dict[str, Any]) -> str:
    """The versions for people, and what to do next."""
    live = found["live"]
    what = found["source"] or f"data {found['data']}"
    barred = [f"what is made from it gets no alias: {found['recalled']}"] if found["recalled"] else []
    if not live:
        return "\n".join([f"no live version was made from {what}", *barred])
    width = max(len(one["model_uri"]) for one in live) + 2
    lines = [f"{len(live)} live version{'s were' if len(live) > 1 else ' was'} made from {what}", ""]
    for one in live:
        aliases = ", ".join(one["aliases"]) or "no alias"
        lines.append(f"{one['model_uri']:<{width}}{one['verdict']:<9}{aliases:<24}from {one['made_from']}")
        lines += [f"{'':<{width}}recalled by {one['recalled']}"] if one["recalled"] else []
    named = found["source"] or f"--data {found['data']}"
    steps = {
        "list": f"take their aliases: acclimate recall {named} --block --reason WHY",
        "block": "go back to a champion that was not made from it: acclimate rollback NAME --to VERSION --reason WHY",
        "lift": "they may be promoted again: acclimate promote NAME/VERSION --reason WHY",
    }
    return "\n".join([*lines, "", *barred, steps[found["act"]]])


def _moved(registry: Registry, move: Move) -> dict[str, Any]:
    predecessor = registry.promotions(move.name).predecessor
    return {"name": move.name, "champion_before": move.before, "champion": move.after, "predecessor": predecessor}


def approved_text(found: dict[str, Any]) -> str:
    """An approval for people, with what may be done after it."""
    reference = f"{found['name']}/{found['version']}"
    return f"{found['approved_by']} approved {reference}\nnext: acclimate {found['next']} {reference} --reason WHY"


def moved_text(found: dict[str, Any]) -> str:
    """A move of the champion for people, with the way back."""
    name, before, after = found["name"], found["champion_before"], found["champion"]
    if before == after:
        return f"version {after} of {name} is the champion already" if after else f"{name} has no champion"
    succeeds = f"; it succeeds version {before}" if before else ""
    now = f"version {after} of {name} is the champion now" if after else f"{name} has no champion any more"
    return "\n".join([f"{now}{succeeds}", *_way_back(name, found["predecessor"])])


def _way_back(name: str, predecessor: int | None) -> list[str]:
    if predecessor is None:
        return []
    return [f"to go back to version {predecessor}: acclimate rollback {name} --reason WHY"]


def history(name: str, workspace: Path | None, promotions: str | None) -> dict[str, Any]:
    """Every act on a model, oldest first, and whether MLflow's alias still agrees.

    Raises:
        ModelError: E-REGISTRY-003, there is no such model.
        IntegrityError: E-PROMOTE-003, the log was changed.
    """
    found = asked_registry(workspace, promotions).promotions(name)
    return {
        "name": name,
        "champion": found.champion,
        "alias": found.pointed,
        "champion_deleted": found.champion_deleted,
        "moved_by_hand": found.moved_by_hand,
        "unfinished": found.unfinished is not None,
        "unfinished_act": found.unfinished.named if found.unfinished else None,
        "before": found.predecessor,
        "earlier": found.earlier,
        "acts": [entry.model_dump(mode="json", exclude={"schema_version"}) for entry in found.log.entries],
    }


def history_text(found: dict[str, Any]) -> str:
    """A promotion log for people, newest last."""
    if not found["acts"]:
        return f"{found['name']}: nobody acted on it; {_champion_in_words(found['champion'])}"
    lines = [f"{'when':<21}{'act':<10}{'version':<9}{'champion':<14}by: reason"]
    for act in found["acts"]:
        moved = f"{act['champion_before'] or 'none'} -> {act['champion_after'] or 'none'}"
        if act["champion_before"] == act["champion_after"]:
            moved = "stays"
        version = act["version"] or "none"
        when = act["at"].replace("+00:00", "Z")
        lines.append(f"{when:<21}{act['act']:<10}{version:<9}{moved:<14}{act['by']}: {act['reason']}")
    if found["champion_deleted"]:
        lines.append(
            f"DELETED: version {found['champion']}, the champion by this log, is not in the registry any more; "
            f"{without_the_deleted(found['name'], found['earlier'])}"
        )
    elif found["moved_by_hand"]:
        lines.append(
            f"MOVED BY HAND: MLflow's alias champion points at {found['alias'] or 'nothing'}, "
            f"by this log it is {found['champion'] or 'none'}"
        )
    elif found["unfinished"]:
        lines.append(
            f"INTERRUPTED: {found['unfinished_act']} is recorded, but was not seen done in MLflow; "
            "the next promote, rollback, shadow or approve finishes it"
        )
    if not found["champion_deleted"]:
        lines.append(_champion_in_words(found["champion"]))
    return "\n".join([*lines, *_way_back(found["name"], found["before"])])


def _champion_in_words(version: int | None) -> str:
    return f"version {version} is the champion" if version else "there is no champion"
