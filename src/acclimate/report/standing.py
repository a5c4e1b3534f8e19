"""Where a registered version stands: whether it is in use, who let it, and the way back. For terminal and report."""

from __future__ import annotations

from dataclasses import dataclass

from acclimate.records import Registration, Verdict
from acclimate.records_promotion import PromotionEntry
from acclimate.registry import Promotions, RegisteredVersion

TO_APPROVE = "Somebody has to answer for it: acclimate approve {reference} --by NAME --reason WHY; then promote it."
_BECAME = {"promote": "promoted", "rollback": "put back"}


@dataclass(frozen=True)
class Standing:
    """Where a version stands.

    Args:
        says: what was done with it, one sentence each, the most important first.
        next_step: what may be done now, with its command.
        commands: questions that come up, each with the command that answers it.
    """

    says: tuple[str, ...]
    next_step: str
    commands: tuple[tuple[str, str], ...]


def standing(version: RegisteredVersion, verdict: Verdict, promotions: Promotions, options: str = "") -> Standing:
    """Where a version stands by the promotion log and by MLflow's aliases.

    Args:
        version: the version.
        verdict: its sealed verdict.
        promotions: of its model.
        options: what every command needs besides, e.g. ``--workspace DIR``; empty or beginning with a blank.
    """
    says = [
        *_by_hand(promotions),
        *_place(version, promotions),
        *_approvals(version, promotions),
        *_waived(verdict),
        *_challenges(version, promotions),
    ]
    step = _next_step(version, verdict, promotions)
    return Standing(tuple(says), step, _commands(version.name, version.version, options))


def at_registration(name: str, registration: Registration, verdict: Verdict, options: str = "") -> Standing | None:
    """Where a version stood when its run ended; None where none was registered. Arguments as of :func:`standing`."""
    version = registration.version
    if version is None:
        return None
    if "champion" in registration.aliases:
        before = _compared(verdict, name)
        place = f"It is the champion{f'; it succeeded version {before}' if before else ''}."
    else:
        place = "Nobody has made it the champion yet."
    step = to_approve(name, version) if verdict.if_approved == "PROMOTE" else verdict.next_step
    return Standing((place, *_waived(verdict)), step, _commands(name, version, options))


def to_approve(name: str, version: int) -> str:
    """What to do with a version that lacks an approval."""
    return TO_APPROVE.format(reference=f"{name}/{version}")


def _by_hand(promotions: Promotions) -> list[str]:
    if promotions.champion_deleted:
        return [f"Version {promotions.champion}, the champion by the promotion log, is not in the registry any more."]
    if not promotions.moved_by_hand:
        return []
    there = "nothing" if promotions.pointed is None else f"version {promotions.pointed}"
    recorded = "none" if promotions.champion is None else f"version {promotions.champion}"
    return [f"MOVED BY HAND: MLflow's alias champion points at {there}, by the promotion log it is {recorded}."]


def _place(version: RegisteredVersion, promotions: Promotions) -> list[str]:
    log, champion = promotions.log, promotions.champion
    recalled = log.recalled(version.version)
    withdrawn = [f"It was recalled {_who(recalled)}"] if recalled else []
    came = next((one for one in log.moves if one.champion_after == version.version), None)
    if champion == version.version:
        if came is None:
            return [*withdrawn, "It is the champion; it became so before there was a promotion log."]
        succeeded = "" if came.champion_before is None else f" It succeeded version {came.champion_before}."
        return [*withdrawn, f"It is the champion, {_BECAME[came.act]} {_who(came)}{succeeded}"]
    now = f"version {champion} is" if champion is not None else "there is none now"
    if version.version not in log.champions:
        return [*withdrawn, f"It was never the champion; {now}."]
    left = next((one for one in log.moves if one.champion_before == version.version), None)
    became = [f"It became the champion {_who(came)}"] if came else []
    ended = [_ended(left)] if left and left.act != "recall" else []
    return [*withdrawn, *became, *ended, f"It is the champion no more; {now}."]


def _ended(entry: PromotionEntry) -> str:
    """How a champion stopped being that."""
    if entry.act == "promote":
        return f"Version {entry.version} took its place, promoted {_who(entry)}"
    if entry.champion_after is None:
        return f"It was taken out of use {_who(entry)}"
    return f"Version {entry.champion_after} was put back in its place {_who(entry)}"


