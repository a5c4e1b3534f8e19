"""The registry on a real MLflow server that asks everybody for name and password."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from acclimate.adapters.mlflow_client import connect
from acclimate.adapters.mlflow_errors import shown
from acclimate.adapters.mlflow_registry import MlflowRegistry, open_registry
from acclimate.config_file import load_config
from acclimate.diagnosis import doctor, doctor_text
from acclimate.errors import AccessError, AcclimateError, ConfigError, UnavailableError
from acclimate.records import Registration
from acclimate.registry import RunRecords
from tests.pipeline.project import Project
from tests.run_records import run_records, verdict_of
from tests.servers import Accounts, mlflow_server

pytest.importorskip("flask_wtf", reason="a server with accounts needs Flask-WTF: see constraints/dev.txt")

NAME = "shared-mail"
BOSS = Accounts("boss", "canary'/@%41xylem")
STALE = "canary' of yesterday, xylem"
REFUSED_SECONDS = 10

Login = Callable[[str | None, str | None], None]


@dataclass(frozen=True)
class Server:
    """A server with one registered model, and its admin's ways to make and trust others."""

    address: str
    model: Path
    done: Registration

    def open(self, home: Path) -> MlflowRegistry:
        return open_registry(self.address, home)

    def create(self, user: str, *granted: tuple[str, str, str]) -> None:
        """Make an account and grant it permissions, each on the kind and name of a thing, as the admin."""
        self.ask("2.0/mlflow/users/create", username=user, password=password_of(user))
        for permission, kind, name in granted:
            place = name if kind != "experiment" else self.experiment(name)
            what = {"resource_type": kind, "resource_id": place, "permission": permission}
            self.ask("3.0/mlflow/users/permissions/grant", username=user, **what)

    def experiment(self, name: str) -> str:
        found = self.ask("2.0/mlflow/experiments/search", filter=f"name = '{name}'", max_results=1)
        return str(found["experiments"][0]["experiment_id"])

    def ask(self, route: str, **given: object) -> dict[str, Any]:
        # mlflow's own client of this part can't be imported without the whole server
        answer = requests.post(f"{self.address}/api/{route}", json=given, auth=(BOSS.admin, BOSS.password), timeout=60)
        assert answer.ok, answer.text
        return dict(answer.json()) if answer.content else {}

    def with_login(self, user: str, password: str) -> str:
        return self.address.replace("://", f"://{user}:{quote(password, safe='')}@")


def log_in(environment: pytest.MonkeyPatch, user: str | None, password: str | None) -> None:
    for name, value in (("MLFLOW_TRACKING_USERNAME", user), ("MLFLOW_TRACKING_PASSWORD", password)):
        if value is None:
            environment.delenv(name, raising=False)
        else:
            environment.setenv(name, value)


