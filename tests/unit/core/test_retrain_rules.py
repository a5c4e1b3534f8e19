"""When training is asked for: every trigger, unknowns, the cool-down, no champion."""

from dataclasses import replace

import pytest

from acclimate.core.retrain_rules import RetrainEvidence, RetrainPolicy, decide_retraining

ALL = RetrainPolicy(every_days=30, new_rows=100)
QUIET = RetrainEvidence(
    has_champion=True, champion_days=3.0, same_data=True, new_rows=0, drift_p=0.4, drift_units=0.2, same_source=True
)
FIRING = {
    "calendar": {"champion_days": 30.0},
    "data_version": {"same_data": False},
    "new_rows": {"new_rows": 100},
    "gap": {"drift_p": 0.01},
    "source_revision": {"same_source": False},
}


def test_nothing_to_do_is_an_answer() -> None:
    found = decide_retraining(QUIET, ALL)
    assert (found.action, found.cooling) == ("nothing", False)
    assert found.reason == "nothing to do: no trigger fired"
    assert [one.name for one in found.triggers] == list(FIRING)


@pytest.mark.parametrize("name", FIRING)
def test_each_trigger_fires_alone_and_gives_the_reason(name: str) -> None:
    found = decide_retraining(replace(QUIET, **FIRING[name]), ALL)
    assert found.action == "retrain"
    assert [one.name for one in found.triggers if one.fired] == [name]
    assert found.reason == next(one.says for one in found.triggers if one.fired)


def test_the_first_that_fires_decides_and_all_are_recorded() -> None:
    everything = {name: value for change in FIRING.values() for name, value in change.items()}
    found = decide_retraining(replace(QUIET, **everything), ALL)
    assert found.reason == "the champion is 30.0 days old, 30 are allowed"
    assert all(one.fired for one in found.triggers)
    assert {one.name: one.numbers for one in found.triggers}["new_rows"] == {"new_rows": 100, "wanted": 100}


@pytest.mark.parametrize("name", FIRING)
def test_a_trigger_that_is_off_is_not_there(name: str) -> None:
    off = RetrainPolicy(every_days=None, data_version=False, new_rows=None, gap_alpha=None, source_revision=False)
    assert decide_retraining(replace(QUIET, **FIRING[name]), off).action == "nothing"
    assert decide_retraining(QUIET, off).triggers == ()


def test_what_is_not_known_does_not_fire_and_says_why() -> None:
    evidence = RetrainEvidence(has_champion=True, unknown={"gap": "there are too few rows"})
    found = decide_retraining(evidence, ALL)
    assert found.action == "nothing"
    assert {one.name: one.says for one in found.triggers}["gap"] == "not known: there are too few rows"
    assert all(one.says.startswith("not known") for one in found.triggers)


def test_without_a_champion_there_is_always_a_reason() -> None:
    found = decide_retraining(RetrainEvidence(has_champion=False), ALL)
    assert (found.action, found.reason) == ("retrain", "there is no champion yet")


def test_the_cool_down_blocks_all_but_what_is_forced() -> None:
    evidence = replace(QUIET, same_data=False, hours_since_attempt=2.0)
    found = decide_retraining(evidence, ALL)
    assert (found.action, found.cooling) == ("nothing", True)
    assert "2.0 hours ago" in found.reason
    assert "24" in found.reason
    assert next(one for one in found.triggers if one.name == "data_version").fired
    assert decide_retraining(replace(evidence, hours_since_attempt=24.0), ALL).action == "retrain"
    assert decide_retraining(replace(evidence, forced=True), ALL).action == "retrain"


def test_clocks_that_disagree_block_nothing_and_are_named() -> None:
    found = decide_retraining(replace(QUIET, champion_days=-2.0, hours_since_attempt=-48.0, same_data=False), ALL)
    assert found.action == "retrain"
    assert found.triggers[0].says == "the champion was registered 2.0 days in the future: clocks disagree"
