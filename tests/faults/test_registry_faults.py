"""The registry keeps its promises (P1, P2) over a network that loses replies, and when its users are killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acclimate.adapters import mlflow_lock, mlflow_versions
from acclimate.adapters.mlflow_registry import MlflowRegistry
from acclimate.errors import UnavailableError
from tests.contract.registry_race import race
from tests.faults import registrars
from tests.faults.registrars import killed_at, opened, records_of
from tests.faulty_proxy import ALL_METHODS, FaultyProxy, faulty_proxy, hang_up, unreliable
from tests.run_records import verdict_of
from tests.servers import mlflow_server

REGISTRARS = 8
# on a server of its own behind a proxy: minutes, with any number of rounds
pytestmark = pytest.mark.slow
SLOW = [pytest.mark.slow, pytest.mark.timeout(10800)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    with mlflow_server(folder / "server", str(folder / "artifacts")) as uri:
        yield uri


@pytest.fixture(scope="module")
def proxy(server: str) -> Iterator[FaultyProxy]:
    with faulty_proxy(server) as running:
        yield running


@pytest.fixture
def registry(server: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowRegistry:
    """The registry without the proxy."""
    for name, value in registrars.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(mlflow_lock, "STALE_SECONDS", registrars.STALE_SECONDS)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    return opened(server, str(folder))


@pytest.fixture(scope="module")
def weights(folder: Path) -> Path:
    made = folder / "weights"
    made.mkdir()
    (made / "config.json").write_text('{"model_type": "bert"}')
    return made


def stored(registry: MlflowRegistry, name: str, key: str, champion: str, weights: Path) -> list[str]:
    """A run and its model, ready to be registered."""
    records = records_of(name, key, champion)
    run_id = registry.record_run(records)
    return [name, key, champion, registry.log_model(run_id, records, weights), run_id]


def of_key(registry: MlflowRegistry, name: str, key: str) -> list[int]:
    """Versions of a run key as MLflow has them, leftovers too."""
    wanted = records_of(name, key, "").run_key
    found = mlflow_versions.all_versions(registry._connection, name)
    return [one.version for one in found if one.run_key == wanted]


def agrees(registry: MlflowRegistry, name: str, champions: list[int]) -> None:
    """The log has these champions in turn, each once; the aliases and tags say the same."""
    found = registry.promotions(name)
    before = [None, *champions[:-1]]
    moves = [(one.act, one.champion_before, one.champion_after) for one in found.log.entries]
    assert moves == [("promote", *pair) for pair in zip(before, champions, strict=True)]
    settled(registry, name, champions[-1], before[-1])


def settled(registry: MlflowRegistry, name: str, champion: int, succeeded: int | None) -> None:
    """Log, both aliases and the version's tag agree on the champion, and no ticket of a lock is left."""
    found = registry.promotions(name)
    assert (found.champion, found.pointed, found.unfinished) == (champion, champion, None)
    assert not found.moved_by_hand
    version = next(one for one in registry.versions(name) if one.version == champion)
    assert version.aliases == ("challenger", "champion")
    assert version.tags["acclimate.previous_champion"] == ("" if succeeded is None else str(succeeded))
    assert mlflow_lock._tickets(registry._connection, name) == []


