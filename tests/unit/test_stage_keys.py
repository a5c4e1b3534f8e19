"""What finetune, evaluate and register are keyed by: all that they read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acclimate.adapters.local_store import LocalStore
from acclimate.config import Adaptation
from acclimate.execution import Context, Request, Work, execute
from acclimate.records import Calibration, DataCard
from acclimate.stage_work import training, verdicts
from acclimate.stage_work.training import finetune_work
from acclimate.stage_work.verdicts import Folders, evaluate_work, register_work
from tests.run_records import run_records

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


def test_register_is_keyed_by_the_words_of_the_card_where_there_are_any(
    context_of: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdicts, "records_of", lambda *_: run_records())
    folders = Folders(*(stage(context_of(), name) for name in ("a", "b", "c", "d", "e", "f")))

    def made_of(**sections: Any) -> dict[str, Any]:
        return register_work(context_of(**sections), folders).made_of

    words = {"not_for": ["chats"]}
    assert "card" not in made_of(), "who does not use it keeps the keys of earlier releases"
    assert made_of(card=words) == {**made_of(), "card": words}
