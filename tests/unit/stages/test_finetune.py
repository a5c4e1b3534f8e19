from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from acclimate.config import BaselineSpec, Goal
from acclimate.config_finetune import FinetuneSpec
from acclimate.config_generation import GenerationSpec
from acclimate.core.metrics import score
from acclimate.core.reliability import fit_temperature
from acclimate.errors import IntegrityError, ModelError
from acclimate.examples import read_examples, split_path
from acclimate.nn.encoder import source_card
from acclimate.nn.frozen import PROBE
from acclimate.nn.head_file import write_head
from acclimate.nn.job import Job, TrainResult
from acclimate.nn.model import AdaptedModel
from acclimate.nn.strategies import STRATEGIES
from acclimate.nn.train import InProcessTrainer
from acclimate.ports import Progress, Trainer, silent
from acclimate.records import ArmCost, BaselineReport, Calibration, Decision, FinetuneReport
from acclimate.stages.baseline import baseline
from acclimate.stages.finetune import finetune

SECONDS = {"frozen": 0.0, "lora": 4.0, "full": 6.0, "scratch": 5.0}
CONFIG: dict[str, Any] = {
    "batch_size": 16,
    "lora": {"rank": 4, "learning_rate": 1e-2},
    "full": {"learning_rate": 2e-3},
    "scratch": {"learning_rate": 2e-3},
}


@dataclass
class DivergesWith:
    """A trainer with which one seed diverges."""

    inner: Trainer
    seed: int
    workers: int = 1

    def train(self, job: Job, *, progress: Progress = silent) -> TrainResult:
        if job.seed == self.seed:
            raise ModelError("E-TRAIN-001", "the gradient is not finite", where="full", hint="lower the rate")
        return self.inner.train(job, progress=progress)


class Killed(Exception):
    """Stands for a signal."""


@dataclass
class Place:
    """Everything the stage reads, and a way to run it."""

    root: Path
    data: Path
    source: Path
    calibration: Calibration
    runs: int = 0
    seeds: int = 1
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    trainer: Trainer = field(default_factory=InProcessTrainer)

    def decide(self, arms: list[str], controls: list[str], epochs: dict[str, int]) -> Path:
        folder = self.root / f"decision-{'-'.join(arms)}"
        folder.mkdir(exist_ok=True)
        costs = [
            ArmCost(strategy=name, epochs=epochs.get(name, 0), seconds=SECONDS[name], affordable=True)
            for name in ("frozen", *arms, *controls)
        ]
        Decision(
            action="finetune",
            strategy="+".join(arms),
            rule="R5",
            reason="",
            arms=arms,
            controls=controls,
            rules=[],
            seeds=self.seeds,
            costs=costs,
            detectable_effect=None,
            label_more=None,
        ).write(folder)
        return folder

    def run(
        self,
        arms: list[str],
        controls: list[str] | None = None,
        *,
        epochs: dict[str, int] | None = None,
        checkpoints: str = "checkpoints",
        min_gain: float = 0.01,
        config: dict[str, Any] = CONFIG,
        kill: Callable[[str, dict[str, Any]], bool] = lambda event, fields: False,
    ) -> tuple[FinetuneReport, Path]:
        self.runs += 1
        out = self.root / f"out-{self.runs}"
        out.mkdir()
        self.events.clear()

        def progress(event: str, /, **fields: Any) -> None:
            self.events.append((event, fields))
            if kill(event, fields):
                raise Killed

        report = finetune(
            self.data,
            self.source,
            source_card(self.source, name="tiny", revision="1", licence="MIT"),
            self.root / "baseline",
            self.decide(arms, controls or [], epochs or {"lora": 5, "full": 4, "scratch": 3}),
            self.calibration,
            config=FinetuneSpec.model_validate(config),
            goal=Goal(min_gain=min_gain),
            max_length=None,
            generation=GenerationSpec(),
            trainer=self.trainer,
            checkpoints=self.root / checkpoints,
            out=out,
            progress=progress,
        )
        return report, out


