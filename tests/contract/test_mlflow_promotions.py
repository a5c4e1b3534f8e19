"""Promoting, rolling back, shadowing and approving on a real MLflow: the log decides, the aliases follow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from acclimate.adapters import mlflow_promotions, mlflow_registry
from acclimate.adapters.mlflow_client import connect, local_uri
from acclimate.adapters.mlflow_lock import LOCKS, alias_lock
from acclimate.adapters.mlflow_registry import AUTO_PROMOTED, MlflowRegistry, open_registry
from acclimate.adapters.promotion_places import place_at
from acclimate.adapters.promotion_rules import user
from acclimate.config_gate import ApprovalRule, ChecksSpec, PolicySpec
from acclimate.errors import AcclimateError, ConfigError, IntegrityError, ModelError, RefusalError, UnavailableError
from acclimate.promoting import approve, approved_text, history, history_text, moved_text, rollback
from tests.run_records import digest, run_records, verdict_of

pytestmark = pytest.mark.usefixtures("no_server")

_NAMES = count()
NONE = "baseline"


@pytest.fixture(scope="module")
def client(workspace: Path, registry: MlflowRegistry) -> Any:
    return connect(registry.uri, workspace).client


@pytest.fixture
def name() -> str:
    return f"model-{next(_NAMES)}"


@pytest.fixture
def make(registry: MlflowRegistry, name: str, tmp_path: Path) -> Callable[..., int]:
    """Register a version that was compared with a champion (None: there was none); gives its number."""

    def version(against: int | None = None, verdict: str = "PROMOTE", **changes: Any) -> int:
        key = changes.pop("key", f"{name} {next(_NAMES)}")
        auto = changes.pop("auto_promote", False)
        folder = tmp_path / digest(key)
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(key)
        comparator = NONE if against is None else f"champion models:/{name}/{against}"
        records = run_records(key, name=name, comparator=comparator, model_digest=digest(key))
        run_id = registry.record_run(records)
        uri = registry.log_model(run_id, records, folder) if verdict != "REJECT" else None
        said = verdict_of(records, verdict).model_copy(update=changes)
        registry.register(records, run_id, uri, said, auto_promote=auto)
        return max((one.version for one in registry.versions(name)), default=0)

    return version


def champion(registry: MlflowRegistry, name: str) -> int | None:
    found = registry.champion(name)
    return found.version if found else None


def acts(registry: MlflowRegistry, name: str) -> list[tuple[str, int | None, str]]:
    return [(entry.act, entry.version, entry.by) for entry in registry.promotions(name).log.entries]


def refused(kind: type[AcclimateError], code: str, act: Callable[[], object]) -> str:
    with pytest.raises(kind) as caught:
        act()
    assert caught.value.code == code
    return caught.value.hint


# --- promoting and rolling back ---------------------------------------------------------------


def test_a_promotion_says_who_why_and_whom_it_succeeds(
    registry: MlflowRegistry, name: str, make: Callable[..., int]
) -> None:
    first = make()
    assert champion(registry, name) is None, "registering alone promotes nothing"
    registry.promote(f"{name}/{first}", "ann", "it is the first", None)
    second = make(against=first)
    move = registry.promote(f"{name}@challenger", "bob", "better by 3 points", None)
    assert (move.before, move.after, champion(registry, name)) == (first, second, second)
    found = registry.promotions(name)
    assert (found.champion, found.pointed, found.moved_by_hand) == (second, second, False)
    last = found.log.entries[-1]
    assert (last.act, last.by, last.reason, last.champion_before) == ("promote", "bob", "better by 3 points", first)
    version = registry.versions(name)[-1]
    assert last.verdict_sha256 == version.tags["acclimate.verdict_sha256"]
    assert last.model_digest == version.tags["acclimate.model_digest"]
    assert version.tags["acclimate.previous_champion"] == str(first)


def test_promoting_the_champion_again_writes_nothing(
    registry: MlflowRegistry, name: str, make: Callable[..., int]
) -> None:
    version = make()
    for _ in range(2):
        registry.promote(f"{name}/{version}", "ann", "first", None)
    assert acts(registry, name) == [("promote", version, "ann")]


def test_an_automatic_promotion_is_in_the_log_too(
    registry: MlflowRegistry, name: str, make: Callable[..., int]
) -> None:
    version = make(auto_promote=True)
    entry = registry.promotions(name).log.entries[0]
    assert (entry.version, entry.reason, entry.by) == (version, AUTO_PROMOTED, user())


@pytest.mark.parametrize("verdict", ["SHADOW", "HOLD"])
def test_the_gate_has_to_let_it(registry: MlflowRegistry, name: str, make: Callable[..., int], verdict: str) -> None:
    version = make(verdict=verdict)
    hint = refused(RefusalError, "E-PROMOTE-001", lambda: registry.promote(f"{name}/{version}", "ann", "I like", None))
    assert f"acclimate gate explain {name}/{version}" in hint
    assert champion(registry, name) is None
    assert acts(registry, name) == []


def test_what_was_compared_with_another_champion_is_not_promoted(
    registry: MlflowRegistry, name: str, make: Callable[..., int]
) -> None:
    first = make(auto_promote=True)
    second, third = make(against=first), make(against=first)
    registry.promote(f"{name}/{second}", "ann", "faster", None)
    refused(UnavailableError, "E-REGISTRY-020", lambda: registry.promote(f"{name}/{third}", "bob", "slower", None))
    assert champion(registry, name) == second


@pytest.mark.parametrize(("expect", "done"), [("1", True), ("2", False), ("none", False), (None, True)])
def test_a_promotion_may_name_the_champion_it_expects(
    registry: MlflowRegistry, name: str, make: Callable[..., int], expect: str | None, done: bool
) -> None:
    make(auto_promote=True)
    make(against=1)
    if done:
        registry.promote(f"{name}/2", "ann", "as expected", expect)
    else:
        refused(UnavailableError, "E-REGISTRY-020", lambda: registry.promote(f"{name}/2", "ann", "why", expect))
    assert champion(registry, name) == (2 if done else 1)


def test_rollbacks_walk_back_one_champion_at_a_time(
    registry: MlflowRegistry, name: str, make: Callable[..., int]
) -> None:
    for against in (None, 1, 2):
        make(against=against, auto_promote=True)
    moves = [registry.rollback(name, "ann", "it fails at night", None, None) for _ in range(2)]
    assert [(move.before, move.after) for move in moves] == [(3, 2), (2, 1)]
    hint = refused(ConfigError, "E-PROMOTE-005", lambda: registry.rollback(name, "ann", "more", None, None))
    assert f"acclimate rollback {name} --to none" in hint
    assert champion(registry, name) == 1
    assert registry.promotions(name).log.entries[-1].reason == "it fails at night"


def test_a_rollback_names_an_earlier_champion_or_none(
    registry: MlflowRegistry, name: str, make: Callable[..., int]
) -> None:
    for against in (None, 1, 2):
        make(against=against, auto_promote=True)
    make(against=3)
    for to in ("4", "9", "first"):
        refused(ConfigError, "E-PROMOTE-005", lambda to=to: registry.rollback(name, "ann", "why", None, to))
    refused(UnavailableError, "E-REGISTRY-020", lambda: registry.rollback(name, "ann", "why", "2", "1"))
    registry.rollback(name, "ann", "two steps", "3", "1")
    assert champion(registry, name) == 1
    registry.rollback(name, "ann", "withdrawn", None, "none")
    assert champion(registry, name) is None
    assert registry.promotions(name).champion is None
    registry.rollback(name, "ann", "it once was", None, "3")
    assert champion(registry, name) == 3
    entries = registry.promotions(name).log.entries[-3:]
    sealed = {one.version: one.tags["acclimate.verdict_sha256"] for one in registry.versions(name)}
    assert [entry.verdict_sha256 for entry in entries] == [sealed[1], None, sealed[3]]


def test_what_was_rolled_back_can_be_promoted_again(
    registry: MlflowRegistry, name: str, make: Callable[..., int]
) -> None:
    make(auto_promote=True)
    make(against=1, auto_promote=True)
    registry.rollback(name, "ann", "a false alarm", None, None)
    registry.promote(f"{name}/2", "ann", "it was not the model", None)
    assert champion(registry, name) == 2
    assert registry.promotions(name).log.succession == [1, 2]


def test_a_champion_that_was_deleted_is_not_gone_back_to(
    registry: MlflowRegistry, name: str, make: Callable[..., int], client: Any
) -> None:
    for against in (None, 1):
        make(against=against, auto_promote=True)
    client.delete_model_version(name, "1")
    refused(ConfigError, "E-PROMOTE-005", lambda: registry.rollback(name, "ann", "why", None, None))
    assert champion(registry, name) == 2


def test_a_champion_from_before_the_log_is_known_by_its_tag(
    registry: MlflowRegistry, name: str, make: Callable[..., int], client: Any
) -> None:
    make()
    make(against=1)
    client.set_registered_model_alias(name, "champion", "2")
    client.set_model_version_tag(name, "2", "acclimate.previous_champion", "1")
    assert not registry.promotions(name).moved_by_hand
    move = registry.rollback(name, "ann", "back", None, None)
    assert (move.before, move.after, champion(registry, name)) == (2, 1, 1)


def test_the_way_back_is_told_where_there_is_one(
    registry: MlflowRegistry, workspace: Path, name: str, make: Callable[..., int]
) -> None:
    for against in (None, 1, 2):
        make(against=against, auto_promote=True)
    told = []
    for to in (None, None, "2"):
        found = rollback(name, "ann", "slow", None, to, workspace, None)
        told.append([line for line in moved_text(found).splitlines() if line.startswith("to go back")])
        assert [
            line for line in history_text(history(name, workspace, None)).splitlines() if "go back" in line
        ] == told[-1]
    back = [f"to go back to version 1: acclimate rollback {name} --reason WHY"]
    assert told == [back, [], back]
    assert rollback(name, "ann", "as it was told", None, None, workspace, None)["champion"] == 1


@pytest.mark.parametrize("gone", ["deleted", "recalled"])
def test_no_way_back_is_told_to_what_cannot_be_gone_back_to(
    registry: MlflowRegistry, workspace: Path, name: str, make: Callable[..., int], client: Any, gone: str
) -> None:
    for against in (None, 1):
        make(against=against, auto_promote=True)
    if gone == "deleted":
        client.delete_model_version(name, "1")
    else:
        registry.recall(f"{name}/1", "ann", "its licence")
    assert "go back" not in history_text(history(name, workspace, None))
    with pytest.raises((ConfigError, RefusalError)):
        registry.rollback(name, "ann", "why", None, None)


@pytest.mark.parametrize("to", ["1", "none"])
def test_a_champion_that_was_deleted_is_told_and_given_up_by_naming_another_or_none(
    registry: MlflowRegistry, workspace: Path, name: str, make: Callable[..., int], client: Any, to: str
) -> None:
    for against in (None, 1):
        make(against=against, auto_promote=True)
    client.delete_model_version(name, "2")
    assert registry.promotions(name).champion_deleted
    with pytest.raises(IntegrityError) as caught:
        make(auto_promote=True)
    assert caught.value.code == "E-PROMOTE-004"
    assert "version 2, the champion by the promotion log, was deleted" in str(caught.value)
    told = [
        caught.value.hint,
        refused(IntegrityError, "E-PROMOTE-004", lambda: registry.rollback(name, "a", "b", None, None)),
    ]
    told.append(history_text(history(name, workspace, None)))
    assert all(f"acclimate rollback {name} --to {to} --reason" in one and "--to 2" not in one for one in told)
    assert "DELETED: version 2" in told[-1]
    registry.rollback(name, "ann", "version 2 is gone", None, to)
    found = registry.promotions(name)
    assert (str(found.champion or "none"), found.pointed, found.moved_by_hand) == (to, found.champion, False)
    last = make(against=found.champion, auto_promote=True)
    assert champion(registry, name) == last


def test_the_only_champion_that_was_deleted_is_given_up_for_none(
    registry: MlflowRegistry, workspace: Path, name: str, make: Callable[..., int], client: Any
) -> None:
    make(auto_promote=True)
    client.delete_model_version(name, "1")
    text = history_text(history(name, workspace, None))
    assert f"acclimate rollback {name} --to none" in text
    assert "--to 1" not in text
    registry.rollback(name, "ann", "it is gone", None, "none")
    make(auto_promote=True)
    assert champion(registry, name) == 2


def test_an_unknown_model_or_version_is_told(registry: MlflowRegistry, name: str, make: Callable[..., int]) -> None:
    refused(AcclimateError, "E-REGISTRY-003", lambda: registry.rollback("nothing", "ann", "why", None, None))
    refused(AcclimateError, "E-REGISTRY-003", lambda: registry.promotions("nothing"))
    make()
    refused(AcclimateError, "E-REGISTRY-003", lambda: registry.promote(f"{name}/7", "ann", "why", None))


# --- challengers ------------------------------------------------------------------------------


def test_a_challenger_is_named_by_hand_where_the_gate_lets_it(
    registry: MlflowRegistry, name: str, make: Callable[..., int], client: Any
) -> None:
    for verdict in ("SHADOW", "PROMOTE", "HOLD"):
        make(verdict=verdict)
    assert client.get_registered_model(name).aliases == {"challenger": 2}
    registry.shadow(f"{name}/1", "ann", "one more week")
    assert client.get_registered_model(name).aliases == {"challenger": 1}
    refused(RefusalError, "E-PROMOTE-001", lambda: registry.shadow(f"{name}/3", "ann", "why"))
    assert acts(registry, name) == [("shadow", 1, "ann")]


@pytest.mark.parametrize("verdict", ["HOLD", "REJECT"])
def test_a_version_that_is_judged_worse_later_stops_being_the_challenger(
    registry: MlflowRegistry, name: str, make: Callable[..., int], client: Any, verdict: str
) -> None:
    make(key=name)
    assert client.get_registered_model(name).aliases == {"challenger": 1}
    make(key=name, verdict=verdict)
    assert client.get_registered_model(name).aliases == {}
    assert [one.verdict for one in registry.versions(name)] == [verdict]
    refused(RefusalError, "E-PROMOTE-001", lambda: registry.promote(f"{name}/1", "ann", "it once passed", None))


@pytest.mark.parametrize("verdict", ["HOLD", "REJECT"])
def test_a_champion_that_is_judged_worse_later_stays_until_somebody_acts(
    registry: MlflowRegistry, name: str, make: Callable[..., int], verdict: str
) -> None:
    make(key=name, auto_promote=True)
    make(key=name, verdict=verdict)
    assert champion(registry, name) == 1
    assert registry.versions(name)[0].verdict == "PROMOTE"


# --- approvals --------------------------------------------------------------------------------


def waiting(by: list[str]) -> dict[str, Any]:
    rules = PolicySpec(name="signed", checks=ChecksSpec(approval=ApprovalRule(required=True, by=by)))
    return {"verdict": "HOLD", "if_approved": "PROMOTE", "policy": "signed", "rules": rules.model_dump(mode="json")}


def test_a_version_that_waits_for_an_approval_is_promoted_after_it(
    registry: MlflowRegistry, name: str, make: Callable[..., int]
) -> None:
    make(**waiting(["ann", "eve"]))
    hint = refused(RefusalError, "E-PROMOTE-001", lambda: registry.promote(f"{name}/1", "bob", "go", None))
    assert f"acclimate approve {name}/1" in hint
    refused(RefusalError, "E-PROMOTE-006", lambda: registry.approve(f"{name}/1", "bob", "I made it"))
    registry.approve(f"{name}/1", "ann", "looked at 50 answers")
    assert champion(registry, name) is None, "an approval promotes nothing"
    registry.promote(f"{name}/1", "bob", "approved by ann", None)
    assert champion(registry, name) == 1
    assert acts(registry, name) == [("approve", 1, "ann"), ("promote", 1, "bob")]


def test_anybody_may_approve_where_the_policy_names_nobody(
    registry: MlflowRegistry, name: str, make: Callable[..., int]
) -> None:
    make(**waiting([]))
    registry.approve(f"{name}/1", "bob", "looked at it")
    registry.promote(f"{name}/1", "bob", "approved", None)
    assert champion(registry, name) == 1


def test_an_approval_ends_with_the_verdict_it_was_given_to(
    registry: MlflowRegistry, name: str, make: Callable[..., int]
) -> None:
    make(key=name, **waiting([]))
    registry.approve(f"{name}/1", "ann", "looked at it")
    make(key=name, reasons=["judged again"], **waiting([]))
    refused(RefusalError, "E-PROMOTE-001", lambda: registry.promote(f"{name}/1", "bob", "approved once", None))


def test_an_approval_that_lets_it_run_in_shadow_only_says_so(
    registry: MlflowRegistry, workspace: Path, name: str, make: Callable[..., int], client: Any
) -> None:
    for verdict in ("SHADOW", "PROMOTE"):
        version = make(**{**waiting([]), "if_approved": verdict})
        text = approved_text(approve(f"{name}/{version}", "ann", "read 50 answers", workspace, None))
        assert f"next: acclimate {verdict.lower()} {name}/{version} --reason WHY" in text
    refused(RefusalError, "E-PROMOTE-001", lambda: registry.promote(f"{name}/1", "bob", "approved", None))
    registry.shadow(f"{name}/1", "bob", "approved")
    assert client.get_registered_model(name).aliases["challenger"] == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": "PROMOTE"},
        {"verdict": "HOLD"},
        {**waiting([]), "if_approved": None},
    ],
)
def test_what_needs_no_approval_takes_none(
    registry: MlflowRegistry, name: str, make: Callable[..., int], changes: dict[str, Any]
) -> None:
    make(**changes)
    refused(RefusalError, "E-PROMOTE-006", lambda: registry.approve(f"{name}/1", "ann", "why not"))
    assert acts(registry, name) == []


# --- hands, crashes and races -----------------------------------------------------------------


def test_an_alias_that_was_moved_by_hand_is_told_and_not_overwritten(
    registry: MlflowRegistry, name: str, make: Callable[..., int], client: Any
) -> None:
    for against in (None, 1):
        make(against=against, auto_promote=True)
    make(against=2)
    make(against=2)
    client.set_registered_model_alias(name, "champion", "3")
    found = registry.promotions(name)
    assert (found.champion, found.pointed, found.moved_by_hand) == (2, 3, True)
    hint = refused(IntegrityError, "E-PROMOTE-004", lambda: registry.promote(f"{name}/4", "ann", "why", None))
    assert f"acclimate rollback {name} --to 2" in hint
    refused(IntegrityError, "E-PROMOTE-004", lambda: registry.rollback(name, "ann", "why", None, None))
    registry.shadow(f"{name}/4", "ann", "this moves no champion")
    assert champion(registry, name) == 3
    assert registry.promotions(name).moved_by_hand, "another act does not hide it"


@pytest.mark.parametrize("keep", [True, False])
def test_a_hand_move_is_mended_by_saying_where_to(
    registry: MlflowRegistry, name: str, make: Callable[..., int], client: Any, keep: bool
) -> None:
    make(auto_promote=True)
    make(against=1)
    client.set_registered_model_alias(name, "champion", "2")
    if keep:
        registry.promote(f"{name}/2", "ann", "it passes the gate as well", None)
    else:
        registry.rollback(name, "ann", "nobody asked", None, "1")
    found = registry.promotions(name)
    assert (found.moved_by_hand, found.champion, champion(registry, name)) == (False, *(2 if keep else 1,) * 2)


def test_a_hand_move_does_not_pass_the_gate_by_itself(
    registry: MlflowRegistry, name: str, make: Callable[..., int], client: Any
) -> None:
    make(auto_promote=True)
    make(against=1, verdict="HOLD")
    client.set_registered_model_alias(name, "champion", "2")
    refused(RefusalError, "E-PROMOTE-001", lambda: registry.promote(f"{name}/2", "ann", "it is there anyway", None))
    assert registry.promotions(name).moved_by_hand


def test_an_alias_that_was_taken_away_by_hand_is_told(
    registry: MlflowRegistry, name: str, make: Callable[..., int], client: Any
) -> None:
    make(auto_promote=True)
    client.delete_registered_model_alias(name, "champion")
    assert registry.promotions(name).moved_by_hand
    make()
    refused(IntegrityError, "E-PROMOTE-004", lambda: registry.promote(f"{name}/2", "ann", "why", None))
    registry.rollback(name, "ann", "put back", None, "1")
    assert champion(registry, name) == 1


def test_a_recall_leaves_an_alias_that_a_hand_put_at_another_version(
    registry: MlflowRegistry, name: str, make: Callable[..., int], client: Any
) -> None:
    for against in (None, 1):
        make(against=against, auto_promote=True)
    make(against=2)
    client.set_registered_model_alias(name, "champion", "3")
    registry.recall(f"{name}/2", "ann", "its licence")
    found = registry.promotions(name)
    assert (found.champion, found.pointed, found.moved_by_hand) == (None, 3, True)
    registry.recall(f"{name}/1", "ann", "its licence too")
    assert champion(registry, name) == 3, "nor where the log has no champion"
    refused(RefusalError, "E-PROMOTE-012", lambda: registry.rollback(name, "ann", "why", None, "2"))


def test_a_recalled_challenger_by_hand_loses_the_alias_when_it_is_recalled_again(
    registry: MlflowRegistry, name: str, make: Callable[..., int], client: Any
) -> None:
    make()
    registry.recall(f"{name}/1", "ann", "its licence")
    assert client.get_registered_model(name).aliases == {}
    client.set_registered_model_alias(name, "challenger", "1")
    registry.recall(f"{name}/1", "bob", "still")
    assert client.get_registered_model(name).aliases == {}
    assert acts(registry, name) == [("recall", 1, "ann")]


STEPS = ("_claim", "write", "_followed", "_point", "read_again")


@pytest.mark.parametrize("step", STEPS)
def test_an_act_that_was_cut_off_is_whole_or_finished_by_the_next(
    registry: MlflowRegistry,
    name: str,
    make: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    make(auto_promote=True)
    make(against=1)
    promoter = registry._promoter

    def cut(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if step == "write":
            patched.setattr(promoter._place, "write", cut)
        elif step == "read_again":
            patched.setattr(promoter, "_followed", _pointed_then_cut(promoter, cut))
        else:
            patched.setattr(promoter, step, cut)
        with pytest.raises(KeyboardInterrupt):
            registry.promote(f"{name}/2", "ann", "cut off", None)
    is_written = step in ("_followed", "_point", "read_again")
    found = registry.promotions(name)
    assert (found.champion, found.moved_by_hand) == (2 if is_written else 1, False)
    registry.shadow(f"{name}/2", "bob", "whatever comes next")
    assert champion(registry, name) == (2 if is_written else 1)
    assert registry.promotions(name).unfinished is None


def cut_off(registry: MlflowRegistry, act: Callable[[], object], *, after_the_alias: bool = False) -> None:
    """Do something that ends before the alias is moved, or before the registry is told that it was."""
    promoter = registry._promoter

    def cut(*_: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        followed = _pointed_then_cut(promoter, cut) if after_the_alias else cut
        patched.setattr(promoter, "_followed", followed)
        with pytest.raises(KeyboardInterrupt):
            act()


@pytest.mark.parametrize("after_the_alias", [True, False])
def test_a_rollback_that_is_asked_for_again_goes_back_once(
    registry: MlflowRegistry, name: str, make: Callable[..., int], after_the_alias: bool
) -> None:
    for against in (None, 1, 2):
        make(against=against, auto_promote=True)

    def rollback() -> Any:
        return registry.rollback(name, "ann", "slow", None, None)

    cut_off(registry, rollback, after_the_alias=after_the_alias)
    move = rollback()
    assert (move.before, move.after, champion(registry, name)) == (3, 2, 2)
    assert [act for act, _, _ in acts(registry, name)].count("rollback") == 1
    assert rollback().after == 1, "the next one is meant"


def test_what_was_cut_off_is_told_and_remembers_whom_it_succeeds(
    registry: MlflowRegistry, name: str, make: Callable[..., int]
) -> None:
    make(auto_promote=True)
    make(against=1)
    cut_off(registry, lambda: registry.promote(f"{name}/2", "ann", "better", None))
    assert registry.promotions(name).unfinished is not None
    registry.shadow(f"{name}/2", "bob", "something else")
    assert registry.versions(name)[1].tags["acclimate.previous_champion"] == "1"


def test_a_challenger_that_was_cut_off_is_told_and_named_by_the_next_act(
    registry: MlflowRegistry, workspace: Path, name: str, make: Callable[..., int], client: Any
) -> None:
    make()
    make()
    cut_off(registry, lambda: registry.shadow(f"{name}/1", "ann", "one more week"))
    assert client.get_registered_model(name).aliases == {"challenger": 2}
    found = history(name, workspace, None)
    assert (found["unfinished"], found["moved_by_hand"]) == (True, False)
    assert "INTERRUPTED: entry 1 (shadow 1) is recorded" in history_text(found)
    registry.promote(f"{name}/2", "bob", "whatever comes next", None)
    assert client.get_registered_model(name).aliases == {"challenger": 1, "champion": 2}
    assert registry.promotions(name).unfinished is None


@pytest.mark.parametrize("act", ["shadow", "recall"])
def test_a_version_that_was_judged_worse_or_recalled_is_no_challenger_by_a_late_hand(
    registry: MlflowRegistry, name: str, make: Callable[..., int], client: Any, act: str
) -> None:
    """An act that was cut off before it was judged again, and a recall that was."""
    make(key=name)
    make()
    cut_off(registry, lambda: getattr(registry, act)(f"{name}/1", "ann", "cut off"))
    make(key=name, verdict="HOLD" if act == "shadow" else "PROMOTE")
    registry.promote(f"{name}/2", "bob", "whatever comes next", None)
    assert client.get_registered_model(name).aliases == {"challenger": 2, "champion": 2}
    assert ("acclimate.recalled" in registry.versions(name)[0].tags) == (act == "recall")


def test_what_a_hand_did_after_an_act_was_cut_off_stays(
    registry: MlflowRegistry, name: str, make: Callable[..., int], client: Any
) -> None:
    for against in (None, 1):
        make(against=against, auto_promote=True)
    make(against=2)
    cut_off(registry, lambda: registry.rollback(name, "ann", "slow", None, None))
    client.set_registered_model_alias(name, "champion", "3")
    refused(IntegrityError, "E-PROMOTE-004", lambda: registry.rollback(name, "ann", "slow", None, None))
    assert champion(registry, name) == 3
    assert registry.promotions(name).moved_by_hand


def test_an_interrupted_rollback_to_a_version_that_was_deleted_is_not_told_as_done(
    registry: MlflowRegistry, name: str, make: Callable[..., int], client: Any
) -> None:
    for against in (None, 1):
        make(against=against, auto_promote=True)
    cut_off(registry, lambda: registry.rollback(name, "ann", "slow", None, None))
    client.delete_model_version(name, "1")
    hint = refused(IntegrityError, "E-PROMOTE-004", lambda: registry.rollback(name, "ann", "slow", None, None))
    assert f"acclimate rollback {name} --to none" in hint


def test_an_interrupted_act_on_a_version_that_was_deleted_stops_nobody(
    registry: MlflowRegistry, name: str, make: Callable[..., int], client: Any
) -> None:
    make(auto_promote=True)
    make(against=1)
    make(against=1)
    cut_off(registry, lambda: registry.promote(f"{name}/2", "ann", "better", None))
    client.delete_model_version(name, "2")
    refused(IntegrityError, "E-PROMOTE-004", lambda: registry.promote(f"{name}/3", "ann", "then this", None))
    registry.rollback(name, "ann", "version 2 is gone", None, "1")
    assert (champion(registry, name), registry.promotions(name).moved_by_hand) == (1, False)
    registry.promote(f"{name}/3", "ann", "then this", None)
    assert champion(registry, name) == 3


def _pointed_then_cut(promoter: Any, cut: Callable[..., Any]) -> Callable[..., Any]:
    def followed(name: str, own: Any) -> None:
        promoter._point(name, promoter._log(promoter._model(name))[0], own.number)
        cut()

    return followed


@contextmanager
def after(monkeypatch: pytest.MonkeyPatch, module: Any, act: Callable[[], object]) -> Iterator[None]:
    """Somebody else acts while the next one to hold the module's lock still waits for it."""
    lock, first = module.alias_lock, iter([True])

    @contextmanager
    def waited(*arguments: Any) -> Iterator[None]:
        if next(first, False):
            act()
        with lock(*arguments):
            yield

    with monkeypatch.context() as patched:
        patched.setattr(module, "alias_lock", waited)
        yield


