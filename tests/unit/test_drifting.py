"""Drift and the check before training again on a project with a registered champion; no training."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acclimate.drifting import check_of, check_text, drift_of, drift_text
from acclimate.errors import ModelError
from acclimate.execution import Context, Request
from acclimate.local_run import load_request
from acclimate.nn.encoder import Encoder
from acclimate.nn.model import AdaptedModel
from acclimate.nn.target_sketch import make_sketch
from acclimate.records import DataCard
from acclimate.records_retrain import RetrainDecision
from acclimate.retraining import check_step, retrain_request
from acclimate.stage_work import STEPS
from acclimate.steps import open_context
from acclimate.wiring import registry_of, source_of
from tests.pipeline.project import Project
from tests.run_records import LABELS, run_records, verdict_of

NO_COOL_DOWN = ("retrain.cool_down_hours=0",)


def context_of(project: Project, *overrides: str, run_id: str = "made-by-hand") -> Context:
    return open_context(load_request(project.folder / "adaptation.yaml", overrides), run_id)


def make_champion(project: Project) -> None:
    """Register a model that was never trained, with a sketch of the project's data, as the champion."""
    context = context_of(project)
    data = STEPS["ingest"](context)
    source, card = source_of(context)
    encoder = Encoder.load(source, precision="fp32")
    rng = np.random.default_rng(0)
    head = rng.normal(size=(2, encoder.dim)), rng.normal(size=2)
    folder = project.folder / "made"
    digest = AdaptedModel.build(encoder, *head, LABELS, strategy="full", source=card).save(folder)
    cache = project.folder / "cache"
    make_sketch(data, source, card, precision="fp32", max_length=None, cache=cache).write(folder)
    records = replace(
        run_records(name="toy-mail", model_digest=digest), data=DataCard.read(data), source=card, source_uri="source"
    )
    registry = registry_of(context)
    run_id = registry.record_run(records)
    model_uri = registry.log_model(run_id, records, folder)
    registry.register(records, run_id, model_uri, verdict_of(records), auto_promote=True)


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory, tiny_source: Path) -> Project:
    project = Project(tmp_path_factory.mktemp("champion") / "project", tiny_source).write_rows(900)
    make_champion(project)
    return project


