"""What finetune and evaluate are keyed by: all that they read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acclimate.adapters.local_store import LocalStore
from acclimate.config import Adaptation
from acclimate.execution import Context, Request, Work, execute
from acclimate.records import Calibration, DataCard
from acclimate.stage_work import training
from acclimate.stage_work.training import finetune_work
from acclimate.stage_work.verdicts import evaluate_work

STORED = Calibration(
    machine="", source_digest="", precision={"features": "fp32"}, gemm_tflops={}, rows_per_second={"features": 1.0}
)


@pytest.fixture
def context_of(tmp_path: Path, tiny_source: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Context]:
    monkeypatch.setattr(training, "calibration_of", lambda *_: STORED)
    workspace = tmp_path / "workspace"
    store = LocalStore(workspace)

    def make(**sections: Any) -> Context:
        given = {"name": "n", "source": {"model": str(tiny_source)}, "target": {"data": "d.csv"}, **sections}
        request = Request(Adaptation.model_validate(given), tmp_path, str(workspace), allow_outside=True)
        return Context(request, "run", store)

    return make


def stage(context: Context, name: str) -> Path:
    return execute(context, Work(name, "acclimate.errors", {"data": "a"}, lambda _: {}))


def finetuned(context: Context, data: Path) -> Work:
    return finetune_work(context, data, stage(context, "baseline"), stage(context, "decide"))


def evaluated(context: Context, data: Path) -> Work:
    baseline = stage(context, "baseline")
    return evaluate_work(context, data, baseline, baseline, None)


@pytest.mark.parametrize("work", [finetuned, evaluated])
def test_another_reference_is_another_key(
    work: Callable[[Context, Path], Work], context_of: Callable[..., Context], toy_data: Path
) -> None:
    """Both measure what a model still knows of it."""
    context = context_of()
    before = work(context, toy_data).key
    assert work(context, toy_data).key == before
    card = DataCard.read(toy_data)
    assert card.reference is not None
    card.model_copy(update={"reference": card.reference.model_copy(update={"digest": "another"})}).write(toy_data)
    assert work(context, toy_data).key != before


def test_trainings_that_differ_in_a_seed_have_checkpoints_of_their_own(
    context_of: Callable[..., Context], toy_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is pulled from the store when the stage starts; nothing is trained here."""
    asked: list[str] = []

    class Asked(Exception):
        """Stands for the rest of the stage."""

    def pull(_: LocalStore, name: str) -> Path:
        asked.append(name)
        raise Asked

    monkeypatch.setattr(LocalStore, "pull", pull)
    for seed in (0, 1, 0):
        with pytest.raises(Asked):
            finetuned(context_of(finetune={"seed": seed}), toy_data).call(toy_data)
    assert asked[0] == asked[2] != asked[1]
