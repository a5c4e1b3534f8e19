"""What stages are keyed by: all that they read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from acclimate.adapters.local_store import LocalStore
from acclimate.config import Adaptation
from acclimate.errors import UnavailableError
from acclimate.execution import Context, Request, Work, execute
from acclimate.nn.description import SKETCH_FILE
from acclimate.records import Calibration, DataCard, InputFile, StoredRecord
from acclimate.registry import RegisteredVersion
from acclimate.stage_work import measures, training, verdicts
from acclimate.stage_work.measures import baseline_work, decide_work
from acclimate.stage_work.training import finetune_work
from acclimate.stage_work.verdicts import Folders, evaluate_work, judge_and_register, register_work
from tests.run_records import run_records

STORED = Calibration(
    machine="", source_digest="", precision={"features": "fp32"}, gemm_tflops={}, rows_per_second={"features": 1.0}
)


@pytest.fixture
def context_of(tmp_path: Path, tiny_source: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Context]:
    for module in (measures, training):
        monkeypatch.setattr(module, "calibration_of", lambda *_: STORED)
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


def test_other_near_duplicates_are_evaluated_anew(context_of: Callable[..., Context], toy_data: Path) -> None:
    """The evaluation hands their number on to the gate."""
    context = context_of()
    before = evaluated(context, toy_data).key
    changed(DataCard.read(toy_data), "target", near_duplicates_across_splits=7).write(toy_data)
    assert evaluated(context, toy_data).key != before


@pytest.mark.parametrize("work", [baseline_work, evaluated])
def test_what_an_adapted_source_remembers_is_a_part_of_the_key(
    work: Callable[[Context, Path], Work],
    context_of: Callable[..., Context],
    toy_data: Path,
    tiny_source: Path,
    tmp_path: Path,
) -> None:
    """Its digest is that of what it computes."""
    source = shutil.copytree(tiny_source, tmp_path / "source")
    context = context_of(source={"model": str(source)})
    keys = [work(context, toy_data).key]
    for memory in (b"one", b"two"):
        (source / SKETCH_FILE).write_bytes(memory)
        keys.append(work(context, toy_data).key)
    assert len(set(keys)) == 3


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


RECORDS = run_records()


def finished(context: Context, name: str, record: StoredRecord, **values: Any) -> Path:
    """A finished stage that has written a record."""

    def call(out: Path) -> dict[str, Any]:
        record.write(out)
        return values

    return execute(context, Work(name, "acclimate.errors", {"record": record.model_dump(mode="json"), **values}, call))


def folders_of(context: Context, card: DataCard, *, champion: int | None = None) -> Folders:
    """A run's finished stages; the frozen model is the candidate."""
    baseline = finished(context, "baseline", RECORDS.baseline)
    return Folders(
        data=finished(context, "ingest", card),
        gap=finished(context, "gap", RECORDS.gap),
        baseline=baseline,
        decision=finished(context, "decide", RECORDS.decision),
        candidate=baseline,
        evaluation=finished(context, "evaluate", RECORDS.evaluation, champion=champion),
    )


def with_pool(card: DataCard) -> DataCard:
    return card.model_copy(update={"pool": card.target.model_copy(update={"labels": None})})


def changed(card: DataCard, table: str, **changes: Any) -> DataCard:
    return card.model_copy(update={table: getattr(card, table).model_copy(update=changes)})


def judging_keys(context: Context, card: DataCard) -> tuple[str, str]:
    """Keys of decide, whose rules stop a run for its data, and of register, whose gate rejects it."""
    found = folders_of(context, card)
    return decide_work(context, found.data, found.gap, found.baseline).key, register_work(context, found).key


def test_register_is_keyed_by_the_words_of_the_card_where_there_are_any(context_of: Callable[..., Context]) -> None:
    def made_of(**sections: Any) -> dict[str, Any]:
        context = context_of(**sections)
        return register_work(context, folders_of(context, RECORDS.data)).made_of

    words = {"not_for": ["chats"]}
    assert "card" not in made_of(), "who does not use it keeps the keys of earlier releases"
    assert made_of(card=words)["card"] == words


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("target", {"licence": "CC-BY-NC-4.0"}),
        ("pool", {"licence": "CC-BY-NC-4.0"}),
        ("reference", {"licence": "CC-BY-NC-4.0"}),
        ("target", {"near_duplicates_across_splits": 7}),
    ],
)
def test_what_is_known_of_the_same_rows_is_judged_again_once_it_changes(
    context_of: Callable[..., Context], table: str, change: dict[str, Any]
) -> None:
    context, card = context_of(), with_pool(RECORDS.data)
    before = judging_keys(context, card)
    assert judging_keys(context, card) == before
    after = judging_keys(context, changed(card, table, **change))
    assert after[0] != before[0]
    assert after[1] != before[1]


def test_the_same_rows_from_elsewhere_are_not_judged_again(context_of: Callable[..., Context]) -> None:
    context = context_of()
    here, there = (
        changed(
            RECORDS.data,
            "target",
            files=[InputFile(uri=uri, sha256="0" * 64, size_bytes=1)],
            warnings=[f"1 row has an empty text and was dropped, the first at {uri}:3"],
        )
        for uri in ("mail.csv", "s3://bucket/mail.csv")
    )
    assert judging_keys(context, here) == judging_keys(context, there)


def test_another_licence_of_the_source_is_judged_again(context_of: Callable[..., Context], tiny_source: Path) -> None:
    keys = {
        licence: judging_keys(context_of(source={"model": str(tiny_source), "licence": licence}), RECORDS.data)
        for licence in ("MIT", "CC-BY-NC-4.0")
    }
    assert keys["MIT"][1] != keys["CC-BY-NC-4.0"][1]


def test_every_record_that_is_registered_is_in_registers_key(context_of: Callable[..., Context]) -> None:
    context = context_of()
    found = folders_of(context, RECORDS.data)
    before = register_work(context, found).key
    other = {
        "gap": finished(context, "gap", RECORDS.gap.model_copy(update={"notes": ["another"]})),
        "decision": finished(context, "decide", RECORDS.decision.model_copy(update={"reason": "another"})),
        "evaluation": finished(context, "evaluate", RECORDS.evaluation.model_copy(update={"size_bytes": 7})),
    }
    for name, folder in other.items():
        assert register_work(context, replace(found, **{name: folder})).key != before, name


def test_a_candidate_is_not_evaluated_once_more_where_nobody_would_look_at_it(
    context_of: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody promotes another version whenever this run looks."""
    context, evaluated_with, seen = context_of(), [], count(1)

    def versions(_: Context) -> list[RegisteredVersion]:
        return [RegisteredVersion("n", next(seen), "another run", "PROMOTE", ("champion",), {})]

    def evaluation(_c: Context, _d: Path, _b: Path, _m: Path, champion: RegisteredVersion | None) -> Work:
        assert champion is not None

        def call(out: Path) -> dict[str, Any]:
            evaluated_with.append(champion.version)
            RECORDS.evaluation.write(out)
            return {"champion": champion.version}

        return Work("evaluate", "acclimate.errors", {"champion": champion.version}, call)

    monkeypatch.setattr(verdicts, "live_versions", versions)
    monkeypatch.setattr(verdicts, "evaluate_work", evaluation)
    with pytest.raises(UnavailableError) as caught:
        judge_and_register(context, folders_of(context, RECORDS.data))
    assert caught.value.code == "E-REGISTRY-020"
    assert evaluated_with == [1]