def _challenges(version: RegisteredVersion, promotions: Promotions) -> list[str]:
    if "challenger" not in version.aliases or promotions.champion == version.version:
        return []
    return ["It is the challenger: it may run beside the champion."]


def _approvals(version: RegisteredVersion, promotions: Promotions) -> list[str]:
    approvals = [one for one in promotions.log.entries if one.act == "approve" and one.version == version.version]
    sha256 = version.tags.get("acclimate.verdict_sha256")
    return [
        f"Approved {_who(one)}" + ("" if one.verdict_sha256 == sha256 else " That was another verdict of it.")
        for one in approvals
    ]


def _waived(verdict: Verdict) -> list[str]:
    return [f"The check {check.name} was waived by {check.waived}." for check in verdict.checks if check.waived]


def _who(entry: PromotionEntry) -> str:
    at = entry.at.replace("+00:00", "Z")
    return f"by {entry.by} at {at}: {entry.reason.rstrip('.')}."


def _next_step(version: RegisteredVersion, verdict: Verdict, promotions: Promotions) -> str:
    name, number, log, champion = version.name, version.version, promotions.log, promotions.champion
    if promotions.champion_deleted:
        to = "none" if promotions.earlier is None else promotions.earlier
        return f"Say what is in use now: acclimate rollback {name} --to {to} --reason WHY"
    if promotions.moved_by_hand:
        back = "none" if champion is None else champion
        return f"Put the alias back: acclimate rollback {name} --to {back} --reason WHY"
    if log.recalled(number):
        return f"It can't be promoted while it is recalled: acclimate recall {name}/{number} --lift --reason WHY"
    if champion == number:
        return _way_back(name, promotions)
    if number in log.champions:
        return f"To make it the champion again: acclimate rollback {name} --to {number} --reason WHY"
    return _promotion(version, verdict, promotions)


def _promotion(version: RegisteredVersion, verdict: Verdict, promotions: Promotions) -> str:
    """What a version that was never the champion lacks to become it."""
    reference, champion = f"{version.name}/{version.version}", promotions.champion
    if "PROMOTE" not in (verdict.verdict, verdict.if_approved):
        return verdict.next_step
    if _compared(verdict, version.name) != champion:
        now = "there is no champion" if champion is None else f"version {champion} is the champion"
        return f"It was not compared with what is in use: {now} now. Run the adaptation again to have it judged."
    if verdict.verdict == "PROMOTE" or _may_pass(version, verdict, promotions):
        return f"Make it the champion: acclimate promote {reference} --reason WHY"
    return to_approve(version.name, version.version)


def _compared(verdict: Verdict, name: str) -> int | None:
    """Version of the champion that it was compared with; None where there was none."""
    version = verdict.comparator.removeprefix(f"champion {name}/")
    return int(version) if version.isdigit() else None


def _may_pass(version: RegisteredVersion, verdict: Verdict, promotions: Promotions) -> bool:
    may = verdict.rules.get("checks", {}).get("approval", {}).get("by", [])
    approvers = promotions.log.approvers(version.version, version.tags.get("acclimate.verdict_sha256", ""))
    return any(by in may or not may for by in approvers)


def _way_back(name: str, promotions: Promotions) -> str:
    if promotions.predecessor is not None:
        return f"To go back to version {promotions.predecessor}: acclimate rollback {name} --reason WHY"
    if (earlier := promotions.earlier) is not None:
        return f"To go back to version {earlier}: acclimate rollback {name} --to {earlier} --reason WHY"
    return f"There is no champion before it; to have none: acclimate rollback {name} --to none --reason WHY"


def _commands(name: str, version: int, options: str) -> tuple[tuple[str, str], ...]:
    reference = f"{name}/{version}"
    return (
        ("Why may it be used, and who let it?", f"acclimate gate explain {reference}{options}"),
        ("What was it made from?", f"acclimate lineage {reference}{options}"),
        ("Is all of that still as it was?", f"acclimate verify {reference}{options}"),
        ("How do I go back?", f"acclimate rollback {name} --reason WHY{options}"),
        ("Who did what with this model, and when?", f"acclimate history {name}{options}"),
        ("How does it stand now?", f"acclimate report {reference}{options}"),
    )
