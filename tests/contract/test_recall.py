"""Recalling a source or data on a real MLflow: every live descendant is found, and blocked until it is readmitted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acclimate.adapters.mlflow_client import connect
from acclimate.adapters.mlflow_registry import MlflowRegistry
from acclimate.errors import (
    AccessError,
    AcclimateError,
    ConfigError,
    IntegrityError,
    ModelError,
    RefusalError,
    UnavailableError,
)
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


def test_what_was_made_from_a_copy_of_an_adapted_model_is_found(
    world: World, recalled: Callable[..., dict[str, Any]]
) -> None:
    copied = world.make("from-a-copy", parent=world.child, copied=True, data="other rows")
    below = world.make("below-it", parent=copied, data="yet other rows")
    assert uris(recalled(world.child)) == sorted([world.child, world.grandchild, copied, below])
    assert {copied, below} <= set(uris(recalled(f"{world.source}@1.0")))
    assert {copied, below} <= set(uris(recalled(data=world.rows("mail rows"))))
    assert uris(recalled(world.named("copy"))) == uris(recalled(world.child)), "the copy is that model"


def test_a_model_that_was_deleted_on_the_way_hides_nothing(
    world: World, recalled: Callable[..., dict[str, Any]], workspace: Path, registry: MlflowRegistry
) -> None:
    client = connect(registry.uri, workspace).client
    client.delete_model_version(world.named("child"), "1")
    found = recalled(f"{world.source}@1.0")
    assert uris(found) == sorted([world.old, world.chat, world.grandchild])
    ways = {one["model_uri"]: one["made_from"] for one in found["live"]}
    assert ways[world.grandchild] == f"models:/source--{world.source}/1 > ... > {world.child}"
    assert uris(recalled(data=world.rows("child rows")[:12])) == [world.grandchild], "by rows of the deleted one"
    assert uris(recalled(world.child)) == [world.grandchild], "the deleted one itself"
    client.delete_model_version(world.named("mail"), "1")
    assert uris(recalled(f"{world.source}@1.0")) == sorted([world.chat, world.grandchild])
    assert uris(recalled(data=world.rows("mail rows"))) == [world.grandchild]
    assert uris(recalled(world.digests[world.old][:16])) == [world.grandchild]


def test_versions_that_do_not_know_what_is_behind_them_are_found_as_before(
    world: World, recalled: Callable[..., dict[str, Any]], workspace: Path, registry: MlflowRegistry
) -> None:
    client = connect(registry.uri, workspace).client
    copied = world.make("from-a-copy", parent=world.old, copied=True, data="other rows")
    for uri in (world.old, world.child, world.grandchild, copied):
        client.delete_model_version_tag(*uri.removeprefix("models:/").split("/"), "acclimate.ancestors")
    assert uris(recalled(world.old)) == sorted([world.old, world.child, world.grandchild, copied])
    newer = world.make("newer", parent=world.grandchild, data="newer rows")
    client.delete_model_version(world.named("grandchild"), "1")
    assert uris(recalled(world.old)) == sorted([world.old, world.child, newer, copied])


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
    error = refused(IntegrityError, "E-RECALL-003", lambda: recalled(world.old, act="block"))
    assert [one.code for one in error.problems] == ["E-RECALL-003", "E-PROMOTE-004"]
    assert "2 of 3 live versions were blocked" in str(error)
    assert world.old in str(error)
    assert "rollback" in error.problems[1].hint
    states = {one["model_uri"]: one["recalled"] for one in recalled(world.old)["live"]}
    blocked = "ann: its licence was withdrawn"
    assert states == {world.old: None, world.child: blocked, world.grandchild: blocked}


def test_of_several_failures_each_is_told_and_the_exit_code_is_of_one_that_stays(
    world: World, recalled: Callable[..., dict[str, Any]], workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = MlflowRegistry.recall

    def failing(registry: MlflowRegistry, reference: str, by: str, reason: str) -> Any:
        if reference == world.old:
            raise UnavailableError("E-REGISTRY-001", "the server is gone", hint="run again")
        if reference == world.child:
            raise AccessError("E-REGISTRY-002", "the registry refused", hint="ask for MANAGE")
        return real(registry, reference, by, reason)

    monkeypatch.setattr(MlflowRegistry, "recall", failing)
    error = refused(AccessError, "E-RECALL-003", lambda: recalled(f"{world.source}@1.0", act="block"))
    assert "2 of 4 live versions were blocked" in str(error)
    told = {one.where: (one.code, one.hint) for one in error.problems[1:]}
    assert told == {
        world.old: ("E-REGISTRY-001", "run again"),
        world.child: ("E-REGISTRY-002", "ask for MANAGE"),
    }
    blocked = [one["model_uri"] for one in recalled(f"{world.source}@1.0")["live"] if one["recalled"]]
    assert sorted(blocked) == sorted([world.chat, world.grandchild])
    error = refused(RefusalError, "E-PROMOTE-012", lambda: promote(world.old, "bob", "now", None, workspace, None))
    assert f"made from {world.source}@1.0" in str(error), "it is barred although its own log says nothing"


def test_what_is_made_from_a_recalled_source_later_gets_no_alias_until_it_is_lifted(
    world: World, recalled: Callable[..., dict[str, Any]], workspace: Path, registry: MlflowRegistry
) -> None:
    name = world.named("tonight")
    recalled(f"{world.source}@1.0", act="block")
    uri = world.make("tonight", revision="1.0", data="new rows", auto_promote=True)
    (version,) = registry.versions(name)
    assert (version.model_uri, version.aliases) == (uri, ())
    assert "its licence was withdrawn" in version.tags["acclimate.recalled"]
    for act in (
        lambda: promote(uri, "bob", "now", None, workspace, None),
        lambda: shadow(uri, "bob", "now", workspace, None),
    ):
        assert "its licence was withdrawn" in str(refused(RefusalError, "E-PROMOTE-012", act))
    assert uri in uris(recalled(f"{world.source}@1.0"))
    world.make("tonight", revision="2.0", data="new rows", auto_promote=True)
    assert [one.aliases for one in registry.versions(name)] == [(), ("challenger", "champion")], "another revision"
    rollback(name, "bob", "to look at the first", None, "none", workspace, None)
    assert recalled(f"{world.source}@1.0", act="lift")["recalled"] is None
    assert promote(uri, "bob", "it was not so", None, workspace, None)["champion"] == 1


@pytest.mark.parametrize("copied", [False, True])
def test_what_is_made_later_from_anything_below_a_recalled_source_gets_no_alias(
    world: World, recalled: Callable[..., dict[str, Any]], registry: MlflowRegistry, copied: bool
) -> None:
    recalled(f"{world.source}@1.0", act="block")
    world.make("further", parent=world.grandchild, copied=copied, data="further rows", auto_promote=True)
    assert [one.aliases for one in registry.versions(world.named("further"))] == [()]


def test_recalled_data_bar_what_is_trained_on_them_later_though_no_version_is_left(
    world: World, recalled: Callable[..., dict[str, Any]], registry: MlflowRegistry
) -> None:
    found = recalled(data=world.rows("withdrawn rows")[:16], act="block")
    assert found["live"] == []
    assert "gets no alias" in recall_text(found)
    world.make("tonight", revision="2.0", data="withdrawn rows", auto_promote=True)
    world.make("pretrained", revision="2.0", data="good rows", pool="withdrawn rows", auto_promote=True)
    for name in ("tonight", "pretrained"):
        assert [one.aliases for one in registry.versions(world.named(name))] == [()]
    world.make("fine", revision="2.0", data="good rows", auto_promote=True)
    assert registry.champion(world.named("fine")) is not None
    recalled(data=world.rows("withdrawn rows"), act="lift")
    world.make("tonight", revision="2.0", data="withdrawn rows", auto_promote=True)
    assert registry.champion(world.named("tonight")) is not None


def test_lifting_one_of_two_recalls_leaves_what_the_other_is_about_blocked(
    world: World, recalled: Callable[..., dict[str, Any]], workspace: Path
) -> None:
    recalled(f"{world.source}@1.0", act="block")
    recalled(data=world.rows("a pool"), act="block", reason="it held names")
    error = refused(RefusalError, "E-RECALL-003", lambda: recalled(f"{world.source}@1.0", act="lift"))
    assert [one.where for one in error.problems[1:]] == [world.chat]
    assert f"--data {world.rows('a pool')} --lift" in error.problems[1].hint
    states = {one["model_uri"]: one["recalled"] for one in recalled(f"{world.source}@1.0")["live"]}
    assert [uri for uri, state in states.items() if state] == [world.chat]
    recalled(data=world.rows("a pool"), act="lift")
    assert promote(world.chat, "bob", "both lifted", None, workspace, None)["champion"] == 1


def test_a_recalled_source_shows_in_its_lineage_and_in_the_list(
    world: World, recalled: Callable[..., dict[str, Any]], registry: MlflowRegistry
) -> None:
    found = recalled(f"{world.source}@2.0", act="block")
    assert found["recalled"] == f"{world.source}@2.0, recalled by ann: its licence was withdrawn"
    assert registry.lineage(world.new).made_from[-1].facts["recalled"] == "ann: its licence was withdrawn"
    assert recalled(world.source)["recalled"] == found["recalled"]
    assert recalled(f"{world.source}@1.0")["recalled"] is None
    assert not [name for name in registry.adapted() if name.startswith("acclimate--")]
    recalled(f"{world.source}@2.0", act="lift")
    assert "recalled" not in registry.lineage(world.new).made_from[-1].facts


def test_a_recall_that_was_changed_by_hand_lets_nothing_pass(
    world: World, recalled: Callable[..., dict[str, Any]], workspace: Path, registry: MlflowRegistry
) -> None:
    recalled(world.chat, act="block")
    client, tag = connect(registry.uri, workspace).client, f"acclimate.recalled.{world.digests[world.chat]}"
    written = client.get_registered_model("acclimate--recalls").tags[tag]
    client.set_registered_model_tag("acclimate--recalls", tag, "nothing")
    try:
        error = refused(IntegrityError, "E-RECALL-005", lambda: promote(world.new, "bob", "a", None, workspace, None))
        assert tag in error.where
    finally:
        client.set_registered_model_tag("acclimate--recalls", tag, written)


def test_lineage_shows_what_was_made_of_a_model_and_whose_copy_its_source_is(
    world: World, registry: MlflowRegistry
) -> None:
    copied = world.make("from-a-copy", parent=world.old, copied=True, data="other rows")
    assert registry.lineage(world.old).made_into == sorted([world.child, copied])
    assert registry.lineage(world.grandchild).made_into == []
    assert registry.lineage(f"source--{world.source}/1").made_into == sorted([world.old, world.chat])
    parent = registry.lineage(copied).made_from[-1]
    assert (parent.kind, parent.uri, parent.made_into) == ("adapted_model", world.old, None)


def test_what_nobody_knows_and_what_is_no_digest_is_told(world: World, recalled: Callable[..., dict[str, Any]]) -> None:
    assert world.source in refused(ModelError, "E-REGISTRY-003", lambda: recalled(f"{world.source[:-1]}x")).hint
    assert "1.0" in refused(ModelError, "E-REGISTRY-003", lambda: recalled(f"{world.source}@1.1")).hint
    refused(ConfigError, "E-RECALL-001", lambda: recalled(data="mail.csv' OR '1'='1"))
    refused(ConfigError, "E-RECALL-002", recalled)
    refused(ConfigError, "E-RECALL-002", lambda: recalled("x", data="y"))
    refused(ConfigError, "E-PROMOTE-009", lambda: recalled(world.chat, act="block", reason=""))