def register(registry: MlflowRegistry, records: RunRecords, folder: Path) -> Registration:
    run_id = registry.record_run(records)
    uri = registry.log_model(run_id, records, folder)
    return registry.register(records, run_id, uri, verdict_of(records), auto_promote=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def password_of(user: str) -> str:
    return f"canary of {user}, xylem"


def said(error: AcclimateError) -> str:
    return f"{error} {json.dumps(error.to_dict())}"


def assert_hidden(text: str) -> None:
    """No password is in a text, nor half of one; each here holds both words, and what is special between them."""
    assert "canary" not in text
    assert "xylem" not in text


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("accounts")
    model = folder / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "bert"}')
    (model / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    with mlflow_server(folder / "server", str(folder / "artifacts"), BOSS) as address:
        with pytest.MonkeyPatch.context() as environment:
            log_in(environment, BOSS.admin, BOSS.password)
            done = register(open_registry(address, folder), run_records(name=NAME), model)
        yield Server(address, model, done)


@pytest.fixture
def login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Login:
    """Sets who asks; nobody at first."""
    # MLflow and requests would look for others in ~/.mlflow/credentials and ~/.netrc
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    log_in(monkeypatch, None, None)
    return lambda user, password: log_in(monkeypatch, user, password)


# --- who may do what --------------------------------------------------------------------------


def test_with_name_and_password_a_model_goes_the_whole_way(server: Server, login: Login, tmp_path: Path) -> None:
    login(BOSS.admin, BOSS.password)
    registry = server.open(tmp_path)
    done = register(registry, run_records(name="whole-way"), server.model)
    assert (done.version, done.aliases) == (1, ["challenger", "champion"])
    champion = registry.champion("whole-way")
    assert champion is not None
    assert champion.model_uri == done.model_uri
    fetched = registry.fetch("models:/whole-way@champion", tmp_path / "fetched")
    assert contents(fetched) == contents(server.model)


@pytest.mark.parametrize(("user", "password"), [(BOSS.admin, STALE), ("nobody", STALE), (None, None)])
@pytest.mark.parametrize(
    "operation",
    [
        lambda registry, into: registry.versions(NAME),
        lambda registry, into: registry.fetch(f"models:/{NAME}@champion", into),
        lambda registry, into: registry.record_run(run_records(name=NAME)),
    ],
    ids=["versions", "fetch", "record_run"],
)
def test_who_does_not_belong_is_refused_at_once_with_what_to_do(
    server: Server,
    login: Login,
    tmp_path: Path,
    user: str | None,
    password: str | None,
    operation: Callable[[MlflowRegistry, Path], object],
) -> None:
    login(user, password)
    started = time.monotonic()
    with pytest.raises(AccessError) as caught:
        operation(server.open(tmp_path), tmp_path / "fetched")
    assert time.monotonic() - started < REFUSED_SECONDS
    assert (caught.value.code, caught.value.exit_code) == ("E-REGISTRY-002", 77)
    assert "MLFLOW_TRACKING_PASSWORD" in caught.value.hint
    assert_hidden(said(caught.value))


def test_an_account_that_may_read_the_model_and_its_experiment_reads_and_changes_nothing(
    server: Server, login: Login, tmp_path: Path
) -> None:
    server.create("reader", ("READ", "registered_model", NAME), ("READ", "experiment", NAME))
    login("reader", password_of("reader"))
    registry = server.open(tmp_path)
    before = registry.versions(NAME)
    assert [version.aliases for version in before] == [("challenger", "champion")]
    fetched = registry.fetch(f"models:/{NAME}@champion", tmp_path / "fetched")
    assert contents(fetched) == contents(server.model)
    known = run_records(name=NAME)
    for change in (
        lambda: register(registry, run_records("another", name=NAME), server.model),
        lambda: register(registry, run_records(name="readers-own"), server.model),
        lambda: registry.log_model(server.done.mlflow_run_id, known, server.model.parent / "server"),
    ):
        with pytest.raises(AccessError) as caught:
            change()
        assert (caught.value.code, caught.value.exit_code) == ("E-REGISTRY-002", 77)
        assert "lacks the permission" in caught.value.hint
        assert_hidden(said(caught.value))
    assert registry.versions(NAME) == before


def test_an_account_that_may_read_the_model_alone_is_told_what_its_bytes_need(
    server: Server, login: Login, tmp_path: Path
) -> None:
    server.create("looker", ("READ", "registered_model", NAME))
    login("looker", password_of("looker"))
    registry = server.open(tmp_path)
    assert [version.version for version in registry.versions(NAME)] == [1]
    with pytest.raises(AccessError) as caught:
        registry.fetch(f"models:/{NAME}@champion", tmp_path / "fetched")
    assert caught.value.code == "E-REGISTRY-002"
    assert "READ on the model and its experiment" in caught.value.hint
    assert_hidden(said(caught.value))


def test_a_second_account_registers_where_it_may_write_what_all_share(
    server: Server, login: Login, tmp_path: Path
) -> None:
    """What all share: the source model with its experiment, the tickets for aliases, and what was recalled."""
    shared = [
        ("EDIT", "registered_model", "source--tiny-bert"),
        ("EDIT", "experiment", "source-models"),
        ("MANAGE", "registered_model", "acclimate--locks"),
    ]
    server.create("newcomer", *shared)
    login("newcomer", password_of("newcomer"))
    with pytest.raises(AccessError) as caught:
        register(server.open(tmp_path), run_records("newest", name="newest-mail"), server.model)
    assert (caught.value.code, "READ on the registered model acclimate--recalls" in caught.value.hint) == (
        "E-RECALL-004",
        True,
    )
    server.create("colleague", *shared, ("READ", "registered_model", "acclimate--recalls"))
    login("colleague", password_of("colleague"))
    registry = server.open(tmp_path)
    done = register(registry, run_records("theirs", name="their-mail"), server.model)
    assert (done.version, done.aliases) == (1, ["challenger", "champion"])
    fetched = registry.fetch("models:/their-mail@champion", tmp_path / "fetched")
    assert contents(fetched) == contents(server.model)


# --- name and password in the address ---------------------------------------------------------


def test_an_address_may_hold_name_and_password_and_shows_them_nowhere(
    server: Server, login: Login, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.with_login(BOSS.admin, BOSS.password))
    registry = open_registry(None, tmp_path)
    done = register(registry, run_records(name="by-address"), server.model)
    fetched = registry.fetch("models:/by-address@champion", tmp_path / "fetched")
    assert contents(fetched) == contents(server.model)
    assert (registry.uri, done.tracking_uri) == (server.address, server.address)
    run = connect(None, tmp_path).client.get_run(done.mlflow_run_id)
    assert_hidden(f"{done} {run.data.tags} {run.data.params} {registry.versions('by-address')}")


def test_a_wrong_password_in_the_address_is_refused_and_not_shown(server: Server, login: Login, tmp_path: Path) -> None:
    with pytest.raises(AccessError) as caught:
        open_registry(server.with_login(BOSS.admin, STALE), tmp_path).versions(NAME)
    assert (caught.value.code, caught.value.where) == ("E-REGISTRY-002", server.address)
    assert_hidden(said(caught.value))


@pytest.mark.parametrize("special", ["'", '"', "@", ":", "%2F", "%5B", "%20"])
def test_an_address_that_nobody_answers_at_is_named_without_its_password(
    login: Login, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, special: str
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UnavailableError) as caught:
        open_registry(f"http://boss:canary{special}xylem@127.0.0.1:1/path", tmp_path).versions(NAME)
    assert (caught.value.code, caught.value.where) == ("E-REGISTRY-001", "http://127.0.0.1:1/path")
    assert_hidden(said(caught.value))


@pytest.mark.parametrize("special", ["/", "#", "?", " ", "[", "℀"])
def test_an_address_in_which_a_password_breaks_off_is_refused_with_the_way_to_write_it(
    login: Login, tmp_path: Path, special: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        open_registry(f"http://boss:canary{special}xylem@127.0.0.1:1", tmp_path)
    assert (caught.value.code, caught.value.exit_code) == ("E-REGISTRY-017", 2)
    assert "%2F" in caught.value.hint
    assert_hidden(said(caught.value))


def test_of_a_database_the_host_is_shown_whatever_its_password_holds() -> None:
    for special in ("/", "?", "#", "@"):
        assert shown(f"postgresql://boss:canary{special}xylem@db:5432/mlflow") == "postgresql://db:5432/mlflow"


# --- the command line -------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, tiny_source: Path) -> Project:
    return Project(tmp_path / "project", tiny_source).write_rows(400)


def name_server(project: Project, address: str) -> Path:
    path = project.folder / "adaptation.yaml"
    path.write_text(f"{path.read_text()}tracking: {{uri: {json.dumps(address)}}}\n")
    return path


def test_a_file_may_not_hold_name_and_password(server: Server, project: Project) -> None:
    path = name_server(project, server.with_login(BOSS.admin, BOSS.password))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert "secret" in str(caught.value)
    assert "tracking.uri" in said(caught.value)
    assert_hidden(said(caught.value))


def test_doctor_tells_right_from_wrong_credentials(server: Server, login: Login, project: Project) -> None:
    path = name_server(project, server.address)
    login(BOSS.admin, BOSS.password)
    found = doctor(path)
    assert found["healthy"], doctor_text(found)
    assert registry_check(found)["says"] == "MLflow answers"
    login(BOSS.admin, STALE)
    found = doctor(path)
    check = registry_check(found)
    assert not found["healthy"]
    assert (check["ok"], check["says"].split()[0]) == (False, "E-REGISTRY-002")
    assert "MLFLOW_TRACKING_PASSWORD" in check["hint"]
    assert_hidden(json.dumps(found) + doctor_text(found))


def registry_check(found: dict[str, Any]) -> dict[str, Any]:
    return next(check for check in found["checks"] if check["name"] == "registry")


@pytest.mark.parametrize("by_address", [True, False])
def test_a_command_that_is_refused_ends_with_77_and_never_prints_the_password(
    server: Server, login: Login, tmp_path: Path, by_address: bool
) -> None:
    login(*((None, None) if by_address else (BOSS.admin, STALE)))
    address = server.with_login(BOSS.admin, STALE) if by_address else server.address
    environment = {**os.environ, "MLFLOW_TRACKING_URI": address}
    command = [sys.executable, "-m", "acclimate", "models", NAME, "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 77, done.stderr
    assert json.loads(done.stdout)["error"]["code"] == "E-REGISTRY-002"
    assert_hidden(done.stdout + done.stderr)