@pytest.fixture
def project(champion: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The champion's project, as often as it is needed: what a test adds to the workspace is seen by later tests."""
    monkeypatch.chdir(champion.folder)
    attempt = champion.workspace / "retrain" / "toy-mail" / "attempt.json"
    attempt.unlink(missing_ok=True)
    return champion


def write_fresh(project: Project, name: str, make: Callable[[np.random.Generator], str], rows: int = 250) -> str:
    rng = np.random.default_rng(11)
    with (project.folder / name).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text"])
        writer.writerows([make(rng)] for _ in range(rows))
    return name


def like_the_target(rng: np.random.Generator) -> str:
    half = ("abcdefghijklm", "nopqrstuvwxyz")
    own = int(rng.integers(2))
    letters = [list(half[own if rng.random() < 0.67 else 1 - own]) for _ in range(25)]
    return " ".join("".join(rng.choice(letters[5 * i + j]) for j in range(5)) for i in range(5))


def foreign(rng: np.random.Generator) -> str:
    return " ".join(str(number) for number in rng.integers(0, 10**6, 8))


def result(project: Project, ask: Callable[..., dict[str, Any]], *overrides: str, **options: Any) -> dict[str, Any]:
    return ask(project.folder / "adaptation.yaml", overrides, **options)


def test_unlabelled_fresh_rows_of_the_same_kind_are_no_drift(project: Project) -> None:
    report = result(project, drift_of, fresh=write_fresh(project, "same.csv", like_the_target))
    assert (report["verdict"], report["drifted"], report["champion"]) == ("NONE", False, "models:/toy-mail/1")
    assert (report["fresh_rows"], report["copies"]) == (250, 0)
    assert "drift      NONE, against models:/toy-mail/1" in drift_text(report)


def test_fresh_rows_of_another_kind_are_told(project: Project) -> None:
    report = result(project, drift_of, fresh=write_fresh(project, "foreign.csv", foreign))
    assert (report["verdict"], report["drifted"]) == ("DRIFTED", True)
    text = drift_text(report)
    assert "p = 0.002, level 0.01" in text
    assert len(text.split("furthest fresh rows\n")[1].splitlines()) == 5


def test_the_same_target_has_no_fresh_rows(project: Project) -> None:
    report = result(project, drift_of)
    assert (report["verdict"], report["fresh_rows"]) == ("UNDERPOWERED", 0)


def test_nothing_to_do_then_new_rows_then_cool_down(project: Project) -> None:
    quiet = result(project, check_of)
    assert (quiet["action"], quiet["reason"]) == ("nothing", "nothing to do: no trigger fired")
    assert check_text(quiet).startswith("retrain    no: nothing to do")
    kept = (project.folder / "mail.csv").read_bytes()
    try:
        with (project.folder / "mail.csv").open("a", newline="") as file:
            rng = np.random.default_rng(12)
            csv.writer(file).writerows([like_the_target(rng), ("negative", "positive")[i % 2]] for i in range(200))
        more = result(project, check_of, "retrain.triggers.new_rows=150")
        assert more["action"] == "retrain"
        fired = {one["name"]: one for one in more["triggers"] if one["fired"]}
        assert set(fired) == {"data_version", "new_rows"}
        assert fired["new_rows"]["numbers"]["new_rows"] == 200
        gap = next(one for one in more["triggers"] if one["name"] == "gap")
        assert gap["numbers"]["p_value"] > 0.01
        cooling = result(project, check_of)
        assert (cooling["action"], cooling["cooling"]) == ("nothing", True)
        assert result(project, check_of, forced=True)["action"] == "retrain"
        assert result(project, check_of, *NO_COOL_DOWN)["action"] == "retrain"
    finally:
        (project.folder / "mail.csv").write_bytes(kept)


def test_a_run_asked_twice_gives_one_answer(project: Project) -> None:
    context = context_of(project, "retrain.triggers.every_days=1", run_id="same-run")
    forced = check_step(context, forced=True)
    assert RetrainDecision.read(forced).action == "retrain"
    assert check_step(context, forced=True) == forced
    other = context_of(project, run_id="other-run")
    assert RetrainDecision.read(check_step(other)).action == "nothing"


def test_a_warm_start_hands_on_the_pinned_champion(project: Project) -> None:
    context = context_of(project, "retrain.warm_start=champion", run_id="warm")
    decision = RetrainDecision.read(check_step(context, forced=True))
    request = retrain_request(context, decision)
    assert request.adaptation.source.model == "models:/toy-mail/1"
    assert Request.from_json(request.to_json()) == request


def test_an_alias_of_the_source_is_looked_up_when_the_check_runs(project: Project) -> None:
    """What a schedule hands on: the alias itself, which has moved since the champion was made."""
    adaptation = load_request(project.folder / "adaptation.yaml", ["source=models:/toy-mail@champion"], pin=False)
    context = replace(context_of(project, run_id="scheduled"), request=adaptation)
    decision = RetrainDecision.read(check_step(context))
    assert decision.action == "retrain"
    assert [trigger.name for trigger in decision.triggers if trigger.fired] == ["source_revision"]
    assert retrain_request(context, decision).adaptation.source.model == "models:/toy-mail/1"
    assert decision.source == "models:/toy-mail/1"


def test_without_a_champion_drift_has_a_hint_and_the_check_asks_for_one(tmp_path: Path, tiny_source: Path) -> None:
    bare = Project(tmp_path / "bare", tiny_source).write_rows(200)
    with pytest.raises(ModelError) as caught:
        result(bare, drift_of)
    assert caught.value.code == "E-DRIFT-003"
    decision = result(bare, check_of)
    assert (decision["action"], decision["reason"]) == ("retrain", "there is no champion yet")


def test_a_text_shown_on_a_terminal_is_one_plain_line(project: Project) -> None:
    def hostile(rng: np.random.Generator) -> str:
        return f"\x1b[31mred\x1b[0m {rng.integers(10**9)}\n\tnext " + "x" * 200

    text = drift_text(result(project, drift_of, fresh=write_fresh(project, "hostile.csv", hostile)))
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) < 140
