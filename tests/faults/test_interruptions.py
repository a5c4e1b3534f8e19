"""What becomes of a run that is killed, stopped, or started twice."""

import os
import signal
import time
from pathlib import Path

import pytest

from acclimate.records import FinetuneReport


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def gone_within(pid, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not alive(pid):
            return True
        time.sleep(0.05)
    return False


def models_of(project):
    report = FinetuneReport.read(project.stage_folder("finetune"))
    return {arm.strategy: (arm.model_digest, arm.score.point, len(arm.curve)) for arm in report.arms}


@pytest.mark.slow
def test_a_run_killed_while_training_leaves_no_orphan_and_goes_on_to_the_same_end(finished, project):
    project.write_rows()
    process = project.start("run", "adaptation.yaml", "--json")
    step = project.wait_for("epoch", process)["pid"]
    process.kill()
    process.communicate()
    assert gone_within(step, 3), "the step outlived its run"
    outcome = project.run()
    assert outcome.code == finished[1].code, outcome.err[-2000:]
    assert models_of(project) == models_of(finished[0])
    for part in ("run_key", "result", "verdict", "model_uri"):
        assert outcome.json[part] == finished[1].json[part]


@pytest.mark.slow
def test_sigterm_stops_a_run_with_its_own_exit_code_and_the_next_goes_on_amid_the_epoch(project):
    project.write_rows()
    process = project.start("run", "adaptation.yaml", "--json")
    step = project.wait_for("epoch", process, schedule="linear")["pid"]
    # the epoch after it takes about a second
    time.sleep(0.1)
    process.terminate()
    out, err = process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGTERM, err
    assert not alive(step)
    assert '"error"' in out
    assert not (project.workspace / "stages" / "finetune").exists()
    left = [event for event in project.events() if event["event"] == "checkpoint"]
    assert len(left) == 1
    again = project.start("run", "adaptation.yaml", "--json")
    taken_up = project.wait_for("resumed", again)
    again.kill()
    again.communicate()
    assert gone_within(taken_up["pid"], 3)
    for name in ("strategy", "epoch", "step"):
        assert taken_up[name] == left[0][name]


@pytest.mark.slow
def test_two_runs_at_once_on_a_new_workspace_have_one_training_and_one_version(project):
    project.write_rows()
    runs = [project.start("run", "adaptation.yaml", "--json") for _ in range(2)]
    ended = [run.communicate(timeout=280) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], ended
    trained = [event for event in project.events() if event["event"] == "stage_done" and event["stage"] == "finetune"]
    assert sorted(event["reused"] for event in trained) == [False, True]
    assert len(project.call("models", "toy-mail", "--json").json["versions"]) == 1
