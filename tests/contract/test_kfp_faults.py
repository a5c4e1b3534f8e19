"""Whatever goes wrong with a request that changes something at KFP: one coded error or success, never two effects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from acclimate.adapters.kfp_access import KfpAccess
from acclimate.adapters.kfp_client import Kfp
from acclimate.adapters.kfp_records import PipelineVersion
from acclimate.errors import AccessError, AcclimateError, ConfigError, UnavailableError
from tests.kfp_stub import KfpStub, kfp_server

COMPILED = b"pipelineInfo:\n  name: acclimate-adapt\n---\nplatforms: {}\n"
WHEN = {"cron": "0 0 3 * * *", "description": "made by a test"}


@dataclass
class There:
    """What is at KFP before anything goes wrong."""

    kfp: Kfp
    experiment: str
    version: PipelineVersion
    run: str
    schedule: str


@dataclass(frozen=True)
class Change:
    """A request that changes something.

    Args:
        method: HTTP's.
        path: what its address ends with or holds.
        make: makes it.
        effects: how often it was done, as the server's state shows.
    """

    method: str
    path: str
    make: Callable[[There], Any]
    effects: Callable[[KfpStub], int]


def states(rows: dict[str, dict[str, Any]], key: str, wanted: str) -> int:
    return sum(row[key] == wanted for row in rows.values())


def schedule(there: There) -> str:
    return there.kfp.create_schedule("nightly", there.experiment, there.version, {}, **WHEN).id


CHANGES = {
    "experiment": Change(
        "POST", "/experiments", lambda there: there.kfp.experiment("another"), lambda stub: len(stub.experiments) - 1
    ),
    "pipeline": Change(
        "POST",
        "/pipelines",
        lambda there: there.kfp.pipeline_version("another", COMPILED + b"# other\n"),
        lambda stub: len(stub.pipelines) - 1,
    ),
    "version": Change(
        "POST",
        "/upload_version",
        lambda there: there.kfp.pipeline_version("acclimate-adapt", COMPILED + b"# other\n"),
        lambda stub: len(stub.versions) - 1,
    ),
    "run": Change(
        "POST",
        "/runs",
        lambda there: there.kfp.start_run("mail-2", there.experiment, there.version, {}),
        lambda stub: len(stub.runs) - 1,
    ),
    "cancel": Change(
        "POST",
        ":terminate",
        lambda there: there.kfp.terminate(there.run),
        lambda stub: states(stub.runs, "state", "CANCELED"),
    ),
    "recurring run": Change("POST", "/recurringruns", schedule, lambda stub: len(stub.recurring) - 1),
    "enable": Change(
        "POST",
        ":enable",
        lambda there: there.kfp.switch_schedule(there.schedule, on=True),
        lambda stub: states(stub.recurring, "status", "ENABLED"),
    ),
    "delete": Change(
        "DELETE",
        "/recurringruns/",
        lambda there: there.kfp.delete_schedule(there.schedule),
        lambda stub: 1 - len(stub.recurring),
    ),
}
REFUSALS: dict[str, tuple[type[AcclimateError], str]] = {
    "401": (AccessError, "E-KFP-003"),
    "403": (AccessError, "E-KFP-004"),
    "404": (ConfigError, "E-KFP-006"),
    "409": (ConfigError, "E-KFP-007"),
    "400": (ConfigError, "E-KFP-009"),
    "elsewhere": (ConfigError, "E-KFP-002"),
    "html": (AccessError, "E-KFP-005"),
    "redirect": (AccessError, "E-KFP-005"),
}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's own Kubeflow."""
    for name in ("ENDPOINT", "NAMESPACE", "TOKEN", "TOKEN_FILE", "COOKIES", "CA_FILE"):
        monkeypatch.delenv(f"KFP_{name}", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


@pytest.fixture
def stub() -> Iterator[KfpStub]:
    """A single-user KFP."""
    with kfp_server() as server:
        yield server


@pytest.fixture
def arranged(stub: KfpStub) -> Iterator[Callable[[float], There]]:
    """Puts one of everything at KFP, and gives a client that repeats a call for so many seconds."""

    def arrange(budget_seconds: float) -> There:
        access = KfpAccess.find(stub.endpoint)
        client = stack.enter_context(Kfp(access, budget_seconds=budget_seconds, timeout_seconds=0.4))
        with Kfp(access) as calm:
            experiment = calm.experiment("mail")
            version = calm.pipeline_version("acclimate-adapt", COMPILED)
            run = calm.start_run("mail-1", experiment, version, {})
            made = calm.create_schedule("weekly", experiment, version, {}, **WHEN)
        stub.seen.clear()
        return There(client, experiment, version, run.id, made.id)

    with ExitStack() as stack:
        yield arrange


@pytest.mark.parametrize("kind", ["503", "dropped", "malformed", "truncated", "lost", "late"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_passes_is_absorbed_and_leaves_one_effect(
    arranged: Callable[[float], There], stub: KfpStub, change: str, kind: str
) -> None:
    one, there = CHANGES[change], arranged(5)
    stub.fail(kind, one.method, one.path)
    done = one.make(there)
    assert stub.faults[0].times == 0
    assert one.effects(stub) == 1
    assert done or change in {"enable", "delete"}, "what was made, or that it was stopped, is told"


@pytest.mark.parametrize("kind", REFUSALS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_refusal_is_named_once_and_has_no_effect(
    arranged: Callable[[float], There], stub: KfpStub, change: str, kind: str
) -> None:
    one, there = CHANGES[change], arranged(5)
    stub.fail(kind, one.method, one.path, times=99)
    if (change, kind) == ("delete", "404"):
        one.make(there)  # what is not there need not be deleted
    else:
        error, code = REFUSALS[kind]
        with pytest.raises(error) as caught:
            one.make(there)
        assert caught.value.code == code
        assert caught.value.hint
        assert f"{one.method} {stub.endpoint}" in caught.value.where
    assert stub.asked(one.method, one.path) == 1
    assert one.effects(stub) == 0


@pytest.mark.parametrize(("kind", "code"), [("503", "E-KFP-008"), ("malformed", "E-KFP-010"), ("dropped", "E-KFP-001")])
@pytest.mark.parametrize("change", CHANGES)
def test_what_lasts_is_given_up_without_an_effect(
    arranged: Callable[[float], There], stub: KfpStub, change: str, kind: str, code: str
) -> None:
    one, there = CHANGES[change], arranged(0.3)
    stub.fail(kind, one.method, one.path, times=999)
    with pytest.raises(UnavailableError) as caught:
        one.make(there)
    assert caught.value.code == code
    assert caught.value.hint
    assert one.effects(stub) == 0


@pytest.mark.parametrize("change", CHANGES)
def test_replies_that_are_all_lost_leave_one_effect(
    arranged: Callable[[float], There], stub: KfpStub, change: str
) -> None:
    """What was made is found again by its name; a switch that is never answered ends in an error, done as it is."""
    one, there = CHANGES[change], arranged(0.5)
    stub.fail("lost", one.method, one.path, times=999)
    if change in {"enable", "delete"}:
        with pytest.raises(UnavailableError) as caught:
            one.make(there)
        assert caught.value.code == "E-KFP-001"
    else:
        one.make(there)
    assert one.effects(stub) == 1