@pytest.fixture
def place(tmp_path: Path, toy_data: Path, tiny_source: Path) -> Place:
    (tmp_path / "baseline").mkdir()
    baseline(
        toy_data,
        tiny_source,
        source_card(tiny_source, name="tiny", revision="1", licence="MIT"),
        config=BaselineSpec(bootstraps=200, folds=2, c_grid=[0.1], neighbours=[5]),
        metric="macro_f1",
        precision="fp32",
        cache=tmp_path / "cache",
        out=tmp_path / "baseline",
        progress=silent,
    )
    # whatever reads the test split from here on fails
    split_path(toy_data, "target", "test").unlink()
    calibration = Calibration(
        machine="",
        source_digest="",
        precision={**dict.fromkeys(STRATEGIES, "fp32"), "full": "bf16"},
        gemm_tflops={},
        rows_per_second={"features": 1.0},
    )
    return Place(tmp_path, toy_data, tiny_source, calibration)


def arms_of(report: FinetuneReport) -> dict[str, Any]:
    return {arm.strategy: arm for arm in report.arms}


def test_halving_drops_one_arm_and_trains_the_other_fully(place: Place) -> None:
    report, out = place.run(["lora", "full"], ["scratch"])
    arms = arms_of(report)
    assert list(arms) == ["frozen", "lora", "full", "scratch"]
    assert [arm.role for arm in report.arms] == ["arm", "arm", "arm", "control"]
    rungs = {name: arms[name].rung_scores[0] for name in ("lora", "full")}
    winner, loser = sorted(rungs, key=lambda name: -rungs[name])
    assert (arms[winner].trained_fully, arms[loser].trained_fully) == (True, False)
    assert arms[loser].epochs == 2
    assert arms[loser].score.point == pytest.approx(rungs[loser])
    assert arms[loser].model_digest is None
    assert {path.name for path in (out / "arms").iterdir()} == {winner, "scratch"}
    assert arms["scratch"].rung_scores == []
    assert arms["scratch"].against_best is None
    assert not arms["scratch"].chosen
    assert report.chosen in {"frozen", winner}
    assert [arm.strategy for arm in report.arms if arm.chosen] == [report.chosen]
    assert FinetuneReport.read(out) == report
    assert json.loads((out / "timing.json").read_text()).keys() == {"lora", "full", "scratch"}


def test_settings_are_recorded_as_they_were_trained_with(place: Place) -> None:
    config = CONFIG | {"lora": {**CONFIG["lora"], "targets": ["query", "value"]}}
    report, out = place.run(["lora"], config=config)
    assert arms_of(report)["lora"].settings["targets"] == ["query", "value"]
    assert arms_of(report)["lora"].trained_parameters == 2 * 2 * 2 * 32 * 4 + 2 * 32 + 2
    assert FinetuneReport.read(out) == report


def test_a_kept_model_scores_what_the_report_says(place: Place) -> None:
    report, out = place.run(["full"], ["scratch"])
    rows = read_examples(place.data, "target", ["validation"], ["negative", "positive"])
    for name in ("full", "scratch"):
        arm, model = arms_of(report)[name], AdaptedModel.load(out / "arms" / name / "model")
        assert arm.precision == ("bf16" if name == "full" else "fp32"), "trained as it was calibrated"
        assert model.precision == "fp32", "but it predicts as the frozen model does that it is compared with"
        logits = model.logits(rows.texts)
        assert score("macro_f1", rows.labels, logits.argmax(axis=1), 2) == arm.score.point
        assert model.temperature == pytest.approx(fit_temperature(logits, rows.labels), rel=1e-6)
        assert (model.digest, model.strategy) == (arm.model_digest, name)


def test_every_arm_says_what_it_keeps_of_the_source(place: Place) -> None:
    report, _ = place.run(["lora", "full"])
    arms = list(arms_of(report).values())
    assert [arm.trained_fully for arm in arms].count(False) == 1
    points = {arm.strategy: (arm.source_change.point, arm.score.point) for arm in arms}
    assert points["frozen"][0] == 0.0
    assert any(kept != 0.0 for kept, _ in points.values())
    for arm in arms:
        kept, gained = points[arm.strategy]
        beaten = any(a >= kept and b >= gained and (a, b) != (kept, gained) for a, b in points.values())
        assert arm.on_front != beaten


