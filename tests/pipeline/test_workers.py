"""A whole run whose training goes through Ray, on this machine."""

from __future__ import annotations

import pytest


@pytest.mark.slow
@pytest.mark.ray
def test_two_workers_train_and_nothing_but_the_result_is_printed(finished, project):
    project.write_rows()
    outcome = project.run("-s", "compute.workers=2", "-s", "finetune.arms=[full]", "-s", "finetune.max_epochs=4")
    assert outcome.code in {0, 10}, outcome.err[-3000:]
    trained = next(arm for arm in outcome.json["arms"] if arm["strategy"] == "full")
    alone = next(arm for arm in finished[1].json["arms"] if arm["strategy"] == "full")
    assert outcome.json["run_key"] != finished[1].json["run_key"], "it was asked for other arms"
    assert trained["score"] > alone["score"] - 0.1
    assert [event for event in project.events() if event["event"] == "epoch"]
