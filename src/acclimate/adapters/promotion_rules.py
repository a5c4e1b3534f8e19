"""Who acts on a champion, what an act finds, and when it is refused. The protocol is in mlflow_promotions."""

from __future__ import annotations

import getpass
import os
import re
import unicodedata
from dataclasses import dataclass

from acclimate.adapters.mlflow_tags import PREVIOUS_CHAMPION, VERDICT, VERDICT_SHA256
from acclimate.errors import ConfigError, IntegrityError, RefusalError, UnavailableError
from acclimate.records import Verdict
from acclimate.records_promotion import PromotionEntry, PromotionLog
from acclimate.registry import Promotions, RegisteredVersion

NOBODY = "none"
REASON_LIMIT = 1000
# controls, formats, surrogates, line and paragraph ends
_UNREADABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class Acting:
    """Who acts, why, and which champion they believe to be there.

    Args:
        by: name of the person or the job.
        reason: in their words.
        expect: version of the champion, or ``none``; None: whatever is there.
    """

    by: str
    reason: str
    expect: str | None = None

    def __post_init__(self) -> None:
        """Refuse what would not stay one readable line of the log.

        Raises:
            ConfigError: E-PROMOTE-009.
        """
        for name, text, most in (("by", self.by, 200), ("reason", self.reason, REASON_LIMIT)):
            if not text.strip() or len(text) > most or any(unicodedata.category(one) in _UNREADABLE for one in text):
                raise ConfigError(
                    "E-PROMOTE-009",
                    f"{name} is empty, too long, or holds line ends or invisible characters",
                    where=f"--{name}",
                    hint=f"write one line of at most {most} characters",
                )


@dataclass(frozen=True)
class Seen:
    """What an act finds.

    Args:
        log: all acts so far.
        champion: by the log.
        pointed: version the alias points at.
        finished: an earlier act that was interrupted, and finished just now.
    """

    log: PromotionLog
    champion: int | None
    pointed: int | None
    finished: PromotionEntry | None


def user() -> str:
    """Name of the account this process runs as."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def require_champion(champion: int | None, expected: str | None, name: str) -> None:
    """Refuse where another is champion than expected: E-REGISTRY-020."""
    if expected is not None and expected != (NOBODY if champion is None else str(champion)):
        raise UnavailableError(
            "E-REGISTRY-020",
            f"the champion is {NOBODY if champion is None else champion}, not {expected} as expected",
            where=name,
            hint=f"somebody was faster: look at acclimate models {name}, then decide again",
        )


def moved_by_hand(name: str, found: Promotions) -> IntegrityError:
    """E-PROMOTE-004: the alias is not where the log says, or its version was deleted."""
    there = "nowhere" if found.pointed is None else f"at version {found.pointed}"
    back = NOBODY if found.champion is None else found.champion
    says = f"the alias champion points {there}, the promotion log says {back}: somebody moved it in MLflow"
    hint = f"put it back: acclimate rollback {name} --to {back} --reason WHY"
    if found.champion_deleted:
        says = f"version {back}, the champion by the promotion log, was deleted in MLflow"
        hint = without_the_deleted(name, found.earlier)
    if found.pointed is not None:
        hint += f"; or let version {found.pointed} pass the gate: acclimate promote {name}/{found.pointed} --reason WHY"
    return IntegrityError("E-PROMOTE-004", says, where=name, hint=hint)


def without_the_deleted(name: str, earlier: int | None) -> str:
    """What to do where the champion by the log was deleted.

    Args:
        name: the registered model.
        earlier: a champion before it that is there still; None: there is none.
    """
    none = f"have no champion: acclimate rollback {name} --to {NOBODY} --reason WHY"
    return none if earlier is None else f"go back: acclimate rollback {name} --to {earlier} --reason WHY; or {none}"


def require_right_challenger(version: RegisteredVersion, log: PromotionLog) -> None:
    """Refuse a challenger that neither the gate nor an act made one: E-PROMOTE-014."""
    judged = version.tags.get(VERDICT_SHA256)
    shadowed = any(
        entry.act == "shadow" and entry.version == version.version and entry.verdict_sha256 == judged
        for entry in log.entries
    )
    verdict = version.tags.get(VERDICT)
    if (verdict not in ("PROMOTE", "SHADOW") and not shadowed) or log.recalled(version.version):
        raise IntegrityError(
            "E-PROMOTE-014",
            f"the alias challenger points at version {version.version}, which may not run beside the champion: "
            f"{'it was recalled' if log.recalled(version.version) else f'its verdict is {verdict}'}. "
            "Somebody moved it in MLflow",
            where=version.name,
            hint=f"point it at another: acclimate shadow {version.name}/VERSION --reason WHY; or delete it in MLflow",
        )


def judged_again(version: RegisteredVersion) -> UnavailableError:
    """E-PROMOTE-013: the verdict that was decided on is not the version's any more."""
    return UnavailableError(
        "E-PROMOTE-013",
        "it was judged again meanwhile",
        where=version.model_uri,
        hint=f"look at its new verdict: acclimate gate explain {version.name}/{version.version}; then decide again",
    )


