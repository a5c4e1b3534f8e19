"""Many promote at once on a real server, and others move the alias by hand in between (P2)."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from acclimate.adapters.mlflow_registry import MlflowRegistry, open_registry
from acclimate.adapters.mlflow_verdicts import store_verdict
from acclimate.errors import IntegrityError
from tests.contract import registry_race
from tests.contract.registry_race import race
from tests.run_records import digest, run_records, verdict_of
from tests.servers import mlflow_server

NAME = "raced"


def candidates(registry: MlflowRegistry, folder: Path, number: int) -> list[Any]:
    """Registered versions, with the run each was made by."""
    made = []
    for i in range(number):
        records = run_records(f"candidate {i}", name=NAME, model_digest=digest(f"candidate {i}"))
        weights = folder / f"weights {i}"
        weights.mkdir()
        (weights / "config.json").write_text(str(i))
        run_id = registry.record_run(records)
        uri = registry.log_model(run_id, records, weights)
        registry.register(records, run_id, uri, verdict_of(records), auto_promote=False)
        made.append((records, run_id))
    return made


def judge_against(registry: MlflowRegistry, made: list[Any], champion: int | None) -> list[int]:
    """Each version but the champion gets a verdict that compared it with the champion; gives their numbers."""
    comparator = "baseline" if champion is None else f"champion models:/{NAME}/{champion}"
    judged = []
    connection = registry._connection
    by_key = {one.run_key: one.version for one in registry.versions(NAME)}
    for records, run_id in made:
        version = by_key[records.run_key]
        if version != champion:
            verdict = verdict_of(records).model_copy(update={"comparator": comparator})
            sha256 = store_verdict(connection, run_id, verdict)
            connection.client.set_model_version_tag(NAME, str(version), "acclimate.verdict_sha256", sha256)
            judged.append(version)
    return judged


@pytest.mark.slow
@pytest.mark.parametrize(("racers", "rounds"), [(4, 1), pytest.param(16, 50, marks=pytest.mark.timeout(5400))])
def test_of_all_that_promote_at_once_one_becomes_champion(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch, racers: int, rounds: int
) -> None:
    place = f"s3://{bucket}/promotions"
    with mlflow_server(tmp_path / "server", f"s3://{bucket}/artifacts") as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        registry = open_registry(uri, tmp_path, place)
        made = candidates(registry, tmp_path, racers + 1)
        champion, winners = None, []
        for turn in range(rounds):
            versions = judge_against(registry, made, champion)[:racers]
            jobs = [[uri, str(tmp_path), place, f"{NAME}/{version}"] for version in versions]
            said = race(registry_race.promote, jobs)
            found = registry.promotions(NAME)
            assert sorted(said) == sorted([str(found.champion), *["E-REGISTRY-020"] * (len(jobs) - 1)]), turn
            assert (found.pointed, found.unfinished, found.moved_by_hand) == (found.champion, None, False)
            assert found.champion in versions
            last = found.log.entries[-1]
            assert (last.champion_before, last.champion_after) == (champion, found.champion), turn
            champion = found.champion
            winners.append(champion)
            print(f"round {turn}: of {len(jobs)} version {champion} won", flush=True)
            if turn % 2:
                _moved_by_hand(registry, made, champion, uri, tmp_path, place)
        promoted = [entry.version for entry in registry.promotions(NAME).log.entries if entry.act == "promote"]
        assert promoted == winners


@pytest.mark.slow
@pytest.mark.timeout(5400)
@pytest.mark.parametrize(("racers", "rounds"), [(3, 1), (8, 30)])
def test_a_hand_amid_the_race_makes_nobody_champion_of_the_log(tmp_path: Path, racers: int, rounds: int) -> None:
    place, draws = str(tmp_path / "promotions"), random.Random(racers)
    with mlflow_server(tmp_path / "server", str(tmp_path / "artifacts")) as uri:
        registry = open_registry(uri, tmp_path, place)
        made = candidates(registry, tmp_path, racers + 2)
        (first, *_) = judge_against(registry, made, None)
        registry.promote(f"{NAME}/{first}", "ann", "the first", None)
        champion: int | None = first
        for turn in range(rounds):
            *versions, thrust = judge_against(registry, made, champion)[: racers + 1]
            before = len(registry.promotions(NAME).log.entries)
            seconds = str(draws.random() * racers)
            jobs = [[uri, str(tmp_path), place, f"{NAME}/{version}", ""] for version in versions]
            jobs.append([uri, str(tmp_path), place, f"{NAME}/{thrust}", seconds])
            *said, _ = race(registry_race.promote_or_meddle, jobs)
            found = registry.promotions(NAME)
            new = found.log.entries[before:]
            won = [str(entry.champion_after) for entry in new]
            assert len(won) <= 1, (turn, said)
            assert set(won) <= {str(version) for version in versions}, (turn, said)
            assert {entry.champion_before for entry in new} <= {champion}, (turn, said)
            assert set(said) - {"E-REGISTRY-020", "E-PROMOTE-004"} == set(won), (turn, said)
            assert found.unfinished is None
            assert found.pointed in (found.champion, thrust)
            print(f"round {turn}: by hand after {seconds[:4]} s, {said}, it stayed: {found.moved_by_hand}", flush=True)
            champion = found.champion
            registry.rollback(NAME, "ann", "put back", None, str(champion))
            after = registry.promotions(NAME)
            assert (after.pointed, after.champion, after.moved_by_hand) == (champion, champion, False)


def _moved_by_hand(
    registry: MlflowRegistry, made: list[Any], champion: int | None, uri: str, workspace: Path, place: str
) -> None:
    """Somebody moves the alias in MLflow: nobody overwrites it, until somebody says where it belongs."""
    others = judge_against(registry, made, champion)
    registry._connection.client.set_registered_model_alias(NAME, "champion", str(others[-1]))
    said = race(registry_race.promote, [[uri, str(workspace), place, f"{NAME}/{version}"] for version in others[:3]])
    assert said == ["E-PROMOTE-004"] * 3
    assert registry.promotions(NAME).pointed == others[-1]
    with pytest.raises(IntegrityError):
        registry.rollback(NAME, "ann", "to what?", None, None)
    registry.rollback(NAME, "ann", "put back", None, str(champion))
    assert registry.promotions(NAME).pointed == champion
