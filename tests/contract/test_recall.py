"""Recalling a source or data on a real MLflow: every live descendant is found, and blocked until it is readmitted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acclimate.adapters.mlflow_client import connect
from acclimate.adapters.mlflow_registry import MlflowRegistry
from acclimate.errors import AcclimateError, ConfigError, IntegrityError, ModelError, RefusalError
from acclimate.promoting import history, promote, recall, recall_text, rollback, shadow
from tests.contract.family import World
from tests.run_records import digest

pytestmark = pytest.mark.usefixtures("no_server")


@pytest.fixture
def world(registry: MlflowRegistry, tmp_path: Path) -> World:
    return World(registry, tmp_path)


@pytest.fixture
def recalled(workspace: Path) -> Callable[..., dict[str, Any]]:
    def call(source: str | None = None, **changes: Any) -> dict[str, Any]:
        options = {"data": None, "act": "list", "by": "ann", "reason": "its licence was withdrawn"}
        return recall(source, workspace=workspace, promotions=None, **{**options, **changes})

    return call


def uris(found: dict[str, Any]) -> list[str]:
    return sorted(one["model_uri"] for one in found["live"])


def refused(kind: type[AcclimateError], code: str, act: Callable[[], object]) -> AcclimateError:
    with pytest.raises(kind) as caught:
        act()
    assert caught.value.code == code
    return caught.value


def test_a_revision_s_descendants_are_found_in_steps_and_no_others(
    world: World, recalled: Callable[..., dict[str, Any]]
) -> None:
    found = recalled(f"{world.source}@1.0")
    assert uris(found) == sorted([world.old, world.chat, world.child, world.grandchild])
    ways = {one["model_uri"]: one["made_from"] for one in found["live"]}
    assert ways[world.grandchild] == f"models:/source--{world.source}/1 > {world.old} > {world.child}"
    assert uris(recalled(f"{world.source}@2.0")) == [world.new]
    assert len(uris(recalled(world.source))) == 5
    assert uris(recalled(digest(f"{world.source} 2.0")[:16])) == [world.new]


def test_an_adapted_model_is_recalled_with_what_was_made_from_it(
    world: World, recalled: Callable[..., dict[str, Any]]
) -> None:
    assert uris(recalled(world.child)) == sorted([world.child, world.grandchild])
    assert uris(recalled(world.grandchild.removeprefix("models:/"))) == [world.grandchild]


def test_data_are_found_whether_trained_on_or_pretrained_on(
    world: World, recalled: Callable[..., dict[str, Any]]
) -> None:
    assert uris(recalled(data=world.rows("mail rows"))) == sorted([world.old, world.child, world.grandchild])
    assert uris(recalled(data=world.rows("a pool")[:12])) == [world.chat]
    none = recalled(data=digest("nobody's"))
    assert none["live"] == []
    assert recall_text(none).startswith("no live version")


def test_blocked_versions_lose_their_aliases_and_get_none(
    world: World, recalled: Callable[..., dict[str, Any]], workspace: Path, registry: MlflowRegistry
) -> None:
    name = world.named("mail")
    promote(f"{name}/1", "bob", "first", None, workspace, None)
    found = recalled(f"{world.source}@1.0", act="block")
    assert all(one["recalled"] == "ann: its licence was withdrawn" for one in found["live"])
    assert all(one["aliases"] == [] for one in found["live"])
    assert "rollback NAME --to VERSION" in recall_text(found)
    assert registry.champion(name) is None
    acts = history(name, workspace, None)
    assert (acts["champion"], acts["alias"], acts["moved_by_hand"]) == (None, None, False)
    assert [(act["act"], act["champion_before"], act["champion_after"]) for act in acts["acts"]] == [
        ("promote", None, 1),
        ("recall", 1, None),
    ]
    blocked = [
        lambda: promote(f"{name}/1", "bob", "again", None, workspace, None),
        lambda: shadow(f"{name}/1", "bob", "again", workspace, None),
        lambda: rollback(name, "bob", "again", None, "1", workspace, None),
    ]
    for act in blocked:
        assert "its licence was withdrawn" in str(refused(RefusalError, "E-PROMOTE-012", act))
    assert promote(f"{name}/2", "bob", "made from 2.0", None, workspace, None)["champion"] == 2


def test_blocking_twice_writes_one_entry_and_lifting_lets_it_be_promoted(
    world: World, recalled: Callable[..., dict[str, Any]], workspace: Path
) -> None:
    name = world.named("chat")
    for _ in range(2):
        recalled(world.chat, act="block")
    assert [act["act"] for act in history(name, workspace, None)["acts"]] == ["recall"]
    (lifted,) = recalled(world.chat, act="lift", reason="it was the other licence")["live"]
    assert lifted["recalled"] is None
    recalled(world.chat, act="lift")
    assert [act["act"] for act in history(name, workspace, None)["acts"]] == ["recall", "readmit"]
    assert promote(f"{name}/1", "bob", "is fine", None, workspace, None)["champion"] == 1


def test_a_version_that_is_judged_again_stays_blocked(
    world: World, recalled: Callable[..., dict[str, Any]], registry: MlflowRegistry
) -> None:
    recalled(world.chat, act="block")
    assert world.make("chat", revision="1.0", data="chat rows", pool="a pool") == world.chat, "the same run key"
    (version,) = registry.versions(world.named("chat"))
    assert version.aliases == ()


def test_a_champion_moved_by_hand_is_not_passed_over(
    world: World, recalled: Callable[..., dict[str, Any]], workspace: Path, registry: MlflowRegistry
) -> None:
    name = world.named("mail")
    promote(f"{name}/2", "bob", "first", None, workspace, None)
    connect(registry.uri, workspace).client.set_registered_model_alias(name, "champion", "1")
    refused(IntegrityError, "E-PROMOTE-004", lambda: recalled(world.old, act="block"))


def test_what_nobody_knows_and_what_is_no_digest_is_told(world: World, recalled: Callable[..., dict[str, Any]]) -> None:
    assert world.source in refused(ModelError, "E-REGISTRY-003", lambda: recalled(f"{world.source[:-1]}x")).hint
    assert "1.0" in refused(ModelError, "E-REGISTRY-003", lambda: recalled(f"{world.source}@1.1")).hint
    refused(ConfigError, "E-RECALL-001", lambda: recalled(data="mail.csv' OR '1'='1"))
    refused(ConfigError, "E-RECALL-002", recalled)
    refused(ConfigError, "E-RECALL-002", lambda: recalled("x", data="y"))
    refused(ConfigError, "E-PROMOTE-009", lambda: recalled(world.chat, act="block", reason=""))