@pytest.mark.parametrize("act", ["promote", "shadow", "approve"])
def test_a_verdict_that_changed_while_somebody_waited_is_not_acted_on(
    registry: MlflowRegistry, name: str, make: Callable[..., int], monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    said = waiting([]) if act == "approve" else {"verdict": "PROMOTE"}
    make(key=name, **said)
    expect = [None] if act == "promote" else []
    do = getattr(registry, act)
    with after(monkeypatch, mlflow_promotions, lambda: make(key=name, verdict="REJECT")):
        refused(UnavailableError, "E-PROMOTE-013", lambda: do(f"{name}/1", "ann", "it was fine", *expect))
    assert acts(registry, name) == []
    assert registry.versions(name)[0].aliases == ()
    with pytest.raises(RefusalError):
        do(f"{name}/1", "ann", "it was fine", *expect)


def test_an_automatic_promotion_heeds_what_another_judged_meanwhile(
    registry: MlflowRegistry, name: str, make: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with after(monkeypatch, mlflow_promotions, lambda: make(key=name, verdict="HOLD")):
        refused(UnavailableError, "E-PROMOTE-013", lambda: make(key=name, auto_promote=True))
    assert (champion(registry, name), acts(registry, name)) == (None, [])


@pytest.mark.parametrize("verdict", ["HOLD", "REJECT"])
def test_a_version_that_became_champion_while_it_was_judged_again_keeps_its_verdict(
    registry: MlflowRegistry, name: str, make: Callable[..., int], monkeypatch: pytest.MonkeyPatch, verdict: str
) -> None:
    make(key=name)
    with after(monkeypatch, mlflow_registry, lambda: registry.promote(f"{name}/1", "ann", "faster", None)):
        make(key=name, verdict=verdict)
    (version,) = registry.versions(name)
    assert (version.verdict, version.aliases) == ("PROMOTE", ("challenger", "champion"))


def test_a_version_that_was_recalled_while_it_was_judged_again_is_no_challenger(
    registry: MlflowRegistry, name: str, make: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    make(key=name)
    with after(monkeypatch, mlflow_registry, lambda: registry.recall(f"{name}/1", "ann", "its licence")):
        make(key=name, reasons=["judged again"])
    assert registry.versions(name)[0].aliases == ()


@pytest.mark.parametrize("recalled", [False, True])
def test_a_promoter_that_slept_ends_where_the_log_is_by_then(
    registry: MlflowRegistry,
    workspace: Path,
    name: str,
    make: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    recalled: bool,
) -> None:
    """Its lock was taken for dead: another promoted meanwhile, and its own late write must not stay."""
    make(auto_promote=True)
    make(against=1)
    make(against=2)
    other = open_registry(local_uri(workspace), workspace)
    promoter = registry._promoter
    point = promoter._point
    slept = iter([True])

    @contextmanager
    def nobody_waits(*_: Any) -> Iterator[None]:
        yield

    def sleepy(model: str, log: Any, since: int) -> None:
        if next(slept, False):
            other.promote(f"{name}/3", "bob", "while ann sleeps", None)
            if recalled:
                other.recall(f"{name}/3", "eve", "its licence")
            promoter._connection.client.set_registered_model_alias(model, "champion", "2")
        point(model, log, since)

    monkeypatch.setattr(mlflow_promotions, "alias_lock", nobody_waits)
    monkeypatch.setattr(promoter, "_point", sleepy)
    registry.promote(f"{name}/2", "ann", "slept", None)
    assert champion(registry, name) == (None if recalled else 3)
    assert acts(registry, name)[1:3] == [("promote", 2, "ann"), ("promote", 3, "bob")]
    assert registry.promotions(name).unfinished is None


def test_a_reply_that_was_lost_promotes_once(
    registry: MlflowRegistry, name: str, make: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    make()
    place = registry._promoter._place
    write = place.write

    def deaf(*arguments: Any) -> bool:
        write(*arguments)
        return False

    monkeypatch.setattr(place, "write", deaf)
    registry.promote(f"{name}/1", "ann", "heard nothing", None)
    assert (champion(registry, name), acts(registry, name)) == (1, [("promote", 1, "ann")])


def test_a_ticket_is_drawn_with_whichever_run_of_the_model_is_there_still(
    registry: MlflowRegistry, name: str, make: Callable[..., int], client: Any
) -> None:
    """What a server's clients queue with, here on the embedded store; the model's versions come and go."""
    served = replace(registry._connection, database=None)
    make()
    client.create_model_version(name, "s3://elsewhere/model")
    client.create_model_version(name, "s3://elsewhere/model", run_id="0" * 32)
    with alias_lock(served, name):
        (ticket,) = client.search_model_versions(f"name = '{LOCKS}'")
        assert ticket.run_id == client.get_model_version(name, "1").run_id
    for version in (1, 2, 3):
        client.delete_model_version(name, str(version))
    with alias_lock(served, name):
        (ticket,) = client.search_model_versions(f"name = '{LOCKS}'")
    assert list(client.search_model_versions(f"name = '{LOCKS}'")) == []

    def nothing_to_draw_with() -> None:
        with alias_lock(served, "never-run"):
            pytest.fail("nobody could queue behind this")

    refused(ModelError, "E-REGISTRY-024", nothing_to_draw_with)


# --- the log ----------------------------------------------------------------------------------


def log_file(workspace: Path, name: str) -> Path:
    (found,) = (workspace / "promotions").glob(f"{name}-*.jsonl")
    return found


@pytest.mark.parametrize(
    "tamper",
    [
        lambda data: data.replace(b'"by":"ann"', b'"by":"bob"'),
        lambda data: data[: data.index(b"\n") + 1],
        lambda data: b"",
        lambda data: data + data,
    ],
)
def test_a_log_that_was_changed_stops_every_act(
    registry: MlflowRegistry, workspace: Path, name: str, make: Callable[..., int], tamper: Callable[[bytes], bytes]
) -> None:
    make()
    make(against=1)
    registry.promote(f"{name}/1", "ann", "first", None)
    registry.shadow(f"{name}/2", "ann", "second")
    path = log_file(workspace, name)
    path.write_bytes(tamper(path.read_bytes()))
    for act in (
        lambda: registry.promote(f"{name}/2", "ann", "why", None),
        lambda: registry.rollback(name, "ann", "why", None, None),
        lambda: registry.promotions(name),
    ):
        refused(IntegrityError, "E-PROMOTE-003", act)
    assert champion(registry, name) == 1


def test_two_groups_cannot_keep_two_logs_unseen(
    registry: MlflowRegistry, workspace: Path, name: str, make: Callable[..., int], tmp_path: Path
) -> None:
    make(auto_promote=True)
    make(against=1)
    other = open_registry(local_uri(workspace), workspace, str(tmp_path / "elsewhere"))
    refused(ConfigError, "E-PROMOTE-002", lambda: other.promote(f"{name}/2", "bob", "why", None))
    assert champion(registry, name) == 1


def test_a_model_that_was_deleted_and_made_anew_starts_another_log(
    registry: MlflowRegistry, workspace: Path, name: str, make: Callable[..., int], client: Any
) -> None:
    make(auto_promote=True)
    client.delete_registered_model(name)
    make(auto_promote=True)
    assert [entry.number for entry in registry.promotions(name).log.entries] == [1]
    assert len(list((workspace / "promotions").glob(f"{name}-*.jsonl"))) == 2


@pytest.mark.parametrize(
    ("by", "reason"),
    [("", "why"), ("ann", " "), ("ann", "a\nb"), ("a\x1b[31m", "why"), ("ann", "\u202e"), ("ann", "x" * 1001)],
)
def test_who_and_why_are_one_readable_line(
    registry: MlflowRegistry, name: str, make: Callable[..., int], by: str, reason: str
) -> None:
    make()
    refused(ConfigError, "E-PROMOTE-009", lambda: registry.promote(f"{name}/1", by, reason, None))
    assert acts(registry, name) == []


@pytest.mark.parametrize("reference", ["{}/7", "{}@champion", "", "²"])
def test_a_rollback_names_a_model_alone(registry: MlflowRegistry, name: str, reference: str) -> None:
    refused(ConfigError, "E-PROMOTE-005", lambda: registry.rollback(reference.format(name), "ann", "why", None, None))


def test_a_database_of_another_workspace_is_no_default(
    registry: MlflowRegistry, workspace: Path, name: str, make: Callable[..., int], tmp_path: Path
) -> None:
    make(auto_promote=True)
    make(against=1)
    other = open_registry(local_uri(workspace), tmp_path / "other")
    refused(ConfigError, "E-PROMOTE-002", lambda: other.promote(f"{name}/2", "ann", "from elsewhere", None))


def test_a_place_that_nobody_named_is_not_claimed_but_one_on_s3_is_adopted(
    workspace: Path, registry: MlflowRegistry, name: str, make: Callable[..., int], bucket: str, tmp_path: Path
) -> None:
    uri, place = local_uri(workspace), f"s3://{bucket}/promotions"
    stranger = open_registry(uri, tmp_path / "stranger", may_claim=False)
    client = registry._connection.client
    make()
    client.delete_registered_model_tag(name, "acclimate.promotions")
    hint = refused(ConfigError, "E-PROMOTE-010", lambda: stranger.promote(f"{name}/1", "ann", "first", None))
    assert "--promotions" in hint
    open_registry(uri, workspace, place).promote(f"{name}/1", "ann", "first", None)
    stranger.shadow(f"{name}/1", "bob", "found its place")
    assert acts(stranger, name) == [("promote", 1, "ann"), ("shadow", 1, "bob")]


def test_a_log_may_be_read_by_whoever_may_read_the_folder(
    registry: MlflowRegistry, workspace: Path, name: str, make: Callable[..., int]
) -> None:
    make(auto_promote=True)
    plain = workspace / "as any file"
    plain.touch()
    assert log_file(workspace, name).stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("uri", ["gs://bucket/x", "http://169.254.169.254/x", "s3://"])
def test_what_is_no_place_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError):
        place_at(uri)


def test_what_a_verdict_said_is_what_promotes(registry: MlflowRegistry, name: str, make: Callable[..., int]) -> None:
    """The tag alone, which anybody may set in MLflow, does not."""
    version = make(verdict="HOLD")
    registry._connection.client.set_model_version_tag(name, str(version), "acclimate.verdict", "PROMOTE")
    refused(RefusalError, "E-PROMOTE-001", lambda: registry.promote(f"{name}/{version}", "ann", "it says so", None))
    make(auto_promote=True)
    make(against=2, auto_promote=True)
    stale = make(against=2)
    registry._connection.client.set_model_version_tag(name, str(stale), "acclimate.comparator", f"models:/{name}/3")
    refused(UnavailableError, "E-REGISTRY-020", lambda: registry.promote(f"{name}/{stale}", "ann", "as if", None))


@pytest.mark.parametrize("uri", ["folder", "s3"])
def test_a_place_replaces_only_what_was_read(uri: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    place = place_at(
        str(tmp_path / "here") if uri == "folder" else f"s3://{request.getfixturevalue('bucket')}/promotions"
    )
    assert place.read("log") == (b"", None)
    assert place.write("log", b"one", None)
    data, state = place.read("log")
    assert data == b"one"
    assert not place.write("log", b"two", None), "it is there by now"
    assert place.write("log", b"two", state)
    assert not place.write("log", b"three", state), "it is another by now"
    assert place.read("log")[0] == b"two"