def require_not_recalled(version: RegisteredVersion, log: PromotionLog) -> None:
    """Refuse a version that was recalled: E-PROMOTE-012."""
    recalled = log.recalled(version.version)
    if recalled is not None:
        raise RefusalError(
            "E-PROMOTE-012",
            f"it was recalled by {recalled.by}: {recalled.reason}",
            where=version.model_uri,
            hint="if that does not hold any more: acclimate recall --lift",
        )


def require_permission(version: RegisteredVersion, verdict: Verdict, log: PromotionLog) -> None:
    """Refuse what neither the sealed verdict nor an approval of it lets pass: E-PROMOTE-001."""
    if verdict.verdict == "PROMOTE":
        return
    sha256 = version.tags.get(VERDICT_SHA256, "")
    approvers = log.approvers(version.version, sha256)
    may = verdict.rules.get("checks", {}).get("approval", {}).get("by", [])
    if verdict.if_approved == "PROMOTE" and any(by in may or not may for by in approvers):
        return
    raise refused(version, verdict, "promote")


def refused(version: RegisteredVersion, verdict: Verdict, act: str) -> RefusalError:
    """E-PROMOTE-001: the gate does not let it."""
    reference = f"{version.name}/{version.version}"
    hint = f"see why: acclimate gate explain {reference}"
    if verdict.if_approved == "PROMOTE" and act == "promote":
        hint = f"somebody has to approve it first: acclimate approve {reference} --by NAME --reason WHY"
    return RefusalError(
        "E-PROMOTE-001", f"the gate does not let it: {verdict.verdict}", where=version.model_uri, hint=hint
    )


def not_approved(version: RegisteredVersion, verdict: Verdict, says: str, hint: str) -> RefusalError:
    """E-PROMOTE-006: nobody may approve it, or not this one."""
    subject = "the verdict" if says.startswith("says") else f"the policy {verdict.policy}"
    return RefusalError("E-PROMOTE-006", f"{subject} {says}", where=version.model_uri, hint=hint)


def _before_the_log(versions: dict[int, RegisteredVersion], champion: int | None) -> list[int]:
    """The succession of a model that was promoted before there was a log: the champion and whom it succeeded."""
    if champion is None or champion not in versions:
        return []
    previous = versions[champion].tags.get(PREVIOUS_CHAMPION, "")
    return [int(previous), champion] if previous.isdigit() else [champion]


def rollback_target(
    name: str, log: PromotionLog, champion: int | None, to: str | None, versions: dict[int, RegisteredVersion]
) -> int | None:
    """The version to go back to; E-PROMOTE-005 where there is none, it was never champion, or was deleted; 012."""
    if to == NOBODY:
        return None
    line = log.succession or _before_the_log(versions, champion)
    ever = {*line, *log.champions}
    before = line[-2] if len(line) > 1 else None
    wanted = before if to is None else int(to) if _NUMBER.fullmatch(to) else -1
    if wanted is None or wanted not in ever:
        known = ", ".join(str(one) for one in sorted(ever)) or "there was none"
        says = "there is no champion before this one" if to is None else f"version {to} was not champion before this"
        hint = f"champions so far: {known}; to have none: acclimate rollback {name} --to {NOBODY}"
        raise ConfigError("E-PROMOTE-005", says, where=name, hint=hint)
    if wanted in versions:
        require_not_recalled(versions[wanted], log)
    if wanted not in versions:
        hint = f"name an earlier one with --to, or {NOBODY}"
        raise ConfigError("E-PROMOTE-005", f"version {wanted} was deleted from the registry", where=name, hint=hint)
    return wanted
