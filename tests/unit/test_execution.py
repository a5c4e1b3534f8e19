import json
from dataclasses import replace
from pathlib import Path

import pytest

from acclimate.adapters.local_store import LocalStore
from acclimate.config import Adaptation
from acclimate.errors import DataError
from acclimate.execution import Context, Request, Work, content_digest, execute, read_timing
from acclimate.records import Manifest


@pytest.fixture
def context(tmp_path):
    config = Adaptation.model_validate({"name": "n", "source": {"model": "m"}, "target": {"data": "d.csv"}})
    request = Request(config, tmp_path, str(tmp_path / "workspace"))
    return Context(request, "run", LocalStore(tmp_path / "workspace"))


def work(calls, **made_of):
    def call(out: Path):
        calls.append(made_of)
        (out / "result.txt").write_text(json.dumps(made_of))
        return {"answer": 42}

    return Work("gap", "acclimate.errors", made_of, call)


def test_a_stage_is_run_once_for_the_same_inputs(context):
    calls = []
    first = execute(context, work(calls, data="a"))
    assert execute(context, work(calls, data="a")) == first
    assert len(calls) == 1
    assert Manifest.read(first).values == {"answer": 42}


def test_other_inputs_run_it_again(context):
    calls = []
    assert execute(context, work(calls, data="a")) != execute(context, work(calls, data="b"))
    assert len(calls) == 2


def test_other_code_has_another_key(context):
    one = work([], data="a")
    assert one.key != replace(one, module="acclimate.digests").key


def test_a_failing_stage_leaves_nothing_that_looks_whole(context):
    def call(out: Path):
        (out / "half.txt").write_text("half")
        raise DataError("E-DATA-001", "no")

    broken = Work("gap", "acclimate.errors", {"data": "a"}, call)
    with pytest.raises(DataError):
        execute(context, broken)
    assert context.store.find("gap", broken.key) is None
    assert list((context.home / "stages").rglob("*.txt")) == []


def test_a_changed_byte_is_computed_again(context):
    calls = []
    folder = execute(context, work(calls, data="a"))
    (folder / "result.txt").write_text("tampered")
    execute(context, work(calls, data="a"))
    assert len(calls) == 2
    assert (folder / "result.txt").read_text() == '{"data": "a"}'


def test_seconds_are_kept_outside_the_digests(context):
    folder = execute(context, work([], data="a"))
    assert read_timing(folder)["stage_seconds"] >= 0
    before = content_digest(folder)
    (folder / "timing.json").write_text('{"stage_seconds": 99}')
    assert content_digest(folder) == before


def test_events_say_what_was_reused(context):
    events = []
    told = replace(context, progress=lambda event, **fields: events.append((event, fields.get("reused"))))
    execute(told, work([], data="a"))
    execute(told, work([], data="a"))
    assert [reused for event, reused in events if event == "stage_done"] == [False, True]


def test_a_request_survives_the_way_to_another_process(context):
    assert Request.from_json(context.request.to_json()) == context.request