class Diverging(InProcessTrainer):
    """Diverges above a rate, as a real training does, but at a rate that is known."""

    def __init__(self, above: float) -> None:
        super().__init__()
        self.above = above

    def train(self, job: Job, *, progress: Progress = silent) -> TrainResult:
        if job.settings["learning_rate"] > self.above:
            raise ModelError("E-TRAIN-003", "training diverged")
        return super().train(job, progress=progress)


def test_a_training_that_diverges_is_tried_again_at_a_lower_rate(place: Place) -> None:
    place.trainer = Diverging(1.2e-3)
    report, _ = place.run(["lora", "full"], ["scratch"])
    said = [fields for event, fields in place.events if event == "diverged"]
    assert {fields["strategy"] for fields in said} == {"lora", "full", "scratch"}
    assert all("training diverged" in fields["says"] for fields in said)
    for name, retries in {"lora": 2, "full": 1, "scratch": 1}.items():
        rate = CONFIG[name]["learning_rate"] / 3**retries
        assert arms_of(report)[name].settings["learning_rate"] == pytest.approx(rate)


def test_a_training_that_always_diverges_is_an_error(place: Place) -> None:
    place.trainer = Diverging(1e-9)
    with pytest.raises(ModelError) as caught:
        place.run(["full"])
    assert caught.value.code == "E-TRAIN-003"
    assert [event for event, _ in place.events].count("diverged") == 2


def test_one_arm_needs_no_rung(place: Place) -> None:
    report, _ = place.run(["lora"])
    assert arms_of(report)["lora"].rung_scores == []
    assert arms_of(report)["lora"].settings["schedule"] == "linear"
    assert {fields["schedule"] for event, fields in place.events if event == "epoch"} == {"linear"}


def test_rungs_stay_at_the_peak_whatever_the_schedule(place: Place) -> None:
    report, _ = place.run(["lora", "full"], ["scratch"], config=CONFIG | {"schedule": "cosine"})
    epochs = [fields for event, fields in place.events if event == "epoch"]
    fully = {arm.strategy for arm in report.arms if arm.trained_fully and arm.epochs}
    assert {e["strategy"] for e in epochs if e["schedule"] == "constant"} == {"lora", "full"}
    assert {e["strategy"] for e in epochs if e["schedule"] == "cosine"} == fully
    expected = {name: "cosine" if name in fully else "constant" for name in ("lora", "full", "scratch")}
    assert {name: arms_of(report)[name].settings["schedule"] for name in expected} == expected


def test_frozen_stands_for_the_stored_baseline(place: Place) -> None:
    arm = arms_of(place.run(["full"])[0])["frozen"]
    stored = BaselineReport.read(place.root / "baseline")
    assert arm.score.point == stored.validation_score.point
    assert arm.model_digest == stored.model_digest
    assert (arm.epochs, arm.expected_seconds, arm.trained_fully) == (0, 0.0, True)


def test_a_wide_tolerance_hands_on_the_cheapest(place: Place) -> None:
    report, _ = place.run(["full"], min_gain=1.0)
    assert report.chosen == "frozen"
    assert report.rule.rule == "R8"


def test_the_best_wins_when_the_cheap_one_may_be_worse(place: Place) -> None:
    path = place.root / "baseline" / "validation.safetensors"
    truth = read_examples(place.data, "target", ["validation"], ["negative", "positive"]).labels
    save_file({"logits": np.eye(2, dtype=np.float32)[1 - truth]}, path)
    report, _ = place.run(["full"])
    assert report.chosen == "full"
    assert arms_of(report)["frozen"].against_best.high < 0


