"""The drift watch tells: a Job that fails, once, with a reason that is not that of a broken watch."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart.rendering import VALUE_SETS, release

DRIFTED = pytest.importorskip("acclimate.drifting").DRIFTED
WATCHES = [name for name in VALUE_SETS if release(name).of_kind("CronJob")]


def job(name: str) -> dict[str, Any]:
    """The spec of the watch's Job."""
    return dict(release(name).of_kind("CronJob")["acclimate-drift"]["spec"]["jobTemplate"]["spec"])


def ending(spec: dict[str, Any], code: int, conditions: tuple[str, ...] = ()) -> str:
    """What the Job's controller makes of a first pod that has ended, by the rules of batch/v1."""
    if code == 0:
        return "Complete"
    for rule in spec.get("podFailurePolicy", {"rules": []})["rules"]:
        named = {each["type"] for each in rule.get("onPodConditions", ()) if each["status"] == "True"}
        if named & set(conditions) or code in rule.get("onExitCodes", {}).get("values", ()):
            return {"FailJob": "PodFailurePolicy", "Ignore": "tried again"}[rule["action"]]
    return "tried again" if spec["backoffLimit"] > 0 else "BackoffLimitExceeded"


@pytest.mark.parametrize("name", WATCHES)
def test_drift_fails_the_job_at_once_and_with_a_reason_of_its_own(name: str) -> None:
    assert ending(job(name), DRIFTED) == "PodFailurePolicy"
    assert ending(job(name), 3) == "BackoffLimitExceeded"
    assert ending(job(name), 0) == "Complete"


@pytest.mark.parametrize("name", WATCHES)
def test_a_pod_that_was_taken_away_is_no_result(name: str) -> None:
    assert ending(job(name), 137, ("DisruptionTarget",)) == "tried again"
    assert ending(job(name), 137) == "BackoffLimitExceeded"


@pytest.mark.parametrize("name", WATCHES)
def test_the_policy_is_one_that_kubernetes_takes(name: str) -> None:
    spec = job(name)
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    named = {
        rule["onExitCodes"]["containerName"] for rule in spec["podFailurePolicy"]["rules"] if "onExitCodes" in rule
    }
    assert named == {container["name"] for container in pod["containers"]}


def test_it_asks_for_the_exit_code_unless_told_not_to() -> None:
    asking = {name: "--fail-on-drift" in job(name)["template"]["spec"]["containers"][0]["command"] for name in WATCHES}
    assert len(asking) >= 4
    assert {name for name, asks in asking.items() if not asks} == {"drift_existing_config"}


def test_the_notes_say_what_the_signal_is() -> None:
    for name in VALUE_SETS:
        assert ("PodFailurePolicy" in release(name).notes) == (name in WATCHES and name != "drift_existing_config")


def test_a_watch_never_overlaps_the_one_before() -> None:
    spec = release("drift_inline").of_kind("CronJob")["acclimate-drift"]["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert not release("trial").of_kind("CronJob")