@pytest.mark.parametrize("rounds", [1, pytest.param(100, marks=SLOW)])
def test_registrars_that_lose_replies_leave_one_version_a_run_key(
    registry: MlflowRegistry, proxy: FaultyProxy, folder: Path, weights: Path, rounds: int
) -> None:
    name = f"raced-{rounds}"
    champions: list[int] = []
    tally = {"registered": 0, "gave up": 0, "rounds that a rerun finished": 0, "leftovers": 0}
    for turn in range(rounds):
        key = f"round {turn}"
        job = stored(registry, name, key, str(champions[-1]) if champions else "", weights)
        proxy.spoil(unreliable(turn, lost=0.4, late=0.1, twice=0.1), methods=ALL_METHODS)
        said = race(registrars.register, [[proxy.endpoint, str(folder), *job]] * REGISTRARS)
        proxy.heal()
        failed = [one for one in said if not one.isdigit()]
        assert all(" exit 75: " in one or " exit 77: " in one for one in failed), (turn, said)
        live = of_key(registry, name, key)
        named = {int(one) for one in said if one.isdigit()}
        seen = [one.version for one in registry.versions(name) if one.version in live]
        assert seen == live[:1], (turn, said, live)
        assert named <= set(seen), (turn, said, live)
        assert failed or live == list(named), (turn, said, live)
        again = registrars.register(registry.uri, str(folder), *job)()
        assert of_key(registry, name, key) == [int(again)], (turn, said, again)
        assert named <= {int(again)}, (turn, said, again)
        champions.append(int(again))
        agrees(registry, name, champions)
        tally["registered"] += len(said) - len(failed)
        tally["gave up"] += len(failed)
        tally["rounds that a rerun finished"] += not named
        tally["leftovers"] += len(live[1:])
        print(f"round {turn}:", [one[:14] for one in said], f"live {live}", tally, flush=True)


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=SLOW)])
def test_recorders_that_lose_replies_leave_one_run_and_one_below_it_for_each_stage(
    registry: MlflowRegistry, proxy: FaultyProxy, folder: Path, rounds: int
) -> None:
    client = registry._connection.client
    for turn in range(rounds):
        name = f"recorded-{rounds}-{turn}"
        proxy.spoil(unreliable(turn, lost=0.2, late=0.1, twice=0.1), methods=ALL_METHODS)
        said = race(registrars.record, [[proxy.endpoint, str(folder), name]] * REGISTRARS)
        proxy.heal()
        failed = [one for one in said if " exit " in one]
        assert all(" exit 75: " in one or " exit 77: " in one for one in failed), (turn, said)
        again = registry.record_run(records_of(name, name, ""))
        runs = client.search_runs([client.get_experiment_by_name(name).experiment_id])
        of_stage = [one.info.run_name for one in runs if one.data.tags.get("mlflow.parentRunId") == again]
        print(f"round {turn}: {len(failed)} gave up,", sorted(of_stage), f"of {len(runs)} runs", flush=True)
        assert set(of_stage) == {"ingest", "evaluate"}
        assert failed or len(of_stage) == 2, (turn, said, runs)
        # whoever ended well named a run that stayed; a request that was held back may have made it one of two
        assert set(said) - set(failed) <= {one.info.run_id for one in runs}, (turn, said, runs)


def test_while_the_registry_is_down_nobody_becomes_champion(
    registry: MlflowRegistry, proxy: FaultyProxy, folder: Path, weights: Path
) -> None:
    name = "down"
    job = stored(registry, name, "first", "", weights)
    beyond = opened(proxy.endpoint, str(folder))
    *_, model_uri, run_id = job
    records = records_of(name, "first", "")
    proxy.spoil(hang_up, methods=ALL_METHODS)
    with pytest.raises(UnavailableError, match="can't be used now"):
        beyond.register(records, run_id, model_uri, verdict_of(records), auto_promote=True)
    assert registry.versions(name) == []
    registry.register(records, run_id, model_uri, verdict_of(records), auto_promote=False)
    with pytest.raises(UnavailableError, match="can't be used now"):
        beyond.promote(f"{name}/1", "ann", "it is down", None)
    assert registry.promotions(name).log.entries == ()
    proxy.heal()
    assert beyond.promote(f"{name}/1", "ann", "it is back", None).after == 1
    agrees(registry, name, [1])