def test_the_chosen_arm_is_trained_again_with_further_seeds(place: Place) -> None:
    config = CONFIG | {"seed": 5}
    alone, _ = place.run(["full"], config=config)
    place.seeds = 3
    report, out = place.run(["full"], ["scratch"], config=config)
    arms = arms_of(report)
    assert report.chosen == "full"
    assert [run.seed for run in arms["full"].seeds] == [6, 7]
    assert arms["scratch"].seeds == []
    # what is handed on is the configured seed's, whatever the others score
    assert arms["full"].model_digest == arms_of(alone)["full"].model_digest
    folders = [out / "arms" / "full" / "seeds" / str(run.seed) / "model" for run in arms["full"].seeds]
    assert [AdaptedModel.load(folder).digest for folder in folders] == [run.model_digest for run in arms["full"].seeds]
    assert len({arms["full"].model_digest, *(run.model_digest for run in arms["full"].seeds)}) == 3
    # a further seed is what a run with that seed would have trained
    other, _ = place.run(["full"], config=CONFIG | {"seed": 6}, checkpoints="other seed")
    assert arms_of(other)["full"].model_digest == arms["full"].seeds[0].model_digest
    assert "full.seeds" in json.loads((out / "timing.json").read_text())


def test_a_further_seed_that_diverges_is_told_and_ends_nothing(place: Place) -> None:
    place.seeds = 3
    place.trainer = DivergesWith(InProcessTrainer(), seed=1)
    report, out = place.run(["full"])
    runs = arms_of(report)["full"].seeds
    assert [(run.seed, run.score is None, run.model_digest is None) for run in runs] == [
        (1, True, True),
        (2, False, False),
    ]
    assert sorted(path.name for path in (out / "arms" / "full" / "seeds").iterdir()) == ["2"]
    assert any(event == "diverged" and "seed 1 is left out" in fields["says"] for event, fields in place.events)


def test_a_frozen_choice_has_no_seeds_to_train(place: Place) -> None:
    place.seeds = 3
    report, out = place.run(["full"], min_gain=1.0)
    assert report.chosen == "frozen"
    assert all(not arm.seeds for arm in report.arms)
    assert "full.seeds" not in json.loads((out / "timing.json").read_text())


def fingerprint(out: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(out)): p.read_bytes()
        for p in sorted(out.rglob("*"))
        if p.is_file() and p.name != "timing.json"
    }


@pytest.mark.parametrize(
    ("schedule", "strategy", "epoch"), [("constant", "full", 1), ("linear", None, 2), ("linear", "scratch", 3)]
)
def test_a_killed_run_ends_the_same_and_repeats_nothing(
    schedule: str, strategy: str | None, epoch: int, place: Place
) -> None:
    expected, reference = place.run(["lora", "full"], ["scratch"], checkpoints="undisturbed")
    done: list[tuple[str, str, int]] = []

    def kill(event: str, fields: dict[str, Any]) -> bool:
        if event != "epoch":
            return False
        done.append((fields["schedule"], fields["strategy"], fields["epoch"]))
        return (fields["schedule"], fields["epoch"]) == (schedule, epoch) and strategy in {None, fields["strategy"]}

    with pytest.raises(Killed):
        place.run(["lora", "full"], ["scratch"], kill=kill)
    report, out = place.run(["lora", "full"], ["scratch"])
    again = {(f["schedule"], f["strategy"], f["epoch"]) for event, f in place.events if event == "epoch"}
    assert not again & set(done)
    assert report == expected
    assert fingerprint(out) == fingerprint(reference)


def test_validation_logits_of_other_data_are_refused(place: Place) -> None:
    save_file({"logits": np.zeros((3, 2), dtype=np.float32)}, place.root / "baseline" / "validation.safetensors")
    with pytest.raises(IntegrityError) as caught:
        place.run(["full"])
    assert caught.value.code == "E-TRAIN-020"


@pytest.mark.parametrize("damage", ["absent", "cut", "of another model"])
def test_a_damaged_probe_is_refused(place: Place, damage: str) -> None:
    path = place.root / "baseline" / PROBE
    content = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[:-8])
    if damage == "of another model":
        write_head(np.zeros((2, 7)), np.zeros(2), path)
    with pytest.raises(IntegrityError) as caught:
        place.run(["full"])
    assert caught.value.code == "E-TRAIN-020"
    assert PROBE in str(caught.value.where) or "head of shape" in str(caught.value)
