"""Check: whether the champion should be trained again, from what is known of it and of today's data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from acclimate.config_retrain import RetrainSpec
from acclimate.core.retrain_rules import RetrainEvidence, RetrainPolicy, decide_retraining, is_cooling
from acclimate.examples import read_examples
from acclimate.nn.target_sketch import TargetSketch
from acclimate.records import SPLITS, DataCard, SourceCard
from acclimate.records_retrain import DriftReport, RetrainDecision, RetrainTrigger
from acclimate.registry import RegisteredVersion

HOUR_SECONDS = 3600.0
DAY_SECONDS = 24 * HOUR_SECONDS
NO_SKETCH = "the champion was registered without a sketch of its data"
DATA_DIGEST = "acclimate.data_digest"
SOURCE_DIGEST = "acclimate.source_digest"


@dataclass(frozen=True)
class Champion:
    """The champion as the registry knows it.

    Args:
        version: its version.
        registered_at: seconds since 1970, by the registry's clock.
        sketch: what it remembers of its target; None where it was registered without.
    """

    version: RegisteredVersion
    registered_at: float
    sketch: TargetSketch | None


def source_for(config: RetrainSpec, source: str, champion: RegisteredVersion | None) -> str:
    """What training starts from, by policy.

    Args:
        config: the retrain section.
        source: the source model as configured.
        champion: the champion; None without one.

    Returns:
        ``models:/NAME/VERSION`` of the champion, pinned: the alias may move before it is read; else ``source``.
    """
    return champion.model_uri if config.warm_start == "champion" and champion is not None else source


def policy_of(config: RetrainSpec) -> RetrainPolicy:
    """The rules' plain arguments of the retrain section."""
    triggers = config.triggers
    return RetrainPolicy(
        every_days=triggers.every_days,
        data_version=triggers.data_version,
        new_rows=triggers.new_rows,
        gap_alpha=triggers.gap_alpha,
        source_revision=triggers.source_revision,
        cool_down_hours=config.cool_down_hours,
    )


def wants_drift(config: RetrainSpec, champion: Champion | None, last_attempt: float | None, now: float) -> bool:
    """Whether the gap can decide anything: nothing is embedded where it cannot.

    Args:
        config: the retrain section.
        champion: the champion; None without one.
        last_attempt: when training was last asked for, seconds since 1970; None if never.
        now: seconds since 1970.
    """
    cooling = is_cooling(_hours(last_attempt, now), policy_of(config))
    return config.triggers.gap_alpha is not None and champion is not None and not cooling


def check(
    name: str,
    source: str,
    source_card: SourceCard,
    data: Path,
    champion: Champion | None,
    drift: DriftReport | None,
    *,
    config: RetrainSpec,
    last_attempt: float | None,
    now: float,
    forced: bool,
    out: Path,
) -> RetrainDecision:
    """Decide whether to train again and write ``retrain_decision.json`` into ``out``.

    Args:
        name: the registered model.
        source: the source model as configured.
        source_card: the source model as pinned.
        data: ingest's folder of today's target.
        champion: the champion; None without one.
        drift: fresh rows against the champion's; None where it was not measured.
        config: the retrain section.
        last_attempt: when training was last asked for by another run, seconds since 1970; None if never.
        now: seconds since 1970.
        forced: somebody wants it now.
        out: folder to write into.

    Raises:
        IntegrityError: E-DATA-090, ingest's folder is damaged.
    """
    evidence = _evidence(source_card, data, champion, drift, config, last_attempt, now, forced)
    found = decide_retraining(evidence, policy_of(config))
    decision = RetrainDecision(
        name=name,
        champion=champion.version.model_uri if champion else None,
        action=found.action,
        reason=found.reason,
        cooling=found.cooling,
        triggers=[
            RetrainTrigger(name=one.name, fired=one.fired, says=one.says, numbers=one.numbers) for one in found.triggers
        ],
        source=source_for(config, source, champion.version if champion else None),
    )
    decision.write(out)
    return decision


def _hours(since: float | None, now: float) -> float | None:
    return None if since is None else (now - since) / HOUR_SECONDS


def _evidence(
    source_card: SourceCard,
    data: Path,
    champion: Champion | None,
    drift: DriftReport | None,
    config: RetrainSpec,
    last_attempt: float | None,
    now: float,
    forced: bool,
) -> RetrainEvidence:
    since = _hours(last_attempt, now)
    if champion is None:
        return RetrainEvidence(has_champion=False, hours_since_attempt=since, forced=forced)
    tags, sketch = champion.version.tags, champion.sketch
    unknown = {"gap": drift.notes[0] if drift and drift.notes else "it was not measured"}
    made_from = tags.get(DATA_DIGEST)
    if made_from is None:
        unknown["data_version"] = "the champion's version has no digest of its data"
    if sketch is None:
        unknown["new_rows"] = NO_SKETCH
    pinned = tags.get(SOURCE_DIGEST)
    if config.warm_start == "champion":
        # A champion trained from a champion never has the configured source's digest.
        pinned = None
        unknown["source_revision"] = "training starts from the champion"
    return RetrainEvidence(
        has_champion=True,
        champion_days=(now - champion.registered_at) / DAY_SECONDS,
        same_data=None if made_from is None else made_from == DataCard.read(data).target.digest,
        new_rows=None if sketch is None else sketch.new_rows(read_examples(data, "target", SPLITS, None).row_ids),
        drift_p=drift.p_value if drift else None,
        drift_units=drift.units.point if drift and drift.units else None,
        same_source=None if pinned is None else pinned == source_card.digest,
        hours_since_attempt=since,
        forced=forced,
        unknown=unknown,
    )
