"""Every branch of every pipeline in KFP's own local runner, with stub steps that answer at once."""

import json
import shutil
from importlib.resources import files
from pathlib import Path

import pytest

from acclimate.adapters.kfp_local import PipelineFailed, run_compiled

BEFORE = ["ingest", "gap", "baseline", "decide"]
TRAINED = [*BEFORE, "finetune", "evaluate", "register", "finish"]
FROZEN = [*BEFORE, "evaluate", "register", "finish"]


@pytest.fixture
def pipeline(tmp_path, monkeypatch):
    """Runs a compiled pipeline and returns what its steps were called with, in order."""
    package = tmp_path / "stubs" / "acclimate"
    package.mkdir(parents=True)
    package.joinpath("__init__.py").touch()
    shutil.copyfile(Path(__file__).with_name("stub_steps.py"), package / "steps.py")
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    calls = tmp_path / "calls"
    calls.touch()

    def run(name, answers, fails=False, **arguments):
        request = json.dumps({"calls": str(calls), **answers})
        ir = Path(str(files("acclimate") / "pipelines" / f"{name}.yaml"))
        given = {"request": request, "run_id": "run-1", **arguments}
        try:
            run_compiled(ir, given, scratch=tmp_path, log=tmp_path / "kfp.log")
            failed = False
        except PipelineFailed:
            failed = True
        assert failed == fails, (tmp_path / "kfp.log").read_text()
        return [json.loads(line) for line in calls.read_text().splitlines()]

    return run


def stages(calls):
    return [call["stage"] for call in calls]


def ordered(found, expected):
    """KFP runs what does not depend on each other in an order of its own: here gap and baseline."""
    return sorted(found) == sorted(expected) and [s for s in found if s != "gap"] == [s for s in expected if s != "gap"]


@pytest.mark.parametrize(
    ("name", "answers", "expected"),
    [
        ("adapt", {}, TRAINED),
        ("adapt", {"action": "freeze"}, FROZEN),
        ("adapt", {"follow": "run-0"}, ["ingest", "finish"]),
        ("retrain", {}, ["check", *TRAINED]),
        ("retrain", {"action": "freeze"}, ["check", *FROZEN]),
        ("retrain", {"follow": "run-0"}, ["check", "ingest", "finish"]),
        ("retrain", {"check": "nothing"}, ["check", "finish"]),
    ],
)
def test_each_branch_runs_its_steps_and_no_others(pipeline, name, answers, expected):
    calls = pipeline(name, answers)
    assert ordered(stages(calls), expected)
    assert {call["run_id"] for call in calls} == {"run-1"}


@pytest.mark.parametrize(("action", "candidate"), [("finetune", "/finetune"), ("freeze", "/baseline")])
def test_the_candidate_is_what_the_branch_made(pipeline, action, candidate):
    calls = {call["stage"]: call for call in pipeline("adapt", {"action": action})}
    references = {"data": "/ingest", "baseline": "/baseline"}
    assert calls["evaluate"] == {"stage": "evaluate", "run_id": "run-1", **references, "candidate": candidate}
    assert calls["register"] == {
        "stage": "register",
        "run_id": "run-1",
        **references,
        "gap": "/gap",
        "decision": "/decide",
        "candidate": candidate,
        "evaluation": "/evaluate",
    }


@pytest.mark.parametrize(
    ("name", "fails", "expected"),
    [
        ("adapt", "ingest", ["ingest", "finish"]),
        ("adapt", "decide", [*BEFORE, "finish"]),
        ("adapt", "finetune", [*BEFORE, "finetune", "finish"]),
        ("adapt", "register", TRAINED),
        ("retrain", "check", ["check", "finish"]),
        ("retrain", "evaluate", ["check", *BEFORE, "finetune", "evaluate", "finish"]),
        ("adapt", "finish", TRAINED),
        ("predict", "predict", ["predict"]),
    ],
)
def test_a_failing_step_ends_the_run_but_for_its_report(pipeline, name, fails, expected):
    more = {"model": "m", "data": "d", "out": "o"} if name == "predict" else {}
    assert ordered(stages(pipeline(name, {"fails": fails}, fails=True, **more)), expected)


def test_predict_is_one_step(pipeline):
    given = {"model": "models:/mail@champion", "data": "s3://b/rows.csv", "out": "s3://b/out.csv"}
    assert pipeline("predict", {}, **given) == [{"stage": "predict", "run_id": "run-1", **given}]
