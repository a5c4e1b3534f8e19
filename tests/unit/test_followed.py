"""What a run's events come to."""

from __future__ import annotations

from acclimate.outcome import Followed


def test_warnings_are_kept_for_the_summary_and_seconds_add_up() -> None:
    followed = Followed()
    done = {"event": "stage_done", "stage": "evaluate", "folder": "f", "reused": False, "pid": 7}
    for event in (
        {**done, "seconds": 2.0},
        {"event": "warning", "says": "report and figures are not in MLflow", "pid": 7},
        {**done, "seconds": 1.5, "reused": True},
    ):
        followed.take(event)
    assert followed.warnings == ["report and figures are not in MLflow"]
    assert followed.seconds == {"evaluate": 3.5}
    assert followed.reused == {"evaluate": True}