def test_who_stands_further_back_in_the_queue_asks_less_often(
    registry: MlflowRegistry, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, connection = records_of("queue", "first", ""), registry._connection
    *_, model_uri, run_id = stored(registry, "queue", "first", "", weights)
    registry.register(records, run_id, model_uri, verdict_of(records), auto_promote=False)
    for token in ("holder", "next"):
        mlflow_lock._draw(connection, "queue", token)
    waits = []

    def the_first_goes(seconds: float) -> None:
        waits.append(seconds)
        first, *_ = mlflow_lock._tickets(connection, "queue")
        mlflow_versions.delete_version(connection, mlflow_lock.LOCKS, first.version)

    monkeypatch.setattr(mlflow_lock.time, "sleep", the_first_goes)
    with mlflow_lock.alias_lock(connection, "queue"):
        assert waits == pytest.approx([0.2, 0.1])


def test_a_model_whose_newest_versions_have_no_run_is_rolled_back(registry: MlflowRegistry, weights: Path) -> None:
    name, client = "by-hand", registry._connection.client
    for key, champion in (("first", ""), ("second", "1")):
        records = records_of(name, key, champion)
        *_, model_uri, run_id = stored(registry, name, key, champion, weights)
        registry.register(records, run_id, model_uri, verdict_of(records), auto_promote=True)
    client.create_model_version(name, "s3://elsewhere/model")
    client.create_model_version(name, "s3://elsewhere/model", run_id="0" * 32)
    assert registry.rollback(name, "ann", "slow", None, None).after == 1
    for version in range(1, 5):
        client.delete_model_version(name, str(version))
    assert registry.rollback(name, "ann", "all of it is gone", None, "none").after is None


def moments(requests: list[str], *, reads: bool) -> list[tuple[int, bool]]:
    """When to kill: at which request, and whether the server got it before.

    Args:
        requests: as a whole act sends them.
        reads: also at those that change nothing; else the state they leave is that of the next one that does.
    """
    found = []
    for step, request in enumerate(requests, 1):
        if not request.startswith("GET "):
            found += [(step, False), (step, True)]
        elif reads:
            found.append((step, False))
    return found


@pytest.mark.parametrize("every", [pytest.param(1, marks=SLOW)])
def test_a_register_stage_killed_at_any_request_is_finished_by_the_next(
    registry: MlflowRegistry, proxy: FaultyProxy, folder: Path, weights: Path, every: int
) -> None:
    def job(name: str) -> list[Any]:
        return [proxy.endpoint, str(folder), name, str(weights)]

    proxy.heal()
    assert registrars.whole_stage(*job(f"register-{every}"))() == "1"
    requests = list(proxy.requests)
    all_moments = moments(requests, reads=False)
    for number, (step, done) in enumerate(all_moments[::every], 1):
        name = f"register-{every}-{step}-{int(done)}"
        said = killed_at(proxy, step, registrars.whole_stage, job(name), done=done)
        assert said is None, (step, said)
        left = len(of_key(registry, name, name))
        assert left <= 1
        assert registrars.whole_stage(registry.uri, str(folder), name, str(weights))() == "1", (step, done)
        assert of_key(registry, name, name) == [1]
        agrees(registry, name, [1])
        one_run_and_one_source(registry, name)
        at = f"{number} of {len(all_moments)}: killed at request {step} of {len(requests)}, done: {done}"
        print(f"{at}; versions left: {left}", flush=True)


def one_run_and_one_source(registry: MlflowRegistry, name: str) -> None:
    """One live run of the run key, ended well; one version of the source."""
    client, run_key = registry._connection.client, records_of(name, name, "").run_key
    experiment = client.get_experiment_by_name(name).experiment_id
    (run,) = client.search_runs([experiment], f"tags.`acclimate.run_key` = '{run_key}'")
    assert run.info.status == "FINISHED"
    assert len(registry.versions(f"source--org-{name}")) == 1


@pytest.mark.parametrize("every", [14, pytest.param(1, marks=SLOW)])
def test_a_promotion_killed_at_any_request_is_finished_by_the_next(
    registry: MlflowRegistry, proxy: FaultyProxy, folder: Path, weights: Path, every: int
) -> None:
    name = f"promote-{every}"
    for key, champion in (("first", ""), ("second", "1")):
        records = records_of(name, key, champion)
        *_, model_uri, run_id = stored(registry, name, key, champion, weights)
        registry.register(records, run_id, model_uri, verdict_of(records), auto_promote=not champion)
    job = [proxy.endpoint, str(folder), f"{name}/2"]
    proxy.heal()
    assert registrars.promote(*job)() == "2"
    requests = list(proxy.requests)
    all_moments = moments(requests, reads=True)
    for number, (step, done) in enumerate(all_moments[::every], 1):
        registry.rollback(name, "ann", "the next round", None, None)
        before = registry.promotions(name).log.entries
        assert killed_at(proxy, step, registrars.promote, job, done=done) is None, step
        left = registry.promotions(name)
        assert not left.moved_by_hand, "what a crash left is not taken for somebody's hand"
        assert (left.champion, left.pointed) in ((1, 1), (2, 1), (2, 2))
        assert registry.promote(f"{name}/2", "ann", "better", None).after == 2
        log = registry.promotions(name).log.entries
        assert log[:-1] == before
        assert (log[-1].act, log[-1].champion_before, log[-1].champion_after) == ("promote", 1, 2)
        settled(registry, name, 2, 1)
        at = f"{number} of {len(all_moments)}: killed at request {step} of {len(requests)}, done: {done}"
        shown = f"log {left.champion}, alias {left.pointed}, unfinished {left.unfinished is not None}"
        print(f"{at}; {shown}", flush=True)
