"""Whether to train again, and why: a function of what is known about the champion and the data of today."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Name = Literal["champion", "calendar", "data_version", "new_rows", "gap", "source_revision"]
Action = Literal["retrain", "nothing"]
Number = float | int | str | bool | None


@dataclass(frozen=True)
class RetrainPolicy:
    """When to train again. None and False switch a trigger off.

    Args:
        every_days: the champion's greatest age, days.
        data_version: train again when the target's rows are others.
        new_rows: train again with so many labelled rows that the champion's data do not hold.
        gap_alpha: train again when fresh rows differ from the champion's at this level.
        source_revision: train again when the source model is another.
        cool_down_hours: hours after an attempt in which there is no other.
    """

    every_days: int | None = None
    data_version: bool = True
    new_rows: int | None = None
    gap_alpha: float | None = 0.01
    source_revision: bool = True
    cool_down_hours: int = 24


@dataclass(frozen=True)
class RetrainEvidence:
    """What is known. None is unknown, and an unknown never fires.

    Args:
        has_champion: there is a champion.
        champion_days: days since it was registered.
        same_data: the target's rows are those it was made from.
        new_rows: labelled rows that its data do not hold.
        drift_p: p-value of fresh rows against its held-out ones.
        drift_units: their distance in gap units.
        same_source: the source model is the one it was made from.
        hours_since_attempt: hours since training was last asked for; below 0 where clocks disagree.
        forced: somebody wants it now.
        unknown: why something is not known, by trigger.
    """

    has_champion: bool
    champion_days: float | None = None
    same_data: bool | None = None
    new_rows: int | None = None
    drift_p: float | None = None
    drift_units: float | None = None
    same_source: bool | None = None
    hours_since_attempt: float | None = None
    forced: bool = False
    unknown: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Trigger:
    """One reason to train again: whether it fired, in words and in numbers."""

    name: Name
    fired: bool
    says: str
    numbers: dict[str, Number]


@dataclass(frozen=True)
class Retraining:
    """What to do.

    Args:
        action: train again, or nothing.
        reason: one sentence.
        cooling: the cool-down is what stands against it.
        triggers: every trigger that is switched on, the first that fired being the deciding one.
    """

    action: Action
    reason: str
    cooling: bool
    triggers: tuple[Trigger, ...]


def is_cooling(hours_since_attempt: float | None, policy: RetrainPolicy) -> bool:
    """Whether the last attempt is so recent that there is no other.

    An attempt in the future was written by another clock; it would block for as long as the clocks differ, so it counts
    as none.
    """
    return hours_since_attempt is not None and 0 <= hours_since_attempt < policy.cool_down_hours


def decide_retraining(evidence: RetrainEvidence, policy: RetrainPolicy) -> Retraining:
    """Decide whether to train again.

    The first trigger that fires gives the reason; all are recorded. Without a champion there is always one. The
    cool-down blocks everything but what is forced.

    Args:
        evidence: what is known.
        policy: when to train again.
    """
    triggers = _triggers(evidence, policy)
    fired = next((one for one in triggers if one.fired), None)
    if evidence.forced:
        return Retraining("retrain", "it was asked for", False, triggers)
    if fired is None:
        return Retraining("nothing", "nothing to do: no trigger fired", False, triggers)
    if is_cooling(evidence.hours_since_attempt, policy):
        waited = evidence.hours_since_attempt or 0.0
        says = f"{fired.says}, but the last attempt was {waited:.1f} hours ago; the cool-down is"
        return Retraining("nothing", f"{says} {policy.cool_down_hours} hours", True, triggers)
    return Retraining("retrain", fired.says, False, triggers)


def _triggers(evidence: RetrainEvidence, policy: RetrainPolicy) -> tuple[Trigger, ...]:
    if not evidence.has_champion:
        return (Trigger("champion", True, "there is no champion yet", {}),)
    found = [
        _calendar(evidence, policy.every_days),
        _data_version(evidence) if policy.data_version else None,
        _new_rows(evidence, policy.new_rows),
        _gap(evidence, policy.gap_alpha),
        _source_revision(evidence) if policy.source_revision else None,
    ]
    return tuple(one for one in found if one is not None)


def _unknown(evidence: RetrainEvidence, name: Name, numbers: dict[str, Number]) -> Trigger:
    return Trigger(name, False, f"not known: {evidence.unknown.get(name, 'it was not measured')}", numbers)


def _calendar(evidence: RetrainEvidence, every_days: int | None) -> Trigger | None:
    if every_days is None:
        return None
    age, numbers = evidence.champion_days, {"champion_days": evidence.champion_days, "every_days": every_days}
    if age is None:
        return _unknown(evidence, "calendar", dict(numbers))
    if age < 0:
        says = f"the champion was registered {-age:.1f} days in the future: clocks disagree"
        return Trigger("calendar", False, says, dict(numbers))
    says = f"the champion is {age:.1f} days old, {every_days} are allowed"
    return Trigger("calendar", age >= every_days, says, dict(numbers))


def _data_version(evidence: RetrainEvidence) -> Trigger:
    same, numbers = evidence.same_data, {"same_data": evidence.same_data}
    if same is None:
        return _unknown(evidence, "data_version", dict(numbers))
    says = "the target's rows are those of the champion" if same else "the target's rows are not those of the champion"
    return Trigger("data_version", not same, says, dict(numbers))


def _new_rows(evidence: RetrainEvidence, wanted: int | None) -> Trigger | None:
    if wanted is None:
        return None
    count, numbers = evidence.new_rows, {"new_rows": evidence.new_rows, "wanted": wanted}
    if count is None:
        return _unknown(evidence, "new_rows", dict(numbers))
    return Trigger("new_rows", count >= wanted, f"{count:,} new labelled rows, {wanted:,} are wanted", dict(numbers))


def _gap(evidence: RetrainEvidence, alpha: float | None) -> Trigger | None:
    if alpha is None:
        return None
    p, units = evidence.drift_p, evidence.drift_units
    numbers: dict[str, Number] = {"p_value": p, "alpha": alpha, "units": units}
    if p is None:
        return _unknown(evidence, "gap", numbers)
    far = "" if units is None else f", {units:.1f} gap units"
    verb = "differ" if p <= alpha else "do not differ"
    return Trigger("gap", p <= alpha, f"fresh rows {verb} from the champion's (p = {p:.3g}{far})", numbers)


def _source_revision(evidence: RetrainEvidence) -> Trigger:
    same, numbers = evidence.same_source, {"same_source": evidence.same_source}
    if same is None:
        return _unknown(evidence, "source_revision", dict(numbers))
    says = "the source model is the champion's" if same else "the source model is another than the champion's"
    return Trigger("source_revision", not same, says, dict(numbers))
