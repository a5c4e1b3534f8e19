"""Stage check: what is known of the champion and today's data becomes a decision."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from acclimate.config_retrain import RetrainSpec, TriggersSpec
from acclimate.nn.source_card import source_card
from acclimate.nn.target_sketch import make_sketch
from acclimate.records import DataCard, SourceCard
from acclimate.records_retrain import DriftReport, RetrainDecision
from acclimate.registry import RegisteredVersion
from acclimate.stages.check import Champion, check, source_for, wants_drift

NOW = 1_800_000_000.0
HOUR = 3600.0
EVERYTHING = RetrainSpec(triggers=TriggersSpec(every_days=30, new_rows=50))


@pytest.fixture
def card(tiny_source: Path) -> SourceCard:
    return source_card(tiny_source, name="tiny", revision=None, licence=None)


@pytest.fixture
def champion(toy_data: Path, tiny_source: Path, card: SourceCard, tmp_path: Path) -> Champion:
    tags = {
        "acclimate.data_digest": DataCard.read(toy_data).target.digest,
        "acclimate.source_digest": card.digest,
    }
    version = RegisteredVersion("toy-mail", 3, "key", "PROMOTE", ("champion",), tags)
    sketch = make_sketch(toy_data, tiny_source, card, precision="fp32", max_length=None, cache=tmp_path / "cache")
    return Champion(version, NOW - 48 * HOUR, sketch)


def drifted(p_value: float | None) -> DriftReport:
    return DriftReport(
        champion="models:/toy-mail/3",
        verdict="DRIFTED" if p_value is not None and p_value <= 0.01 else "UNDERPOWERED",
        drifted=p_value is not None and p_value <= 0.01,
        alpha=0.01,
        p_value=p_value,
        statistic=None,
        units=None,
        rows_compared=None,
        fresh_rows=0,
        held_out_rows=0,
        copies=0,
        share_outside=None,
        spread_ratio=None,
        rows_needed=None,
        furthest=[],
        notes=["Underpowered: 3 fresh rows."],
    )


@pytest.fixture
def decide(toy_data: Path, card: SourceCard, champion: Champion, tmp_path: Path) -> Callable[..., RetrainDecision]:
    def run(data: Path = toy_data, **changes: Any) -> RetrainDecision:
        settings: dict[str, Any] = {
            "champion": champion,
            "drift": drifted(0.4),
            "config": EVERYTHING,
            "last_attempt": None,
            "forced": False,
            "source_card": card,
            **changes,
        }
        pinned = settings.pop("source_card")
        known, found = settings.pop("champion"), settings.pop("drift")
        return check("toy-mail", "source", pinned, data, known, found, now=NOW, out=tmp_path, **settings)

    return run


def fired(decision: RetrainDecision) -> list[str]:
    return [one.name for one in decision.triggers if one.fired]


def test_nothing_has_changed(decide: Callable[..., RetrainDecision], tmp_path: Path) -> None:
    decision = decide()
    assert (decision.action, decision.champion) == ("nothing", "models:/toy-mail/3")
    assert [one.name for one in decision.triggers] == ["calendar", "data_version", "new_rows", "gap", "source_revision"]
    assert decision.triggers[0].numbers == {"champion_days": 2.0, "every_days": 30}
    assert RetrainDecision.read(tmp_path) == decision


def test_no_champion_asks_for_one(decide: Callable[..., RetrainDecision]) -> None:
    decision = decide(champion=None, drift=None)
    assert (decision.action, decision.champion, fired(decision)) == ("retrain", None, ["champion"])


def test_more_rows_are_another_version_and_new_rows(
    decide: Callable[..., RetrainDecision], make_toy_data: Callable[..., Path]
) -> None:
    decision = decide(make_toy_data("other", seed=4))
    assert fired(decision) == ["data_version", "new_rows"]
    assert decision.triggers[2].numbers["new_rows"] == 200


def test_drift_and_age_and_source_fire(
    decide: Callable[..., RetrainDecision], champion: Champion, card: SourceCard
) -> None:
    assert fired(decide(drift=drifted(0.002))) == ["gap"]
    assert fired(decide(champion=replace(champion, registered_at=NOW - 31 * 24 * HOUR))) == ["calendar"]
    assert fired(decide(source_card=card.model_copy(update={"digest": "other"}))) == ["source_revision"]


def test_what_is_not_known_says_why(decide: Callable[..., RetrainDecision], champion: Champion) -> None:
    bare = Champion(replace(champion.version, tags={}), champion.registered_at, None)
    says = {one.name: one.says for one in decide(champion=bare, drift=drifted(None)).triggers}
    assert says["new_rows"] == "not known: the champion was registered without a sketch of its data"
    assert says["gap"] == "not known: Underpowered: 3 fresh rows."
    assert says["data_version"].startswith("not known")
    assert says["source_revision"].startswith("not known")


def test_a_recent_attempt_cools_down_and_nothing_is_embedded_then(
    decide: Callable[..., RetrainDecision], champion: Champion
) -> None:
    recent = NOW - 3 * HOUR
    decision = decide(last_attempt=recent, drift=drifted(0.002))
    assert (decision.action, decision.cooling) == ("nothing", True)
    assert decide(last_attempt=recent, drift=drifted(0.002), forced=True).action == "retrain"
    assert not wants_drift(EVERYTHING, champion, recent, NOW)
    assert wants_drift(EVERYTHING, champion, NOW - 25 * HOUR, NOW)
    assert not wants_drift(EVERYTHING, None, None, NOW)
    off = RetrainSpec(triggers=TriggersSpec(gap_alpha=None))
    assert not wants_drift(off, champion, None, NOW)


def test_training_starts_from_the_source_or_the_pinned_champion(
    decide: Callable[..., RetrainDecision], champion: Champion, card: SourceCard
) -> None:
    assert decide().source == "source"
    warm = EVERYTHING.model_copy(update={"warm_start": "champion"})
    assert decide(config=warm).source == "models:/toy-mail/3"
    assert source_for(warm, "source", None) == "source"
    # the champion's own digest is never that of the configured source
    decision = decide(config=warm, source_card=card.model_copy(update={"digest": "other"}))
    assert decision.action == "nothing"
